"""``python -m training.audit BUNDLE --out FILE``: read a bundle again, with everything that made it.

Writes an ``evidence.audit.Audit``: what the arrays hold, which tokens each step saw, what the step's program is. The
code is the installed one, the bundle is data: sizes are looked at before anything is loaded, and a part that cannot be
read gives its reason instead of an end.
"""

from __future__ import annotations

import argparse
import math
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from evidence import audit, canonical, states, typed
from evidence.audit import Audit, NotMade
from evidence.manifest import Included
from evidence.provenance import REPOSITORY
from evidence.reading import SAMPLES, Bundle, Unreadable
from evidence.schedule import learning_rate
from evidence.spec import OptimizerSpec, PlanSpec, RunSpec, parameter_count, parse

if TYPE_CHECKING:
    from training.batches import Encoded
    from training.rows import Row
    from training.step import Trainer
    from training.tokenizer import Tokenizer

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "tokenizers")

LARGEST_STATE_BYTES = 4 * 2**30
LARGEST_TOKENS = 400_000_000
"""Of the encoded rows, and of all steps together."""
LARGEST_DRAWN = 300_000_000
"""Parameters that are drawn from the seed again."""
LARGEST_COMPILED = 20_000_000
"""Parameters of a step that is compiled again."""
LARGEST_TOKENIZER_BYTES = 64 * 2**20

T = TypeVar("T")


class Beyond(Exception):
    """The part cannot be observed; ``str()`` says why."""


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.audit", description="Read a bundle's arrays and data.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="where the audit is written")
    options = parser.parse_args(arguments)
    bundle = Bundle(options.bundle)
    try:
        seal = bundle.seal
    except (Unreadable, OSError) as error:
        print(f"error: {options.bundle} is no bundle that can be read: {error}", file=sys.stderr)
        return 2
    prepare_environment(bundle)
    document = typed.write(examine(bundle, seal))
    options.out.write_text(canonical.encode(document) + "\n", encoding="utf-8")
    return 0


def prepare_environment(bundle: Bundle) -> None:
    """As many virtual CPU devices as the run had; must run before jax is imported."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    try:
        devices = bundle.manifest.mesh.devices_used
    except (Unreadable, OSError, AttributeError):
        return
    if 1 < devices <= audit.MOST_DEVICES:
        os.environ.setdefault("XLA_FLAGS", f"--xla_force_host_platform_device_count={devices}")


def examine(bundle: Bundle, seal: str) -> Audit:
    reading = Reading(bundle)
    loaded = list(reading.states())
    return Audit(
        seal=seal,
        versions={"python": sys.version.split()[0], **{name: metadata.version(name) for name in PACKAGES}},
        sources=tuple(_sources(bundle, name, files) for name, files in audit.GROUPS.items()),
        states=tuple(item for item, _ in loaded),
        moves=tuple(reading.move(before, after) for before, after in pairwise(loaded)),
        shapes=_part(reading.shapes),
        initial=_part(reading.initial),
        tokenizer=_part(reading.tokenizer_read),
        batches=_part(reading.batches),
        first_batch=_part(reading.first_batch),
        predictions=_part(lambda: reading.decoded("eval/predictions.jsonl")),
        samples=_part(lambda: reading.decoded(SAMPLES)),
        program=_part(reading.program),
        compiled=_part(reading.compiled),
    )


def _part(make: Callable[[], T]) -> T | NotMade:
    """What ``make`` observes, or why it could not: whatever a bundle holds, the other parts are still read."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - jax, orbax and tokenizers raise what they like at broken input
        return NotMade("not_made", _sentence(error))


def _sentence(error: Exception) -> str:
    said = " ".join(str(error).split())[:400]
    return said if isinstance(error, Beyond | Unreadable) else f"{type(error).__name__}: {said}"


def _sources(bundle: Bundle, group: str, files: Sequence[str]) -> audit.Sources:
    def differs(name: str) -> bool:
        here = REPOSITORY / name
        try:
            return bundle.sha256(f"source/files/{name}") != canonical.sha256_file(here)
        except (Unreadable, OSError):
            return True

    return audit.Sources(group, tuple(name for name in files if differs(name)))


