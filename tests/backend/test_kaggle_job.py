"""One run's session at a stand-in for Kaggle: what is taken in, what is said of everything that goes wrong, and that
nothing is pushed twice."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assay import online
from backend.launchers.kaggle import job
from evidence import attempts, bundle, canonical, provenance, reading, report, rundir, session, source_archive, typed
from evidence.endpoints import KAGGLE as KAGGLE_ENDPOINT
from evidence.known import Known, Told
from evidence.spec import resolve
from evidence.status import status
from evidence.verdict import CheckResult, Finding
from evidence.verify import _verdict, verify
from tests import runs
from tests.backend.client import serving, until
from tests.backend.conftest import make_settings
from tests.evidence import tamper
from tests.evidence.tamper import Change, edit_json, edit_text, set_value
from tests.kaggle_stub import TOKEN, USER, Stub, Version

NUMERICS = canonical.sha256(b"what the machine makes of a fixed program")
COMMIT = provenance.source().get("commit", "c0" * 20)
ARCHIVE = source_archive.Archive(b"the source", canonical.sha256(b"the source"), COMMIT)
OVERRIDES = {"device": "cpu", "training.steps": 12}
KERNEL = f"{USER}/assay-tiny-one"


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stub]:
    monkeypatch.setattr(source_archive, "pack", lambda: ARCHIVE)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with Stub() as found:
        for name, value in {"KAGGLE_API_TOKEN": TOKEN, "ASSAY_KAGGLE_ENDPOINT": found.endpoint, "ASSAY_KAGGLE_POLL": "0.02",
                            "KAGGLE_CONFIG_DIR": str(tmp_path)}.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        yield found


def asked(tmp_path: Path, overrides: dict[str, Any] | None = None, **options: Any) -> Path:
    """A run that was asked for at Kaggle, as a recorder has launched it."""
    spec, changed = resolve(runs.CONFIG, overrides or OVERRIDES)
    run = rundir.create(tmp_path / "runs", spec, config="training/configs/smoke_tiny.yaml", name="Tiny one", launcher="kaggle",
                        config_text=runs.config_text(runs.CONFIG), overrides=changed, **options)  # fmt: skip
    assert runs.record(run, ["true"]) == 0
    (run / rundir.OUTPUT).unlink()
    (run / rundir.EXIT).unlink()
    return run


def parameters(version: Version) -> dict[str, str]:
    return dict(re.findall(r'(RUN_ID|NONCE|COMMIT) = \\?"([\w-]+)', version.request["text"]))


class Session:
    """What the stand-in's session does with a pushed notebook: a recorded run of the stand-in trainer, packed."""

    def __init__(self, root: Path, version: Version) -> None:
        self.root, self.version = root, version
        told = parameters(version)
        spec, changed = resolve(runs.CONFIG, OVERRIDES)
        self.run = rundir.create(root, spec, config="training/configs/smoke_tiny.yaml", name="Tiny one", launcher="kaggle",
                                 config_text=runs.config_text(runs.CONFIG), overrides=changed, run_id=told["RUN_ID"],
                                 nonce=told["NONCE"])  # fmt: skip
        self.document: dict[str, Any] = {}

    def train(self, fail_at: int = -1) -> None:
        command = [*runs.STAND_IN, str(self.run), "--fail-at", str(fail_at)]
        assert runs.record(self.run, command) == (0 if fail_at < 0 else 1)

    def log(self) -> None:
        self.version.print(*(self.run / rundir.OUTPUT).read_text().splitlines())

    def pack(self, change: Callable[[dict[str, Any]], None] = lambda _: None, hostile: str = "") -> None:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w:gz") as tar:
            for path in sorted(self.run.rglob("*")):
                if path.is_file():
                    tar.add(path, f"run/{path.relative_to(self.run).as_posix()}")
            if hostile:
                tar.addfile(tarfile.TarInfo(hostile))
        archive = data.getvalue()
        devices = [{"id": 0, "device_kind": "cpu", "memory_bytes": 0}]
        finished = next(
            json.loads(line) for line in (self.run / rundir.EVENTS).read_text().splitlines() if '"devices"' in line
        )
        document = {
            "schema": session.SCHEMA, "smoke": False, "started_at": "2026-11-25T10:00:00.000000Z",
            "ended_at": "2026-11-25T10:10:00.000000Z",
            "platform": {"kind": "kaggle", "variables": {"KAGGLE_KERNEL_RUN_TYPE": "Batch"}},
            "source": {"commit": COMMIT, "tree": "ab" * 20, "came_as": {"kind": "folder"}},
            "hardware": {
                "kind": "proven", "time": "2026-11-25T10:00:01.000000Z", "asked": {"platform": "cpu", "devices": 1},
                "found": {"kind": "found", "platform": "cpu", "device_kinds": [finished["device_kind"]], "devices": devices,
                          "runtime": "cpu", "versions": {"jax": "0"}, "numerics_sha256": NUMERICS,
                          "matmul_bits": 24},
            },
            "run": {"kind": "run", "run_id": self.run.name, "state": "finished", "said": "it did all its steps"},
            "bundle": {"kind": "not_sealed", "because": "this stand-in seals nothing"},
            "output": {"kind": "packed", "file": session.ARCHIVE, "sha256": canonical.sha256(archive),
                       "bytes": len(archive), "left_out": []},
        }  # fmt: skip
        change(document)
        self.version.files = {session.DOCUMENT: f"{json.dumps(document)}\n".encode(), session.ARCHIVE: archive}


