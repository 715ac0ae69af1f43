"""``assay replay``: train a segment of a bundle again, here, and say how alike it is."""

from __future__ import annotations

from pathlib import Path

from assay.progress import console, errors
from evidence import deeper, reading, replay_text, replaying
from evidence.job_folder import Progress
from evidence.known import Known
from evidence.reading import Bundle, Unreadable
from evidence.verdict import FAIL

AGREES, DIFFERS, CANNOT_SAY = 0, 1, 2


def run(bundle: Path, segment: tuple[int, int], nonce: str, out: Path | None, *, own_source: bool = False) -> int:
    """Replay, write the result to ``out`` (or into the bundle, beside its seal) and print it."""
    if not bundle.is_dir():
        return _fail(f"{bundle}: there is no bundle of this name")
    if own_source:
        errors.print("This runs the bundle's own code on this machine. Do it in a container.", markup=False)
    shown = ""

    def told(item: Progress) -> None:
        nonlocal shown
        kind = "steps" if item.doing.startswith("step ") else item.doing
        if kind != shown or item.done % 10 == 0:
            shown = kind
            errors.print(f"  {item.done} of {item.total}: {item.doing}", markup=False)

    try:
        made = replaying.make(bundle, replaying.Ask(*segment, nonce), own_source=own_source, told=told)
        told_ = replay_text.tell(Bundle(bundle, Known(replay=made)), made)
        replaying.write(out or bundle / reading.REPLAY, made)
    except (deeper.Impossible, replaying.CannotReplay, Unreadable) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"the result cannot be written: {error}")
    console.print(replay_text.text(told_, made), markup=False, end="", soft_wrap=True)
    for result in told_.results:
        for finding in result.findings:
            console.print(f"{result.result.upper():7} {result.id}: {finding}", markup=False, soft_wrap=True)
        if result.reason:
            console.print(f"{result.result.upper():7} {result.id}: {result.reason}", markup=False, soft_wrap=True)
    if told_.agrees:
        return AGREES
    return DIFFERS if any(result.result == FAIL for result in told_.results) else CANNOT_SAY


def _fail(reason: str) -> int:
    for line in reason.splitlines():
        errors.print(f"Error: {line}", markup=False)
    return CANNOT_SAY
