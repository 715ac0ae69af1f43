"""What a preflight says of one run: which of its plans is the run's, and its memory beside what the run compiled."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from evidence.events import Program
from evidence.hardware import GIB, TPUS
from evidence.plan import choose
from evidence.preflight import DoesNotFit, Fits, Refused, Report, program_settings
from evidence.spec import RunSpec
from evidence.typed import Text

_VARIED = ("training.batch_size", "training.gradient_accumulation")
"""Besides the plan: what a preflight may vary while it looks for one that fits."""


@dataclass(frozen=True)
class Compared:
    """Bytes on one device: foretold without it, and compiled on it; both the compiler's own."""

    kind: Literal["compared"]
    foretold_arguments: int
    compiled_arguments: int
    foretold_peak: int
    compiled_peak: int

    @property
    def difference(self) -> int:
        """Bytes that the run needs more than was foretold."""
        return self.compiled_peak - self.foretold_peak


@dataclass(frozen=True)
class NotCompared:
    kind: Literal["not_compared"]
    because: Text


def attempt_of(report: Report, spec: RunSpec) -> Fits | DoesNotFit | None:
    """The attempt that compiled (or could not compile) the very step of ``spec``; None where the report has none."""
    wanted = program_settings(spec)
    if _fixed(wanted) != _fixed(report.program):
        return None
    tpu = TPUS.get(report.target.device_kind)
    # What the spec leaves open is chosen by the rule that the trainer follows on that device.
    plan = asdict(choose(spec, report.target.devices, tpu.memory_bytes if tpu else 0))
    step = (plan, *(wanted[name] for name in _VARIED))
    for item in report.plans:
        if not isinstance(item, Refused) and (item.plan, item.batch_size, item.gradient_accumulation) == step:
            return item
    return None


def peak_bytes(attempt: Fits | DoesNotFit) -> int:
    """What the step needs on one device, by the compiler; 0 where it refused without saying."""
    return attempt.memory.peak if isinstance(attempt, Fits) else attempt.needed_bytes


def limit_bytes(attempt: Fits | DoesNotFit) -> int:
    return attempt.memory.limit if isinstance(attempt, Fits) else attempt.limit_bytes


def sentence(report: Report, attempt: Fits | DoesNotFit) -> str:
    """What the preflight says of the run whose step ``attempt`` is."""
    where = f"{report.target.name} ({report.target.devices} × {report.target.device_kind})"
    if isinstance(attempt, Fits):
        return f"Fits on {where}: {size(attempt.memory.peak)} of {size(attempt.memory.limit)} on each device."
    needed = f"needs {size(attempt.needed_bytes)} on a device that" if attempt.needed_bytes else "a device"
    return f"Does not fit on {where}: {needed} has {size(attempt.limit_bytes)}."


def compare(report: Report, spec: RunSpec, device_kind: str, devices: int, program: Program) -> Compared | NotCompared:
    """The memory that ``report`` foretold beside what the run of ``spec`` compiled on ``devices`` × ``device_kind``."""
    target = report.target
    if (device_kind, devices) != (target.device_kind, target.devices):
        foretold = f"{target.devices} × {target.device_kind}"
        return NotCompared("not_compared", f"foretold for {foretold}, run on {devices} × {device_kind}")
    attempt = attempt_of(report, spec)
    if not isinstance(attempt, Fits):
        return NotCompared("not_compared", "the preflight has no memory for this step, since it does not fit")
    if attempt.plan != program.plan:
        return NotCompared("not_compared", "the preflight compiled another plan than the run chose")
    memory = attempt.memory
    return Compared(
        kind="compared",
        foretold_arguments=memory.parameters + memory.optimizer + memory.other_arguments,
        compiled_arguments=program.argument_bytes,
        foretold_peak=memory.peak,
        compiled_peak=program.peak_bytes,
    )


def comparison_sentence(compared: Compared | NotCompared) -> str:
    if isinstance(compared, NotCompared):
        return f"Not compared with the run's own memory: {compared.because}."
    if not compared.difference:
        return f"The run compiled the same on it, {size(compared.compiled_peak)}."
    word = "more" if compared.difference > 0 else "less"
    return f"The run compiled {size(compared.compiled_peak)} on it, {size(abs(compared.difference))} {word}."


def size(count: int) -> str:
    """5.32 GiB, 12.40 MiB: two digits behind the point, in the largest unit that fits."""
    for unit, one in (("GiB", GIB), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= one / 10:
            return f"{count / one:.2f} {unit}"
    return f"{count} B"


def _fixed(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if not name.startswith("plan.") and name not in _VARIED}
