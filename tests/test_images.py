"""Dockerfile, compose file and workflow name only what is there. Whether they follow their own rules, `make check` asks."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from importlib import metadata
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from assay import cli
from backend.security import OPEN_PATHS
from tests.runs import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
WORKFLOW_TEXT = (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
WORKFLOW = yaml.safe_load(WORKFLOW_TEXT)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
LOCKED = dict(re.findall(r"^([a-z0-9-]+)==(\S+)", LOCK, re.MULTILINE))
DELIVERED = ("cpu", "tpu")


def stages() -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Name of a stage: what it is built from, and its instructions; in order."""
    found: dict[str, tuple[str, list[tuple[str, str]]]] = {}
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE, flags=re.MULTILINE).replace("\\\n", " ")
    name = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\w+)", rest).groups()  # type: ignore[union-attr]
            found[name] = (base, [])
        else:
            found[name][1].append((instruction, rest.strip()))
    return found


STAGES = stages()


def inherited(name: str) -> list[tuple[str, str]]:
    """Every instruction that made the stage, those of the stages below it first."""
    base, own = STAGES[name]
    return [*(inherited(base) if base in STAGES else []), *own]


def last(name: str, instruction: str) -> str:
    return [rest for kind, rest in inherited(name) if kind == instruction][-1]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = {line.rstrip("/") for line in (ROOT / ".dockerignore").read_text().splitlines()}
    assert ".git" not in ignored, "a run's commit is evidence"
    known: list[str] = []
    for name, (_, instructions) in STAGES.items():
        for kind, rest in instructions:
            for stage in re.findall(r"\bfrom=(\w+)", rest):
                assert stage in known, f"{name} takes from {stage}, which is not built before it"
            if kind == "COPY" and not rest.startswith("--from="):
                for source in rest.split()[:-1]:
                    assert (ROOT / source).exists(), source
                    assert source not in ignored
        known.append(name)


def test_the_image_without_a_name_is_the_one_without_a_tpu() -> None:
    assert list(STAGES)[-1] == "cpu"
    assert STAGES["cpu"][0] == STAGES["tpu"][0] == "server"


@pytest.mark.parametrize("target", DELIVERED)
def test_an_image_runs_as_nobody_in_particular_and_says_how_it_is(target: str) -> None:
    user = last(target, "USER")
    assert user == "$UID"
    assert "ARG" in [kind for kind, _ in STAGES["server"][1]]
    assert re.search(r"^ARG UID=[1-9]\d*$", DOCKERFILE, re.MULTILINE)
    assert last(target, "EXPOSE") == "8000"
    probe = json.loads(last(target, "HEALTHCHECK").partition(" CMD ")[2])
    assert probe[:2] == ["python", "-c"]
    compile(probe[2], "HEALTHCHECK", "exec")
    (path,) = re.findall(r"http://127\.0\.0\.1:8000(/\w+)", probe[2])
    assert path in OPEN_PATHS, "it has to be asked without a token"


@pytest.mark.parametrize("target", DELIVERED)
def test_an_image_starts_a_command_that_exists(target: str) -> None:
    program, *words = json.loads(last(target, "CMD"))
    assert program in PROJECT["scripts"]
    cli._parser().parse_args(words)
    entry, *_ = json.loads(last(target, "ENTRYPOINT"))
    installed = [
        word for kind, rest in inherited(target) if kind == "RUN" and "apt-get install" in rest for word in rest.split()
    ]
    assert entry in installed
    assert "git" in installed


def test_every_package_is_locked_with_its_hash() -> None:
    installs = [
        rest
        for _, instructions in STAGES.values()
        for kind, rest in instructions
        if kind == "RUN" and "pip install" in rest
    ]
    extras = set(re.findall(r"--extra (\w+)", " ".join(installs)))
    assert extras == {"server", "train", "postgres", "tpu"}
    for command in re.split(r"&&", " ".join(installs)):
        if "pip install" in command:
            assert "--require-hashes" in command or "--no-deps --build-constraints requirements.lock -e ." in command
    wanted = [*PROJECT["dependencies"], *[item for extra in extras for item in PROJECT["optional-dependencies"][extra]]]
    for item in map(Requirement, wanted):
        assert item.specifier.contains(LOCKED[item.name]), item
    assert LOCK.count("--hash=sha256:") >= len(LOCKED)


