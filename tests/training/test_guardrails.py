"""What Assay never does, as docs/guardrails.md lists it: each refusal in the page's own words, before anything is made."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata, util
from pathlib import Path
from typing import Any

import pytest

from evidence import canonical, config_file, events, rundir
from evidence.spec import GPU_PARAMETER_LIMIT, parameter_count, resolve
from evidence.verify import verify
from tests.evidence import tamper
from tests.guardrails import quoted
from tests.test_architecture import PYTHON, python_violations
from training import devices, packages, throughput

from .conftest import REPOSITORY, SMOKE, events_of, new_run, run_trainer, spec_with

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
SUBMISSION = REPOSITORY / "training/configs/submission_tpu.yaml"
ASSAY = "import sys; from assay.cli import main; code = main(sys.argv[1:])"
GPU = Path("/dev/nvidiactl").exists() and any(util.find_spec(f"jax_cuda{n}_plugin") for n in (12, 13))


def gemma_2b(root: Path) -> Path:
    """A run folder of the submission's config that takes whatever device there is."""
    document, text = config_file.load(SUBMISSION)
    spec, changed = resolve(document, {"device": "auto", "weights.source": "random", "tokenizer.kind": "byte"})
    return rundir.create(root, spec, config=str(SUBMISSION), config_text=text, overrides=changed)


