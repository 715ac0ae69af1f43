"""The loop keeps the device busy: a step is dispatched before the one before it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.profile import Profile
from training.reporter import Reporter, StepFacts
from training.resume import Start
from training.train import Loop
from training.weights import random

from .conftest import new_run


class NoEvaluator:
    def run(self, *_: object) -> None: ...


class Never:
    def before(self, _: int) -> bool:
        return False


def test_a_step_is_dispatched_before_the_one_before_it_is_reported(tiny: Any, tmp_path: Path) -> None:
    trainer, program, encoded, _ = tiny
    order: list[tuple[str, int]] = []

    def dispatched(*arguments: Any) -> Any:
        order.append(("dispatch", sum(word == "dispatch" for word, _ in order) + 1))
        return program(*arguments)

    class Listening(Reporter):
        def report(self, facts: StepFacts) -> None:
            order.append(("report", facts.step))
            super().report(facts)

    run = new_run(tmp_path, trainer.spec)
    with Listening(run, trainer.spec.training) as reporter:
        reporter.start_chain("ab" * 32)
        loop = Loop(run, run, trainer.spec, trainer, dispatched, NoEvaluator(), encoded, reporter)  # type: ignore[arg-type]
        start = Start(trainer.start(random(trainer)))
        assert loop.run(start, Never(), Profile(run, 1, 6, 0, reporter))  # type: ignore[arg-type]
    assert order == [
        ("dispatch", 1), ("dispatch", 2), ("report", 1), ("dispatch", 3), ("report", 2), ("dispatch", 4), ("report", 3),
        ("dispatch", 5), ("report", 4), ("dispatch", 6), ("report", 5), ("report", 6),
    ]  # fmt: skip
