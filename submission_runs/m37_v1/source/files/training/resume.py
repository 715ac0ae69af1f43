"""Where an attempt begins: at step 0, or behind the newest saved state of this run that is whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from evidence import attempts, canonical, events, rundir
from evidence.attempts import SAME_LOSS
from training import checkpoints
from training.errors import CannotResume, CheckpointError
from training.peers import Peers
from training.reporter import Reporter
from training.step import State, Trainer


@dataclass(frozen=True)
class Past:
    """What the attempts before this one said; nothing for a new run. ``said`` is without what was taken back."""

    said: tuple[events.Event, ...] = ()
    attempt: int = 1

    @property
    def checkpoints(self) -> list[events.Checkpoint]:
        return [event for event in self.said if isinstance(event, events.Checkpoint)]

    def row(self, step: int) -> events.Step | None:
        return next((event for event in self.said if isinstance(event, events.Step) and event.step == step), None)


@dataclass(frozen=True)
class Start:
    """Where the steps begin. ``done_before`` are rows of steps that are about to be done again."""

    state: State
    step: int = 0
    chain: str = ""
    supervised_tokens: int = 0
    saved: tuple[int, ...] = ()
    evaluated: bool = False
    done_before: dict[int, events.Step] = field(default_factory=dict)


def past(run: Path, ask: rundir.Ask, peers: Peers) -> Past:
    """What is known of the attempts before. Raises CannotResume when they were of another spec, or saved nothing."""
    said = attempts.told(run)
    starts = [event for event in said if isinstance(event, events.RunStart)]
    known = [event.step for event in said if isinstance(event, events.Checkpoint)]
    peers.agree("a history of the run", canonical.digest([ask.spec_sha256, len(starts), known]))
    if len(starts) < 2:  # the last one is this attempt's own
        return Past()
    if starts[0].spec_sha256 != ask.spec_sha256:
        raise CannotResume(
            f"the run in {run} began with the spec of digest {starts[0].spec_sha256[:12]}, but its {rundir.SPEC} now "
            f"has {ask.spec_sha256[:12]}; a saved state goes on only with the spec it was made by"
        )
    found = Past(tuple(event for _, event in attempts.standing((event, event) for event in said)), len(starts))
    if not found.checkpoints:
        raise CannotResume(f"the run in {run} ended before it saved a state; start a new run of the same config")
    return found


def begin(run: Path, past: Past, trainer: Trainer, reporter: Reporter, peers: Peers) -> Start:
    """The newest whole state, on this trainer's devices; what is broken is named and left. Raises CannotResume.

    Says ``resumed`` before it removes the states of later steps, so that no reader takes them for standing.
    """
    for saved in reversed(past.checkpoints):
        try:
            _check_together(run, saved, peers)
            state = checkpoints.restore(run, saved.step, trainer.abstract, trainer.shardings)
        except CheckpointError as error:
            reporter.warn("broken_checkpoint", f"the state of step {saved.step} is left out: {error}")
            continue
        row = past.row(saved.step)
        if row is None and saved.step:
            reporter.warn(
                "broken_checkpoint", f"the state of step {saved.step} is left out: there is no row of that step"
            )
            continue
        reporter.emit(
            events.Resumed(
                time=events.now(),
                attempt=past.attempt,
                step=saved.step,
                checkpoint=saved.path,
                chain_at_step=saved.chain_at_step,
            )
        )
        if peers.first:
            _drop_later(run, saved.step)
        reporter.say(f"attempt {past.attempt} goes on from the state saved after step {saved.step}")
        return Start(
            state=state,
            step=saved.step,
            chain=saved.chain_at_step,
            supervised_tokens=row.supervised_tokens if row else 0,
            saved=tuple(sorted(step for step in _on_disk(run, past) if step <= saved.step)),
            evaluated=any(isinstance(event, events.Evaluation) and event.step == saved.step for event in past.said),
            done_before=_done_before(past, saved.step, trainer),
        )
    raise CannotResume(f"none of the {len(past.checkpoints)} states that the run in {run} saved is whole any more")


def _done_before(past: Past, step: int, trainer: Trainer) -> dict[int, events.Step]:
    """Rows behind ``step`` that this attempt must give again; none when it runs on other devices than they did."""
    ran, mesh = attempts.last(past.said, events.Devices), trainer.placement.mesh
    if ran is None or (ran.devices_used, ran.device_kind) != (mesh.size, mesh.devices.flat[0].device_kind):
        return {}
    return {event.step: event for event in past.said if isinstance(event, events.Step) and event.step > step}


def differs(before: events.Step, loss: float) -> str:
    """What is wrong with a step that was done before with another loss; "" if it agrees."""
    if abs(before.loss - loss) <= SAME_LOSS * max(abs(before.loss), abs(loss)):
        return ""
    return (
        f"step {before.step} was done before with loss {before.loss!r} and now gave {loss!r}; the same state and batch "
        "on the same devices should agree: the machine, its software or the data may have changed"
    )


def _check_together(run: Path, saved: events.Checkpoint, peers: Peers) -> None:
    """``_check`` by the first process, for all of them."""
    wrong = None
    if peers.first:
        try:
            _check(run, saved)
        except CheckpointError as error:
            wrong = error
    if peers.choose(wrong is not None):
        raise wrong or CheckpointError(f"{run / saved.path}: process 0 says what is wrong with it")


def _check(run: Path, saved: events.Checkpoint) -> None:
    """Raises CheckpointError where folder or leaves file are not what was saved."""
    folder, leaves = run / saved.path, run / saved.leaves.path
    if not folder.is_dir() or not leaves.is_file():
        gone = folder if not folder.is_dir() else leaves
        raise CheckpointError(f"{gone} is not there")
    if (found := canonical.sha256_file(leaves)) != saved.leaves.sha256:
        raise CheckpointError(f"{leaves} has sha256 {found}, but {saved.leaves.sha256} was saved")
    if (found := checkpoints.tree_sha256(folder)) != saved.tree_sha256:
        raise CheckpointError(f"the files in {folder} have digest {found}, but {saved.tree_sha256} was saved")


def _on_disk(run: Path, past: Past) -> Iterator[int]:
    return (saved.step for saved in past.checkpoints if (run / saved.path).is_dir())


def _drop_later(run: Path, step: int) -> None:
    """Remove states of later steps, whole or not: those steps are done again, and save theirs anew."""
    for path in (run / rundir.CHECKPOINTS).iterdir():
        number = checkpoints.step_of(path.name)
        if number is None or number > step:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
