"""Preflights over HTTP: one job at a time, an answer known is not compiled again, and a restart loses nothing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from evidence import events, job_folder, preflight, preflight_folder, rundir
from evidence.hardware import TOPOLOGIES
from evidence.preflight import Request
from evidence.preflight_comparison import Compared, NotCompared, attempt_of, compare
from evidence.processes import identity
from evidence.spec import parse
from tests.backend.client import Client, serving, until
from tests.backend.conftest import TINY, make_settings
from tests.preflight_job import NO_LIBTPU, Job

SPEC: dict[str, Any] = yaml.safe_load(TINY)
GOING_ON = ("queued", "running")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Where servers work; jobs that are still going on at the end are killed."""
    yield tmp_path
    for folder in job_folder.folders(tmp_path / "home" / "preflights"):
        preflight_folder.KIND.cancel(folder)


@pytest.fixture
def server(place: Path) -> Iterator[Client]:
    with serving(make_settings(place)) as client:
        yield client


def ask(client: Client, status: int = 201, **request: Any) -> dict[str, Any]:
    response = client.post("/preflights", json={"config": "tiny", "topology": "v5e-8", **request})
    assert response.status_code == status, response.text
    found: dict[str, Any] = response.json()
    assert response.headers["Location"] == f"/preflights/{found['id']}"
    return found


def named(name: str) -> dict[str, Any]:
    """A request whose job goes as the stand-in's specs of this name do."""
    return {"config": None, "spec": {**SPEC, "name": name}}


def ended(client: Client, id: str) -> dict[str, Any]:
    return until(lambda: show(client, id), lambda item: item["state"] not in GOING_ON)


def show(client: Client, id: str) -> dict[str, Any]:
    return client.get(f"/preflights/{id}").raise_for_status().json()  # type: ignore[no-any-return]


def test_a_preflight_says_whether_the_run_fits(server: Client) -> None:
    asked = ask(server, overrides={"training.steps": 7})
    assert (asked["cached"], asked["config"], asked["topology"], asked["batch_size"]) == (
        False,
        "tiny.yaml",
        "v5e-8",
        4,
    )
    done = ended(server, asked["id"])
    assert (done["state"], done["fits"], done["reason"]) == ("done", True, "")
    assert done["verdict"] == done["report"]["verdict"]
    assert done["verdict"].startswith("Fits on v5e-8")
    assert done["peak_bytes"] == done["report"]["plans"][0]["memory"]["peak"] <= done["limit_bytes"]
    assert done["spec"]["training"]["steps"] == 7
    assert done["started_at"] <= done["ended_at"]
    assert done["progress"]["total"] == 1
    raw = server.get(f"/preflights/{asked['id']}/report.json", headers={"Accept": "text/html"})
    assert raw.json() == done["report"]
    assert "compiling" in server.get(f"/preflights/{asked['id']}/log").json()["text"]


def test_what_does_not_fit_comes_with_the_compilers_message_and_with_advice(server: Client) -> None:
    too_much = {"model.vocab_size": 256_000, "training.batch_size": 2**17}
    done = ended(server, ask(server, overrides=too_much)["id"])
    assert (done["state"], done["fits"]) == ("done", False)
    [attempt] = done["report"]["plans"]
    assert attempt["message"].startswith("RESOURCE_EXHAUSTED: XLA:TPU compile permanent error.")
    assert done["peak_bytes"] == attempt["needed_bytes"] > done["limit_bytes"]
    assert done["report"]["advice"]


def test_a_search_tries_plans_and_the_largest_batch_is_found(server: Client) -> None:
    report = ended(server, ask(server, search=True, largest=True)["id"])["report"]
    assert len(report["plans"]) > 2
    assert report["plans"][report["chosen"]]["kind"] == "fits"
    assert report["largest"]["batch_size"] < report["largest"]["too_large"]


def test_an_equal_one_is_answered_from_what_is_known(server: Client) -> None:
    first = ask(server)["id"]
    assert ended(server, first)["cached"] is False
    again = ask(server, 200, overrides={"training.steps": 9, "name": "other"})  # the step is the same
    assert (again["id"], again["cached"], again["state"]) == (first, True, "done")
    for other in ({"topology": "v3-8"}, {"search": True}, {"overrides": {"training.batch_size": 8}}, {"fresh": True}):
        assert ended(server, ask(server, **other)["id"])["id"] != first
    assert [item["id"] for item in server.get("/preflights").json()["preflights"]][-1] == first


def test_an_answer_of_another_compiler_is_not_reused(server: Client, place: Path) -> None:
    first = ended(server, ask(server)["id"])
    path = place / "home" / "preflights" / first["id"] / preflight.REPORT
    older = {**first["report"]["versions"], "numpy": "1.0"}
    key = preflight.key(parse(first["spec"]), TOPOLOGIES["v5e-8"], older, search=False, largest=False)
    rundir.write_document(path, {**first["report"], "versions": older, "key": key})
    assert ask(server)["id"] != first["id"]