class Reading:
    """One bundle; what several parts need is made once. Everything raises what it meets: ``_part`` tells it."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    # Saved states.

    def states(self) -> Iterator[tuple[audit.Loaded | audit.NotLoaded, dict[str, Any]]]:
        """Each checkpoint with its parameters' arrays (none where it could not be loaded)."""
        try:
            saved = self.bundle.manifest.checkpoints
        except Unreadable:
            return
        for item in saved:
            try:
                if not isinstance(item, Included):
                    raise Beyond(f"the state is not in the bundle: {item.because}")
                yield self._load(item)
            except Exception as error:  # noqa: BLE001 - see _part
                broken = not isinstance(error, Beyond)
                yield audit.NotLoaded("not_loaded", item.step, _sentence(error), broken), {}

    def _load(self, item: Included) -> tuple[audit.Loaded, dict[str, Any]]:
        import numpy as np

        from training import checkpoints

        folder = self.bundle.path / item.folder
        odd = [
            name
            for name, facts in self.bundle.entries.items()
            if name.startswith(f"{item.folder}/") and not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode))
        ]
        if odd or not any(name.startswith(f"{item.folder}/") for name in self.bundle.files):
            raise Beyond(f"{odd[0]} is neither file nor folder" if odd else f"there is no folder {item.folder}")
        arrays = checkpoints.stored(folder)
        size = sum(np.dtype(kind).itemsize * math.prod(shape) for kind, shape in arrays.values())
        if size > LARGEST_STATE_BYTES:
            raise Beyond(f"the state has {size:,} bytes, more than an audit loads ({LARGEST_STATE_BYTES:,})")
        found = checkpoints.read(folder, arrays)
        saved_step = int(found.pop("step"))
        leaves = tuple(self._leaf(path, array) for path, array in sorted(found.items()))
        counts = tuple(
            int(array)
            for path, array in sorted(found.items())
            if path.startswith(f"{states.OPTIMIZER}.") and path.endswith("count") and array.ndim == 0
        )
        prefix = f"{states.PARAMETERS}."
        weights = {path: array for path, array in found.items() if path.startswith(prefix)}
        return audit.Loaded("loaded", item.step, saved_step, counts, leaves), weights

    def _leaf(self, path: str, array: Any) -> audit.Leaf:
        import numpy as np

        from training import checkpoints

        finite = bool(np.isfinite(array.astype(np.float64)).all())
        with np.errstate(all="ignore"):
            facts = checkpoints.described(path, array)
        l2 = facts["l2"] if finite and math.isfinite(facts["l2"]) else 0.0
        return audit.Leaf(path, facts["dtype"], tuple(facts["shape"]), facts["sha256"], l2, finite)

    def move(
        self,
        before: tuple[audit.Loaded | audit.NotLoaded, dict[str, Any]],
        after: tuple[audit.Loaded | audit.NotLoaded, dict[str, Any]],
    ) -> audit.Move | audit.NoMove:
        first, last = before[0].step, after[0].step
        try:
            for item, _ in (before, after):
                if isinstance(item, audit.NotLoaded):
                    raise Beyond(f"the state of step {item.step} was not loaded: {item.because}")
                if not all(leaf.finite for leaf in item.leaves):
                    raise Beyond(f"the state of step {item.step} is not finite")
            ratio, leaf = _farthest(self.spec, first, last, before[1], after[1])
            return audit.Move("move", first, last, ratio, leaf)
        except Exception as error:  # noqa: BLE001 - see _part
            return audit.NoMove("no_move", first, last, _sentence(error))

    # Config, model, program.

    @cached_property
    def spec(self) -> RunSpec:
        """The effective config, its plan as the manifest states it: nothing depends on the devices that are here."""
        spec = parse(self.bundle.document("config/effective.json"))
        return replace(spec, plan=PlanSpec(**asdict(self.bundle.manifest.program.plan)))

    @cached_property
    def trainer(self) -> Trainer:
        """On as many virtual devices as the run used, in its order."""
        import jax

        from training.step import prepare

        count = self.bundle.manifest.mesh.devices_used
        devices = jax.devices("cpu")
        if count > len(devices):
            raise Beyond(f"the run used {count} devices, and {len(devices)} are here")
        order = [device.id for device in self.bundle.manifest.hardware.devices[:count]]
        same = sorted(order) == list(range(count))
        return prepare(self.spec, [devices[number] for number in (order if same else range(count))])

    def shapes(self) -> audit.Shapes:
        import jax
        import numpy as np

        from training import checkpoints, optimizer, weight_sources
        from training.step import State
        from training.throughput import model_flops_per_step

        trainer = self.trainer
        leaves = checkpoints.shapes(trainer.abstract)
        trained = State(optimizer.trained(self.spec, trainer.abstract.params), ())
        kept = checkpoints.shapes(trained)
        parameters = {path: item for path, item in leaves.items() if path.startswith(f"{states.PARAMETERS}.")}
        resident = zip(jax.tree.leaves(trainer.abstract), jax.tree.leaves(trainer.shardings), strict=True)
        state_bytes = sum(
            math.prod(sharding.shard_shape(leaf.shape)) * np.dtype(leaf.dtype).itemsize for leaf, sharding in resident
        )
        rows = trainer.placement.in_use(("rows",))
        batch_bytes = sum(
            math.prod(rows.shard_shape(item.shape)) * np.dtype(item.dtype).itemsize
            for item in trainer.abstract_batch().values()
        )
        size = {path: math.prod(shape) * np.dtype(kind).itemsize for path, (kind, shape) in leaves.items()}
        parameter_bytes = sum(size[path] for path in parameters)
        return audit.Shapes(
            kind="shapes",
            leaves=tuple(audit.Shape(path, kind, shape) for path, (kind, shape) in sorted(leaves.items())),
            frozen=tuple(sorted(path for path in parameters if path not in kept)),
            parameters=sum(math.prod(shape) for _, shape in parameters.values()),
            parameter_bytes=parameter_bytes,
            optimizer_bytes=sum(size.values()) - parameter_bytes,
            argument_bytes=state_bytes + batch_bytes + 4,  # the learning rate
            model_flops_per_step=model_flops_per_step(self.spec),
            weights=weight_sources.name_of(self.spec.weights),
        )

    def initial(self) -> audit.Initial:
        from training import checkpoints, weights

        if self.spec.weights.source != "random":
            raise Beyond(f"the weights come from {self.bundle.manifest.model.weights}, which the bundle does not hold")
        count = parameter_count(self.spec.model)
        if count > LARGEST_DRAWN:
            raise Beyond(f"the model has {count:,} parameters, more than an audit draws ({LARGEST_DRAWN:,})")
        return audit.Initial("drawn", checkpoints.parameters_digest(weights.random(self.trainer)))

    @cached_property
    def _lowered(self) -> Any:
        names = {"gpu": "cuda", "cpu": "", "tpu": "tpu"}
        return self.trainer.lower(names[self.bundle.manifest.hardware.platform])

    def program(self) -> audit.Lowered:
        from training.step import program_sha256

        count = self.trainer.placement.devices
        return audit.Lowered("lowered", program_sha256(self._lowered), self.bundle.manifest.hardware.platform, count)

    def compiled(self) -> audit.Compiled:
        from training.step import COMPILER_OPTIONS, compile_lowered

        platform, count = self.bundle.manifest.hardware.platform, parameter_count(self.spec.model)
        if platform != "cpu":
            raise Beyond(f"only a CPU's program is compiled here, not a {platform}'s")
        if count > LARGEST_COMPILED:
            raise Beyond(f"the model has {count:,} parameters, more than an audit compiles ({LARGEST_COMPILED:,})")
        compiled = compile_lowered(self._lowered, COMPILER_OPTIONS.get(platform, {}))
        memory, cost = compiled.memory_analysis(), compiled.cost_analysis() or {}
        return audit.Compiled(
            kind="compiled",
            argument_bytes=int(memory.argument_size_in_bytes),
            output_bytes=int(memory.output_size_in_bytes),
            temporary_bytes=int(memory.temp_size_in_bytes),
            alias_bytes=int(memory.alias_size_in_bytes),
            flops=max(0.0, float(cost.get("flops", 0.0))),
        )

    # Data and tokens.

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        from training.rows import Row

        return tuple(Row(**line) for line in self.bundle.lines("data/train.jsonl"))

    @cached_property
    def tokenizer(self) -> Tokenizer:
        from training import tokenizer

        kind = self.spec.tokenizer.kind
        if kind == "byte":
            return tokenizer.Bytes()
        name = f"tokenizer/{tokenizer.FILE}"
        if name not in self.bundle.files:
            raise Beyond(f"the tokenizer's files are not in the bundle ({name})")
        if self.bundle.entries[name].st_size > LARGEST_TOKENIZER_BYTES:
            raise Beyond(f"{name} is larger than any tokenizer ({LARGEST_TOKENIZER_BYTES:,} bytes)")
        found = tokenizer.read(self.bundle.path / "tokenizer")
        return replace(found, kind="trained") if kind == "trained" else found

    def tokenizer_read(self) -> audit.TokenizerRead:
        ids = self.tokenizer
        return audit.TokenizerRead("read", ids.sha256, ids.vocab_size, _part(self._retrained))

    def _retrained(self) -> audit.Retrained:
        from training import batches, tokenizer

        asked = self.spec.tokenizer
        if asked.kind != "trained":
            raise Beyond(f"a tokenizer of the kind {asked.kind} is not trained on the run's rows")
        template = self.spec.data.template
        texts = (batches.prompt_text(row.prompt, template) + row.answer for row in self.rows)
        return audit.Retrained("retrained", tokenizer.train(texts, asked.vocab_size).sha256)

    @cached_property
    def encoded(self) -> Encoded:
        from training import batches

        length = self.spec.training.sequence_length
        if len(self.rows) * length > LARGEST_TOKENS:
            raise Beyond(f"{len(self.rows):,} rows of {length:,} tokens are more than an audit encodes")
        found = batches.encode(self.rows, self.spec.data, self.tokenizer, length)
        if not found.rows:
            raise Beyond("no row of data/train.jsonl has an answer within the sequence length")
        return batches.pack(found, self.tokenizer.pad) if self.spec.data.packing else found

    def batches(self) -> audit.Batches:
        from training import batches

        training, steps = self.spec.training, len(self.bundle.rows)
        if steps * training.batch_size * training.sequence_length > 50 * LARGEST_TOKENS:
            raise Beyond(f"{steps:,} steps of {training.batch_size:,} rows are more than an audit repeats")
        digests, supervised, tokens = [], [], 0
        for step in range(1, steps + 1):
            batch = batches.batch(self.encoded, training.seed, training.batch_size, step)
            digests.append(batch.sha256)
            supervised.append(batch.supervised_tokens)
            tokens = int(batch.tokens.size)
        return audit.Batches(
            kind="batches",
            sequences=len(self.encoded.tokens),
            unused=self.encoded.dropped,
            tokens=tokens,
            sha256=tuple(digests),
            supervised=tuple(supervised),
        )

    def first_batch(self) -> audit.Lines:
        from training import batches

        training = self.spec.training
        first = batches.batch(self.encoded, training.seed, training.batch_size, 1)
        text = batches.first_batch_lines(self.encoded, first, self.tokenizer)
        return audit.Lines("lines", tuple(text.split("\n")[:-1]))

    def decoded(self, name: str) -> audit.Lines:
        if name not in self.bundle.files:
            raise Beyond(f"there is no {name}")
        return audit.Lines("lines", tuple(self.tokenizer.decode(row["token_ids"]) for row in self.bundle.lines(name)))


