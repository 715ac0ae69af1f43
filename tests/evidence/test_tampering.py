"""Whoever changes a bundle is caught by a named check, also when all digests are made to agree again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evidence import canonical, manifest, reading, scoring, typed
from evidence.verdict import FAIL
from evidence.verify import verify
from tests.evidence import tamper
from tests.evidence.tamper import Change, edit_json, edit_lines, edit_text, set_value

MANIFEST, SUMMARY, LOG, METRICS = reading.MANIFEST, reading.SUMMARY, reading.LOG, reading.METRICS
PREDICTIONS, PREFLIGHT = "eval/predictions.jsonl", reading.PREFLIGHT


def failed(bundle: Path) -> set[str]:
    return {result.id for result in verify(bundle).failures}


def both(*changes: Change) -> Change:
    def change(folder: Path) -> None:
        for step in changes:
            step(folder)

    return change


def write(name: str, data: bytes) -> Change:
    def change(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    return change


def link(folder: Path) -> None:
    (folder / SUMMARY).unlink()
    (folder / SUMMARY).symlink_to("/etc/hostname")


def row(index: int, **values: Any) -> Change:
    return both(edit_lines(METRICS, lambda rows: rows[index].update(values)), tamper.rechain, tamper.relog)


def without_package(name: str) -> Change:
    """As on a machine where it is not installed, whatever is installed here."""

    def change(folder: Path) -> None:
        path = folder / "environment/packages.txt"
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith(f"{name}==")))

    return change


def drop_row(index: int) -> Change:
    return both(edit_lines(METRICS, lambda rows: rows.pop(index)), tamper.rechain)


def event(kind: str, **values: Any) -> Change:
    def act(rows: list[Any]) -> None:
        next(item for item in rows if item["kind"] == kind).update(values)

    return both(edit_lines(reading.EVENTS, act), tamper.relog)


NAIVE: list[tuple[str, Change, str]] = [
    ("a byte of the log", edit_text(LOG, "loss", "Loss"), "INT-01"),
    ("a file is gone", lambda folder: (folder / "config/effective.json").unlink(), "INT-02"),
    ("a required file is gone", lambda folder: (folder / LOG).unlink(), "STR-01"),
    ("a file was slipped in", write("data/extra.jsonl", b"{}\n"), "INT-02"),
    ("a hidden file", write(".gitattributes", b"x\n"), "STR-02"),
    ("a stray folder at the top", write("notes/more.txt", b"x\n"), "STR-01"),
    ("a link instead of a file", link, "STR-02"),
    ("an empty folder", lambda folder: (folder / "data/more").mkdir(), "STR-02"),
    ("a file that can be executed", lambda folder: (folder / LOG).chmod(0o755), "STR-02"),
    ("a README that was edited", edit_text(reading.README, "held out", "held  out"), "STR-06"),
]

RESEALED: list[tuple[str, Change, str]] = [
    ("a log in UTF-16", lambda f: (f / LOG).write_bytes((f / LOG).read_text().encode("utf-16")), "STR-03"),
    ("a log with carriage returns", lambda f: (f / LOG).write_bytes((f / LOG).read_bytes().replace(b"\n", b"\r\n")), "STR-03"),
    ("a key that stands twice", edit_text("environment/env.json", "{", '{"variables": 1,'), "STR-04"),
    ("a torn last line", lambda f: (f / METRICS).write_bytes((f / METRICS).read_bytes()[:-1]), "STR-04"),
    ("a path of one machine", set_value(MANIFEST, "location.command", ["python", "/home/me/train.py"]), "STR-05"),
    ("a reference that leads nowhere", set_value(MANIFEST, "events.path", "events.txt"), "STR-05"),
    ("a reference that leads out", set_value(MANIFEST, "events.path", "../tiny/events.jsonl"), "SCH-01"),
    ("a null", set_value(MANIFEST, "timing.train_seconds", None), "SCH-01"),
    ("a placeholder", set_value(MANIFEST, "run.notes", ["<PENDING>"]), "SCH-01"),
    ("a field nobody knows", set_value(MANIFEST, "run.approved", True), "SCH-01"),
    ("an empty summary", lambda f: (f / SUMMARY).write_text("{}\n"), "SCH-02"),
    ("another run's id", set_value(SUMMARY, "run_id", "20260101-000000-abcdef"), "SCH-04"),
    ("another name", set_value(MANIFEST, "run.name", "other"), "SCH-04"),
    ("more steps done than planned", set_value(MANIFEST, "training.steps_planned", 39), "SCH-05"),
    ("a second header", edit_lines(reading.EVENTS, lambda rows: rows.insert(0, rows[0])), "SCH-06"),
    ("an invented commit", set_value(MANIFEST, "source.commit", "0123456789" * 4), "PRV-01"),
    ("a commit with another date", edit_json("source/commit.json", lambda d: d.update(text=d["text"] + "x")), "PRV-01"),
    ("code that did not run", edit_text("source/files/evidence/spec.py", "knob", "k"), "PRV-02"),
    ("a code file too many", write("source/files/evidence/more.py", b"x = 1\n"), "STR-05"),
    ("a dirty tree called clean", set_value(MANIFEST, "source.clean", "yes"), "SCH-01"),
    ("an override that was not made", set_value(MANIFEST, "config.overrides.0.effective", 41), "PRV-04"),
    ("a config that was not used", edit_text("config/effective.json", '"beta1":0.9', '"beta1":0.8'), "PRV-04"),
    ("another optimizer", set_value(MANIFEST, "training.optimizer", "adafactor"), "PRV-05"),
    ("another sequence length", set_value(MANIFEST, "training.sequence_length", 512), "PRV-05"),
    ("another batch size", set_value(MANIFEST, "training.global_batch_size", 64), "PRV-05"),
    ("another seed", set_value(MANIFEST, "training.seed", 7), "PRV-05"),
    ("other training rows", edit_lines("data/train.jsonl", lambda rows: rows[3].update(answer="#### 9")), "PRV-07"),
    ("a held-out prompt trained on", edit_lines("data/train.jsonl", lambda r: r[0].update(prompt="0+2=")), "PRV-08"),
    ("a pasted version", set_value(MANIFEST, "software.python", "3.12.0"), "PRV-11"),
    ("another installed package", edit_text("environment/packages.txt", "numpy==2", "numpy==1"), "PRV-11"),
    ("prompts trained on instead of answers",
     edit_lines("data/first_batch.jsonl", lambda rows: rows[0].update(trained_on="a question")), "PRV-12"),
    ("a step left out", drop_row(20), "MET-01"),
    ("a step done twice", both(edit_lines(METRICS, lambda r: r.insert(5, r[5])), tamper.rechain), "MET-01"),
    ("a better loss in one row", edit_lines(METRICS, lambda rows: rows[9].update(loss=0.01)), "MET-02"),
    ("a row from elsewhere, chain made whole", row(9, loss=0.01), "MET-02"),
    ("rows of another nonce", set_value(MANIFEST, "run.nonce", canonical.sha256(b"x")), "MET-02"),
    ("the mean sold as the final loss", set_value(SUMMARY, "training_result.final_loss.value", 0.01), "MET-03"),
    ("a lowest loss from nowhere", set_value(SUMMARY, "training_result.lowest_loss.step", 3), "MET-03"),
    ("a log without one of the rows", edit_text(LOG, '"step":7,', '"step":70,'), "MET-04"),
    ("a nicer loss for people", edit_text(LOG, "step 1/40 loss 4", "step 1/40 loss 3"), "MET-05"),
    ("a constant learning rate", row(0, learning_rate=0.001), "MET-06"),
    ("fewer sequences than the log has", set_value(MANIFEST, "data.train_sequences", 20), "PRV-07"),
    ("fewer sequences than rows, without packing",
     both(event("data", train_sequences=20), set_value(MANIFEST, "data.train_sequences", 20)), "PRV-07"),
    ("packing that was not asked for", set_value(MANIFEST, "data.packing", True), "PRV-05"),
    ("more examples than there were", row(10, examples=10_000), "MET-07"),
    ("a log with a traceback", edit_text(LOG, "step 3/40", "Traceback (most recent call last)\nstep 3/40"), "MET-09"),
    ("a stopped run called completed", event("finished", outcome="stopped"), "MET-09"),
    ("rows after the end", lambda f: (f / LOG).write_text((f / LOG).read_text() + ":::EVID {\"kind\":\"step\"}\n"), "MET-11"),
    ("a run that ended before it spoke", set_value(MANIFEST, "run.finished_at", "2026-01-01T00:00:00.000000Z"), "TIM-01"),
    ("a run in the future", set_value(MANIFEST, "run.finished_at", "2999-01-01T00:00:00.000000Z"), "TIM-01"),
    ("a clock that was typed", row(9, time="2026-11-23T00:00:00.000000Z"), "TIM-01"),
    ("a clock that jumps", row(39, monotonic_ns=2**52), "TIM-02"),
    ("a faster step", row(30, step_seconds=1e-9), "TIM-03"),
    ("a row of more tokens per second", row(30, tokens_per_second=9e9), "TIM-03"),
    ("a share of a peak that nobody knows", row(30, model_flops_utilization=0.5), "PHY-02"),
    ("more tokens per second", set_value(MANIFEST, "timing.tokens_per_second", 9e9), "TIM-03"),
    ("impossible arithmetic",
     both(event("program", model_flops_per_step=1e18), set_value(MANIFEST, "program.model_flops_per_step", 1e18)), "PHY-01"),
    ("28 GiB in a small machine",
     both(event("program", temporary_bytes=2**50), set_value(MANIFEST, "memory.temporary_bytes", 2**50)), "PHY-03"),
    ("a CPU called a TPU", set_value(MANIFEST, "hardware.platform", "tpu"), "HW-01"),
    ("a CPU called a TPU everywhere",
     both(event("devices", platform="tpu", device_kind="TPU v5 lite",
                devices=[{"id": 0, "process_index": 0, "device_kind": "TPU v5 lite"}]),
          event("program", lowered_for="tpu"), set_value(MANIFEST, "hardware.platform", "tpu"),
          set_value(MANIFEST, "hardware.device_kind", "TPU v5 lite"),
          set_value(MANIFEST, "hardware.devices.0.device_kind", "TPU v5 lite"),
          set_value(MANIFEST, "program.lowered_for", "tpu"), set_value(SUMMARY, "evaluated_on.device_kind", "TPU v5 lite")),
     "HW-04"),
    ("eight devices, one used", both(event("devices", devices_used=8), set_value(MANIFEST, "mesh.devices_used", 8)), "HW-02"),
    ("a device pasted twice", edit_json(MANIFEST, lambda d: d["hardware"]["devices"].append(d["hardware"]["devices"][0])),
     "HW-03"),
    ("devices that the log does not have", set_value(MANIFEST, "hardware.runtime", "libtpu"), "MET-10"),
    ("no checkpoint of the end", edit_json(MANIFEST, lambda d: d.update(checkpoints=d["checkpoints"][:1])), "CKP-01"),
    ("a flipped bit of the weights", write("checkpoints/step_000040/state/weights", b"x" * 64), "CKP-02"),
    ("a checkpoint of another model", edit_text("checkpoints/step_000040.leaves.json", "[6496]", "[6497]"), "CKP-03"),
    ("weights that never moved",
     edit_json(MANIFEST, lambda d: d["checkpoints"][1].update(parameters_digest=d["checkpoints"][0]["parameters_digest"])),
     "CKP-04"),
    ("a late checkpoint",
     edit_json(MANIFEST, lambda d: d["checkpoints"][1].update(chain_at_step=d["checkpoints"][0]["chain_at_step"])), "CKP-07"),
    ("wrong answers made right, and the score with them",
     both(edit_lines(PREDICTIONS, lambda rows: [row.update(text=row["expected"], correct=True) for row in rows] and None),
          edit_json(SUMMARY, lambda d: d["evaluation"].update(correct=10, metrics=[{**d["evaluation"]["metrics"][0], "value": 1.0,
                                                              "ci95": list(scoring.wilson_interval(10, 10))}]))), "EVL-09"),
    ("a nicer held-out loss", set_value(SUMMARY, "evaluation.loss", 0.001), "EVL-09"),
    ("fewer cut rows", set_value(MANIFEST, "data.truncated_rows", 3), "PRV-07"),
    ("a larger vocabulary", set_value(MANIFEST, "tokenizer.vocab_size", 256_000), "PRV-07"),
    ("other initial weights", set_value(MANIFEST, "model.weights", "google/gemma-2b"), "PRV-05"),
    ("data of another name", set_value(MANIFEST, "data.source", "gsm8k.jsonl"), "PRV-05"),
    ("longer answers than were generated", set_value(SUMMARY, "evaluation.decoding.max_new_tokens", 512), "EVL-02"),
    ("a run older than its code", both(set_value(MANIFEST, "run.created_at", "2020-01-01T00:00:00.000000Z")), "TIM-01"),
    ("a certificate beside the seal", write("replay/CERTIFICATE.md", b"certified at E5\n"), "STR-01"),
    ("an evaluation that is hidden", set_value(SUMMARY, "evaluation", {"kind": "not_performed", "because": "no time"}), "EVL-09"),
    ("a dropped failure", edit_lines(PREDICTIONS, lambda rows: rows.pop(0)), "EVL-01"),
    ("an edited prediction", edit_lines(PREDICTIONS, lambda rows: rows[0].update(text="#### 2")), "EVL-02"),
    ("an edited score", set_value(SUMMARY, "evaluation.correct", 10), "EVL-02"),
    ("a narrower interval", set_value(SUMMARY, "evaluation.metrics.0.ci95", [0.89, 0.91]), "EVL-02"),
    ("an evaluation of other weights", set_value(SUMMARY, "evaluation.parameters_digest", canonical.sha256(b"x")), "EVL-03"),
    ("an error scored as an answer",
     edit_lines(PREDICTIONS, lambda rows: rows[1].update(text="[ERROR] #### 3", expected="[ERROR] #### 3")), "EVL-05"),
    ("a preflight of another step", edit_json(PREFLIGHT, lambda d: d["program"].update({"model.hidden_size": 32})), "PFL-01"),
    ("a preflight of another batch", edit_json(PREFLIGHT, lambda d: d["plans"][0].update(batch_size=4)), "PFL-01"),
    ("a smaller peak than was said", set_value(MANIFEST, "preflight.peak_bytes", 1), "PFL-01"),
    ("a preflight for another TPU", set_value(MANIFEST, "preflight.topology", "v3-8"), "PFL-01"),
    ("a preflight that did not fit after all", set_value(MANIFEST, "preflight.fits", False), "PFL-01"),
    ("a peak beyond the limit that fits",
     both(set_value(PREFLIGHT, "plans.0.memory.peak", 2**40), set_value(MANIFEST, "preflight.peak_bytes", 2**40)), "PFL-01"),
    ("a preflight made after the run", set_value(PREFLIGHT, "created_at", "2099-01-01T00:00:00.000000Z"), "PFL-01"),
    ("a preflight whose verdict is not its plan's", set_value(PREFLIGHT, "fits", False), "PFL-01"),
    ("a preflight against a larger limit", set_value(PREFLIGHT, "plans.0.memory.limit", 2**45), "PFL-01"),
    ("a preflight for a TPU that is none", set_value(PREFLIGHT, "target.devices", 9), "PFL-01"),
    ("a preflight without its methods", edit_json(PREFLIGHT, lambda d: d.pop("interval_method")), "PFL-01"),
    ("a preflight that is hidden",
     set_value(MANIFEST, "preflight", {"kind": "not_preflighted", "because": "nobody asked"}), "PFL-01"),
    ("a token in the log", edit_text(LOG, "step 3/40", "hf_" + "a" * 34 + "\nstep 3/40"), "SEC-01"),
    ("a dumped environment", set_value("environment/env.json", "variables", {"MY_KEY": "x"}), "SEC-02"),
    ("a pickle", both(write("data/weights.pkl", b"\x80\x04x")), "SEC-03"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "check"), [item[1:] for item in NAIVE], ids=[item[0] for item in NAIVE])
def test_a_changed_bundle_is_caught(copy: Callable[[], Path], change: Change, check: str) -> None:
    folder = copy()
    change(folder)
    assert check in failed(folder)


@pytest.mark.parametrize(("change", "check"), [item[1:] for item in RESEALED], ids=[item[0] for item in RESEALED])
def test_a_changed_bundle_with_all_digests_made_to_agree_is_caught(
    copy: Callable[[], Path], change: Change, check: str
) -> None:
    folder = copy()
    change(folder)
    tamper.reseal(folder)
    found = failed(folder)
    assert check in found
    assert not found & {"INT-01", "INT-03"} or check in ("INT-02", "STR-05", "STR-03", "STR-04"), found


def test_resealing_an_unchanged_bundle_changes_nothing(copy: Callable[[], Path]) -> None:
    folder = copy()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    tamper.rechain(folder)
    tamper.relog(folder)
    tamper.reseal(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_bundle_with_any_byte_changed_is_never_accepted(sealed: Path, tmp_path: Path, data: st.DataObject) -> None:
    names = [name for name in reading.Bundle(sealed).files if (sealed / name).stat().st_size]
    name = data.draw(st.sampled_from(names))
    content = bytearray((sealed / name).read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    folder = Path(shutil.copytree(sealed, tmp_path / "tiny", copy_function=os.link))
    try:
        (folder / name).unlink()
        (folder / name).write_bytes(content)
        assert not verify(folder).valid
    finally:
        shutil.rmtree(folder)


def nodes(value: Any, where: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [place for key, item in children for place in [(*where, key), *nodes(item, (*where, key))]]


@pytest.mark.parametrize(("name", "cls"), [(MANIFEST, manifest.RunManifest), (SUMMARY, manifest.EvalSummary)])
def test_no_node_of_a_document_can_be_emptied_removed_or_joined_by_another(sealed: Path, name: str, cls: type) -> None:
    whole = json.loads((sealed / name).read_text())
    typed.read(cls, whole)
    free_text = {"command", "changed_files", "answer_delimiter", "overrides", "plan"}  # PRV-16 and SCH-03 read the plan
    for where in nodes(whole):
        if free_text & set(where):
            continue
        for value in (None, "<PENDING>", "TODO", "", {}):
            document = json.loads(json.dumps(whole))
            _at(document, where[:-1])[where[-1]] = value
            with pytest.raises(typed.WrongDocument):
                typed.read(cls, document)
                pytest.fail(f"{where} may be {value!r}")
        if isinstance(where[-1], str) and "versions" not in where and "axes" not in where:
            document = json.loads(json.dumps(whole))
            del _at(document, where[:-1])[where[-1]]
            with pytest.raises(typed.WrongDocument):
                typed.read(cls, document)
        if isinstance(_at(whole, where), dict) and where[-1] not in ("versions", "axes", "plan"):
            document = json.loads(json.dumps(whole))
            _at(document, where)["another"] = 1
            with pytest.raises(typed.WrongDocument):
                typed.read(cls, document)


def _at(document: Any, where: tuple[Any, ...]) -> Any:
    for part in where:
        document = document[part]
    return document


def test_every_finding_says_where_what_was_expected_and_what_was_found(copy: Callable[[], Path]) -> None:
    folder = copy()
    set_value(SUMMARY, "training_result.final_loss.value", 0.01)(folder)
    tamper.reseal(folder)
    results = {result.id: result for result in verify(folder).results}
    assert results["MET-03"].result == FAIL
    assert str(results["MET-03"].findings[0]).startswith(
        "eval_summary.json: $.training_result.final_loss.value (loss of the last optimizer step): expected 0."
    )
