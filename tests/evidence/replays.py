"""A replay that agrees with a bundle, made from what the bundle says: for whatever judges replays and runs none."""

from __future__ import annotations

from evidence import reading, replay
from evidence.manifest import Included, Performed
from evidence.replay import (
    Answer,
    Answered,
    Control,
    Drawn,
    Here,
    Installed,
    Measured,
    NotAnswered,
    Reached,
    Replay,
    Row,
)

NONCE = "a nonce of the verifier's"


def agreeing(bundle: reading.Bundle, nonce: str = NONCE, **here: object) -> Replay:
    """``here``: facts of the machine that replayed which differ from the run's."""
    manifest, rows = bundle.manifest, {row.step: row for row in bundle.rows}
    segment = replay.draw(bundle.seal, nonce, replay.segments(manifest, bundle.rows[-1].step))
    start, end = (replay.state_of(manifest, step) for step in (segment.from_step, segment.to_step))
    assert start
    steps = tuple(
        Row(step, rows[step].loss, rows[step].grad_norm, rows[step].param_norm, rows[step].batch_sha256)
        for step in range(segment.from_step + 1, segment.to_step + 1)
    )
    reached = Reached("reached", end, 0.0, 1.0) if end else replay.NoState("no_state", "there is none")
    wrong = tuple(Row(row.step, row.loss * 1.01, row.grad_norm, row.param_norm, row.batch_sha256) for row in steps)
    place = {
        "platform": manifest.hardware.platform,
        "device_kind": manifest.hardware.device_kind,
        "runtime": manifest.hardware.runtime,
        "devices": manifest.mesh.devices_used,
        "host_sha256": manifest.location.host_sha256,
        "cpu_model": manifest.location.cpu_model,
        "logical_cpus": manifest.location.logical_cpus,
        "memory_bytes": manifest.location.memory_bytes,
        "versions": manifest.software.versions,
        "program_sha256": manifest.program.sha256,
    }
    measured = Measured(
        here=Here(**{**place, **here}),  # type: ignore[arg-type]
        start=start,
        steps=steps,
        end=reached,
        control=Control(1.01, wrong, reached),
        samples=tuple(_samples(bundle)),
        predictions=_predictions(bundle),
        seconds=1.0,
    )
    tier = replay.tier_of(manifest, measured.here)
    return Replay(
        schema=replay.SCHEMA, seal=bundle.seal, segment=segment, chosen=Drawn("drawn", nonce),
        code=Installed("installed", ()), tier=tier.name, tier_because=tier.because, caps=tier.caps, measured=measured,
        made_at="2026-01-01T00:00:00.000000Z",
    )  # fmt: skip


def _samples(bundle: reading.Bundle) -> list[Answered | NotAnswered]:
    lines = bundle.lines(reading.SAMPLES) if bundle.manifest.samples else []
    saved = {item.step for item in bundle.manifest.checkpoints if isinstance(item, Included)}
    return [
        Answered(
            "answered",
            step,
            tuple(
                Answer(number, tuple(row["token_ids"])) for number, row in enumerate(lines, 1) if row["step"] == step
            ),
        )
        for step in sorted(saved & {row["step"] for row in lines})
    ]


def _predictions(bundle: reading.Bundle) -> Answered | NotAnswered:
    evaluation = bundle.summary.evaluation
    if not isinstance(evaluation, Performed):
        return NotAnswered("not_answered", 0, "there was no evaluation")
    rows = bundle.lines("eval/predictions.jsonl")
    answers = tuple(Answer(number, tuple(row["token_ids"])) for number, row in enumerate(rows, 1))
    return Answered("answered", evaluation.checkpoint_step, answers)
