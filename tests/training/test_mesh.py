"""Several devices compute what one computes."""

from __future__ import annotations

from pathlib import Path

import jax
import pytest

from evidence import events
from training import mesh
from training.errors import LayoutError

from .conftest import events_of, new_run, run_trainer, spec_with


@pytest.fixture(scope="module")
def losses_of_one_device(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    return losses(tmp_path_factory.mktemp("one"), 1, {})


def losses(root: Path, devices: int, settings: dict[str, str | int]) -> list[float]:
    run = new_run(root, spec_with(training__batch_size=16, **settings))
    ended = run_trainer(run, XLA_FLAGS=f"--xla_force_host_platform_device_count={devices}")
    assert ended.returncode == 0, ended.stderr
    found = events_of(run)
    assert next(event for event in found if isinstance(event, events.Devices)).devices_used == devices
    return [event.loss for event in found if isinstance(event, events.Step)]


@pytest.mark.parametrize("settings", [
    {"plan__layout": "fsdp", "training__gradient_accumulation": 2},
    {"plan__layout": "replicated", "plan__loss_chunk_tokens": 16},
], ids=["fsdp", "replicated"])
def test_eight_devices_lose_what_one_loses(
    tmp_path: Path, losses_of_one_device: list[float], settings: dict[str, str | int]
) -> None:
    assert losses(tmp_path, 8, settings) == pytest.approx(losses_of_one_device, rel=1e-4)


def test_a_batch_that_devices_cannot_share_is_refused() -> None:
    spec = spec_with(training__batch_size=12, training__gradient_accumulation=2)
    with pytest.raises(LayoutError, match=r"leaves 6 rows, which 4 devices cannot share evenly; make it a multiple of 8"):
        mesh.place(spec, jax.devices()[:1] * 4)


def test_a_width_that_devices_cannot_share_is_refused() -> None:
    spec = spec_with(training__batch_size=12, model__hidden_size=32)
    with pytest.raises(LayoutError, match=r"hidden_size 32 over 3 devices.*use plan\.layout replicated"):
        mesh.place(spec, jax.devices()[:1] * 3)
