"""A profiler's trace of a few steps, below ``profile/`` in the run folder.

TensorBoard opens the folder (``tensorboard --logdir RUN/profile``), Perfetto (https://ui.perfetto.dev) the file
``perfetto_trace.json.gz`` in it. The steps in it are named ``train`` with their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from evidence import rundir
from training.reporter import Reporter

WARM_UP_STEPS = 2
"""Steps of an attempt before the traced ones: the first ones also wait for what is done once."""


class Profile:
    """Traces ``steps`` of the steps from ``first`` to ``last`` (all of them, where there are no more); 0: none."""

    def __init__(self, run: Path, first: int, last: int, steps: int, reporter: Reporter) -> None:
        begin = max(first, min(first + WARM_UP_STEPS, last + 1 - steps))
        self._steps = range(begin, min(begin + steps, last + 1))
        self._folder, self._reporter, self._running = run / rundir.PROFILE, reporter, False

    @contextmanager
    def step(self, number: int, before: Any) -> Iterator[None]:
        """Around the dispatch of a step. ``before``: the state it begins with, which is to be there when it begins."""
        if number not in self._steps:
            yield
            return
        if not self._running:
            jax.block_until_ready(before)
            jax.profiler.start_trace(self._folder, create_perfetto_trace=True)
            self._running = True
        with jax.profiler.StepTraceAnnotation("train", step_num=number):
            yield

    def after(self, number: int, result: Any, *, end: bool = False) -> None:
        """Write the trace when ``number`` was its last step, or the last of all (``end``)."""
        if self._running and (end or number == self._steps[-1]):
            jax.block_until_ready(result)
            jax.profiler.stop_trace()
            self._running = False
            self._reporter.say(
                f"traced steps {self._steps[0]} to {number}; those took longer than others: {self._folder}"
            )