def test_one_that_is_going_on_is_joined(server: Client) -> None:
    first = ask(server, **named("slow"))
    assert ask(server, 200, **named("slow"))["id"] == first["id"]


def test_one_runs_at_a_time_and_a_cancelled_one_makes_room(server: Client) -> None:
    slow = ask(server, **named("slow"))["id"]
    until(lambda: show(server, slow), lambda item: item["progress"] and "fsdp" in item["progress"]["doing"])
    next_, last = ask(server, topology="v5e-4")["id"], ask(server, topology="v3-8")["id"]
    assert [show(server, id)["queue_position"] for id in (slow, next_, last)] == [None, 1, 2]
    back = server.post(f"/preflights/{last}/cancel")
    assert (back.status_code, back.json()["state"], back.json()["started_at"]) == (200, "cancelled", None)
    assert show(server, next_)["state"] == "queued"
    assert server.post(f"/preflights/{slow}/cancel").json()["state"] == "cancelled"
    assert ended(server, next_)["state"] == "done"
    assert show(server, last)["state"] == "cancelled"


def test_a_cancelled_job_is_killed_with_its_children(server: Client, place: Path) -> None:
    slow = ask(server, **named("slow"))["id"]
    launch = place / "home" / "preflights" / slow / "launch.json"
    until(launch.exists, bool)
    process = yaml.safe_load(launch.read_text())["process"]
    server.post(f"/preflights/{slow}/cancel").raise_for_status()
    until(lambda: identity(process["pid"]) != process, bool)


@pytest.mark.parametrize("name", ["tiny", "broken"])
def test_one_that_has_ended_cannot_be_cancelled(server: Client, name: str) -> None:
    id = ask(server, **named(name))["id"]
    state = ended(server, id)["state"]
    response = server.post(f"/preflights/{id}/cancel")
    assert response.status_code == 409
    assert response.json()["detail"] == f"preflight {id} is {state} already; there is nothing to cancel"


def test_a_machine_without_the_compiler_says_what_to_install(server: Client) -> None:
    failed = ended(server, ask(server, **named("broken"))["id"])
    assert (failed["state"], failed["reason"], failed["report"]) == ("failed", NO_LIBTPU, None)
    assert ask(server, **named("broken"))["id"] != failed["id"]  # once it is installed, asking again helps


def test_a_job_that_dies_without_a_word_is_failed_with_what_is_known(server: Client) -> None:
    id = ask(server, **named("crash"))["id"]
    failed = until(lambda: show(server, id), lambda item: "SIGABRT" in item["reason"])
    assert failed["state"] == "failed"
    assert "bad_alloc" in server.get(f"/preflights/{id}/log").json()["text"]


def test_a_restart_goes_on_with_what_was_asked(place: Path) -> None:
    with serving(make_settings(place)) as client:
        slow, waiting = ask(client, **named("slow"))["id"], ask(client, topology="v3-8")["id"]
        until(lambda: show(client, slow), lambda item: item["state"] == "running")
    launch = place / "home" / "preflights" / slow / "launch.json"
    with serving(make_settings(place)) as client:
        assert [show(client, id)["state"] for id in (slow, waiting)] == ["running", "queued"]
        os.kill(yaml.safe_load(launch.read_text())["process"]["pid"], signal.SIGKILL)
        lost = ended(client, slow)
        assert lost["state"] == "failed"
        assert "killed by SIGKILL" in lost["reason"] or "left no report" in lost["reason"]
        assert ended(client, waiting)["state"] == "done"


def test_a_job_that_cannot_be_started_is_failed_and_the_next_one_goes_on(place: Path) -> None:
    command = (str(place / "nothing"),)
    with serving(make_settings(place, preflight_command=command)) as client:
        first, second = ask(client)["id"], ask(client, topology="v3-8")["id"]
        for id in (first, second):
            assert ended(client, id)["reason"] == "The preflight could not be started: No such file or directory."


