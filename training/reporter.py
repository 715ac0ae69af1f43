"""The run's voice: typed lines to ``events.jsonl``, the same lines and sentences for people to standard output."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns
from types import TracebackType
from typing import TypeAlias

from evidence import events, rundir
from evidence.spec import TrainingSpec

NANOSECONDS = 1_000_000_000

ShareOfPeak: TypeAlias = Callable[[float], float | None]


@dataclass(slots=True)  # not frozen: freezing would cost a microsecond a step
class StepFacts:
    """One optimizer step, fetched from the device. ``tokens`` counts padding; both counts are of this step alone.
    Memory is 0 where it is unknown."""

    step: int
    epoch: float
    loss: float
    grad_norm: float
    param_norm: float
    learning_rate: float
    batch_sha256: str
    tokens: int
    supervised_tokens: int
    device_memory_bytes: int = 0
    device_memory_peak_bytes: int = 0


class Reporter:
    """Writes events in order and keeps the chain of step rows. A context manager: it holds ``events.jsonl`` open.

    ``writes`` is false for all but the first of several processes: they only say to their own output what goes on.
    """

    def __init__(self, run: Path, training: TrainingSpec, *, writes: bool = True) -> None:
        self.chain = ""
        self.step = 0
        self._first = 0
        self._training = training
        self._stage = "loading"
        self._supervised_tokens = 0
        self._share_of_peak: ShareOfPeak = _unknown
        self._started = self._last = monotonic_ns()
        place = run / rundir.EVENTS if writes else Path(os.devnull)
        _drop_torn_line(place)
        self._file = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def emit(self, event: events.Event) -> None:
        """Append one line with a single write, so that no reader sees half of it, and echo it for a captured log."""
        self._append(events.encode(event))

    def _append(self, line: str, sentence: str = "") -> None:
        data = f"{line}\n".encode()
        while data:  # a full disk makes a short write
            data = data[os.write(self._file, data) :]
        sys.stdout.write(f"{events.LOG_MARK}{line}\n{sentence}")
        sys.stdout.flush()

    def say(self, sentence: str) -> None:
        print(sentence, flush=True)

    def phase(self, name: str) -> None:
        self._stage = name
        self.emit(events.Phase(time=events.now(), name=name))
        self.say(f"{name} …")

    def warn(self, code: str, message: str) -> None:
        self.emit(events.Warning(time=events.now(), code=code, message=message))
        self.say(f"warning: {message}")

    def start_chain(
        self, chain: str, step: int = 0, supervised_tokens: int = 0, share_of_peak: ShareOfPeak | None = None
    ) -> None:
        """What the next row is chained to, and the instant from which it is timed. ``step``: done before it.

        ``share_of_peak``: of a step that took so many seconds; None where the peak is unknown.
        """
        self._share_of_peak = share_of_peak or _unknown
        self.chain, self.step, self._first, self._supervised_tokens = chain, step, step, supervised_tokens
        self._started = self._last = monotonic_ns()

    def report(self, facts: StepFacts) -> None:
        """One step row, chained to the one before."""
        now = monotonic_ns()
        seconds = max(now - self._last, 1) / NANOSECONDS
        self._last, self.step = now, facts.step
        self._supervised_tokens += facts.supervised_tokens
        pace = facts.tokens / seconds
        self.chain, line = events.step_line(
            time=events.now(),
            step=facts.step,
            epoch=facts.epoch,
            loss=facts.loss,
            grad_norm=facts.grad_norm,
            param_norm=facts.param_norm,
            learning_rate=facts.learning_rate,
            examples=facts.step * self._training.batch_size,
            tokens=facts.step * facts.tokens,
            supervised_tokens=self._supervised_tokens,
            batch_sha256=facts.batch_sha256,
            step_seconds=seconds,
            monotonic_ns=now,
            prev=self.chain,
            tokens_per_second=pace,
            model_flops_utilization=self._share_of_peak(seconds) or 0.0,
            device_memory_bytes=facts.device_memory_bytes,
            device_memory_peak_bytes=facts.device_memory_peak_bytes,
        )
        left = self.train_seconds / self.steps_taken * (self._training.steps - facts.step)
        self._append(
            line,
            f"step {facts.step}/{self._training.steps} loss {facts.loss:.4f} lr {facts.learning_rate:.3e} "
            f"grad {facts.grad_norm:.3f} {pace:,.0f} tok/s ETA {_minutes(left)}\n",
        )

    def finished(self, outcome: str) -> None:
        self.emit(events.Finished(time=events.now(), outcome=outcome, step=self.step, train_seconds=self.train_seconds))
        self.say(f"{outcome} after step {self.step}")

    def failed(self, error: BaseException) -> None:
        message = " ".join(str(error).split()) or "no message was given"
        self.emit(
            events.Finished(
                time=events.now(),
                outcome="failed",
                step=self.step,
                train_seconds=self.train_seconds,
                stage=self._stage,
                error_type=type(error).__name__,
                error_message=message[:2000].encode("utf-8", "replace").decode(),
            )
        )

    @property
    def steps_taken(self) -> int:
        """By this attempt."""
        return self.step - self._first

    @property
    def train_seconds(self) -> float:
        """From the start of this attempt's first step to its last reported one."""
        return (self._last - self._started) / NANOSECONDS


def _unknown(_: float) -> None:
    """Of a device whose peak no table knows."""


def _drop_torn_line(path: Path) -> None:
    """Cut off half a line that an attempt left when it was killed; nobody reads a line before it is whole."""
    if rundir.has_torn_line(path):
        data = path.read_bytes()
        os.truncate(path, data.rfind(b"\n") + 1)


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
