"""Arithmetic of a step, and what share of the hardware's peak it uses."""

from __future__ import annotations

from evidence.hardware import tpu_peak_flops
from evidence.spec import RunSpec, adapter_count


def model_flops_per_step(spec: RunSpec) -> float:
    """6 × matrix parameters × tokens, plus attention (scores and mixing, forward and backward, unmasked).

    The embedding counts once, as the output matrix: looking a row up is no arithmetic. With LoRA a frozen matrix counts
    4 × (forward, and backward to its input) and an adapter 6 ×; what is recomputed never counts.
    """
    model, training = spec.model, spec.training
    attention = model.hidden_size * model.head_dim * 2 * (model.num_attention_heads + model.num_key_value_heads)
    matrices = model.num_hidden_layers * (attention + 3 * model.hidden_size * model.intermediate_size)
    matrices += model.vocab_size * model.hidden_size
    tokens = training.batch_size * training.sequence_length
    mixing = 12 * model.num_hidden_layers * model.num_attention_heads * model.head_dim * training.sequence_length
    adapters = adapter_count(model, spec.lora)
    return float(((4 if adapters else 6) * matrices + 6 * adapters + mixing) * tokens)


def utilization(device_kind: str, devices: int, flops_per_step: float, step_seconds: float) -> float | None:
    """Model FLOP/s as a share of the devices' peak; None for a kind whose peak is not known."""
    peak = tpu_peak_flops(device_kind)
    return flops_per_step / step_seconds / (peak * devices) if peak else None
