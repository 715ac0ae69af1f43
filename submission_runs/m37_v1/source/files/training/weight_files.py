"""A Hugging Face folder of Gemma 1 weights: its config, its index and the header of each file, checked against a
model before one tensor is read.

A safetensors file is the header's length (8 bytes, little-endian), the header (JSON: tensor → dtype, shape and the two
offsets of its bytes behind the header), and the tensors' bytes. So everything but the numbers themselves can be
checked in milliseconds, however large the files are.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evidence.spec import ModelSpec
from training.errors import WeightsError

SINGLE, INDEX, CONFIG = "model.safetensors", "model.safetensors.index.json", "config.json"

TABLE: dict[str, tuple[str, tuple[str, ...]]] = {
    "embedding": ("model.embed_tokens.weight", ("vocab", "width")),
    "final_norm": ("model.norm.weight", ("width",)),
    "layers.{n}.attention_norm": ("model.layers.{n}.input_layernorm.weight", ("width",)),
    "layers.{n}.mlp_norm": ("model.layers.{n}.post_attention_layernorm.weight", ("width",)),
    "layers.{n}.attention.query": ("model.layers.{n}.self_attn.q_proj.weight", ("heads", "width")),
    "layers.{n}.attention.key": ("model.layers.{n}.self_attn.k_proj.weight", ("key_heads", "width")),
    "layers.{n}.attention.value": ("model.layers.{n}.self_attn.v_proj.weight", ("key_heads", "width")),
    "layers.{n}.attention.output": ("model.layers.{n}.self_attn.o_proj.weight", ("width", "heads")),
    "layers.{n}.mlp.gate": ("model.layers.{n}.mlp.gate_proj.weight", ("inner", "width")),
    "layers.{n}.mlp.up": ("model.layers.{n}.mlp.up_proj.weight", ("inner", "width")),
    "layers.{n}.mlp.down": ("model.layers.{n}.mlp.down_proj.weight", ("width", "inner")),
}
"""Our path → their name and the axes of their array. ``{n}`` is the layer; every matrix but the embedding is ours
transposed."""

ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
"""Types that weights may be stored in."""

LARGEST_HEADER = 100_000_000
LFS_POINTER = b"version https://git-lfs"

DEFAULTS = {"head_dim": 256, "rms_norm_eps": 1e-6, "rope_theta": 10_000.0, "max_position_embeddings": 8192}
"""What transformers takes a setting for that config.json leaves out."""

EQUAL = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "rms_norm_eps",
    "rope_theta",
)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a model: our path, their name, their shape, and whether ours is that transposed."""

    path: str
    name: str
    shape: tuple[int, ...]
    transposed: bool


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies: ``offset`` is that of its first byte in ``file``."""

    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int


def parameters(model: ModelSpec) -> Iterator[Parameter]:
    """Every parameter of ``model``, as the files hold it."""
    sizes = {
        "vocab": model.vocab_size,
        "width": model.hidden_size,
        "inner": model.intermediate_size,
        "heads": model.num_attention_heads * model.head_dim,
        "key_heads": model.num_key_value_heads * model.head_dim,
    }
    for path, (name, axes) in TABLE.items():
        shape = tuple(sizes[axis] for axis in axes)
        for layer in range(model.num_hidden_layers) if "{n}" in path else (0,):
            transposed = len(axes) == 2 and path != "embedding"
            yield Parameter(path.replace("{n}", str(layer)), name.replace("{n}", str(layer)), shape, transposed)


def check(folder: Path, model: ModelSpec) -> dict[str, Stored]:
    """Where each tensor of ``model`` lies in ``folder``, every file's header read and found to fit.

    Raises WeightsError for the first thing that does not: another model, a file that is missing or cut, a tensor that
    is missing, unknown, or of another shape.
    """
    check_config(folder, model)
    found = _tensors(folder)
    for parameter in parameters(model):
        stored = found.get(parameter.name)
        if stored is None:
            raise WeightsError(f"{folder} has no tensor {parameter.name}, which the model needs as {parameter.path}")
        if stored.shape != parameter.shape:
            raise WeightsError(
                f"{stored.file}: {parameter.name} must have the shape {parameter.shape} for this model, "
                f"found {stored.shape}"
            )
        if stored.dtype not in ITEM_BYTES:
            raise WeightsError(
                f"{stored.file}: {parameter.name} is stored as {stored.dtype}; weights must be "
                f"{', '.join(ITEM_BYTES)}, so a quantized checkpoint has to be converted first"
            )
    known = {parameter.name for parameter in parameters(model)}
    for name, stored in found.items():
        # The output matrix is the embedding, whether a file repeats it or not; frequencies are computed.
        if name not in known and name != "lm_head.weight" and not name.endswith(".rotary_emb.inv_freq"):
            raise WeightsError(f"{stored.file} has a tensor {name}, which a Gemma 1 of this size does not have")
    return found


def check_config(folder: Path, model: ModelSpec) -> None:
    """Compare the folder's config.json with ``model``. Raises WeightsError for the first difference."""
    path = folder / CONFIG
    document = read_json(path)
    kind = document.get("model_type")
    if kind != "gemma":
        raise WeightsError(f"{path} describes a {kind!r} model; only Gemma 1 (model_type 'gemma') is supported")
    rope = document.get("rope_parameters") or document.get("rope_scaling") or {}
    stated = {**DEFAULTS, **({"rope_theta": rope["rope_theta"]} if "rope_theta" in rope else {}), **document}
    for key in EQUAL:
        asked = getattr(model, key)
        if key in stated and stated[key] != asked:
            raise WeightsError(f"model.{key} must be {stated[key]}, as in {path}, got {asked}")
    longest = stated["max_position_embeddings"]
    if model.max_position_embeddings > longest:
        raise WeightsError(
            f"model.max_position_embeddings must be at most {longest}, as in {path}, "
            f"got {model.max_position_embeddings}"
        )
    activation = document.get("hidden_activation") or document.get("hidden_act") or "gelu_pytorch_tanh"
    for told, what in (
        (activation not in ("gelu", "gelu_pytorch_tanh"), f"the activation {activation!r}"),
        (document.get("tie_word_embeddings", True) is not True, "an output matrix apart from the embedding"),
        (bool(document.get("attention_bias")), "biases in its attention"),
        (rope.get("rope_type", rope.get("type", "default")) != "default", "scaled rotary positions"),
        (bool(document.get("quantization_config")), "quantized weights"),
    ):
        if told:
            raise WeightsError(f"{path} asks for {what}, which Gemma 1 does not have")


