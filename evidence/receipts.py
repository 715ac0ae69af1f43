"""A witness's receipts: that it issued a run's nonce, and which heads of the chain it saw, and when.

A run that a server launches keeps them in ``witness.jsonl``, a canonical JSON object a line. Each receipt names the
digest of the line before it, so the signature of the last one stands for all; a head stands for all rows before it.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from evidence import canonical, dsse, events, p256, typed
from evidence.typed import Count, Sha256, Text, Utc

PAYLOAD_TYPE = "application/vnd.assay.receipt+json"
EVERY_SECONDS, EVERY_SHARE = 2.0, 1 / 300
"""A head is countersigned at most so often: in seconds, or as a share of how long the run has lasted."""
SKEW_SECONDS = 5.0
"""By how much the witness's clock may differ from the trainer's."""
LATE_SECONDS, LATE_SHARE = 10.0, 1 / 100
"""How long after its own time a row may be seen, and still count as seen while it was new."""


class NoReceipt(ValueError):
    """The line is no receipt."""


@dataclass(frozen=True)
class Issued:
    """The first one. ``key``: the witness's; ``host_sha256``: the machine it runs on."""

    kind: Literal["issued"]
    run_id: Text
    nonce: Sha256
    spec_sha256: Sha256
    at: Utc
    key: Sha256
    host_sha256: Sha256
    signature: dsse.Base64


@dataclass(frozen=True)
class Head:
    """The row of ``step``, whose hash is ``head``, was there at ``at``. ``prev``: SHA-256 of the line before."""

    kind: Literal["head"]
    run_id: Text
    nonce: Sha256
    step: Count
    head: Sha256
    at: Utc
    prev: Sha256
    signature: dsse.Base64


Receipt: TypeAlias = Issued | Head
KINDS: dict[str, type] = {"issued": Issued, "head": Head}


def message(document: dict[str, Any]) -> bytes:
    """The bytes that a receipt's signature is over."""
    unsigned = {key: value for key, value in document.items() if key != "signature"}
    return dsse.pae(PAYLOAD_TYPE, canonical.encode(unsigned).encode())


def line(document: dict[str, Any], signature: bytes) -> str:
    """A signed receipt's line, without the newline."""
    return canonical.encode({**document, "signature": base64.b64encode(signature).decode()})


def read(text: str | bytes) -> Receipt:
    """The receipt in a line. Raises NoReceipt."""
    try:
        document = canonical.decode(text)
        cls = KINDS[document["kind"]]
        return typed.read(cls, document, document["kind"])  # type: ignore[no-any-return]
    except (ValueError, LookupError, TypeError) as error:
        raise NoReceipt(str(error)) from None


def digest(text: str) -> str:
    """How the next receipt names this line."""
    return canonical.sha256(text.encode())


def verifies(receipt: Receipt, key: p256.PublicKey) -> bool:
    return key.verifies(base64.b64decode(receipt.signature), message(typed.write(receipt)))


@dataclass(frozen=True)
class Coverage:
    """How much of a run was seen while it went on. ``first_unseen`` begins the longest stretch that was not."""

    steps: int
    seen: int
    longest_unseen: int = 0
    first_unseen: int = 0

    def __str__(self) -> str:
        told = f"{self.seen:,} of {self.steps:,} steps seen while they were new"
        if not self.longest_unseen:
            return told
        last = self.first_unseen + self.longest_unseen - 1
        return f"{told}; the longest stretch without a receipt in time is steps {self.first_unseen:,} to {last:,}"


def coverage(rows: Sequence[events.Step], heads: Sequence[Head]) -> Coverage:
    """Which rows were seen in time: each by the first receipt for it, or for a row after it.

    In time: within LATE_SECONDS, or a hundredth of how long the run had lasted, and the time to the next row, since a
    trainer tells of a step while the next one is computed. ``heads`` are those of these rows, in order.
    """
    begun = events.instant(rows[0].time) if rows else datetime.min
    seen = longest = first = stretch = at = 0
    for index, row in enumerate(rows):
        while at < len(heads) and heads[at].step < row.step:
            at += 1
        made = events.instant(row.time)
        following = events.instant(rows[index + 1].time) if index + 1 < len(rows) else made
        allowed = timedelta(seconds=LATE_SECONDS) + (made - begun) * LATE_SHARE + (following - made)
        if at < len(heads) and events.instant(heads[at].at) - made <= allowed:
            seen, stretch = seen + 1, 0
            continue
        stretch += 1
        if stretch > longest:
            longest, first = stretch, row.step - stretch + 1
    return Coverage(len(rows), seen, longest, first)
