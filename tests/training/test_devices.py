"""What is told of a device, and what its compiler is told."""

from __future__ import annotations

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

from training import devices
from training.step import COMPILER_OPTIONS


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("cuda 13000", "cuda 13000"),
        ("PJRT C API\nTFRT TPU v5 lite\nBuilt today", "PJRT C API, TFRT TPU v5 lite, Built today"),
    ],
)
def test_a_runtime_is_told_whole_in_one_line(version: str, told: str) -> None:
    assert devices.runtime(SimpleNamespace(client=SimpleNamespace(platform_version=version))) == told


def test_every_compiler_knows_the_options_for_a_gpu_and_takes_their_values() -> None:
    """They are parsed the same wherever: a value that is none fails here as it does on a GPU."""
    lowered = jax.jit(jnp.sin).lower(jnp.zeros(3))
    assert lowered.compile(compiler_options=COMPILER_OPTIONS["gpu"])(jnp.zeros(3)).shape == (3,)
