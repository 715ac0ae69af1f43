"""What a verifier makes of a bundle by itself before it judges it: an audit, and a replay of its own.

Each takes its time; ``say`` hears what is begun. Where one cannot be made, ``Known`` says why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from evidence import audit, deeper, replaying
from evidence.known import Known
from evidence.reading import Bundle, Unreadable

Say = Callable[[str], None]


def audited(bundle: Path, known: Known, say: Say, *, quick: bool) -> Known:
    """With an audit, unless ``quick`` leaves it out. A folder that is not there is verify's to refuse."""
    if quick:
        return replace(known, no_audit="left out (--quick)")
    if not bundle.is_dir():
        return known
    if why := deeper.missing():
        return replace(known, no_audit=why)
    say(f"Reading the arrays, tokens and program of {bundle.name} again …")
    try:
        return replace(known, audit=audit.make(bundle))
    except deeper.Impossible as error:
        return replace(known, no_audit=f"no audit could be made: {error}")


def replayed(bundle: Path, known: Known, say: Say, nonce: str = "") -> Known:
    """With a replay of a segment that ``nonce`` draws; "" for one at random."""
    if not bundle.is_dir():
        return known
    if why := replaying.nothing_of(Bundle(bundle)):
        say(f"No segment of {bundle.name} is trained again: {why}")
        return replace(known, no_replay=why)
    say(f"Training a segment of {bundle.name} again …")
    try:
        return replace(known, replay=replaying.make(bundle, replaying.Ask(nonce=nonce)))
    except (deeper.Impossible, replaying.CannotReplay, Unreadable) as error:
        return replace(known, no_replay=f"no replay could be made: {error}")
