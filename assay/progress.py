"""A run's progress in the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from evidence.status import ENDED

console = Console(highlight=False, soft_wrap=True)
errors = Console(highlight=False, soft_wrap=True, stderr=True)


class RunProgress:
    """A bar of steps with loss and exact match; a line each for phases and evaluations."""

    def __init__(self, steps: int) -> None:
        self._bar = Progress(
            TextColumn("{task.description:>12}"),
            BarColumn(40),
            MofNCompleteColumn(),
            TextColumn("{task.fields[facts]}"),
            TimeElapsedColumn(),
            console=console,
        )
        self._task: TaskID = self._bar.add_task("queued", total=steps, facts="")
        self._steps = steps

    def __enter__(self) -> RunProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def phase(self, name: str) -> None:
        self._bar.update(self._task, description=name)

    def step(self, step: int, loss: float, tokens_per_second: float | None) -> None:
        speed = f" · {tokens_per_second:,.0f} tok/s" if tokens_per_second else ""
        self._bar.update(self._task, completed=step, facts=f"loss {loss:.4f}{speed}")

    def say(self, text: str) -> None:
        self._bar.console.print(text)


def follow(stream: Iterable[tuple[str, dict[str, Any]]], run: dict[str, Any]) -> dict[str, Any]:
    """Show a run's stream until it has ended; its last summary."""
    summary = run
    with RunProgress(run["steps"]) as bar:
        for name, data in stream:
            if name == "events":
                for event in data["events"]:
                    if event["kind"] == "evaluation":
                        share, correct, items = event["exact_match"], event["correct"], event["items"]
                        bar.say(
                            f"  step {event['step']}: {share:.1%} exact match ({correct} of {items} held-out items)"
                        )
                    elif event["kind"] == "warning":
                        bar.say(f"  warning: {event['message']}")
            elif name == "summary" and data["id"] == run["id"]:
                summary = data
                bar.phase(data["phase"] if data["state"] == "running" and data["phase"] else data["state"])
                if data["loss"] is not None:
                    bar.step(data["step"], data["loss"], data["tokens_per_second"])
                if data["state"] in ENDED:
                    break
    return summary