def refused(run: Path, *kind: str, **environment: str) -> tuple[dict[str, Any], str]:
    """What stood in memory when ``run`` was refused, and the sentence."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.refused", str(run), *kind],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    (said,) = [line.removeprefix("error: ") for line in done.stderr.splitlines() if line.startswith("error: ")]
    return json.loads(done.stdout.splitlines()[-1]), said


# A model of a billion parameters or more never trains on a GPU.


@pytest.mark.parametrize("asked", ["auto", "gpu"])
def test_a_model_of_a_billion_parameters_never_trains_on_a_gpu(asked: str) -> None:
    assert "never train on a GPU" in devices.refuse(asked, "gpu", GPU_PARAMETER_LIMIT)
    assert devices.refuse(asked, "gpu", GPU_PARAMETER_LIMIT - 1) == ""


def test_asking_for_a_gpu_is_refused_before_jax_is_even_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"{ASSAY}; print(code, 'jax' in sys.modules)",
         "train", "submission_tpu", "--device", "gpu"],
        cwd=REPOSITORY, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.split() == ["2", "False"]
    assert quoted(done.stderr.removeprefix("Error: "))


def test_a_gpu_that_is_found_is_refused_before_anything_can_be_allocated_on_it(tmp_path: Path) -> None:
    run = gemma_2b(tmp_path)
    memory, said = refused(run, "gpu")
    assert memory == {"code": 2, "client_exists": False, "arrays": [0], "bytes": 0, "preallocates": "false"}
    assert quoted(said)
    assert not [event for event in events_of(run) if isinstance(event, events.Devices | events.Model)]


@pytest.mark.skipif(not GPU, reason="there is no GPU, or no jax for one")
def test_a_real_gpu_is_refused_with_nothing_allocated_on_it(tmp_path: Path) -> None:
    memory, said = refused(gemma_2b(tmp_path), JAX_PLATFORMS="")
    assert memory == {"code": 2, "client_exists": True, "arrays": [0], "bytes": 0, "preallocates": "false"}
    assert quoted(said)


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_large_models_may_train_elsewhere(platform: str) -> None:
    assert devices.refuse("auto", platform, 10 * GPU_PARAMETER_LIMIT) == ""


# Asking for a device means exactly that device; the smallest config trains on all of them.


@pytest.mark.parametrize(("asked", "platform"), [("tpu", "cpu"), ("gpu", "cpu"), ("cpu", "gpu"), ("gpu", "tpu")])
def test_another_device_than_the_one_asked_for_is_refused(asked: str, platform: str) -> None:
    said = devices.refuse(asked, platform, 1)
    assert f"device {asked} was asked for, but this machine offers {platform}" in said
    assert quoted(said) == ((asked, platform) == ("gpu", "cpu"))


@pytest.mark.skipif(not GPU, reason="there is no GPU, or no jax for one")
def test_the_smallest_config_trains_on_a_gpu_where_there_is_one(tmp_path: Path) -> None:
    document, text = config_file.load(SMOKE)
    spec, changed = resolve(document, {"device": "gpu"})
    run = rundir.create(tmp_path, spec, config=str(SMOKE), config_text=text, overrides=changed)
    done = run_trainer(run, JAX_PLATFORMS="")
    assert done.returncode == 0, done.stderr
    (found,) = [event for event in events_of(run) if isinstance(event, events.Devices)]
    assert found.platform == "gpu"


def test_the_smallest_config_fits_every_device() -> None:
    """tests/training/test_run.py trains it, on a CPU."""
    spec = config_file.load_spec(SMOKE)
    assert spec.device == "auto"
    assert [devices.refuse("auto", platform, parameter_count(spec.model)) for platform in ("cpu", "gpu", "tpu")] == [
        ""
    ] * 3


# transformers stays below five.


def install_transformers(version: str, folder: Path) -> Path:
    """``folder``, which Python takes for one with that transformers installed."""
    info = folder / f"transformers-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: transformers\nVersion: {version}\n")
    return folder


def wheel(version: str, folder: Path) -> None:
    """A transformers of that version which holds nothing."""
    info = f"transformers-{version}.dist-info"
    files = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: transformers\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}"
        for name, text in files.items()
    ]
    with zipfile.ZipFile(folder / f"transformers-{version}-py3-none-any.whl", "w") as archive:
        for name, text in {**files, f"{info}/RECORD": "\n".join([*record, f"{info}/RECORD,,"])}.items():
            archive.writestr(name, text)


def test_the_installed_and_the_locked_transformers_are_below_five() -> None:
    assert int(metadata.version("transformers").split(".")[0]) < 5
    (locked,) = [
        line
        for line in (REPOSITORY / "requirements.lock").read_text().splitlines()
        if line.startswith("transformers==")
    ]
    assert locked.startswith("transformers==4.")
    assert packages.refuse_transformers() == ""


@pytest.mark.parametrize(("offered", "taken"), [(["5.0.0"], ""), (["5.3.1"], ""), (["5.0.0", "4.57.6"], "4.57.6")])
def test_no_resolver_takes_a_transformers_of_five(tmp_path: Path, offered: list[str], taken: str) -> None:
    for version in offered:
        wheel(version, tmp_path)
    (wanted,) = [item for item in PROJECT["optional-dependencies"]["train"] if item.startswith("transformers")]
    done = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config", "--no-header", "--no-annotate",
         "--no-index", "--find-links", str(tmp_path), "-"],
        input=wanted, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.strip() == (f"transformers=={taken}" if taken else "")
    if not taken:
        assert done.returncode == 1
        assert f"you require {wanted}" in " ".join(done.stderr.split())


def test_a_transformers_of_five_is_refused_before_a_run_begins(tmp_path: Path) -> None:
    run = new_run(tmp_path / "runs", spec_with())
    five = install_transformers("5.0.0", tmp_path / "site")
    done = run_trainer(run, PYTHONPATH=os.pathsep.join([str(five), str(REPOSITORY)]))
    assert done.returncode == 2
    assert quoted(done.stderr.removeprefix("error: "))


# Only Gemma 1; no trainer in PyTorch; no null in the evidence.


@pytest.mark.parametrize("kind", ["gemma2", "gemma3"])
def test_weights_of_another_gemma_are_refused_with_no_array_made(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "gemma"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": kind}))
    memory, said = refused(new_run(tmp_path / "runs", spec_with(weights__source="folder", weights__path=str(folder))))
    assert (memory["code"], memory["arrays"]) == (2, [0, 0])
    assert quoted(said.replace(str(folder), "gemma").replace(kind, "gemma2"))


def test_no_trainer_is_written_in_pytorch(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("def train():\n    import torch\n")
    assert {"torch", "tensorflow"}.isdisjoint(PYTHON["training"][1])
    assert python_violations("training", [planted]) == ["planted.py imports torch"]
    locked = {line.partition("==")[0] for line in (REPOSITORY / "requirements.lock").read_text().splitlines()}
    assert "jax" in locked
    assert not {name for name in locked if name.startswith(("torch", "tensorflow"))}


@pytest.mark.parametrize("path", sorted((REPOSITORY / "docs/schemas").glob("*.json")), ids=lambda path: path.stem)
def test_no_schema_of_the_evidence_allows_a_null(path: Path) -> None:
    """tests/evidence/test_schemas.py holds what is sealed to them, field by field."""

    def types(node: Any) -> list[Any]:
        if isinstance(node, list):
            return [found for item in node for found in types(item)]
        if not isinstance(node, dict):
            return []
        mine = node.get("type", [])
        own = [mine] if isinstance(mine, str) else mine if isinstance(mine, list) else []
        values = [
            item for key in ("enum", "const") if key in node for item in (node[key] if key == "enum" else [node[key]])
        ]
        return [*own, *[item for item in values if item is None], *types(list(node.values()))]

    found = types(canonical.decode(path.read_bytes()))
    assert "object" in found
    assert "null" not in found
    assert None not in found


def test_a_null_in_a_bundle_is_found_and_takes_its_level(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(REPOSITORY / "submission_runs/demo_reasoning_v1", tmp_path / "b"))
    tamper.set_value("run_manifest.json", "timing.train_seconds", None)(folder)
    tamper.reseal(folder)
    verdict = verify(folder)
    (found,) = [result for result in verdict.results if result.id == "SCH-01"]
    assert [quoted(str(finding)) for finding in found.findings] == [True]
    assert verdict.level == ""


# The numbers that are told, and the configs that are shipped.


def test_an_unknown_device_kind_has_no_utilization() -> None:
    assert throughput.utilization("TPU v99", 8, 1e15, 1.0) is None
    assert throughput.utilization("cpu", 1, 1e15, 1.0) is None
    assert throughput.utilization("TPU v5 lite", 8, 8 * 197e12, 2.0) == pytest.approx(0.5)


@pytest.mark.parametrize("path", sorted((REPOSITORY / "training/configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_config_parses_and_says_what_to_expect(path: Path) -> None:
    spec = config_file.load_spec(path)
    assert spec.name == path.stem
    assert spec.description
    assert spec.expected_duration
    assert spec.expected_result
    head = path.read_text().splitlines()[:3]
    assert [line.split(":")[0] for line in head] == ["# Command", "# Duration", "# Result"]


def test_the_submission_config_is_gemma_2b() -> None:
    spec = config_file.load_spec(SUBMISSION)
    assert parameter_count(spec.model) == 2_506_172_416
    training = spec.training
    assert (spec.device, training.steps, training.batch_size, training.sequence_length) == ("tpu", 200, 8, 512)
