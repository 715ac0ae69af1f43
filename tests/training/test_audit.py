"""Level E3: a second reading of arrays, tokens and program agrees with honest runs, and names what a forger changed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp
import pytest

from evidence import audit, bundle, canonical, deeper, reading, record, rundir
from evidence.known import Known
from evidence.verdict import FAIL, NOT_RUN, PASS, WARN, Verdict
from evidence.verify import verify
from tests import runs
from tests.evidence import forger
from tests.evidence.tamper import Change, edit_json, edit_lines, edit_text, set_value
from training import audit as auditing
from training import checkpoints

from .conftest import REPOSITORY, recorded_run

MANIFEST, METRICS, EVENTS = reading.MANIFEST, reading.METRICS, reading.EVENTS
BASE = {
    "evaluation.max_new_tokens": 4,
    "data.eval_rows": 12,
    "checkpoints.every_steps": 3,
    "checkpoints.keep": 3,
    "data.train_path": "training/data/reasoning_train.jsonl",
}
E3 = {"PRV-06", "PRV-09", "PRV-10", "PRV-14", "PRV-17", "MET-08", "PHY-05", "PHY-06", "CKP-05", "CKP-06", "CKP-08",
      "CKP-09", "CKP-10", "EVL-08"}  # fmt: skip


def judged(folder: Path, *, here: bool = False) -> Verdict:
    """The verdict with an audit: in a process of its own, or (quicker, for one device) in this one."""
    if not here:
        return verify(folder, known=Known(audit=audit.make(folder)))
    read = reading.Bundle(folder)
    return verify(folder, known=Known(audit=auditing.examine(read, read.seal)))


def results(verdict: Verdict) -> dict[str, str]:
    return {item.id: item.result for item in verdict.results}


def honest(folder: Path) -> None:
    verdict = judged(folder)
    assert verdict.failures == ()
    found = results(verdict)
    because = {item.id: item.reason for item in verdict.results if item.id in E3 and item.result != PASS}
    assert not because
    assert {item.id for item in verdict.results if item.cost == "audit"} == E3
    assert found["PRV-02"] == NOT_RUN or verdict.level == "E3"


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AdamW, a tokenizer trained on the rows; states of steps 0, 3 and 6. Copy it."""
    asked = {"tokenizer.kind": "trained", "tokenizer.vocab_size": 300, "model.vocab_size": 304}
    root = tmp_path_factory.mktemp("plain")
    return bundle.seal(recorded_run(root / "runs", {**BASE, **asked}), root / "bundles", "plain")


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LoRA, sharded over two virtual devices."""
    root = tmp_path_factory.mktemp("adapters")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
        asked = {"lora.rank": 2, "lora.targets": "all", "plan.layout": "fsdp"}
        return bundle.seal(recorded_run(root / "runs", {**BASE, **asked}), root / "bundles", "adapters")


@pytest.fixture
def copy(plain: Path, tmp_path: Path) -> Callable[[], Path]:
    return lambda: Path(shutil.copytree(plain, tmp_path / "copy" / "plain"))


def test_a_run_is_bound(plain: Path) -> None:
    honest(plain)


def test_a_run_with_adapters_on_two_devices_is_bound(adapters: Path) -> None:
    honest(adapters)
    assert json.loads((adapters / MANIFEST).read_text())["mesh"]["devices_used"] == 2


def test_a_packed_run_by_adafactor_in_micro_batches_is_bound(tmp_path: Path) -> None:
    asked = {"data.packing": True, "training.sequence_length": 128, "optimizer.name": "adafactor",
             "training.compute_dtype": "bfloat16", "training.gradient_accumulation": 2,
             "optimizer.weight_decay": 0.1, "plan.layers": "scanned"}  # fmt: skip
    honest(bundle.seal(recorded_run(tmp_path / "runs", {**BASE, **asked}), tmp_path / "bundles", "packed"))


def test_a_resumed_run_is_bound(tmp_path: Path) -> None:
    from evidence import config_file
    from evidence.spec import resolve

    from .conftest import SMOKE, TINY

    document, text = config_file.load(SMOKE)
    asked = {**TINY, **BASE, "training.steps": 400, "checkpoints.every_steps": 50, "data.loss_on": "all"}
    spec, changed = resolve(document, asked)
    run = rundir.create(
        tmp_path / "runs", spec, config="training/configs/smoke_tiny.yaml", config_text=text, overrides=changed
    )
    trainer = [sys.executable, "-m", "training", str(run)]
    record.launch(run, trainer)
    runs.wait_for(lambda: b'"step":60,' in runs.log_of(run), 120)
    assert record.request_stop(run)
    runs.wait_for((run / rundir.EXIT).exists)
    assert runs.record(run, trainer, resume=True) == 0
    place = bundle.seal(run, tmp_path / "bundles", "twice")
    assert len(json.loads((place / MANIFEST).read_text())["attempts"]) == 2
    honest(place)


def test_states_that_are_left_out_keep_a_run_from_e3_and_say_so(
    tmp_path: Path, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "LARGEST_CHECKPOINTS_BYTES", 1)
    run = next((plain.parents[1] / "runs").iterdir())
    verdict = judged(bundle.seal(run, tmp_path, "small"), here=True)
    assert verdict.failures == ()
    found = {item.id: item for item in verdict.results}
    for name in ("CKP-05", "CKP-06", "CKP-08", "CKP-10"):
        assert found[name].result == NOT_RUN
        assert "the state is not in the bundle" in found[name].reason
    assert {found[name].result for name in E3 - {"CKP-05", "CKP-06", "CKP-08", "CKP-10"}} == {PASS}
    assert verdict.level in ("E1", "E2")


def test_verify_says_what_it_does_and_quick_leaves_it_out(plain: Path) -> None:
    def said(*flags: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "evidence", "verify", "--json", *flags, str(plain)]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)

    whole, quick = said(), said("--quick")
    assert "Reading the arrays, tokens and program of plain again" in whole.stderr
    assert (whole.returncode, quick.returncode, quick.stderr) == (0, 0, "")
    found, left = ({item["id"]: item for item in json.loads(done.stdout)["results"]} for done in (whole, quick))
    assert {found[name]["result"] for name in E3} == {"pass"}
    assert {(left[name]["result"], left[name]["reason"]) for name in E3} == {("not-run", "left out (--quick)")}
    assert (left["MET-08"]["cost"], left["MET-08"]["severity"]) == ("audit", "fail")


# What a forger changes, with everything else made to follow.


def both(*changes: Change) -> Change:
    def change(folder: Path) -> None:
        for step in changes:
            step(folder)

    return change


def event(kind: str, **values: Any) -> Change:
    def act(lines: list[Any]) -> None:
        next(item for item in lines if item["kind"] == kind).update(values)

    return edit_lines(EVENTS, act)


def row(step: int, **values: Any) -> Change:
    return edit_lines(METRICS, lambda rows: rows[step - 1].update(values))


def setting(section: str, name: str, value: Any) -> Change:
    """Another setting, in the declared config and the effective one."""
    import yaml

    def change(folder: Path) -> None:
        for file in ("config/declared.json", "config/effective.json"):
            edit_json(file, lambda d: d.setdefault(section, {}).update({name: value}))(folder)
        effective = json.loads((folder / "config/effective.json").read_text())
        (folder / "config/effective.json").write_text(canonical.encode(effective) + "\n")
        declared = json.loads((folder / "config/declared.json").read_text())
        (folder / "config/declared.yaml").write_text(yaml.safe_dump(declared))

        def drop(document: Any) -> None:
            left = [item for item in document["config"]["overrides"] if item["key"] != f"{section}.{name}"]
            document["config"]["overrides"] = left

        edit_json(MANIFEST, drop)(folder)

    return change


def tables(act: Callable[[list[dict[str, Any]]], None]) -> Change:
    """Change the leaves of every state's table."""

    def change(folder: Path) -> None:
        for path in sorted((folder / "checkpoints").glob("*.leaves.json")):
            edit_json(path.relative_to(folder).as_posix(), lambda document: act(document["leaves"]))(folder)

    return change


