"""A saved state as a Hugging Face folder: config.json, safetensors (adapters merged), the tokenizer when there is one.

``transformers.GemmaForCausalLM.from_pretrained`` loads it, and so does ``weights.source: folder``, to the bit.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evidence import canonical, events, rundir, states
from evidence.spec import LoraSpec, ModelSpec, RunSpec
from training import checkpoints, tokenizer, weight_files, weight_sources
from training.errors import ExportError, TokenizerError, WeightsError
from training.gemma import ADAPTER_IN, ADAPTER_OUT
from training.tokenizer import Tokenizer
from training.weight_files import Parameter

SHARD_BYTES = 5_000_000_000
"""No file is larger, unless one tensor is."""

ORIGIN = "assay.json"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.model")


@dataclass(frozen=True)
class Exported:
    """``tokenizer``: what became of it, in words."""

    folder: Path
    step: int
    parameters_digest: str
    bytes: int
    files: int
    tokenizer: str


def export(run: Path, step: int | None, to: Path, shard_bytes: int = SHARD_BYTES) -> Exported:
    """Write the state saved after ``step`` (None: the newest) of ``run`` at ``to``, whole or not at all.

    Raises ExportError, and CheckpointError for a state that is not what its digests say.
    """
    spec, chosen = rundir.read_ask(run).spec, _step(run, step)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ExportError(f"{to} is in the way: export into a folder that is new or empty")
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}.") as name:
        draft = Path(name) / "export"
        draft.mkdir()
        arrays = _merged(checkpoints.parameters(run, chosen), spec.lora)
        files = _write_weights(draft, spec.model, arrays, shard_bytes)
        ids, told = _write_tokenizer(run, spec, draft)
        rundir.write_document(draft / weight_files.CONFIG, _config(spec.model, ids))
        digest = _parameters_digest(run, chosen)
        origin = {"run_id": rundir.read_ask(run).run_id, "step": chosen, "parameters_digest": digest}
        rundir.write_document(draft / ORIGIN, origin)
        for path in draft.iterdir():  # safetensors' writer keeps its files from everybody else
            path.chmod((draft / weight_files.CONFIG).stat().st_mode)
        size = sum(path.stat().st_size for path in draft.iterdir())
        draft.replace(to)
    return Exported(to, chosen, digest, size, files, told)


def _step(run: Path, asked: int | None) -> int:
    """The step to export. Raises ExportError naming those that are there."""
    folders = (run / rundir.CHECKPOINTS).glob("step_*.leaves.json")
    saved = [int(path.name.removesuffix(".leaves.json").removeprefix("step_")) for path in folders]
    there = sorted(step for step in saved if (run / rundir.CHECKPOINTS / checkpoints.name_of(step)).is_dir())
    if not there:
        raise ExportError(f"{run} has no saved state")
    if asked is not None and asked not in there:
        raise ExportError(f"{run} has no state saved after step {asked}; there are {', '.join(map(str, there))}")
    return there[-1] if asked is None else asked


def _parameters_digest(run: Path, step: int) -> str:
    listed = canonical.read(run / rundir.CHECKPOINTS / f"{checkpoints.name_of(step)}.leaves.json")
    return states.leaves_digest(listed["leaves"], states.PARAMETERS)


def _merged(arrays: Iterator[tuple[str, Any]], lora: LoraSpec) -> Iterator[tuple[str, Any]]:
    """The parameters with each adapter added to the matrix it belongs to: a matrix comes before its two factors."""
    held: list[tuple[str, Any]] = []
    factor: Any = None
    for path, array in arrays:
        if path.endswith(ADAPTER_IN):
            factor = array
        elif path.endswith(ADAPTER_OUT):
            name, matrix = held.pop()
            held.append((name, matrix + factor @ array * np.float32(lora.alpha / lora.rank)))
        else:
            yield from held
            held = [(path, array)]
    yield from held


def _write_weights(folder: Path, model: ModelSpec, arrays: Iterator[tuple[str, Any]], shard_bytes: int) -> int:
    """Write every parameter as float32, a file at a time, and return how many files that took."""
    from safetensors.numpy import save_file

    wanted = {parameter.path: parameter for parameter in weight_files.parameters(model)}
    shards = _shards(list(wanted.values()), shard_bytes)
    names = [f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)]
    if len(shards) == 1:
        names = [weight_files.SINGLE]
    place = {parameter.path: number for number, shard in enumerate(shards) for parameter in shard}
    waiting: dict[int, dict[str, Any]] = {number: {} for number in range(len(shards))}
    for path, array in arrays:
        if path not in wanted:
            raise ExportError(f"the state holds {path}, which Gemma has no name for")
        number, parameter = place[path], wanted[path]
        waiting[number][parameter.name] = np.ascontiguousarray(array.T if parameter.transposed else array, np.float32)
        if len(waiting[number]) == len(shards[number]):
            save_file(waiting.pop(number), folder / names[number], metadata={"format": "pt"})
    if waiting:
        number = next(iter(waiting))
        missing = next(item.path for item in shards[number] if item.name not in waiting[number])
        raise ExportError(f"the state does not hold {missing}, which the model has")
    if len(shards) > 1:
        total = sum(_bytes(parameter) for parameter in wanted.values())
        places = {parameter.name: names[place[path]] for path, parameter in wanted.items()}
        document = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
        rundir.write_document(folder / weight_files.INDEX, document)
    return len(shards)


def _shards(parameters: list[Parameter], limit: int) -> list[list[Parameter]]:
    """The parameters by path, as the state yields them, cut where a file would become larger than ``limit``."""
    shards: list[list[Parameter]] = [[]]
    size = 0
    for parameter in sorted(parameters, key=lambda parameter: parameter.path):
        if shards[-1] and size + _bytes(parameter) > limit:
            shards.append([])
            size = 0
        shards[-1].append(parameter)
        size += _bytes(parameter)
    return shards


def _bytes(parameter: Parameter) -> int:
    return 4 * int(np.prod(parameter.shape))


def _config(model: ModelSpec, ids: Tokenizer | None) -> dict[str, Any]:
    """config.json of GemmaForCausalLM."""
    special = {"pad_token_id": ids.pad, "bos_token_id": ids.bos, "eos_token_id": ids.eos} if ids else {}
    return {
        "architectures": ["GemmaForCausalLM"],
        "model_type": "gemma",
        **{key: getattr(model, key) for key in (*weight_files.EQUAL, "max_position_embeddings")},
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        **special,
    }


def _write_tokenizer(run: Path, spec: RunSpec, to: Path) -> tuple[Tokenizer | None, str]:
    """Copy the tokenizer's files where the run has them or names them still, and tell what became of them."""
    if spec.tokenizer.kind == "byte":
        return tokenizer.Bytes(), "the run's tokenizer is bytes, which has no files"
    folder = _tokenizer_folder(run, spec)
    try:
        found = tokenizer.read(folder) if folder else None
    except TokenizerError:
        found = None
    if folder is None or found is None:
        return None, "the tokenizer's files are not on this machine any more"
    lines, _ = rundir.whole_lines(run / rundir.EVENTS, 0, -1)
    told = [event for event in map(events.decode, lines) if isinstance(event, events.Data)]
    if told and spec.tokenizer.kind == "huggingface" and told[0].tokenizer_sha256 != found.sha256:
        return None, f"{folder} holds another tokenizer than the run was trained with"
    for name in TOKENIZER_FILES:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, to / name)
    if not (to / "tokenizer_config.json").exists():
        names = dict(zip(("pad_token", "bos_token", "eos_token"), tokenizer.SPECIAL, strict=True))
        rundir.write_document(to / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast", **names})
    return found, f"the tokenizer has {found.vocab_size:,} entries"


def _tokenizer_folder(run: Path, spec: RunSpec) -> Path | None:
    if spec.tokenizer.kind == "trained":
        return run / rundir.TOKENIZER
    if spec.tokenizer.path:
        return Path(spec.tokenizer.path)
    if spec.weights.source == "hub":
        return None  # asking for it would fetch the weights again
    try:
        return weight_sources.folder_of(spec.weights)
    except WeightsError:
        return None