class alongside(threading.Thread):
    """``act`` beside the job. What goes wrong in it ends every session, and is raised by ``join``."""

    def __init__(self, stub: Stub, act: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._stub, self._act = stub, act
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self._act()
        except BaseException as error:  # noqa: BLE001
            self._error = error
            for versions in self._stub.kernels.values():
                for version in versions:
                    version.end("ERROR", f"the test's own session failed: {error!r}")

    def join(self, timeout: float | None = 60) -> None:
        super().join(timeout)
        if self._error:
            raise self._error


def lends(
    stub: Stub, root: Path, *, live: bool = True, pack: Callable[[Session], None] = lambda it: it.pack()
) -> Callable[[], None]:
    """A session that runs as soon as something is pushed."""

    def act() -> None:
        runs.wait_for(lambda: stub.kernels)
        version = stub.newest
        version.status = "RUNNING"
        made = Session(root / "there", version)
        made.train()
        if live:
            made.log()
        pack(made)
        if not live:
            made.log()
        version.end()

    return act


def says(run: Path) -> str:
    return str(rundir.read_document(run / rundir.REMOTE)["says"])


def run_job(run: Path) -> int:
    return job.Job(run).main()


@pytest.mark.parametrize("live", [True, False], ids=["heard live", "told afterwards"])
def test_a_session_comes_back_as_a_run_with_evidence_that_says_whence(stub: Stub, tmp_path: Path, live: bool) -> None:
    run = asked(tmp_path)
    stub.on.log_cut = live  # the live log comes again and again from its beginning
    there = alongside(stub, lends(stub, tmp_path, live=live))
    assert run_job(run) == 0
    there.join()
    assert len(stub.of("SaveKernel")) == 1
    assert says(run) == f"Ran at Kaggle: version 1 of {USER}/assay-tiny-one."
    came_back = run / rundir.PLATFORM / "run"
    assert (run / rundir.EVENTS).read_bytes() == (came_back / rundir.EVENTS).read_bytes()
    rundir.write_document(run / rundir.EXIT, {"exit_code": 0, "ended_at": "2099-01-01T00:00:00.000000Z"})
    finished = attempts.last(attempts.told(run), attempts.events.Finished)
    assert status(run, finished).state == "finished"
    place = bundle.seal(run, tmp_path / "sealed", "tiny")
    verdict = verify(place)
    assert verdict.failures == ()
    told = report.report(place, verdict)
    assert f"of a stand-in for Kaggle at {stub.endpoint}, not on Kaggle" in told.sentence
    assert next(claim for claim in told.claims if claim.id == "platform").verdict == "holds"
    assert reading.Bundle(place).manifest.location.kind == "kaggle_stand_in"
    assert "kaggle.com" not in (place / reading.README).read_text() + (place / reading.MANIFEST).read_text()


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bundle made through the stand-in. Never change it: take a copy."""
    root = tmp_path_factory.mktemp("stand-in")
    with pytest.MonkeyPatch.context() as patch, Stub() as stub:
        patch.setattr(source_archive, "pack", lambda: ARCHIVE)
        patch.setattr(signal, "signal", lambda *_: None)
        for name, value in {
            "KAGGLE_API_TOKEN": TOKEN,
            "ASSAY_KAGGLE_ENDPOINT": stub.endpoint,
            "ASSAY_KAGGLE_POLL": "0.02",
        }.items():
            patch.setenv(name, value)
        run = asked(root)
        there = alongside(stub, lends(stub, root))
        assert run_job(run) == 0
        there.join()
        rundir.write_document(run / rundir.EXIT, {"exit_code": 0, "ended_at": "2099-01-01T00:00:00.000000Z"})
        yield bundle.seal(run, root / "sealed", "tiny")


def claims_kaggle(folder: Path) -> None:
    """Every word of the stand-in replaced by Kaggle's."""
    edit_json(reading.MANIFEST, lambda d: d["location"].update(kind="kaggle"))(folder)
    set_value(reading.MANIFEST, "location.platform.url", "https://www.kaggle.com/code/tester/assay-tiny-one")(folder)


FORGED: list[tuple[str, Change, str]] = [
    ("Kaggle claimed for a stand-in", claims_kaggle, "KGL-04"),
    ("an address of Kaggle's for a stand-in",
     set_value(reading.MANIFEST, "location.platform.url", "https://www.kaggle.com/code/tester/assay-tiny-one"), "KGL-04"),
    ("Kaggle's endpoint, by a stand-in", set_value(reading.MANIFEST, "location.platform.endpoint", KAGGLE_ENDPOINT), "KGL-04"),
    ("another notebook", edit_text(reading.NOTEBOOK, "RUN_ID = ", "RUN_ID = \\\"x\\\" # "), "KGL-03"),
    ("another run's session", set_value(reading.SESSION, "run.run_id", "20260101-000000-000000"), "KGL-03"),
    ("another machine proven", set_value(reading.SESSION, "hardware.found.platform", "tpu"), "KGL-03"),
    ("more devices proven", edit_json(reading.SESSION, lambda d: d["hardware"]["found"]["devices"].append(
        {"id": 1, "device_kind": "cpu", "memory_bytes": 0})), "KGL-03"),
    ("a log without its last events", edit_json(reading.PLATFORM_LOG, lambda d: d[:-6]), "KGL-03"),
    ("another log", edit_json(reading.PLATFORM_LOG, lambda d: [{**item, "data": item["data"].replace('"loss":', '"loss":1')} for item in d]), "KGL-03"),
    ("an owner that is not in the address", set_value(reading.MANIFEST, "location.platform.owner", "somebody"), "KGL-03"),
    ("no session at all", lambda f: (f / reading.SESSION).unlink(), "STR-05"),
    ("a null", set_value(reading.MANIFEST, "location.platform.machine_shape", None), "SCH-01"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "check"), [item[1:] for item in FORGED], ids=[item[0] for item in FORGED])
def test_a_session_that_is_dressed_up_is_caught(sealed: Path, tmp_path: Path, change: Change, check: str) -> None:
    folder = tmp_path / "tiny"
    tamper.shutil.copytree(sealed, folder) if hasattr(tamper, "shutil") else __import__("shutil").copytree(
        sealed, folder
    )
    change(folder)
    tamper.reseal(folder)
    assert check in {result.id for result in verify(folder).failures}


def test_who_asks_the_platform_hears_whether_it_says_the_same(sealed: Path) -> None:
    told = reading.Bundle(sealed).manifest.location.platform  # type: ignore[union-attr]
    heard = Told(told.endpoint, told.version, told.kernel_id, told.machine_shape, told.docker_image,
                 (sealed / reading.NOTEBOOK).read_text(), (sealed / reading.PLATFORM_LOG).read_text())  # fmt: skip
    results = {item.id: item.result for item in verify(sealed, known=Known(platform=heard)).results}
    assert (results["KGL-01"], results["KGL-02"], results["KGL-05"]) == ("pass", "pass", "pass")
    other = Known(platform=Told(told.endpoint, 2, told.kernel_id, "TpuV5E8", told.docker_image, heard.notebook, "[]"))
    results = {item.id: item.result for item in verify(sealed, known=other).results}
    assert (results["KGL-01"], results["KGL-02"]) == ("fail", "fail")
    results = {item.id: item for item in verify(sealed).results}
    assert results["KGL-01"].result == "not-run"
    assert results["KGL-01"].reason == "the platform was not asked; assay verify --online asks it"


def test_the_platform_is_asked_with_the_own_account_and_no_other(
    sealed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = {item.id: item.result for item in verify(sealed, known=Known(platform=online.told(sealed))).results}
    assert (results["KGL-01"], results["KGL-02"]) == ("pass", "pass")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "another")
    with pytest.raises(online.NotAsked, match="Kaggle does not accept the token"):
        online.told(sealed)
    with Stub() as elsewhere:
        monkeypatch.setenv("ASSAY_KAGGLE_ENDPOINT", elsewhere.endpoint)
        with pytest.raises(online.NotAsked, match=f"and the account here is at {elsewhere.endpoint}"):
            online.told(sealed)
        assert elsewhere.asked == []
    with pytest.raises(online.NotAsked, match="on a machine of its operator, so there is no platform to ask"):
        online.told(runs.ROOT / "submission_runs/demo_reasoning_v1")
    with pytest.raises(online.NotAsked, match="nothing cannot be read"):
        online.told(tmp_path / "nothing")


def test_cells_that_could_have_printed_anything_confirm_nothing(sealed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sealed, tmp_path / "tiny"))
    edit_text(reading.NOTEBOOK, 'step(\\"finish\\")', 'step(\\"finish\\"); print(open(\\"forged.log\\").read())')(
        folder
    )
    tamper.reseal(folder)
    found = next(item for item in verify(folder).results if item.id == "KGL-05")
    assert found.result == "not-run"
    assert "are not those of this version; read them" in found.reason


