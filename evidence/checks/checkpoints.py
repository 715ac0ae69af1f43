"""CKP: the saved states are of this run, whole, and of the model that is named."""

from __future__ import annotations

import math
from itertools import pairwise

from evidence import events, reading, states
from evidence.checks.check import Family, Findings, differs
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