# How far an optimizer can go.


def _farthest(spec: RunSpec, first: int, last: int, before: dict[str, Any], after: dict[str, Any]) -> tuple[float, str]:
    """The largest share of the optimizer's bound that a trained array (adafactor) or an element of one (adamw) used."""
    import numpy as np

    from training.gemma import ADAPTER_IN, ADAPTER_OUT

    if spec.optimizer.name == "adamw" and spec.optimizer.beta2 == 0.0:
        raise Beyond("without a second moment an element of AdamW can go anywhere")
    found = (0.0, "")
    for path, start in before.items():
        end = after.get(path)
        if end is None or end.shape != start.shape:
            raise Beyond(f"{path} is not of the same shape in both states")
        if spec.lora.rank and not path.endswith((ADAPTER_IN, ADAPTER_OUT)):
            continue  # frozen: the checks hold it to the very same bytes
        begun, moved = np.abs(start.astype(np.float64)), np.abs(end.astype(np.float64) - start.astype(np.float64))
        if spec.optimizer.name != "adamw":
            begun, moved = np.linalg.norm(begun), np.linalg.norm(moved)
        free, by_weight = _reach(spec, first, last, decayed=start.ndim > 1, elements=max(1, start.size))
        share = float(np.max(moved / (free + by_weight * begun))) if start.size else 0.0
        found = max(found, (share, path))
    return found


