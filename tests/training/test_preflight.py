"""The real TPU compiler, on steps small enough for a test: what fits, what does not, and what is said of either."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evidence import canonical, config_file, job_folder, preflight, rundir, typed
from evidence.hardware import TOPOLOGIES
from evidence.preflight import DoesNotFit, Estimate, Fits, NoEstimate, NotAsked, Report, Request
from evidence.spec import PlanSpec, resolve
from training.preflight import largest_batch

from .conftest import REPOSITORY, SMOKE, TINY

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"), reason="there is no TPU compiler for this machine"
)

HUGE = {
    "model.hidden_size": 8192,
    "model.intermediate_size": 65536,
    "model.num_attention_heads": 8,
    "training.batch_size": 8,
    "plan.layout": "replicated",
}
"""Two layers of 3.4 billion parameters: 54 GB with their optimizer, whole on each device."""


def ask(folder: Path, topology: str = "v5e-8", search: bool = False, largest: bool = False, **settings: Any) -> Path:
    dotted = {name.replace("__", "."): value for name, value in settings.items()}
    spec, _ = resolve(config_file.load(SMOKE)[0], {**TINY, "device": "tpu", **dotted})
    folder.mkdir()
    request = Request("smoke_tiny.yaml", topology, spec.as_dict(), search, largest)
    rundir.write_document(folder / job_folder.REQUEST, typed.write(request))
    return folder


def job(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "training.preflight", str(folder)],
        cwd=REPOSITORY, env={**os.environ, **environment}, capture_output=True, text=True, timeout=280,
    )  # fmt: skip


def report_of(folder: Path) -> Report:
    return typed.read(Report, canonical.read(folder / preflight.REPORT))  # type: ignore[no-any-return]


def test_a_step_that_fits_is_measured_by_the_compiler(tmp_path: Path) -> None:
    folder = ask(tmp_path / "fits", search=True, model__vocab_size=512)
    ended = job(folder)
    assert ended.returncode == 0, ended.stderr
    report = report_of(folder)
    assert report.fits
    assert report.verdict.startswith("Fits: batch 8 × 40 on v5e-8 peaks at ")
    assert [plan.plan["layout"] for plan in report.plans] == ["replicated", "tensor", "fsdp"]
    best = report.plans[report.chosen]
    assert isinstance(best, Fits)
    for plan in report.plans:
        assert isinstance(plan, Fits)
        assert isinstance(plan.estimate, Estimate)
        assert plan.estimate.step_seconds_at_most >= best.estimate.step_seconds_at_most  # type: ignore[union-attr]
        memory = plan.memory
        assert memory.peak == memory.parameters + memory.optimizer + memory.other_arguments + memory.temporaries
        assert 0 < memory.peak < memory.limit == int(15.75 * 2**30)
        assert plan.received_bytes
    said = [canonical.decode(line) for line in (folder / job_folder.PROGRESS).read_text().splitlines()]
    assert said[-1]["doing"] == report.verdict
    assert said[-1]["done"] == said[-1]["total"] == 3


def test_a_step_that_does_not_fit_is_refused_in_the_compilers_words_with_what_would_fit(tmp_path: Path) -> None:
    folder = ask(tmp_path / "huge", **{name.replace(".", "__"): value for name, value in HUGE.items()})
    ended = job(folder)
    assert ended.returncode == 0, ended.stderr
    report = report_of(folder)
    assert not report.fits
    only = report.plans[report.chosen]
    assert isinstance(only, DoesNotFit)
    assert "Ran out of memory" in only.message
    assert only.needed_bytes > only.limit_bytes
    assert report.verdict.startswith("Does not fit: batch 8 × 40 on v5e-8 needs ")
    assert len(report.advice) == 1
    assert "plan.layout=" in report.advice[0]
    assert "makes it fit: " in report.advice[0]


class Straight:
    """A bench whose memory is a straight line in the batch, bent where the compiler begins to save."""

    def __init__(self, own: int, a_row: int, bend: int = 10**9) -> None:
        self.spec, self.limit = SPEC, 10_000
        self.topology = TOPOLOGIES["v5e-8"]
        self.diary = SimpleNamespace(say=lambda _: None)
        self.peak = lambda batch: own + a_row * min(batch, bend) + a_row // 2 * max(0, batch - bend)
        self.compiled: list[int] = []

    def compile(self, plan: PlanSpec, batch_size: int = 8) -> Fits | DoesNotFit:
        self.compiled.append(batch_size)
        facts: Any = {"plan": asdict(plan), "batch_size": batch_size, "gradient_accumulation": 1}
        peak = self.peak(batch_size)
        if peak > self.limit:
            return DoesNotFit(
                "does_not_fit", **facts, needed_bytes=peak, limit_bytes=self.limit, message="", compile_seconds=1.0
            )
        memory = preflight.Memory(peak, self.limit, 1, 1, 1, peak - 3, 0)
        nothing = preflight.NoEstimate("not_estimated", "a line has no clock")
        return Fits("fits", **facts, memory=memory, estimate=nothing, model_flops_per_step=1.0, compiler_flops_per_step=1.0,
                    received_bytes=[], program_sha256="a", compile_seconds=1.0)  # fmt: skip


SPEC = resolve(config_file.load(SMOKE)[0], {**TINY, "device": "tpu"})[0]


@pytest.mark.parametrize(
    ("own", "a_row", "bend", "largest"),
    [
        (1_000, 50, 10**9, 176),  # 180 rows, of which the devices share 176
        (1_000, 50, 64, 296),
        (4_000, 700, 10**9, 8),  # the next 8 rows are too many
        (9_990, 100, 10**9, 0),  # not even the asked batch
        (1, 1, 10**9, 9_992),
    ],
)
def test_the_largest_batch_is_the_last_that_fits(own: int, a_row: int, bend: int, largest: int) -> None:
    bench: Any = Straight(own, a_row, bend)
    settled = PlanSpec(layout="fsdp", remat="none", layers="unrolled", loss_chunk_tokens=1)
    found = largest_batch(bench, bench.compile(settled, 8))
    assert found.batch_size == largest
    assert found.too_large == largest + 8
    assert found.peak == (bench.peak(largest) if largest else 0)
    assert len(bench.compiled) <= 8


def test_a_loop_of_the_real_compiler_counts_as_often_as_it_turns() -> None:
    """Two loops that differ in their length alone: the difference is that many bodies, to the cycle."""
    script = """
