"""The learning rate as a pure function of the step: what the trainer uses is what a verifier recomputes."""

from __future__ import annotations

import math

from evidence.spec import OptimizerSpec


def learning_rate(optimizer: OptimizerSpec, steps: int, step: int) -> float:
    """Learning rate of optimizer step ``step`` (1 … ``steps``): linear warm-up to the peak, then the decay.

    Warm-up step k of w has peak·k/w; the decay runs from the peak at step w (or 1) to peak·ratio at the last step.
    """
    peak, warmup = optimizer.learning_rate, optimizer.warmup_steps
    if step <= warmup:
        return peak * step / warmup
    if optimizer.schedule == "constant":
        return peak
    start = max(warmup, 1)
    progress = (step - start) / max(1, steps - start)
    ratio = optimizer.final_learning_rate_ratio
    if optimizer.schedule == "linear":
        return peak * (1 - (1 - ratio) * progress)
    return peak * (ratio + (1 - ratio) * (1 + math.cos(math.pi * progress)) / 2)
