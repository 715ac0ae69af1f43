"""``python -m benchmarks.storage_trainer STEPS PAUSE RUN``: a trainer whose steps take no time but to be reported.

It writes what a trainer writes for each step, by the trainer's own reporter, and leaves the durations of its log calls
in ``calls.bin`` of the run's folder. With ``acknowledged`` there, it counts the calls that returned in it.
"""

from __future__ import annotations

import mmap
import struct
import sys
import time
from array import array
from pathlib import Path

from evidence.spec import TrainingSpec
from training.reporter import Reporter, StepFacts


def main(steps: int, pause: float, run: Path) -> None:
    took = array("q")
    counter = None
    if (run / "acknowledged").exists():
        with (run / "acknowledged").open("r+b") as file:
            counter = mmap.mmap(file.fileno(), 8)
    with Reporter(run, TrainingSpec(steps=steps, batch_size=8, sequence_length=64)) as reporter:
        reporter.start_chain("0" * 64)
        for step in range(1, steps + 1):
            facts = StepFacts(
                step=step, epoch=step / 10, loss=1.234567 / step, grad_norm=2.3 + step / 1e6, param_norm=3.4,
                learning_rate=1e-3 * step, batch_sha256=f"{step:064x}", tokens=512, supervised_tokens=100,
            )  # fmt: skip
            before = time.perf_counter_ns()
            reporter.report(facts)
            took.append(time.perf_counter_ns() - before)
            if counter:
                counter[:] = struct.pack("q", step)
            if pause:
                time.sleep(pause)
        (run / "calls.bin").write_bytes(took.tobytes())
        reporter.finished("completed")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))