def optimizer_called(old: str, new: str) -> Change:
    def act(leaves: list[dict[str, Any]]) -> None:
        for leaf in leaves:
            if leaf["path"].startswith("optimizer."):
                leaf["path"] = leaf["path"].replace(old, new)

    return tables(act)


def turned(leaves: list[dict[str, Any]]) -> None:
    next(leaf for leaf in leaves if leaf["path"] == "parameters.embedding")["shape"].reverse()


def arrays(step: int, act: Callable[[dict[str, Any]], None]) -> Change:
    """Change a state's arrays, save them anew with Orbax, and digest them anew."""

    def change(folder: Path) -> None:
        place = folder / f"checkpoints/step_{step:06d}"
        found = checkpoints.read(place, checkpoints.stored(place))
        found = {path: np.array(array) for path, array in found.items()}
        act(found)
        nested: dict[str, Any] = {"step": found.pop("step")}
        for path, array in found.items():
            part, _, name = path.partition(".")
            nested.setdefault(part, {})[name] = array
        shutil.rmtree(place)
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as checkpointer:
            checkpointer.save(place.resolve(), args=ocp.args.PyTreeSave(nested))
        leaves = [checkpoints.described(path, array) for path, array in sorted(found.items())]
        leaves = [{**leaf, "l2": leaf["l2"] if np.isfinite(leaf["l2"]) else 0.0} for leaf in leaves]
        rundir.write_document(place.with_name(f"{place.name}.leaves.json"), {"step": step, "leaves": leaves})
        for path in place.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)

    return change


