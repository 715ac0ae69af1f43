"""CKP: the saved states are of this run, whole, and of the model that is named."""

from __future__ import annotations

import math
from itertools import pairwise

from evidence import events, reading, states
from evidence.audit import Loaded, Move, NotLoaded
from evidence.checks import audited
from evidence.checks.check import Family, Findings, NotRun, close, differs
from evidence.manifest import Included
from evidence.reading import Bundle
from evidence.spec import SpecError, adapter_count, parameter_count, parse
from evidence.verdict import Finding

family = Family("checkpoints")


@family.check("CKP-01", "there are checkpoints of this run, from its start and its end", "E2")
def in_the_run(bundle: Bundle) -> Findings:
    saved = bundle.manifest.checkpoints
    steps = [item.step for item in saved]
    last = bundle.rows[-1].step
    if steps != sorted(set(steps)) or not {0, last} <= set(steps):
        yield Finding(reading.MANIFEST, "$.checkpoints", f"steps in order, with 0 and {last}", str(steps))
    told = {event.step: event for event in bundle.all_events if isinstance(event, events.Checkpoint)}
    for number, item in enumerate(saved):
        event = told.get(item.step)
        if event is None:
            yield Finding(
                reading.MANIFEST, f"$.checkpoints[{number}]", "a checkpoint of the event log", f"step {item.step}"
            )
            continue
        for name, said, stated in (
            ("tree_sha256", event.tree_sha256, item.tree_sha256),
            ("bytes", event.bytes, item.bytes),
            ("parameters_digest", event.parameters_digest, item.parameters_digest),
            ("optimizer_digest", event.optimizer_digest, item.optimizer_digest),
            ("saved_at", event.time, item.saved_at),
            ("leaves", event.leaves.sha256, item.leaves.sha256),
            ("chain_at_step", event.chain_at_step, item.chain_at_step),
        ):
            yield from differs(reading.MANIFEST, f"$.checkpoints[{number}].{name}", said, stated)


@family.check("CKP-02", "the saved bytes are those that were saved", "E2")
def intact(bundle: Bundle) -> Findings:
    for number, item in enumerate(bundle.manifest.checkpoints):
        if not isinstance(item, Included):
            continue
        files = {
            name.removeprefix(f"{item.folder}/"): bundle.sha256(name)
            for name in bundle.files
            if name.startswith(f"{item.folder}/")
        }
        yield from differs(
            reading.MANIFEST, f"$.checkpoints[{number}].tree_sha256", states.tree_digest(files), item.tree_sha256
        )


@family.check("CKP-03", "the checkpoint is of the model in the config", "E2")
def right_model(bundle: Bundle) -> Findings:
    try:
        spec = parse(bundle.document("config/effective.json"))
    except SpecError as error:
        yield Finding("config/effective.json", "", "a config that can run", str(error))
        return
    adapters = adapter_count(spec.model, spec.lora)
    expected, model = parameter_count(spec.model) + adapters, bundle.manifest.model
    yield from differs(reading.MANIFEST, "$.model.parameters", expected, model.parameters)
    yield from differs(
        reading.MANIFEST, "$.model.trainable_parameters", adapters or expected, model.trainable_parameters
    )
    for item in bundle.manifest.checkpoints:
        leaves = bundle.document(item.leaves.path)["leaves"]
        counted = sum(math.prod(leaf["shape"]) for leaf in states.part(leaves, states.PARAMETERS))
        yield from differs(item.leaves.path, "parameters", expected, counted)
        for part, stated in ((states.PARAMETERS, item.parameters_digest), (states.OPTIMIZER, item.optimizer_digest)):
            yield from differs(item.leaves.path, f"{part} digest", states.leaves_digest(leaves, part), stated)


@family.check("CKP-04", "the run starts at its base and moves", "E2")
def moves(bundle: Bundle) -> Findings:
    saved = bundle.manifest.checkpoints
    if saved and saved[0].step == 0:
        yield from differs(
            reading.MANIFEST,
            "$.checkpoints[0].parameters_digest",
            bundle.manifest.model.initial_parameters_digest,
            saved[0].parameters_digest,
        )
    for number, (before, after) in enumerate(pairwise(saved), 1):
        if before.parameters_digest == after.parameters_digest:
            yield Finding(
                reading.MANIFEST,
                f"$.checkpoints[{number}].parameters_digest",
                f"other weights than at step {before.step}",
                "the same",
            )
    rows = {row.step: row for row in bundle.rows}
    for item in saved:
        leaves = states.part(bundle.document(item.leaves.path)["leaves"], states.PARAMETERS)
        norm = math.sqrt(math.fsum(float(leaf["l2"]) ** 2 for leaf in leaves))
        row = rows.get(item.step)
        if row and abs(norm - row.param_norm) > 1e-3 * norm:
            yield Finding(reading.METRICS, f"step {item.step}: param_norm", f"{norm:.6g}", f"{row.param_norm:.6g}")


@family.check("CKP-07", "each checkpoint is bound to the chain of rows", "E2")
def bound(bundle: Bundle) -> Findings:
    heads = {0: bundle.manifest.metrics.genesis, **{row.step: row.hash for row in bundle.rows}}
    for number, item in enumerate(bundle.manifest.checkpoints):
        yield from differs(
            reading.MANIFEST,
            f"$.checkpoints[{number}].chain_at_step",
            heads.get(item.step, "a step of the run"),
            item.chain_at_step,
        )