def test_one_outsider_is_enough_for_the_highest_level() -> None:
    """Of results alone: a bundle whose trainer is bound and replayed, and who else said the same."""
    levels = [CheckResult(f"X-{level}", "x", "", level, "pass", "", ()) for level in ("E0", "E1", "E2", "E3", "E4")]

    def reached(witness: str, notebook: str, log: str) -> str:
        asked = {"SIG-06": witness, "KGL-01": notebook, "KGL-02": log, "KGL-05": notebook}
        last = [CheckResult(id, "x", "", "E5", result, "", ()) for id, result in asked.items()]
        return _verdict((*levels, *last), "E5").level

    assert reached("pass", "not-run", "not-run") == reached("not-run", "pass", "pass") == "E5"
    assert reached("not-run", "not-run", "not-run") == reached("not-run", "pass", "not-run") == "E4"
    assert _verdict((*levels, CheckResult("SIG-06", "x", "", "E5", "pass", "", ()),
                     CheckResult("KGL-01", "x", "", "E5", "fail", "", (Finding("a", "b", "c", "d"),))), "E5").level == "E4"  # fmt: skip


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("quota spent", {"quota_spent": True}, "this week's TPU time is spent: 20.0 of 20.0 hours are used; the next week begins at 2026-12-05"),
    ("consent missing", {"consent_missing": True}, "Accept the model's licence on Kaggle with this account"),
    ("token revoked", {"revoked": True}, "this token is not valid any more"),
    ("a page of HTML", {"html": True}, "sent a page of HTML"),
]  # fmt: skip


