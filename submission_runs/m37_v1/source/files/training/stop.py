"""A stop that is asked for by a signal: what it interrupts is finished first, and the state is saved."""

from __future__ import annotations

import os
import signal


class Stop:
    """Takes SIGTERM and SIGINT from its making on, instead of ending the process. Further signals change nothing."""

    def __init__(self) -> None:
        self._asked = self._together = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def agree(self) -> None:
        """From now on several processes stop before the same step, whichever of them was asked.

        jax has taken SIGTERM over by now; a signal that came before that is sent again.
        """
        self._together = True
        if self._asked:
            os.kill(os.getpid(), signal.SIGTERM)

    def before(self, step: int) -> bool:
        """Whether to stop before ``step`` is done. To be asked once for each step, by all processes alike."""
        if not self._together:
            return self._asked
        from jax.experimental import multihost_utils

        return bool(multihost_utils.reached_preemption_sync_point(step))

    def _ask(self, *_: object) -> None:
        if self._together:
            os.kill(os.getpid(), signal.SIGTERM)
        self._asked = True
