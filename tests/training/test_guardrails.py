from __future__ import annotations

import tomllib
from importlib import metadata

import pytest

from evidence import config_file
from evidence.spec import GPU_PARAMETER_LIMIT, parameter_count
from training import devices, throughput

from .conftest import REPOSITORY


@pytest.mark.parametrize("asked", ["auto", "gpu"])
def test_a_model_of_a_billion_parameters_never_trains_on_a_gpu(asked: str) -> None:
    assert "never train on a GPU" in devices.refuse(asked, "gpu", GPU_PARAMETER_LIMIT)
    assert devices.refuse(asked, "gpu", GPU_PARAMETER_LIMIT - 1) == ""


@pytest.mark.parametrize("platform", ["cpu", "tpu"])
def test_large_models_may_train_elsewhere(platform: str) -> None:
    assert devices.refuse("auto", platform, 10 * GPU_PARAMETER_LIMIT) == ""


@pytest.mark.parametrize(("asked", "platform"), [("tpu", "cpu"), ("gpu", "cpu"), ("cpu", "gpu"), ("gpu", "tpu")])
def test_another_device_than_the_one_asked_for_is_refused(asked: str, platform: str) -> None:
    assert f"device {asked} was asked for, but this machine offers {platform}" in devices.refuse(asked, platform, 1)


def test_transformers_stays_below_five() -> None:
    assert int(metadata.version("transformers").split(".")[0]) < 5
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert "transformers<5" in project["optional-dependencies"]["train"]


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
    spec = config_file.load_spec(REPOSITORY / "training/configs/submission_tpu.yaml")
    assert parameter_count(spec.model) == 2_506_172_416
    training = spec.training
    assert (spec.device, training.steps, training.batch_size, training.sequence_length) == ("tpu", 200, 8, 512)
