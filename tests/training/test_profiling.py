"""`--profile-steps` leaves a trace that the usual viewers open."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from evidence import events

from .conftest import events_of, new_run, run_trainer, spec_with


def test_a_trace_names_the_steps_after_the_warm_up(tmp_path: Path) -> None:
    run = new_run(tmp_path, spec_with(training__steps=8, evaluation__max_new_tokens=2))
    ended = run_trainer(run, "--profile-steps", "3")
    assert ended.returncode == 0, ended.stderr
    assert f"traced steps 3 to 5; those took longer than others: {run / 'profile'}" in ended.stdout
    assert len([event for event in events_of(run) if isinstance(event, events.Step)]) == 8
    (folder,) = (run / "profile" / "plugins" / "profile").iterdir()  # where TensorBoard looks
    assert [path.stat().st_size > 0 for path in folder.glob("*.xplane.pb")] == [True]
    for pattern in ("*.trace.json.gz", "perfetto_trace.json.gz"):
        (path,) = [path for path in folder.glob(pattern) if pattern != "*.trace.json.gz" or path.name[0] != "p"]
        trace = json.loads(gzip.decompress(path.read_bytes()))
        steps = {
            int(event["args"]["step_num"])
            for event in trace["traceEvents"]
            if event.get("name") == "train" and "step_num" in event.get("args", {})
        }
        assert steps == {3, 4, 5}
