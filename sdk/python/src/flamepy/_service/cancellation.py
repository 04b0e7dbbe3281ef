"""How a running task hears that nobody wants it any more."""

from __future__ import annotations

import threading
from typing import Callable, Optional

# Held for a few instructions only. One for all: a lock for each task would cost more than the task's own bookkeeping.
_lock = threading.Lock()


class TaskCancelled(Exception):
    """Nobody wants the result of this task any more."""


class Cancellation:
    """Whether anybody still wants a task. A task that goes on regardless is ended with its process after a grace.

    An async entrypoint need not ask: it is cancelled as asyncio cancels a task.
    """

    __slots__ = ("_event", "_is_cancelled", "_when_cancelled")

    def __init__(self) -> None:
        self._is_cancelled = False
        self._event: Optional[threading.Event] = None
        # Called when it happens, on whatever thread. Whoever sets it looks at `is_cancelled` afterwards.
        self._when_cancelled: Optional[Callable[[], None]] = None

    def is_cancelled(self) -> bool:
        """Whether nobody wants the task any more."""
        return self._is_cancelled

    def raise_if_cancelled(self) -> None:
        """Raises [TaskCancelled] if nobody wants the task any more."""
        if self._is_cancelled:
            raise TaskCancelled("the task was cancelled")

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Waits until nobody wants the task any more, at most `timeout` seconds; whether that is so."""
        with _lock:
            if self._is_cancelled:
                return True
            if self._event is None:
                self._event = threading.Event()
        return self._event.wait(timeout)

    def __repr__(self) -> str:
        return f"Cancellation(is_cancelled={self._is_cancelled})"

    def _cancel(self) -> None:
        with _lock:
            if self._is_cancelled:
                return
            self._is_cancelled = True
            event, callback = self._event, self._when_cancelled
        if event is not None:
            event.set()
        if callback is not None:
            callback()
