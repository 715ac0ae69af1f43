"""The peers of ``benchmarks.storage``, each behind the same four words. Runs in an environment of its own.

python storage_peers.py PEER FOLDER STEPS [8]  log five (eight) numbers a call, read back, say in JSON how long
python storage_peers.py PEER FOLDER forever    log until killed, counting in FOLDER/acknowledged
python storage_peers.py PEER FOLDER count      how many steps can be read back
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
import time
from pathlib import Path
from typing import Any

NAMES = ("loss", "grad_norm", "param_norm", "learning_rate", "tokens_per_second")
MORE = ("epoch", "tokens", "step_seconds")


class Expman:
    def __init__(self, place: Path, fresh: bool = True) -> None:
        import expman

        self.module, self.place = expman, place
        if fresh:
            self.run = expman.Experiment(
                "bench", run_name="run", base_dir=str(place), redirect_console=False, capture_provenance=False,
                system_metrics_interval_secs=0,
            )  # fmt: skip

    def log(self, step: int, values: dict[str, float]) -> None:
        self.run.log_vector(values, step=step)

    def finish(self) -> None:
        self.run.close()

    def count(self) -> int:
        return len(self.module.read_metrics(str(self.place / "bench" / "run")))


class TensorBoardX:
    def __init__(self, place: Path, fresh: bool = True) -> None:
        from tensorboardX import SummaryWriter

        self.place = place
        if fresh:
            self.writer = SummaryWriter(str(place))

    def log(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def finish(self) -> None:
        self.writer.close()

    def count(self) -> int:
        """Whole records, by their framing: length, its checksum, the record, its checksum."""
        found = 0
        for file in self.place.glob("events.out.*"):
            data, start = file.read_bytes(), 0
            while start + 12 <= len(data):
                start += 16 + struct.unpack_from("<Q", data, start)[0]
                found += start <= len(data)
        return (found - 1) // len(NAMES)


class Trackio:
    def __init__(self, place: Path, fresh: bool = True) -> None:
        os.environ["TRACKIO_DIR"] = str(place)
        import trackio

        self.module = trackio
        if fresh:
            trackio.init(project="bench", name="run", embed=False)

    def log(self, step: int, values: dict[str, float]) -> None:
        self.module.log(values, step=step)

    def finish(self) -> None:
        self.module.finish()

    def count(self) -> int:
        from trackio.sqlite_storage import SQLiteStorage

        return len(SQLiteStorage.get_logs("bench", "run"))


class MLflow:
    def __init__(self, place: Path, fresh: bool = True) -> None:
        from mlflow import MlflowClient

        self.client = MlflowClient(f"sqlite:///{place}/mlflow.db")
        if fresh:
            self.run = self.client.create_run("0").info.run_id
            (place / "run").write_text(self.run)
        self.run = (place / "run").read_text()

    def log(self, step: int, values: dict[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.run, [Metric(name, value, now, step) for name, value in values.items()])

    def finish(self) -> None:
        self.client.set_terminated(self.run)

    def count(self) -> int:
        return len(self.client.get_metric_history(self.run, "loss"))


PEERS: dict[str, Any] = {"expman": Expman, "tensorboardx": TensorBoardX, "trackio": Trackio, "mlflow": MLflow}


def values_of(step: int) -> dict[str, float]:
    return dict(zip(NAMES, (1.234567 / step, 2.3 + step / 1e6, 3.4, 1e-3 * step, 512.0 / step), strict=True))


def more_of(step: int) -> dict[str, float]:
    return {**values_of(step), **dict(zip(MORE, (step / 10, 512.0 * step, 1e-5 + step / 1e9), strict=True))}


def main(peer: str, folder: str, what: str, numbers: str = "5") -> None:
    sys.stdout, out = sys.stderr, sys.stdout
    place = Path(folder)
    if what == "count":
        print(PEERS[peer](place, fresh=False).count(), file=out)
        return
    logged = PEERS[peer](place)
    if what == "forever":
        with (place / "acknowledged").open("w+b") as file:
            file.write(bytes(8))
            file.flush()
            counter = mmap.mmap(file.fileno(), 8)
            for step in range(1, 10**9):
                logged.log(step, values_of(step))
                counter[:] = struct.pack("q", step)
                time.sleep(0.0005)
    of = more_of if numbers == "8" else values_of
    took, began = [], time.perf_counter_ns()
    for step in range(1, int(what) + 1):
        values, before = of(step), time.perf_counter_ns()
        logged.log(step, values)
        took.append(time.perf_counter_ns() - before)
    logged.finish()
    found = logged.count()
    seconds = (time.perf_counter_ns() - began) / 1e9
    size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    took.sort()
    report = {"seconds": seconds, "steps": found, "bytes": size, "p50_us": took[len(took) // 2] / 1e3,
              "p99_us": took[len(took) * 99 // 100] / 1e3}  # fmt: skip
    print(json.dumps(report), file=out)


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)