def _reach(spec: RunSpec, first: int, last: int, *, decayed: bool, elements: int) -> tuple[float, float]:
    """(a, b): steps ``first + 1 … last`` move nothing of size w farther than a + b·w.

    AdamW, by Cauchy and Schwarz: an element's direction is at most ``_adam_bound``, whatever the gradients. Adafactor:
    an array's direction is clipped to RMS 1. A little is added for float32's rounding.
    """
    optimizer = spec.optimizer
    decay = optimizer.weight_decay if decayed else 0.0
    free, by_weight = 0.0, 0.0
    for step in range(first + 1, last + 1):
        rate = learning_rate(optimizer, spec.training.steps, step)
        bound = _adam_bound(optimizer, step) if optimizer.name == "adamw" else math.sqrt(elements)
        grow = rate * decay + 2.0**-23  # of what the weight has become by then
        free += rate * bound * 1.001 + grow * free + 1e-12
        by_weight += grow * (1.0 + by_weight)
    return free, by_weight


def _adam_bound(optimizer: OptimizerSpec, step: int) -> float:
    """The most that |m̂| ÷ √v̂ can be at ``step``, over all histories of gradients.

    m is Σ β1^j g and v is Σ β2^j g², so |m| ≤ √(Σ (β1² ÷ β2)^j) · √v; with the factors before them and the corrections
    of bias, 7.3 in the long run for β = 0.9 and 0.999. (A single spike gives 3.2; a run of them gives more.)
    """
    beta1, beta2 = optimizer.beta1, optimizer.beta2
    ratio = beta1 * beta1 / beta2
    series = step if abs(ratio - 1.0) < 1e-12 else (1.0 - ratio**step) / (1.0 - ratio)
    first = (1.0 - beta1) / (1.0 - beta1**step)
    second = (1.0 - beta2) / (1.0 - beta2**step)
    return first * math.sqrt(series / second)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