def read_json(path: Path) -> dict[str, Any]:
    """The object in ``path``. Raises WeightsError."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not isinstance(document, dict):
        raise WeightsError(f"{path} must hold an object, found {type(document).__name__}")
    return document


def _tensors(folder: Path) -> dict[str, Stored]:
    """Every tensor of the folder: of the files that the index names, or of the one file."""
    if not (folder / INDEX).is_file():
        if not (folder / SINGLE).is_file():
            raise WeightsError(f"{folder} has neither {SINGLE} nor {INDEX}")
        return _header(folder / SINGLE)
    places = read_json(folder / INDEX).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(file, str) for file in places.values()):
        raise WeightsError(f"{folder / INDEX} must map tensors to files under weight_map")
    found: dict[str, Stored] = {}
    for file in sorted(set(places.values())):
        if Path(file).name != file:
            raise WeightsError(f"{folder / INDEX} names {file!r}, which is not a file of its own folder")
        inside = _header(folder / file)
        for name in (name for name, place in places.items() if place == file):
            if name not in inside:
                raise WeightsError(f"{folder / file} has no tensor {name}, though {INDEX} says so")
            found[name] = inside[name]
    return found


def _header(path: Path) -> dict[str, Stored]:
    """The tensors of one safetensors file, its length compared with what its header says. Raises WeightsError."""
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            start = stream.read(len(LFS_POINTER))
            if start == LFS_POINTER:
                raise WeightsError(
                    f"{path} is a Git LFS pointer of {size} bytes, not the weights; fetch the file itself"
                )
            length = int.from_bytes(start[:8], "little")
            if size < 8 or length > min(size - 8, LARGEST_HEADER):
                raise WeightsError(f"{path} is truncated or no safetensors file: it has {size:,} bytes, and its header "
                                   f"would have {length:,}")  # fmt: skip
            stream.seek(8)
            text = stream.read(length)
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing, though {INDEX} names it") from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}") from None
    try:
        document = json.loads(text)
        found = {
            name: (Stored(path, tensor["dtype"], tuple(tensor["shape"]), 8 + length + tensor["data_offsets"][0]),
                   tensor["data_offsets"][1] - tensor["data_offsets"][0])
            for name, tensor in document.items() if name != "__metadata__"
        }  # fmt: skip
        wanted = 8 + length + max((tensor["data_offsets"][1] for tensor in document.values()
                                   if "data_offsets" in tensor), default=0)  # fmt: skip
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise WeightsError(f"{path} has a header that cannot be read ({type(error).__name__}: {error})") from None
    if size != wanted:
        word = "truncated" if size < wanted else "too long"
        raise WeightsError(f"{path} is {word}: its header says {wanted:,} bytes, it has {size:,}; fetch it again")
    for name, (stored, length_bytes) in found.items():
        item_bytes = ITEM_BYTES.get(stored.dtype)
        if item_bytes and math.prod(stored.shape) * item_bytes != length_bytes:
            raise WeightsError(
                f"{path}: {name} has {length_bytes:,} bytes, but its shape {stored.shape} of {stored.dtype} needs "
                f"{math.prod(stored.shape) * item_bytes:,}"
            )
    return {name: stored for name, (stored, _) in found.items()}