from training import hlo, topology
topology.prepare_environment()
import jax, jax.numpy as jnp
from jax.sharding import SingleDeviceSharding
place = SingleDeviceSharding(topology.devices(topology.find("v5e-8"))[0])
def cycles(turns):
    step = jax.jit(lambda x, w: jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, w)[0],
                   in_shardings=place, out_shardings=place)
    shapes = [jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in ((512, 1024), (turns, 1024, 1024))]
    return hlo.cost(hlo.parse(step.lower(*shapes).compile().as_text()), 1).cycles
print(*(cycles(turns) for turns in (7, 8, 23)))
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stderr
    seven, eight, twenty_three = map(int, ended.stdout.split())
    assert twenty_three - eight == 15 * (eight - seven)
    matmul_at_full_speed = 2 * 512 * 1024 * 1024 / (4 * 128 * 128 * 2)  # v5e has four units of 128 × 128
    assert matmul_at_full_speed <= eight - seven < 4 * matmul_at_full_speed


def test_a_compiler_that_lacks_an_option_compiles_without_it() -> None:
    script = """
from training import topology
topology.prepare_environment()
import jax, jax.numpy as jnp
from jax.sharding import SingleDeviceSharding
from training.step import compile_lowered
place = SingleDeviceSharding(topology.devices(topology.find("v5e-8"))[0])
step = jax.jit(lambda x: x + 1, in_shardings=place, out_shardings=place)
print(compile_lowered(step.lower(jax.ShapeDtypeStruct((8, 128), jnp.float32)), {"xla_of_tomorrow": "1"}).as_text())
"""
    ended = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 0, ended.stderr
    assert "No such compile option: 'xla_of_tomorrow'" in ended.stdout
    assert "ENTRY" in ended.stdout


def test_a_device_whose_clock_is_unknown_gets_no_times(tmp_path: Path) -> None:
    folder = ask(tmp_path / "v6e", topology="v6e-8")
    assert job(folder).returncode == 0
    (plan,) = report_of(folder).plans
    assert isinstance(plan, Fits)
    assert isinstance(plan.estimate, NoEstimate)
    assert "clock of a TPU v6 lite is not known" in plan.estimate.because


def test_a_batch_the_topology_cannot_share_is_refused_before_anything_compiles(tmp_path: Path) -> None:
    folder = ask(tmp_path / "odd", largest=True, training__batch_size=12)
    assert job(folder).returncode == 0
    report = report_of(folder)
    assert not report.fits
    assert report.verdict.startswith("Cannot be laid out: training.batch_size 12")
    assert not report.advice  # nothing was too large
    assert report.largest == NotAsked(kind="not_asked")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"topology": "v9-8"}, f"topology must be one of {', '.join(TOPOLOGIES)}, got 'v9-8'"),
        ({"spec": {"name": "x"}}, "model is missing"),
    ],
)
def test_a_request_that_cannot_be_met_leaves_its_reason(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    folder = ask(tmp_path / "bad")
    request = canonical.read(folder / job_folder.REQUEST)
    rundir.write_document(folder / job_folder.REQUEST, {**request, **change})
    assert job(folder).returncode == 2
    assert sentence in canonical.read(folder / job_folder.ERROR)["message"]
    assert not (folder / preflight.REPORT).exists()
