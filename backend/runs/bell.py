"""The bell: says to every waiting stream that there may be more to read. It carries no data."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Bell:
    """Rung from any thread, heard in the event loop."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    def ring(self) -> None:
        for event, loop in list(self._waiting.items()):
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:
                self._waiting.pop(event, None)  # its loop has ended

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """An event that each ring sets; the listener clears it before it reads."""
        event = asyncio.Event()
        self._waiting[event] = asyncio.get_running_loop()
        try:
            yield event
        finally:
            self._waiting.pop(event, None)