def test_the_job_does_not_get_the_servers_secrets(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_TOKEN", "a-secret")
    tell = (sys.executable, "-c", "import os; print(sorted(os.environ))")
    with serving(make_settings(place, preflight_command=tell)) as client:
        id = ask(client)["id"]
        ended(client, id)
        said = client.get(f"/preflights/{id}/log").json()["text"]
    assert "'PATH'" in said
    assert "ASSAY_TOKEN" not in said


@pytest.mark.parametrize(
    ("request_", "field", "message"),
    [
        ({}, "topology", "topology is missing"),
        ({"topology": "v5e-8"}, "config", "give either config"),
        ({"config": "gone", "topology": "v5e-8"}, "config", "one of the shipped configs (tiny), got 'gone'"),
        ({"config": "tiny", "topology": "v9-8"}, "topology", "topology must be one of v2-8, v3-8, v3-32, v4-8, v5e-4"),
        ({"config": "tiny", "topology": "v5e-8", "overrides": {"training.steps": 0}}, "training.steps", "at least 1"),
        ({"spec": {}, "topology": "v5e-8"}, "name", "is missing"),
        ({"config": "tiny", "topology": "v5e-8", "colour": 1}, "colour", "there is no such field"),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(
    quiet: Client, request_: dict[str, Any], field: str, message: str
) -> None:
    response = quiet.post("/preflights", json=request_)
    assert response.status_code == 422
    assert message in {item["field"]: item["message"] for item in response.json()["errors"]}[field]
    assert quiet.get("/preflights").json()["total"] == 0


def test_data_and_weights_need_not_be_there(server: Client) -> None:
    gone = {"data.train_path": "gone.jsonl", "weights.source": "folder", "weights.path": "gone"}
    assert ended(server, ask(server, overrides=gone)["id"])["fits"]


@pytest.mark.parametrize("path", ["x", "20260101-000000-000000", "20260101-000000-000000/log", "x/report.json"])
def test_an_unknown_preflight_is_not_found(quiet: Client, path: str) -> None:
    assert quiet.get(f"/preflights/{path}").status_code == 404


def test_the_list_tells_the_topologies_there_are(quiet: Client) -> None:
    choices = {item["name"]: item for item in quiet.get("/preflights").json()["topologies"]}
    assert choices["v5e-8"] == {"name": "v5e-8", "device_kind": "TPU v5 lite", "devices": 8, "memory_bytes": 16 * 2**30}


def test_a_folder_that_is_broken_hides_no_other(server: Client, place: Path) -> None:
    id = ended(server, ask(server)["id"])["id"]
    broken = place / "home" / "preflights" / "20260101-000000-000000"
    broken.mkdir()
    (broken / job_folder.REQUEST).write_text("{}")
    assert [item["id"] for item in server.get("/preflights").json()["preflights"]] == [id]
    assert ask(server, 200)["id"] == id


def test_a_run_keeps_the_newest_preflight_of_its_step_and_shows_it(server: Client, place: Path) -> None:
    id = ended(server, ask(server)["id"])["id"]
    report = place / "home" / "preflights" / id / preflight.REPORT
    run = server.launch(overrides={"training.steps": 5})
    assert (place / "home" / "runs" / run / "preflight.json").read_bytes() == report.read_bytes()
    told = server.until_state(run, "finished")["preflight"]
    assert (told["id"], told["topology"], told["fits"]) == (id, "v5e-8", True)
    assert told["sentence"].startswith("Fits on v5e-8 (8 × TPU v5 lite): ")
    assert told["compared"] is None
    assert told["not_compared_because"] == "foretold for 8 × TPU v5 lite, run on 1 × cpu"
    other = server.launch(overrides={"training.batch_size": 8})
    assert server.until_state(other, "finished")["preflight"] is None


def test_a_run_with_the_plan_that_a_search_chose_shows_that_plan(server: Client) -> None:
    too_much = {"model.vocab_size": 256_000, "model.hidden_size": 8192, "training.batch_size": 8}
    report = ended(server, ask(server, search=True, overrides=too_much)["id"])["report"]
    chosen = report["plans"][report["chosen"]]
    plan = {f"plan.{name}": value for name, value in chosen["plan"].items()}
    run = server.launch(overrides={**too_much, **plan})
    told = server.get(f"/runs/{run}").json()["preflight"]
    assert told["peak_bytes"] == chosen["memory"]["peak"]


def test_a_run_on_the_device_that_was_foretold_is_compared_with_it(place: Path) -> None:
    spec = parse(SPEC)
    folder = job_folder.create(place, Request("tiny", "v5e-8", spec.as_dict()))
    assert Job(folder, 0.0).run() == 0
    report = preflight_folder.read_report(folder / preflight.REPORT)
    attempt = attempt_of(report, spec)
    assert isinstance(attempt, preflight.Fits)
    arguments = attempt.memory.parameters + attempt.memory.optimizer + attempt.memory.other_arguments
    program = events.Program(
        time=events.now(), program_sha256="a", lowered_for="tpu", plan=attempt.plan, compile_seconds=1.0, model_flops_per_step=1.0,
        compiler_flops_per_step=1.0, argument_bytes=arguments, output_bytes=arguments, alias_bytes=arguments,
        temporary_bytes=attempt.memory.temporaries, peak_bytes=attempt.memory.peak + 1000,
    )  # fmt: skip
    compared = compare(report, spec, "TPU v5 lite", 8, program)
    assert isinstance(compared, Compared)
    assert compared.compiled_arguments == compared.foretold_arguments
    assert compared.difference == 1000
    assert isinstance(compare(report, spec, "TPU v5 lite", 4, program), NotCompared)
    assert isinstance(compare(report, spec, "TPU v3", 8, program), NotCompared)