def add(name: str, value: float) -> Callable[[dict[str, Any]], None]:
    def act(found: dict[str, Any]) -> None:
        found[name].flat[0] += value

    return act


def norm_of(step: int) -> Change:
    """The row says the norm of the state that is there."""

    def change(folder: Path) -> None:
        leaves = json.loads((folder / f"checkpoints/step_{step:06d}.leaves.json").read_text())["leaves"]
        weights = [leaf["l2"] ** 2 for leaf in leaves if leaf["path"].startswith("parameters.")]
        row(step, param_norm=float(np.float32(np.sqrt(sum(weights)))))(folder)

    return change


def flip(folder: Path) -> None:
    """One bit in the middle of the largest file of the last state."""
    files = [path for path in (folder / "checkpoints/step_000006").rglob("*") if path.is_file()]
    path = max(files, key=lambda path: path.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def earlier_state(folder: Path) -> None:
    """The state of step 3 sold as that of step 6, table and all."""
    shutil.rmtree(folder / "checkpoints/step_000006")
    shutil.copytree(folder / "checkpoints/step_000003", folder / "checkpoints/step_000006")
    leaves = json.loads((folder / "checkpoints/step_000003.leaves.json").read_text())["leaves"]
    rundir.write_document(folder / "checkpoints/step_000006.leaves.json", {"step": 6, "leaves": leaves})


def other_arrays_under_the_table(folder: Path) -> None:
    shutil.rmtree(folder / "checkpoints/step_000006")
    shutil.copytree(folder / "checkpoints/step_000003", folder / "checkpoints/step_000006")


def reorder(rows: list[Any]) -> None:
    rows.reverse()


def other_merges(folder: Path) -> None:
    """A tokenizer that merges in another order, with its digest everywhere."""
    name = "tokenizer/tokenizer.json"
    document = json.loads((folder / name).read_text())
    document["model"]["merges"].reverse()
    (folder / name).write_text(json.dumps(document))
    from training import tokenizer

    found = tokenizer.read(folder / "tokenizer")
    from dataclasses import replace

    set_value(MANIFEST, "tokenizer.sha256", replace(found, kind="trained").sha256)(folder)


def words(rows: list[Any]) -> None:
    rows[1]["text"] = "no answer"
    rows[1]["correct"] = False


FORGED: list[tuple[str, Change, str]] = [
    ("adafactor's state called by adamw's names", optimizer_called(".nu.", ".v."), "PRV-06"),
    ("a larger vocabulary", both(set_value(MANIFEST, "tokenizer.vocab_size", 301), event("data", vocab_size=301)), "PRV-09"),
    ("another tokenizer", other_merges, "PRV-09"),
    ("another seed", both(setting("training", "seed", 99), set_value(MANIFEST, "training.seed", 99)), "PRV-10"),
    ("a base model that was not there",
     both(set_value(MANIFEST, "model.weights", f"google/gemma-2b@{'0123456789' * 4}"),
          event("model", weights=f"google/gemma-2b@{'0123456789' * 4}")), "PRV-10"),
    ("trained weights sold as the random ones", arrays(0, add("parameters.embedding", 0.25)), "PRV-10"),
    ("another beta", setting("optimizer", "beta1", 0.85), "PRV-14"),
    ("another program", set_value(MANIFEST, "program.sha256", canonical.sha256(b"x")), "PRV-14"),
    ("another rotary base", setting("model", "rope_theta", 500.0), "PRV-14"),
    ("a first batch with another mask",
     edit_lines("data/first_batch.jsonl", lambda rows: rows[2]["pieces"][0].update(trained_on=True)), "PRV-17"),
    ("rows in another order", edit_lines("data/train.jsonl", reorder), "MET-08"),
    ("another batch at one step", edit_lines(METRICS, lambda rows: rows[3].update(batch_sha256=rows[4]["batch_sha256"])),
     "MET-08"),
    ("more supervised tokens", row(5, supervised_tokens=10**3), "MET-08"),
    ("answers of another template", setting("data", "template", "{prompt}: {answer}"), "MET-08"),
    ("a smaller optimizer", both(set_value(MANIFEST, "memory.optimizer_bytes", 10), event("model", optimizer_bytes=10)),
     "PHY-05"),
    ("fewer arguments", both(set_value(MANIFEST, "memory.argument_bytes", 99), event("program", argument_bytes=99)), "PHY-05"),
    ("three times the arithmetic",
     both(edit_json(MANIFEST, lambda d: d["program"].update(model_flops_per_step=d["program"]["model_flops_per_step"] * 3)),
          edit_lines(EVENTS, lambda rows: [item.update(model_flops_per_step=item["model_flops_per_step"] * 3)
                                           for item in rows if item["kind"] == "program"])), "PHY-06"),
    ("a NaN in the optimizer", arrays(6, add("optimizer.1.mu.embedding", float("nan"))), "CKP-05"),
    ("a counter of another step", arrays(6, add("optimizer.1.count", -1)), "CKP-05"),
    ("an earlier state sold as the last", earlier_state, "CKP-05"),
    ("weights from elsewhere, and the row's norm with them",
     both(arrays(6, add("parameters.embedding", 0.5)), norm_of(6)), "CKP-06"),
    ("one bit of the last state", flip, "CKP-08"),
    ("other arrays beneath the table", other_arrays_under_the_table, "CKP-08"),
    ("a matrix turned over", tables(turned), "CKP-09"),
    ("a norm from nowhere", row(6, param_norm=3.0), "CKP-10"),
    ("a nicer answer", edit_lines("eval/predictions.jsonl", words), "EVL-08"),
    ("a nicer sample", edit_lines(reading.SAMPLES, lambda rows: rows[0].update(text="It thinks.")), "EVL-08"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "check"), [item[1:] for item in FORGED], ids=[item[0] for item in FORGED])
def test_a_forgery_with_all_digests_made_to_agree_is_named(
    copy: Callable[[], Path], change: Change, check: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "LARGEST_COMPILED", 0)
    folder = copy()
    change(folder)
    forger.rebind(folder)
    found = {item.id for item in judged(folder, here=True).failures}
    assert check in found
    assert not {name for name in found if name.startswith(("INT", "STR", "SCH", "MET-02", "MET-04"))}, found


def test_rebinding_an_unchanged_bundle_changes_nothing(copy: Callable[[], Path]) -> None:
    folder = copy()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    forger.rebind(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_frozen_matrix_that_moved_is_named(adapters: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(adapters, tmp_path / "adapters"))
    both(arrays(6, add("parameters.layers.0.attention.key", 1e-6)), norm_of(6))(folder)
    forger.rebind(folder)
    assert {item.id for item in judged(folder).failures} == {"CKP-10"}


def test_less_temporary_memory_than_the_program_needs_is_named(copy: Callable[[], Path]) -> None:
    folder = copy()
    both(set_value(MANIFEST, "memory.temporary_bytes", 9), event("program", temporary_bytes=9))(folder)
    forger.rebind(folder)
    assert {item.id for item in judged(folder, here=True).failures} == {"PHY-05"}


def test_a_drawn_curve_is_a_warning(copy: Callable[[], Path]) -> None:
    folder = copy()
    edit_lines(METRICS, lambda rows: [item.update(loss=round(item["loss"], 3)) for item in rows])(folder)
    forger.rebind(folder)
    assert results(verify(folder))["PLA-01"] == WARN


def test_another_code_or_version_excuses_a_difference_but_proves_nothing(copy: Callable[[], Path]) -> None:
    folder = copy()
    set_value(MANIFEST, "program.sha256", canonical.sha256(b"x"))(folder)
    edit_text("source/files/training/loss.py", "import", "import  ")(folder)
    forger.rebind(folder)
    result = next(item for item in judged(folder, here=True).results if item.id == "PRV-14")
    assert result.result == NOT_RUN
    assert "training/loss.py of the run is not the one that is installed here" in result.reason


def test_an_audit_of_other_bytes_is_no_audit(plain: Path, copy: Callable[[], Path]) -> None:
    found = audit.make(plain)
    folder = copy()
    (folder / reading.SUMS).write_text((folder / reading.SUMS).read_text() + "\n")
    answers = {item.id: item for item in verify(folder, known=Known(audit=found)).results}
    assert {answers[name].result for name in E3} == {NOT_RUN}
    assert "the audit is of other bytes than these" in answers["MET-08"].reason


# Hostile bundles are data.


def nothing_but_a_seal(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != reading.SUMS:
            path.unlink()


def garbage(name: str, data: bytes) -> Change:
    def change(folder: Path) -> None:
        (folder / name).write_bytes(data)

    return change


def a_link_in_a_state(folder: Path) -> None:
    path = folder / "checkpoints/step_000006/_METADATA"
    path.unlink()
    path.symlink_to("/etc/passwd")


def empty_states(folder: Path) -> None:
    for path in (folder / "checkpoints").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")


HOSTILE: list[tuple[str, Change]] = [
    ("nothing but a seal", nothing_but_a_seal),
    ("a manifest of garbage", garbage(MANIFEST, b"\xff{")),
    ("a link in a state", a_link_in_a_state),
    ("states without content", empty_states),
    ("a tokenizer of garbage", garbage("tokenizer/tokenizer.json", b"{}")),
    ("rows of another kind", edit_lines("data/train.jsonl", lambda rows: rows[0].update(prompt=7))),
    ("a model that no machine holds", setting("model", "vocab_size", 1_000_000)),
    ("a mesh of a million devices", set_value(MANIFEST, "mesh.devices_used", 10**6)),
    ("token ids that are none", edit_lines("eval/predictions.jsonl", lambda rows: rows[0].update(token_ids="x"))),
]


@pytest.mark.parametrize("change", [item[1] for item in HOSTILE], ids=[item[0] for item in HOSTILE])
def test_a_hostile_bundle_is_read_without_a_crash(
    copy: Callable[[], Path], change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "LARGEST_COMPILED", 0)
    folder = copy()
    change(folder)
    verdict = judged(folder, here=True)
    assert verdict.level not in ("E3", "E4", "E5")
    assert any(item.result in (FAIL, NOT_RUN) for item in verdict.results if item.id in E3)


def test_a_state_that_claims_to_be_huge_is_not_loaded(plain: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "LARGEST_STATE_BYTES", 1000)
    read = reading.Bundle(plain)
    states = auditing.examine(read, read.seal).states
    assert all(isinstance(item, audit.NotLoaded) and not item.broken for item in states)


def test_without_a_bundle_there_is_no_audit(tmp_path: Path) -> None:
    with pytest.raises(deeper.Impossible, match="is no bundle that can be read"):
        audit.make(tmp_path)
    assert os.environ.get("XLA_FLAGS") is None or "1024" not in os.environ["XLA_FLAGS"]