def test_the_tpu_image_has_the_runtime_that_its_jax_asks_for() -> None:
    (jax,) = [Requirement(item) for item in PROJECT["optional-dependencies"]["tpu"]]
    assert (jax.name, jax.extras) == ("jax", {"tpu"})
    asked = [Requirement(item) for item in metadata.requires("jax") or [] if "extra == 'tpu'" in item.replace('"', "'")]
    names = {item.name: item for item in asked}
    assert "libtpu" in names
    for name, item in names.items():
        assert item.specifier.contains(LOCKED[name]), item
    assert jax.specifier.contains(LOCKED["jax"])


def test_the_installer_is_cut_out_of_the_lock_whole() -> None:
    (program,) = re.findall(r"sed -n '(\S+)' requirements\.lock", DOCKERFILE)
    cut = subprocess.run(["sed", "-n", program, str(ROOT / "requirements.lock")], capture_output=True, text=True).stdout
    lines = cut.splitlines()
    assert lines[0] == f"uv=={LOCKED['uv']} \\"
    assert len(lines) > 2
    assert all(line.startswith("    --hash=sha256:") for line in lines[1:])
    assert not lines[-1].endswith("\\")


def test_the_compose_file_builds_what_the_dockerfile_has_and_sets_what_the_readme_explains() -> None:
    told = set(re.findall(r"`(ASSAY_\w+)`", (ROOT / "README.md").read_text(encoding="utf-8")))
    for name, service in COMPOSE["services"].items():
        assert service["build"]["target"] in STAGES
        assert set(service["build"]["args"]) == {"UID"}
        assert set(service["environment"]) <= told
        assert service["image"] == f"assay:{service['build']['target']}"
        for port in service.get("ports", []):
            assert port == "127.0.0.1:8000:8000", f"{name} would be open to the network"
        if service.get("network_mode") == "host":
            assert service["environment"]["ASSAY_HOST"] == "127.0.0.1", f"{name} would be open to the network"
        for volume in service["volumes"]:
            source = volume.partition(":")[0]
            assert source in COMPOSE["volumes"] or (ROOT / source).is_dir()
    assert COMPOSE["services"]["tpu"]["profiles"] == ["tpu"]
    assert "profiles" not in COMPOSE["services"]["assay"]


def test_docker_reads_the_compose_file() -> None:
    if not shutil.which("docker"):
        pytest.skip("there is no docker")
    if subprocess.run(["docker", "compose", "version"], capture_output=True).returncode:
        pytest.skip("docker has no compose here")
    words = ["docker", "compose", "--profile", "tpu", "config", "--format", "json"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["services"]) == set(COMPOSE["services"])


def steps() -> list[tuple[str, dict[str, Any]]]:
    return [(name, step) for name, job in WORKFLOW["jobs"].items() for step in job["steps"]]


def test_the_workflow_may_only_read_and_pins_what_it_uses() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not [name for name, job in WORKFLOW["jobs"].items() if "permissions" in job]
    for name, job in WORKFLOW["jobs"].items():
        assert job["timeout-minutes"] <= 45, name
    used = [line.strip() for line in WORKFLOW_TEXT.splitlines() if "uses:" in line]
    assert used
    for line in used:
        assert re.fullmatch(r"- uses: [\w-]+/[\w-]+@[0-9a-f]{40} # v[\d.]+", line), line
    for name, step in steps():
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False, name


def test_the_workflow_calls_what_a_person_types() -> None:
    called: dict[str, list[str]] = {}
    for name, step in steps():
        if "run" in step:
            called.setdefault(name, []).append(step["run"].strip())
    for commands in called.values():
        for command in commands:
            program, *words = shlex.split(command)
            if program == "make":
                assert re.search(rf"^{words[0]}:", MAKEFILE, re.MULTILINE), command
            elif program == "bash":
                assert (ROOT / words[0]).is_file(), command
            else:
                assert program in ("docker", "echo"), command
    assert called["guardrails"] == ["make guardrails"]
    assert called["gate"][-1] == "bash .ci/run"
    assert called["postgres"] == ["make test-postgres"]
    assert WORKFLOW["jobs"]["images"]["strategy"]["matrix"]["target"] == list(DELIVERED)
    for command in called["images"]:
        if " assay " in command and "docker compose up" not in command:
            cli._parser().parse_args(shlex.split(command.rpartition(" assay ")[2]))


def test_the_makefile_names_tests_that_exist() -> None:
    (named,) = re.findall(r"^GUARDRAIL_TESTS := (.*)$", MAKEFILE, re.MULTILINE)
    assert named.split()
    for path in named.split():
        assert (ROOT / path).is_file(), path
