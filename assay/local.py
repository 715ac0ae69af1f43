"""``assay train``: a recorded run in this terminal, without a server; ``--resume`` goes on with one."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from assay.progress import RunProgress, console, errors
from evidence import attempts, config_file, events, preflight_folder, provenance, record, rehearsal, rundir
from evidence.spec import Scalar, SpecError, resolve
from evidence.status import ENDED, LIVE, status

RESUMABLE = 75
"""Exit code of a run that was stopped and can be resumed: EX_TEMPFAIL, as the trainer's own."""


def train(
    config: Path,
    overrides: dict[str, Scalar],
    name: str,
    home: Path,
    how: list[str],
    rehearses: Path | None = None,
) -> int:
    """Create a run folder below ``home/runs``, train in it, show how it goes; 0 when the run finished.
    ``rehearses``: the config of the run that this one rehearses."""
    reading = config
    try:
        document, text = config_file.load(config)
        spec, changed = resolve(document, overrides)
        rehearsed = None
        if rehearses:
            reading = rehearses
            rehearsed = rehearsal.asked(rehearses, provenance.config_name(rehearses), home / "preflights")
    except SpecError as error:
        for problem in error.problems:
            place = "" if problem.field in overrides or problem.field == "config" else f"{reading}: "
            errors.print(f"Error: {place}{problem.message}", markup=False)
        return 2
    run = rundir.create(
        home / "runs",
        spec,
        config=provenance.config_name(config),
        config_text=text,
        overrides=changed,
        name=name,
        preflight=preflight_folder.newest_for(home / "preflights", spec),
        rehearsed=rehearsed,
    )
    console.print(f"Run {run.name} in {run}")
    return _watch(run, spec.training.steps, how)


def resume(run: Path, how: list[str]) -> int:
    """Start the next attempt of the run in ``run``, show how it goes; 0 when the run finished."""
    try:
        attempts.check(run)
    except attempts.CannotResume as error:
        errors.print(f"Error: {error}", markup=False)
        return 2
    console.print(f"Resuming run {run.name} in {run}")
    return _watch(run, rundir.read_ask(run).spec.training.steps, how, resume=True)


def _watch(run: Path, steps: int, how: list[str], *, resume: bool = False) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: record.request_stop(run))
    said = run / rundir.EVENTS
    _, offset = rundir.whole_lines(said, 0, limit_bytes=-1) if resume else ([], 0)
    recorder = record.launch(run, [sys.executable, "-m", "training", str(run), *how], resume=resume)
    while resume and rundir.read_document(run / rundir.LAUNCH).get("recorder", {}).get("pid") != recorder.pid:
        if recorder.poll() is not None:
            errors.print(f"Error: run {run.name} was not resumed; {run / rundir.RECORDER_LOG} says why", markup=False)
            return 2
        time.sleep(0.02)
    finished = None
    with RunProgress(steps) as bar:
        while True:
            lines, offset = rundir.whole_lines(run / rundir.EVENTS, offset)
            for line in lines:
                event = events.decode(line)
                if isinstance(event, events.Phase):
                    bar.phase(event.name)
                elif isinstance(event, events.Resumed):
                    bar.say(f"  attempt {event.attempt} goes on after step {event.step}")
                elif isinstance(event, events.Step):
                    bar.step(event.step, event.loss, event.tokens_per_second)
                elif isinstance(event, events.Evaluation):
                    bar.say(
                        f"  step {event.step}: {event.exact_match:.1%} exact match "
                        f"({event.correct} of {event.items} held-out items)"
                    )
                elif isinstance(event, events.Warning):
                    bar.say(f"  warning: {event.message}")
                elif isinstance(event, events.Finished):
                    finished = event
            state = status(run, finished)
            if state.state in ENDED and not lines:
                break
            if not lines:
                time.sleep(0.1)
    assert state.state not in LIVE
    if (run / rundir.PROFILE).is_dir():
        console.print(f"The trace is for: tensorboard --logdir {run / rundir.PROFILE}, or https://ui.perfetto.dev")
    if state.state == "finished":
        console.print(f"Finished. Seal it with: assay seal {run}")
        return 0
    errors.print(f"{state.state.capitalize()}: {state.reason}", markup=False)
    try:
        attempts.check(run)
    except attempts.CannotResume:
        return 1
    errors.print(f"Go on with: assay train --resume {run}", markup=False)
    return RESUMABLE if state.state == "stopped" else 1
