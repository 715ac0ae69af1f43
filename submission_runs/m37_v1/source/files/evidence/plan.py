"""``plan: auto``: the plan by rule, a pure function, so that a verifier makes the same choice."""

from __future__ import annotations

from dataclasses import replace

from evidence.spec import PlanSpec, RunSpec, adapter_count, parameter_count

SMALL_MODEL_BYTES = 256 * 2**20
"""Parameters and optimizer state up to this size are kept whole on each device: there is nothing to save."""
TENSOR_TOKENS = 20_000
"""Tokens per step and model up to which gathering activations moves fewer bytes than gathering weights."""
LOGITS_BYTES = 512 * 2**20
"""Float32 logits that may exist at once on a device."""
SHARE = 0.85
"""Share of a device's memory that the rule fills; what it cannot foresee needs the rest."""


def choose(spec: RunSpec, devices: int, memory_bytes: int) -> PlanSpec:
    """``spec.plan`` with every ``auto`` replaced. ``memory_bytes`` is one device's; 0 (unknown): plenty."""
    plan = spec.plan
    if plan.layout == "auto":
        plan = replace(plan, layout=_layout(spec, devices))
    if plan.layers == "auto":
        plan = replace(plan, layers="unrolled" if spec.model.num_hidden_layers <= 48 else "scanned")
    if not plan.loss_chunk_tokens:
        tokens = max(1, _micro_tokens(spec) // devices)
        rows = max(1, LOGITS_BYTES // (4 * spec.model.vocab_size))
        plan = replace(plan, loss_chunk_tokens=min(tokens, rows))
    if plan.remat == "auto":
        room = SHARE * memory_bytes if memory_bytes else float("inf")
        settled = (replace(plan, remat=name) for name in ("none", "attention", "mlp"))
        fitting = (choice for choice in settled if resident_bytes(spec, choice, devices) <= room)
        plan = next(fitting, replace(plan, remat="layer"))
    return plan


def resident_bytes(spec: RunSpec, plan: PlanSpec, devices: int) -> float:
    """Roughly what a step of a settled plan holds on one device: state, gradients, saved activations, logits."""
    model, width = spec.model, 2 if spec.training.compute_dtype == "bfloat16" else 4
    shards = devices if plan.layout != "replicated" else 1
    state = (_state_bytes(spec) + width * parameter_count(model)) / shards
    tokens = _micro_tokens(spec) / devices
    heads = model.num_attention_heads + 2 * model.num_key_value_heads
    attention = (heads + model.num_attention_heads) * model.head_dim * width
    scores = model.num_attention_heads * spec.training.sequence_length * (4 + width)
    mlp = 2 * model.intermediate_size * width
    residual = 3 * model.hidden_size * width
    gathered = model.hidden_size * width * devices if plan.layout == "tensor" else 0
    saved = {
        "none": residual + attention + scores + mlp + gathered,
        "attention": residual + attention + mlp + gathered,
        "mlp": residual + attention,
        "layer": residual / 3,
    }
    layer = saved["none"] if plan.remat != "none" else 0
    activations = tokens * (model.num_hidden_layers * saved[plan.remat] + layer)
    logits = 2 * plan.loss_chunk_tokens * model.vocab_size * 4
    return state + activations + logits


def _layout(spec: RunSpec, devices: int) -> str:
    model = spec.model
    if devices == 1 or _state_bytes(spec) <= SMALL_MODEL_BYTES or model.hidden_size % devices:
        return "replicated"
    divided = model.intermediate_size % devices == 0
    return "tensor" if divided and _micro_tokens(spec) <= TENSOR_TOKENS else "fsdp"


def _state_bytes(spec: RunSpec) -> float:
    """Float32 parameters, and two moments (AdamW) or next to nothing (Adafactor) for those that are trained."""
    trained = adapter_count(spec.model, spec.lora) if spec.lora.rank else parameter_count(spec.model)
    moments = 8 if spec.optimizer.name == "adamw" else 0
    return 4 * parameter_count(spec.model) + (4 * trained if spec.lora.rank else 0) + moments * trained


def _micro_tokens(spec: RunSpec) -> int:
    training = spec.training
    return training.batch_size * training.sequence_length // training.gradient_accumulation