@pytest.mark.parametrize(("switches", "sentence"), [item[1:] for item in REFUSED], ids=[item[0] for item in REFUSED])
def test_what_is_refused_is_said_and_nothing_is_pushed(
    stub: Stub, tmp_path: Path, switches: dict, sentence: str
) -> None:
    for name, value in switches.items():
        setattr(stub.on, name, value)
    run = asked(tmp_path, {**OVERRIDES, "device": "tpu"})
    assert run_job(run) == 2
    assert sentence in says(run)
    assert not stub.kernels


def test_without_an_account_it_says_what_to_do(stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    run = asked(tmp_path)
    assert run_job(run) == 2
    assert "put an access token into KAGGLE_API_TOKEN" in says(run)


def test_a_model_that_is_left_out_ends_the_watch(stub: Stub, tmp_path: Path) -> None:
    stub.on.model_left_out = True
    run = asked(tmp_path, {**OVERRIDES, "weights.source": "kaggle", "weights.handle": "google/gemma/transformers/2b/2"})
    assert run_job(run) == 1
    assert "did not attach google/gemma/transformers/2b/2: accept its licence" in says(run)
    assert stub.newest.request["modelDataSources"] == ["google/gemma/transformers/2b/2"]


def test_a_tpu_is_asked_for_by_its_name_and_a_busy_slot_is_waited_for(stub: Stub, tmp_path: Path) -> None:
    stub.on.slot_busy = True
    run = asked(tmp_path, {**OVERRIDES, "device": "tpu"})

    def act() -> None:
        runs.wait_for(lambda: (run / rundir.REMOTE).exists() and "Waits for Kaggle, which runs one such" in says(run))
        stub.on.slot_busy = False
        runs.wait_for(lambda: stub.kernels)
        stub.newest.end("ERROR", "Your notebook was stopped because it exceeded the allowed time")

    there = alongside(stub, act)
    assert run_job(run) == 1
    there.join()
    assert (stub.newest.request["machineShape"], stub.newest.request["enableTpu"]) == ("TpuV5E8", True)
    assert r"REQUIRE = \"tpu\"" in stub.newest.request["text"]
    assert "exceeded the allowed time" in says(run)
    assert "before the notebook could pack its run; what was heard until then is kept" in says(run)


def test_a_push_whose_answer_is_lost_is_found_again_and_not_repeated(stub: Stub, tmp_path: Path) -> None:
    stub.on.push_unanswered = True
    run = asked(tmp_path)
    there = alongside(stub, lends(stub, tmp_path))
    assert run_job(run) == 0
    there.join()
    assert len(stub.of("SaveKernel")) == 1


@pytest.mark.parametrize("trouble", [{"broken": 503}, {"html": True}], ids=["status 503", "HTML"])
def test_a_push_of_unknown_fate_is_made_again_only_where_it_was_not_taken(
    stub: Stub, tmp_path: Path, trouble: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first push comes to nothing, and nobody says so; of a notebook that does not exist, Kaggle says 403."""
    take, find, pushes = stub.SaveKernel, stub.GetKernel, []

    def first_in_vain(body: dict[str, Any]) -> Any:
        pushes.append(body["slug"])
        return (
            {"code": trouble["broken"]}
            if len(pushes) == 1 and "broken" in trouble
            else take(body)
            if len(pushes) > 1
            else []
        )

    def forbids(body: dict[str, Any]) -> Any:
        return find(body) if stub.kernels else {"code": 403, "message": "Permission 'kernels.get' was denied"}

    monkeypatch.setattr(stub, "SaveKernel", first_in_vain)
    monkeypatch.setattr(stub, "GetKernel", forbids)
    run = asked(tmp_path)
    there = alongside(stub, lends(stub, tmp_path))
    assert run_job(run) == 0
    there.join()
    assert pushes == [f"{USER}/assay-tiny-one"] * 2
    assert len(stub.kernels[pushes[0]]) == 1


def test_a_job_that_died_while_it_pushed_looks_before_it_pushes_however_long_that_takes(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, find, looks = asked(tmp_path), stub.GetKernel, []

    def in_trouble_at_first(body: dict[str, Any]) -> Any:
        looks.append(body)
        return {"code": 503} if len(looks) == 1 else find(body)

    monkeypatch.setattr(stub, "GetKernel", in_trouble_at_first)
    job.Job(run).keep(pushing=True)
    there = alongside(stub, lends(stub, tmp_path))
    assert run_job(run) == 0
    there.join()
    assert len(stub.of("SaveKernel")) == 1


def test_a_log_that_is_garbled_on_its_way_costs_nothing_that_the_session_left(stub: Stub, tmp_path: Path) -> None:
    """A line of the other stream within an event, and an event that is cut: no event is lost or heard out of place."""
    run = asked(tmp_path)
    heard = []

    def act() -> None:
        runs.wait_for(lambda: stub.kernels)
        version = stub.newest
        made = Session(tmp_path / "there", version)
        made.train()
        made.log()
        whole = list(version.log)
        first = next(at for at, piece in enumerate(whole) if piece["data"].startswith(":::EVID"))
        text = whole[first]["data"]
        cut = [{**whole[first], "data": text[:20]}, {"stream_name": "stderr", "time": 0.0, "data": "0.00s - a warning\n"},
               {**whole[first], "data": text[20:]}]  # fmt: skip
        bad = next(at for at, piece in enumerate(whole) if '"step":3,' in piece["data"])
        version.log = [
            *whole[:first],
            *cut,
            *whole[first + 1 : bad],
            {**whole[bad], "data": ":::EVID {\n"},
            *whole[bad + 1 :],
        ]
        version.status = "RUNNING"
        runs.wait_for(
            lambda: b'"step":2,' in runs.log_of(run) and job.Remote(**rundir.read_document(run / rundir.REMOTE)).heard
        )
        heard.append(runs.log_of(run))
        made.pack()
        version.end()

    there = alongside(stub, act)
    assert run_job(run) == 0
    there.join()
    assert b'"step":4,' not in heard[0]
    assert runs.log_of(run) == (rundir.came_back(run) / rundir.EVENTS).read_bytes()


def test_a_run_that_came_back_unfinished_goes_on_in_a_new_session(
    stub: Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first session fails on its way; of the second, only a few events are heard; the third ends the run."""
    monkeypatch.setattr(sys.modules[__name__], "OVERRIDES", {**OVERRIDES, "checkpoints.every_steps": 5})
    run = asked(tmp_path, OVERRIDES)
    made: list[Session] = []

    def first() -> None:
        runs.wait_for(lambda: stub.kernels)
        stub.newest.status = "RUNNING"
        made.append(Session(tmp_path / "there", stub.newest))
        made[0].train(fail_at=8)
        made[0].log()
        made[0].pack(lambda document: document["run"].update(state="failed", said="NonFiniteLoss: the loss became nan"))
        stub.newest.end()

    there = alongside(stub, first)
    assert run_job(run) == 1
    there.join()
    rundir.write_document(run / rundir.EXIT, {"exit_code": 1, "ended_at": "2099-01-01T00:00:00.000000Z"})
    attempts.check(run)
    came_back = runs.log_of(rundir.came_back(run))
    assert runs.log_of(run) == came_back

    def second() -> None:
        runs.wait_for(lambda: len(stub.kernels[KERNEL]) == 2)
        before, stub.newest.status = made[0].run, "RUNNING"
        assert runs.record(before, resume=True) == 0
        lines = (before / rundir.OUTPUT).read_text().splitlines()
        stub.newest.print(*lines[: next(at for at, line in enumerate(lines) if '"kind":"resumed"' in line) + 1])
        runs.wait_for(lambda: b'"kind":"resumed"' in runs.log_of(run))
        stub.newest.end("ERROR", "Your notebook was stopped because it exceeded the allowed time")

    there = alongside(stub, second)
    assert run_job(run) == 1
    there.join()
    assert r"RESUME = True" in stub.newest.request["text"]
    assert stub.newest.request["kernelDataSources"] == [KERNEL]
    assert runs.log_of(rundir.came_back(run)) == came_back
    attempts.check(run)
    stub.on.slot_busy = True  # it is refused a session, is stopped, and can still go on

    def third() -> None:
        runs.wait_for(lambda: "Waits for Kaggle, which runs one such" in says(run))
        assert not rundir.read_document(run / rundir.REMOTE)["version"]
        attempts.check(run)
        assert runs.log_of(run) == came_back
        stub.on.slot_busy = False
        runs.wait_for(lambda: len(stub.kernels[KERNEL]) == 3)
        stub.newest.status = "RUNNING"
        again = made[0]
        again.version = stub.newest
        again.log()
        again.pack()
        stub.newest.end()

    there = alongside(stub, third)
    assert run_job(run) == 0
    there.join()
    assert "RESUME = True" in stub.newest.request["text"]
    assert runs.log_of(run) == runs.log_of(made[0].run)
    rundir.write_document(run / rundir.EXIT, {"exit_code": 0, "ended_at": "2099-01-01T00:00:00.000000Z"})
    assert verify(bundle.seal(run, tmp_path / "sealed", "tiny")).failures == ()


@pytest.mark.parametrize("trouble", [{"away": True}, {"broken": 503}, {"retry_after": "0"}, {"html": True}],
                         ids=["away", "status 503", "429", "HTML"])  # fmt: skip
def test_a_session_outlasts_what_keeps_us_from_asking(stub: Stub, tmp_path: Path, trouble: dict[str, Any]) -> None:
    """Two days offline are two polls: the job asks on, and says so."""
    run = asked(tmp_path)
    heard = []

    def act() -> None:
        runs.wait_for(lambda: stub.kernels and rundir.read_document(run / rundir.REMOTE).get("version"))
        stub.newest.status = "RUNNING"
        for name, value in trouble.items():
            setattr(stub.on, name, value)
        runs.wait_for(lambda: "The session goes on there. Kaggle is asked again." in says(run))
        heard.append(says(run))
        for name in trouble:
            setattr(stub.on, name, type(getattr(stub.on, name))())
        lends(stub, tmp_path)()

    there = alongside(stub, act)
    assert run_job(run) == 0
    there.join()
    assert heard


def test_a_state_that_nobody_knows_is_quoted_and_watched_on(stub: Stub, tmp_path: Path) -> None:
    run = asked(tmp_path)

    def act() -> None:
        runs.wait_for(lambda: stub.kernels)
        stub.newest.status = "HIBERNATING"
        runs.wait_for(lambda: (run / rundir.REMOTE).exists() and "Kaggle says 'HIBERNATING', a state" in says(run))
        lends(stub, tmp_path)()

    there = alongside(stub, act)
    assert run_job(run) == 0
    there.join()


def test_the_output_of_an_earlier_version_is_not_taken_for_this_one(stub: Stub, tmp_path: Path) -> None:
    first = asked(tmp_path)
    there = alongside(stub, lends(stub, tmp_path))
    assert run_job(first) == 0
    there.join()
    stub.on.stale = True
    second = asked(tmp_path / "second")

    def act() -> None:
        runs.wait_for(
            lambda: (second / rundir.REMOTE).exists() and "still gives the output of an earlier one" in says(second)
        )
        stub.on.stale = False
        lends(stub, tmp_path / "second")()

    there = alongside(stub, act)
    assert run_job(second) == 0
    there.join()
    assert says(second).startswith("Ran at Kaggle: version 2")


def test_an_output_that_stays_that_of_another_run_is_refused(stub: Stub, tmp_path: Path) -> None:
    run = asked(tmp_path)

    def other(made: Session) -> None:
        made.pack(lambda document: document["run"].update(run_id="20260101-000000-000000"))

    there = alongside(stub, lends(stub, tmp_path, pack=other))
    assert run_job(run) == 1
    there.join()
    assert says(run) == "Kaggle says that the session is over, and gives the output of run 20260101-000000-000000"


def silent_cpu(document: dict[str, Any]) -> None:
    hardware = document["hardware"]
    hardware |= {"kind": "refused", "because": "a tpu was asked for, and this machine has 1 × cpu (platform cpu)"}
    document["run"] = {"kind": "no_run", "because": "this is not the machine that was asked for"}
    document["output"] = {"kind": "not_packed", "because": "this is not the machine that was asked for"}


BAD: list[tuple[str, Callable[[Session], None], int, str]] = [
    ("a cpu where a tpu was asked for", lambda it: it.pack(silent_cpu), 2, "DeviceError: a tpu was asked for, and this machine has 1"),
    ("another digest", lambda it: it.pack(lambda d: d["output"].update(sha256="ab" * 32)), 1, "and the session said abababababab"),
    ("a name that leads out", lambda it: it.pack(hostile="run/../../escaped"), 1, "cannot be unpacked"),
    ("an absolute name", lambda it: it.pack(hostile="/etc/escaped"), 1, "holds '/etc/escaped', which no session packs"),
    ("a session of another shape", lambda it: it.pack(lambda d: d.pop("source")), 1, "session.json is not what a session writes"),
    ("nothing at all", lambda _: None, 1, "the session ended and left no session.json"),
]  # fmt: skip


@pytest.mark.parametrize(("pack", "code", "sentence"), [item[1:] for item in BAD], ids=[item[0] for item in BAD])
def test_what_cannot_be_taken_in_is_said(
    stub: Stub, tmp_path: Path, pack: Callable[[Session], None], code: int, sentence: str
) -> None:
    run = asked(tmp_path)
    there = alongside(stub, lends(stub, tmp_path, pack=pack))
    assert run_job(run) == code
    there.join()
    assert sentence in says(run)
    assert not (run / rundir.PLATFORM / "run").exists()
    assert not list(tmp_path.rglob("escaped"))
    assert b'"kind":"step"' in (run / rundir.EVENTS).read_bytes()  # what was heard is kept


def test_states_that_the_platform_had_no_room_for_are_left_out_of_the_bundle_with_their_digests(
    stub: Stub, tmp_path: Path
) -> None:
    """As of Gemma 2B, whose state is larger than what Kaggle keeps of a session."""
    run = asked(tmp_path)

    def pack(made: Session) -> None:
        states = sorted(path for path in (made.run / "checkpoints").iterdir() if path.is_dir())
        left = [
            {"path": f"checkpoints/{path.name}", "bytes": 30 * 10**9, "because": "there was no room"} for path in states
        ]
        for path in states:
            shutil.rmtree(path)
        made.pack(lambda document: document["output"].update(left_out=left))

    there = alongside(stub, lends(stub, tmp_path, pack=pack))
    assert run_job(run) == 0
    there.join()
    place = bundle.seal(run, tmp_path / "sealed", "tiny")
    assert verify(place).failures == ()
    saved = reading.Bundle(place).manifest.checkpoints
    assert {(state.kind, getattr(state, "because", "")) for state in saved} == {("left_out", "there was no room")}
    assert [state.step for state in saved] == [0, 12]


def test_an_address_that_has_expired_is_asked_for_anew(stub: Stub, tmp_path: Path) -> None:
    run = asked(tmp_path)
    stub.on.expired = 2
    there = alongside(stub, lends(stub, tmp_path))
    assert run_job(run) == 0
    there.join()


def test_stopped_here_it_says_that_it_may_go_on_there_and_is_watched_again(
    tmp_path: Path, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Really stopped: the job is a process under a recorder, which is told to stop, and resumed."""
    run = asked(tmp_path)
    waits = threading.Event()

    def act() -> None:
        runs.wait_for(lambda: stub.kernels)
        waits.wait(60)
        lends(stub, tmp_path)()

    there = alongside(stub, act)
    script = (
        "import sys; from pathlib import Path; from backend.launchers.kaggle import job; from evidence import source_archive;"
        f"source_archive.pack = lambda: source_archive.Archive(b'x', {canonical.sha256(b'x')!r}, {'c0' * 20!r});"
        "sys.exit(job.Job(Path(sys.argv[1])).main())"
    )
    first = subprocess.Popen([sys.executable, "-c", script, str(run)], cwd=runs.ROOT, env=dict(os.environ))
    runs.wait_for(lambda: (run / rundir.REMOTE).exists() and says(run).startswith("Queued at Kaggle since"))
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 75
    assert says(run).startswith("Stop requested; quota may still be used until ")
    assert says(run).endswith(f"End it at {stub.host}/code/{USER}/assay-tiny-one, or resume this run to watch it on.")
    waits.set()
    assert run_job(run) == 0
    there.join()
    assert len(stub.of("SaveKernel")) == 1
    assert typed.read(session.Session, canonical.read(run / rundir.PLATFORM / session.DOCUMENT)).run.kind == "run"


def test_a_run_at_kaggle_keeps_no_device_of_this_machine_from_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run at a time goes to Kaggle, and one at a time uses the processor here."""
    environment = {"KAGGLE_API_TOKEN": TOKEN, "ASSAY_KAGGLE_ENDPOINT": "http://127.0.0.1:9", "ASSAY_KAGGLE_POLL": "0.1",
                   "KAGGLE_CONFIG_DIR": str(tmp_path)}  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with serving(make_settings(tmp_path)) as client:
        away, waits = (
            runs.new_run(tmp_path / "home" / "runs", {"device": "cpu"}, name=name, launcher="kaggle").name
            for name in ("away", "waits")
        )
        until(lambda: client.get("/runs").json()["total"], lambda total: total == 2)
        client.until(away, lambda item: "Kaggle cannot be reached" in item["reason"])
        client.until_state(client.launch(name="here"), "finished")
        shown = client.get(f"/runs/{waits}").json()
        assert (shown["state"], shown["queue_position"]) == ("queued", 1)
        assert re.fullmatch("Waits for Kaggle: away is (starting|running) on it.", shown["reason"])
        client.post(f"/runs/{waits}/stop")
        client.post(f"/runs/{away}/stop")
        assert client.until_state(away, "stopped")["reason"] == "Stopped before anything was pushed to Kaggle."
