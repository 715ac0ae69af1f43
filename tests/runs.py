"""Runs for tests: a small config, a run folder, a recorded run of the stand-in trainer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evidence import job_folder, memory, preflight, rundir
from evidence.spec import resolve
from evidence.status import killed

ROOT = Path(__file__).resolve().parent.parent
STAND_IN = [sys.executable, "-m", "tests.stand_in"]

CONFIG: dict[str, Any] = {
    "name": "tiny",
    "model": {
        "vocab_size": 259, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
    },
    "data": {"train_path": "training/data/reasoning_train.jsonl"},
    "training": {"steps": 30, "batch_size": 8, "sequence_length": 32},
    "optimizer": {"learning_rate": 0.001, "warmup_steps": 3},
}  # fmt: skip

KILLED = killed({"signal": "SIGKILL", "out_of_memory_kills": memory.since(memory.kills())})
"""What is said of a trainer that a test kills; not every kernel tells whether it did it itself."""


def config_text(config: dict[str, Any]) -> str:
    import yaml

    return str(yaml.safe_dump(config, sort_keys=False))


def new_run(root: Path, overrides: dict[str, Any] | None = None, **options: Any) -> Path:
    """A queued run folder of CONFIG."""
    spec, changed = resolve(CONFIG, overrides or {})
    return rundir.create(root, spec, config="tiny.yaml", config_text=config_text(CONFIG), overrides=changed, **options)


def wait_for(what: Callable[[], object], seconds: float = 60) -> None:
    """Look until it is so; fail when it takes longer than any machine should need."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.01)


def log_of(run: Path) -> bytes:
    path = run / rundir.EVENTS
    return path.read_bytes() if path.exists() else b""


def record(run: Path, command: list[str] | None = None, *, resume: bool = False) -> int:
    """Run the stand-in trainer (or ``command``) under the recorder, to its end."""
    words = command or [*STAND_IN, str(run)]
    how = ["--resume"] if resume else []
    return subprocess.run(
        [sys.executable, "-m", "evidence", "record", *how, str(run), "--", *words], cwd=ROOT
    ).returncode


def kill_trainer(run: Path, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to the run's trainer, and wait until its recorder has written down how that ended."""
    wait_for((run / rundir.PROCESS).exists)
    os.kill(int(rundir.read_document(run / rundir.PROCESS)["pid"]), number)
    wait_for((run / rundir.EXIT).exists)


def preflight_report(root: Path, overrides: dict[str, Any] | None = None, topology: str = "v5e-8") -> Path:
    """The report file of a preflight of CONFIG by the stand-in job."""
    spec, _ = resolve(CONFIG, overrides or {})
    folder = job_folder.create(root, preflight.Request("tiny.yaml", topology, spec.as_dict()))
    subprocess.run([sys.executable, "-m", "tests.preflight_job", str(folder)], cwd=ROOT, check=True)
    return folder / preflight.REPORT
