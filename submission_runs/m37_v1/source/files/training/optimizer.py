"""AdamW and Adafactor by optax, without the learning rate: the step multiplies by ``schedule.learning_rate`` itself,
so the rate that is used is the very number that is reported and recomputed."""

from __future__ import annotations

from typing import Any

import jax
import optax

from evidence.spec import OptimizerSpec, RunSpec
from training.gemma import ADAPTER_IN, ADAPTER_OUT


def transformation(spec: OptimizerSpec) -> optax.GradientTransformation:
    """Gradients → directions. Weight decay is for matrices; the norms' vectors are not decayed."""
    parts = []
    if spec.gradient_clip > 0:
        parts.append(optax.clip_by_global_norm(spec.gradient_clip))
    if spec.name == "adamw":
        parts.append(optax.scale_by_adam(b1=spec.beta1, b2=spec.beta2, eps=spec.epsilon))
    else:
        # Adafactor adds its epsilon to the squared gradient; updates are clipped to RMS 1 as in Shazeer & Stern 2018,
        # and are not scaled by the parameters' own RMS, because the learning rate of a config is absolute.
        parts.append(optax.scale_by_factored_rms(epsilon=spec.epsilon**2))
        parts.append(optax.clip_by_block_rms(1.0))
    if spec.weight_decay > 0:
        parts.append(optax.add_decayed_weights(spec.weight_decay, mask=_matrices))
    return optax.chain(*parts)


def trained(spec: RunSpec, params: Any) -> Any:
    """The part of ``params`` that the spec trains: all of it, or with LoRA the adapters alone (nested as they are)."""
    if not spec.lora.rank:
        return params
    kept = {}
    for name, value in params.items():
        if isinstance(value, dict):
            if inner := trained(spec, value):
                kept[name] = inner
        elif str(name).endswith((ADAPTER_IN, ADAPTER_OUT)):
            kept[name] = value
    return kept


def with_trained(params: Any, part: Any) -> Any:
    """``params`` with the leaves of ``part`` in their places."""
    if not isinstance(part, dict):
        return part
    return {name: with_trained(value, part[name]) if name in part else value for name, value in params.items()}


def _matrices(params: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
