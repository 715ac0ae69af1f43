"""What a replay proves is decided by the verifier: whose it is, how much may differ, and whether it could have failed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evidence import reading, replay, replay_text, replaying, trust, typed
from evidence.known import Known
from evidence.replay import CAPS, Answer, Asked, Installed, Replay, Segment, compare, draw, draw_batches, segments
from evidence.verdict import FAIL, NOT_RUN, PASS, WARN
from evidence.verify import verify
from tests.evidence.replays import agreeing
from tests.evidence.tamper import edit_lines, reseal

RPL = [f"RPL-0{number}" for number in range(1, 8)]


def results(folder: Path, made: Replay | None) -> dict[str, str]:
    found = verify(folder, known=Known(replay=made)).results
    return {item.id: item.result for item in found if item.id in RPL}


def reasons(folder: Path, known: Known) -> set[str]:
    return {item.reason for item in verify(folder, known=known).results if item.id in RPL}


def change(value: Any, where: str, new: Any) -> Any:
    """``value`` with what lies at a dotted path replaced; ``new`` may be a function of what was there."""
    name, _, rest = where.partition(".")
    old = value[int(name)] if isinstance(value, tuple) else getattr(value, name)
    changed = change(old, rest, new) if rest else new(old) if callable(new) else new
    if isinstance(value, tuple):
        return (*value[: int(name)], changed, *value[int(name) + 1 :])
    return replace(value, **{name: changed})


@pytest.fixture(scope="module")
def bundle(sealed: Path) -> reading.Bundle:
    return reading.Bundle(sealed)


@pytest.fixture(scope="module")
def made(bundle: reading.Bundle) -> Replay:
    return agreeing(bundle)


def test_a_replay_that_agrees_passes_and_survives_writing(sealed: Path, made: Replay, tmp_path: Path) -> None:
    assert results(sealed, made) == dict.fromkeys(RPL, PASS)
    assert made.tier == "T0"
    replaying.write(tmp_path / "a" / "result.json", made)
    assert replaying.read(tmp_path / "a" / "result.json") == made


MUTATIONS: list[tuple[str, Any, str, str]] = [
    ("measured.start.parameters_digest", "1" * 63 + "2", "RPL-01", FAIL),
    ("measured.steps.0.loss", lambda loss: loss + 1e-6, "RPL-01", FAIL),
    ("measured.steps.0.batch_sha256", "1" * 63 + "2", "RPL-01", FAIL),
    ("measured.steps.1.loss", lambda loss: loss + 1e-6, "RPL-02", FAIL),
    ("measured.steps.1.grad_norm", lambda norm: norm * 1.0001, "RPL-02", FAIL),
    ("measured.steps.1.param_norm", lambda norm: norm * 1.0001, "RPL-02", FAIL),
    ("measured.steps.1.batch_sha256", "1" * 63 + "2", "RPL-02", FAIL),
    ("measured.steps", lambda steps: steps[:-1], "RPL-02", FAIL),
    ("measured.steps", lambda steps: (steps[0], *steps), "RPL-02", FAIL),
    ("measured.end.distance", 1e-9, "RPL-02", FAIL),
    ("measured.end.state.parameters_digest", "1" * 63 + "2", "RPL-02", FAIL),
    ("measured.end.state.optimizer_digest", "1" * 63 + "2", "RPL-02", FAIL),
    ("measured.control.factor", 2.0, "RPL-03", FAIL),
    ("measured.control.factor", 1.0, "RPL-03", FAIL),
    ("measured.control.steps", lambda steps: steps[1:], "RPL-03", FAIL),
    ("measured.samples.0.answers.0.token_ids", (1, 2, 3), "RPL-04", FAIL),
    ("measured.samples.0.answers", (), "RPL-04", FAIL),
    ("measured.samples", (), "RPL-04", NOT_RUN),
    ("chosen", Asked("asked", "n"), "RPL-05", WARN),
    ("segment", lambda segment: replace(segment, to_step=segment.to_step - 1), "RPL-05", WARN),
    ("tier", "T3", "RPL-06", FAIL),
    ("caps", CAPS["T1"], "RPL-06", FAIL),
    ("caps.margin", 0.1, "RPL-06", FAIL),
    ("measured.predictions.answers.2.token_ids", (1, 2, 3), "RPL-07", FAIL),
    ("measured.predictions.answers", lambda answers: answers[:3], "RPL-07", FAIL),
    ("measured.predictions.step", 1, "RPL-07", FAIL),
]


@pytest.mark.parametrize(("where", "new", "check", "result"), MUTATIONS, ids=[f"{m[0]}-{m[2]}" for m in MUTATIONS])
def test_each_difference_has_its_check(
    sealed: Path, made: Replay, where: str, new: Any, check: str, result: str
) -> None:
    found = results(sealed, change(made, where, new))
    assert found[check] == result
    assert {name for name, value in found.items() if value != PASS} <= {check, "RPL-02", "RPL-03"}


def test_a_control_that_passes_proves_nothing(sealed: Path, made: Replay) -> None:
    same = replace(made.measured.control, steps=made.measured.steps, end=made.measured.end)
    weak = change(made, "measured.control", same)
    assert results(sealed, weak)["RPL-03"] == NOT_RUN
    told = replay_text.tell(reading.Bundle(sealed, Known(replay=weak)), weak)
    assert not told.agrees and not told.noticed
    assert "prove nothing yet" in told.sentence
    assert "NOT noticed" in replay_text.text(told, weak)


def test_a_replay_of_other_bytes_says_nothing(sealed: Path, made: Replay) -> None:
    assert set(results(sealed, replace(made, seal="1" * 63 + "2")).values()) == {NOT_RUN}


def test_without_a_replay_there_is_a_reason(sealed: Path) -> None:
    assert reasons(sealed, Known()) == {"nobody replayed this bundle here; replay a segment: assay replay"}
    assert reasons(sealed, Known(no_replay="no jax")) == {"no jax"}


def test_a_stored_replay_is_a_claim_until_somebody_trusted_signed_it(
    copy: Callable[[], Path], made: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy()
    replaying.write(folder / reading.REPLAY, made)
    assert set(results(folder, None).values()) == {NOT_RUN}
    assert all("nobody you know" in reason for reason in reasons(folder, Known()))
    assert verify(folder).valid
    monkeypatch.setattr(trust, "vouched", lambda _, path: "alice" if path == reading.REPLAY else "")
    found = verify(folder).results
    assert {item.id: item.result for item in found if item.id in RPL} == {**dict.fromkeys(RPL, PASS), "RPL-05": WARN}
    assert "alice" in str(next(item for item in found if item.id == "RPL-05").findings[0])
    (folder / reading.REPLAY).write_text("{}\n")
    assert set(results(folder, None).values()) == {NOT_RUN}


def test_a_resealed_row_is_caught_by_a_replay_of_the_forged_bundle(copy: Callable[[], Path], made: Replay) -> None:
    folder = copy()
    step = made.segment.to_step

    def lower(rows: list[Any]) -> None:
        rows[step - 1]["grad_norm"] *= 0.99

    edit_lines(reading.METRICS, lower)(folder)
    reseal(folder)
    forged = replace(made, seal=reading.Bundle(folder).seal)
    found = verify(folder, known=Known(replay=forged))
    [segment] = [item for item in found.results if item.id == "RPL-02"]
    assert segment.result == FAIL
    assert f"step {step}: gradient norm" in str(segment.findings[0])


OTHER = [
    ({}, "T0"),
    ({"logical_cpus": 77}, "T1"),
    ({"devices": 8}, "T1"),
    ({"cpu_model": "Another CPU"}, "T2"),
    ({"host_sha256": "1" * 63 + "2"}, "T2"),  # the same name of a CPU promises nothing
    ({"memory_bytes": 77}, "T2"),
    ({"runtime": "another"}, "T2"),
    ({"versions": {"jaxlib": "0.0.1"}}, "T2"),
    ({"program_sha256": "1" * 63 + "2"}, "T2"),
    ({"platform": "tpu", "device_kind": "TPU v5 lite"}, "T2"),
]


@pytest.mark.parametrize(("here", "tier"), OTHER)
def test_the_tier_is_how_the_machines_differ(bundle: reading.Bundle, here: dict[str, Any], tier: str) -> None:
    made = agreeing(bundle, **here)
    assert made.tier == tier
    in_bfloat16 = replace(bundle.manifest, training=replace(bundle.manifest.training, compute_dtype="bfloat16"))
    assert replay.tier_of(in_bfloat16, made.measured.here).name == ("T0" if tier == "T0" else "T3")
    few_bits = replace(bundle.manifest, hardware=replace(bundle.manifest.hardware, matmul_bits=11))
    assert replay.tier_of(few_bits, made.measured.here).name == ("T0" if tier == "T0" else "T3")
    assert all(str(value)[:12] in made.tier_because for value in here.values() if isinstance(value, str | int))


def test_each_tier_allows_more_than_the_one_before(bundle: reading.Bundle, made: Replay) -> None:
    for name in ("loss", "grad_norm", "distance", "margin"):
        caps = [getattr(CAPS[tier], name) for tier in ("T0", "T1", "T2", "T3")]
        assert caps == sorted(caps) and caps[0] == 0
    off = change(made, "measured.steps.1.loss", lambda loss: loss * (1 + 5e-6)).measured
    for tier, within in (("T0", False), ("T1", True), ("T2", True)):
        found = compare(bundle.rows, bundle.manifest, off.steps, off.end, CAPS[tier])
        assert next(item for item in found if item.what == "loss").within is within


def test_a_near_tie_excuses_an_answer_where_rounding_may_differ(sealed: Path, bundle: reading.Bundle) -> None:
    elsewhere = agreeing(bundle, logical_cpus=77)
    line = elsewhere.measured.predictions.answers[0].line  # type: ignore[union-attr]
    for margin, result in ((1e-4, PASS), (1e-2, FAIL), (replay.UNLIKE, FAIL)):
        answer = Answer(line, (1, 2, 3), margin)
        assert results(sealed, change(elsewhere, "measured.predictions.answers.0", answer))["RPL-07"] == result
    here = change(agreeing(bundle), "measured.predictions.answers.0", Answer(line, (1, 2, 3), 0.0))
    assert results(sealed, here)["RPL-07"] == FAIL


def test_other_code_makes_a_difference_unclear_but_not_an_equal_program(sealed: Path, made: Replay) -> None:
    other = replace(made, code=Installed("installed", ("training/step.py", "training/generate.py")))
    assert results(sealed, other) == dict.fromkeys(RPL, PASS)
    wrong = change(other, "measured.steps.1.loss", lambda loss: loss + 1)
    assert results(sealed, wrong)["RPL-02"] == FAIL  # the program is the run's, whatever lies in its files
    answers = change(other, "measured.predictions.answers.0.token_ids", (1, 2, 3))
    assert results(sealed, answers)["RPL-07"] == NOT_RUN
    elsewhere = change(wrong, "measured.here.program_sha256", "1" * 63 + "2")
    assert results(sealed, elsewhere)["RPL-02"] == NOT_RUN


def test_the_draw_is_a_function_of_seal_and_nonce() -> None:
    candidates = [Segment(0, 50), Segment(100, 150), Segment(200, 230)]
    drawn = [draw("seal", str(number), candidates) for number in range(60)]
    assert drawn == [draw("seal", str(number), candidates) for number in range(60)]
    assert {segment.from_step for segment in drawn} == {0, 100, 200}
    assert drawn != [draw("another seal", str(number), candidates) for number in range(60)]


def test_segments_go_from_state_to_state_and_are_not_too_long(bundle: reading.Bundle) -> None:
    first = next(item for item in bundle.manifest.checkpoints if item.step == 0)
    saved = [replace(first, step=step) for step in (0, 20, 200, 450)]
    found = segments(replace(bundle.manifest, checkpoints=saved), 450)
    assert found == [Segment(0, 20), Segment(20, 70), Segment(200, 250)]
    assert segments(replace(bundle.manifest, checkpoints=saved[:3]), 230)[-1] == Segment(200, 230)


@pytest.mark.parametrize(("items", "batch", "wanted"), [(300, 64, 64), (300, 300, 64), (10, 4, 64), (9, 4, 1)])
def test_whole_batches_are_drawn(items: int, batch: int, wanted: int) -> None:
    for nonce in map(str, range(20)):
        drawn = draw_batches("seal", nonce, items, batch, wanted)
        held = [min(batch, items - batch * number) for number in drawn]
        assert sum(held) >= min(wanted, items)
        assert drawn == sorted(set(drawn)) and batch in held  # a short last batch never stands alone


@pytest.mark.parametrize(
    ("ask", "field", "message"),
    [
        (replaying.Ask(1, 30), "from_step", "begins at an included state"),
        (replaying.Ask(0, 4_000), "to_step", "to_step must be 1 to 40, got 4000"),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_a_sentence(
    bundle: reading.Bundle, ask: replaying.Ask, field: str, message: str
) -> None:
    with pytest.raises(replaying.CannotReplay, match=message) as refused:
        replaying.prepare(bundle, ask)
    assert refused.value.field == field


def test_a_link_in_a_state_is_not_followed(copy: Callable[[], Path]) -> None:
    folder = copy()
    (folder / "checkpoints/step_000000/link").symlink_to("/etc/hostname")
    with pytest.raises(replaying.CannotReplay, match="neither a file nor a folder"):
        replaying.prepare(reading.Bundle(folder), replaying.Ask(nonce="n"))


def test_every_field_of_a_replay_is_needed(made: Replay) -> None:
    document = json.loads(json.dumps(typed.write(made)))
    for item in dataclasses.fields(Replay):
        broken = {key: value for key, value in document.items() if key != item.name}
        with pytest.raises(typed.WrongDocument):
            typed.read(Replay, broken)
        with pytest.raises(typed.WrongDocument):
            typed.read(Replay, {**document, item.name: None})
