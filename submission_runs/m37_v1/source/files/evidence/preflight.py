"""A preflight: what the TPU's own compiler says of a run's step before the run, without a TPU.

``preflights/<id>/`` is the folder of a job (evidence/job_folder.py) that is asked with a Request and leaves a Report.

Peak memory is the compiler's own. Times are estimates and never a speed: a step takes at least the larger of compute
and communication and, if nothing overlaps, their sum.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

from evidence import canonical
from evidence.hardware import Topology
from evidence.spec import RunSpec
from evidence.typed import Count, Natural, NotNegative, Positive, Sha256, Text, Utc

SCHEMA: Final = "assay/preflight@1"
REPORT = "report.json"

COMPUTE_METHOD: Final = (
    "estimate: the compiler's estimated_cycles of every instruction × the trip counts of the loops around it ÷ the "
    "device's clock; collectives carry no cycles, so it is a floor"
)
COMMUNICATION_METHOD: Final = (
    "estimate: the bytes one device receives in all collectives × trip counts ÷ what the slowest device can receive "
    "from its neighbours"
)
INTERVAL_METHOD: Final = "a step lies between the larger of compute and communication (all overlapped) and their sum"
PROGRAM_SETTINGS: Final = ("model", "plan", "optimizer", "lora")
"""Sections of a spec that decide its step; of ``training`` the settings in PROGRAM_TRAINING do."""
PROGRAM_TRAINING: Final = ("batch_size", "sequence_length", "gradient_accumulation", "compute_dtype")


@dataclass(frozen=True)
class Request:
    """``search``: compile the sensible plans and keep the fastest that fits, instead of the spec's own plan alone.
    ``largest``: also find the largest batch that fits. ``spec`` is a whole effective spec."""

    config: str
    topology: str
    spec: dict[str, Any]
    search: bool = False
    largest: bool = False


@dataclass(frozen=True)
class Memory:
    """Bytes on one device, by the compiler. ``peak`` is what must fit ``limit``. ``parameters``, ``optimizer`` and
    ``other_arguments`` (batch, learning rate) are resident before the step; ``temporaries`` is the rest of the peak:
    activations, gradients, gathered weights, and what the compiler adds."""

    peak: Count
    limit: Count
    parameters: Count
    optimizer: Natural
    other_arguments: Natural
    temporaries: Natural
    program_code: Natural


@dataclass(frozen=True)
class Estimate:
    """Seconds of one step; see the methods in the report."""

    kind: Literal["estimated"]
    compute_seconds: NotNegative
    communication_seconds: NotNegative
    step_seconds_at_least: NotNegative
    step_seconds_at_most: NotNegative
    model_flops_utilization_at_most: NotNegative


@dataclass(frozen=True)
class NoEstimate:
    kind: Literal["not_estimated"]
    because: Text


@dataclass(frozen=True)
class Fits:
    """A plan whose step compiles. ``received_bytes``: by kind of collective, what one device receives in a step."""

    kind: Literal["fits"]
    plan: dict[str, bool | int | str]
    batch_size: Count
    gradient_accumulation: Count
    memory: Memory
    estimate: Estimate | NoEstimate
    model_flops_per_step: Positive
    compiler_flops_per_step: NotNegative
    received_bytes: list[Received]
    program_sha256: Sha256
    compile_seconds: NotNegative


@dataclass(frozen=True)
class Received:
    collective: Text
    bytes: Natural
    count: Count


@dataclass(frozen=True)
class DoesNotFit:
    """``message`` is the compiler's own; ``needed_bytes`` what it says the step needs on one device (0: not said)."""

    kind: Literal["does_not_fit"]
    plan: dict[str, bool | int | str]
    batch_size: Count
    gradient_accumulation: Count
    needed_bytes: Natural
    limit_bytes: Count
    message: str
    compile_seconds: NotNegative


@dataclass(frozen=True)
class Refused:
    """A plan that this topology cannot carry (a width it cannot divide); nothing was compiled."""

    kind: Literal["refused"]
    plan: dict[str, bool | int | str]
    batch_size: Count
    gradient_accumulation: Count
    message: str


@dataclass(frozen=True)
class LargestBatch:
    """``batch_size`` fits and ``too_large`` does not (0: no larger one was tried), with the chosen plan."""

    kind: Literal["found"]
    batch_size: Natural
    too_large: Natural
    peak: Natural


@dataclass(frozen=True)
class NotAsked:
    kind: Literal["not_asked"]


@dataclass(frozen=True)
class Target:
    name: Text
    device_kind: Text
    devices: Count
    memory_bytes: Count
    peak_flops: Positive
    clock_hz: NotNegative
    received_bytes_per_second: Positive


@dataclass(frozen=True)
class Report:
    """``plans`` are all that were tried, in order; ``chosen`` is the index of the one that a run should use (the
    fastest that fits, or the asked one). ``advice``: what would make a step fit that does not, each one compiled. Prose
    here is no ``Text``: it may say ``remat=none``, which elsewhere is a placeholder."""

    schema: Literal["assay/preflight@1"]
    key: Sha256
    config: str
    created_at: Utc
    seconds: NotNegative
    fits: bool
    verdict: str
    program: dict[str, bool | int | float | str]
    target: Target
    versions: dict[str, Text]
    plans: list[Fits | DoesNotFit | Refused]
    chosen: Natural
    advice: list[str]
    largest: LargestBatch | NotAsked
    compute_method: Text
    communication_method: Text
    interval_method: Text


def program_settings(spec: RunSpec) -> dict[str, Any]:
    """The settings of ``spec`` that decide its compiled step, by dotted key."""
    document = spec.as_dict()
    sections: dict[str, Any] = {name: document[name] for name in PROGRAM_SETTINGS}
    sections["training"] = {name: document["training"][name] for name in PROGRAM_TRAINING}
    sections["data"] = {"packing": document["data"]["packing"]}
    return {f"{section}.{name}": value for section, values in sections.items() for name, value in values.items()}


SOURCES: Final = {
    "training": (
        "gemma.py", "loss.py", "mesh.py", "optimizer.py", "step.py", "preflight.py", "hlo.py", "topology.py",
        "throughput.py", "devices.py",
    ),
    "evidence": ("plan.py", "hardware.py", "preflight.py"),
}  # fmt: skip
"""Modules that make the step, or that read and judge what the compiler says of it."""
COMPILER_VARIABLES: Final = ("XLA_FLAGS", "LIBTPU_INIT_ARGS")


@cache
def source_sha256() -> str:
    """Digest of the code that makes the step: a report of other code is no answer for this one."""
    root = Path(__file__).parent.parent
    files = [root / folder / name for folder, names in SOURCES.items() for name in names]
    return canonical.digest([canonical.sha256_file(path) for path in files if path.is_file()])


def _without_host_devices(flags: str) -> str:
    """Compiler flags but the one that splits the host's CPU into devices, which no other compiler reads."""
    return " ".join(flag for flag in flags.split() if not flag.startswith("--xla_force_host_platform_device_count"))


def key(spec: RunSpec, topology: Topology, versions: dict[str, str], *, search: bool, largest: bool) -> str:
    """What two equal preflights share: the step's settings and code, the topology, the compiler, and what was asked."""
    compiler = {name: _without_host_devices(os.environ.get(name, "")) for name in COMPILER_VARIABLES}
    asked = {"search": search, "largest": largest, "source": source_sha256(), "environment": compiler}
    return canonical.digest(
        {"program": program_settings(spec), "topology": topology.name, "versions": versions, **asked}
    )
