"""A stop that is asked for by a signal: what it interrupts is finished first, and the state is saved."""

from __future__ import annotations

import signal


class Stop:
    """Takes SIGTERM and SIGINT from its making on, instead of ending the process. Further signals change nothing."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def before(self, step: int) -> bool:  # noqa: ARG002 - several processes agree on a step
        """Whether to stop before ``step`` is done."""
        return self._asked

    def _ask(self, *_: object) -> None:
        self._asked = True
