"""plan: auto is a rule that anybody can repeat, and that never leaves anything open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evidence import config_file
from evidence.plan import choose
from evidence.spec import PlanSpec, RunSpec, resolve

CONFIGS = Path(__file__).parents[2] / "training/configs"
V5E = 16 * 2**30


def spec_of(config: str, **settings: Any) -> RunSpec:
    dotted = {key.replace("__", "."): value for key, value in settings.items()}
    return resolve(config_file.load(CONFIGS / f"{config}.yaml")[0], dotted)[0]


@pytest.mark.parametrize(
    ("settings", "devices", "memory", "layout", "remat"),
    [
        ({}, 8, V5E, "tensor", "none"),  # few tokens: gathering them moves less than gathering weights
        ({"training__batch_size": 64}, 8, V5E, "fsdp", "none"),
        ({"training__batch_size": 128}, 8, V5E, "fsdp", "mlp"),
        ({"training__batch_size": 512}, 8, V5E, "fsdp", "layer"),
        ({"training__batch_size": 64, "training__gradient_accumulation": 8}, 8, V5E, "tensor", "none"),
        ({}, 1, 0, "replicated", "none"),
        ({"model__hidden_size": 2050}, 8, V5E, "replicated", "layer"),
    ],
)
def test_the_rule_for_gemma(settings: dict[str, Any], devices: int, memory: int, layout: str, remat: str) -> None:
    plan = choose(spec_of("submission_tpu", **settings), devices, memory)
    assert (plan.layout, plan.remat) == (layout, remat)
    assert plan.layers == "unrolled"
    assert plan.loss_chunk_tokens * 256_000 * 4 <= 512 * 2**20


def test_a_small_model_is_kept_whole_on_each_device() -> None:
    assert choose(spec_of("smoke_tiny"), 8, 0).layout == "replicated"


def test_what_was_asked_for_is_never_changed() -> None:
    asked = PlanSpec(layout="fsdp", remat="layer", layers="scanned", loss_chunk_tokens=7)
    settings = {f"plan__{name}": getattr(asked, name) for name in ("layout", "remat", "layers", "loss_chunk_tokens")}
    for devices in (1, 8):
        assert choose(spec_of("submission_tpu", **settings), devices, V5E) == asked