@family.check("CKP-05", "the saved states are sane: every number finite, every counter at its step", "E3", cost="audit")
def sane(bundle: Bundle) -> Findings:
    for state, name in _loaded(bundle):
        for leaf in state.leaves:
            if not leaf.finite:
                yield Finding(name, leaf.path, "finite numbers", "NaN or infinity")
        yield from differs(name, "step", state.step, state.saved_step)
        if not state.counts or set(state.counts) != {state.step}:
            found = ", ".join(map(str, state.counts)) or "none"
            yield Finding(name, "the optimizer's count of steps", str(state.step), found)
    _want_all(bundle)


@family.check("CKP-06", "the weights went no farther than the optimizer can take them", "E3", cost="audit")
def reachable(bundle: Bundle) -> Findings:
    """From each included state to the next; AdamW's step of one element and Adafactor's of one array have a limit."""
    missing = ""
    for move in audited.audit(bundle).moves:
        if not isinstance(move, Move):
            missing = missing or f"steps {move.from_step} to {move.to_step}: {move.because}"
        elif move.ratio > 1.0:
            yield Finding(
                f"checkpoints/step_{move.to_step:06d}",
                move.leaf,
                f"at most what the optimizer can do in {move.to_step - move.from_step} steps",
                f"{move.ratio:.3g} times that",
            )
    if missing:
        raise NotRun(missing)


@family.check("CKP-08", "every saved array is the one that was digested", "E3", cost="audit")
def arrays_intact(bundle: Bundle) -> Findings:
    """CKP-02's deeper half, after loading: Orbax restores a flipped bit without a word."""
    for item in audited.audit(bundle).states:
        if isinstance(item, NotLoaded) and item.broken and not audited.excuse(bundle, "weights", "orbax-checkpoint"):
            yield Finding(f"checkpoints/step_{item.step:06d}", "", "a state that can be loaded", item.because)
    for state, name in _loaded(bundle):
        table = f"{name}.leaves.json"
        listed = {leaf["path"]: leaf for leaf in bundle.document(table)["leaves"]}
        yield from differs(table, "arrays", sorted(listed), sorted(leaf.path for leaf in state.leaves))
        for leaf in state.leaves:
            said = listed.get(leaf.path, {})
            yield from differs(table, f"{leaf.path}: type", leaf.dtype, said.get("dtype"))
            yield from differs(table, f"{leaf.path}: shape", list(leaf.shape), said.get("shape"))
            yield from differs(table, f"{leaf.path}: sha256", leaf.sha256, said.get("sha256"))
            if leaf.finite and not close(leaf.l2, float(said.get("l2", 0.0)), 1e-9):
                yield Finding(table, f"{leaf.path}: l2", f"{leaf.l2!r}", str(said.get("l2")))
    _want_all(bundle)


@family.check(
    "CKP-09", "the saved weights have the arrays of the config's model, each of its type and shape", "E3", cost="audit"
)
def arrays_of_the_model(bundle: Bundle) -> Findings:
    """CKP-03's deeper half; the tables of states that are not in the bundle are held to it, too."""
    shapes = audited.seen(audited.audit(bundle).shapes)
    expected = {leaf.path: (leaf.dtype, list(leaf.shape)) for leaf in shapes.leaves}
    because = audited.excuse(bundle, "shapes")
    for item in bundle.manifest.checkpoints:
        yield from audited.same_leaves(bundle, item.leaves.path, states.PARAMETERS, expected, because)


@family.check("CKP-10", "the rows' norms are those of the saved weights, and what is frozen stayed", "E3", cost="audit")
def norms_of_arrays(bundle: Bundle) -> Findings:
    """CKP-04's deeper half: from the arrays, not from the norms that stand in a table."""
    frozen = audited.seen(audited.audit(bundle).shapes).frozen
    rows = {row.step: row for row in bundle.rows}
    begun: dict[str, str] = {}
    for state, name in _loaded(bundle):
        weights = {leaf.path: leaf for leaf in state.leaves if leaf.path.startswith(f"{states.PARAMETERS}.")}
        norm = math.sqrt(math.fsum(leaf.l2**2 for leaf in weights.values()))
        row = rows.get(state.step)
        if row and not close(norm, row.param_norm, 1e-4):
            yield Finding(reading.METRICS, f"step {state.step}: param_norm", f"{norm:.7g}", f"{row.param_norm:.7g}")
        for path in frozen:
            digest = weights[path].sha256 if path in weights else "nothing"
            yield from differs(name, f"{path}, which is not trained", begun.setdefault(path, digest), digest)
    _want_all(bundle)


def _loaded(bundle: Bundle) -> list[tuple[Loaded, str]]:
    """The states that were read, and their folders."""
    found = [item for item in audited.audit(bundle).states if isinstance(item, Loaded)]
    return [(item, f"checkpoints/step_{item.step:06d}") for item in found]


def _want_all(bundle: Bundle) -> None:
    """Raises NotRun where a state was not read: what holds for the others is not known of it."""
    for item in audited.audit(bundle).states:
        if isinstance(item, NotLoaded):
            raise NotRun(f"step {item.step}: {item.because}")
    if not audited.audit(bundle).states:
        raise NotRun("no saved state is named by a manifest that can be read")
