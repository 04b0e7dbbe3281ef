"""How much may wait on a stream.

Invariant: room is taken before anything is put in. Room for inputs comes back with the answer, room for tasks with their
end. Whoever finds none waits; only the engine's own thread, which would wait for itself, may exceed it.
"""

from __future__ import annotations

import asyncio
import threading
from typing import List, Optional, Tuple

from ..core.errors import FlameError

BYTES_MAX = 64 << 20
TASKS_MAX = 1 << 20

# What a task counts beside its input.
TASK_BYTES = 256


class Room:
    def __init__(self, bytes_max: int = BYTES_MAX, tasks_max: int = TASKS_MAX) -> None:
        self._bytes_max, self._tasks_max = bytes_max, tasks_max
        self._bytes = self._tasks = 0
        self._over: Optional[FlameError] = None
        self._changed = threading.Condition(threading.Lock())
        self._waiting = 0
        self._awaiting: List[Tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def take(self, size: int, tasks: int, forced: bool = False) -> None:
        """Takes it as soon as it is there."""
        with self._changed:
            while not self._take(size, tasks, forced):
                self._waiting += 1
                self._changed.wait()
                self._waiting -= 1

    async def take_async(self, size: int, tasks: int) -> None:
        """The same for a coroutine of any loop."""
        while True:
            with self._changed:
                if self._take(size, tasks, False):
                    return
                loop = asyncio.get_running_loop()
                changed = loop.create_future()
                self._awaiting.append((loop, changed))
            await changed

    def _take(self, size: int, tasks: int, forced: bool) -> bool:
        if self._over is not None:
            raise self._over
        fits = self._bytes + size <= self._bytes_max and self._tasks + tasks <= self._tasks_max
        # What is larger than all room goes alone.
        if not (fits or forced or (self._bytes == 0 and self._tasks == 0)):
            return False
        self._bytes += size
        self._tasks += tasks
        return True

    def give(self, size: int, tasks: int) -> None:
        with self._changed:
            self._bytes -= size
            self._tasks -= tasks
            self._tell()

    def close(self, error: FlameError) -> None:
        """Nothing is taken any more."""
        with self._changed:
            self._over = error
            self._tell()

    def _tell(self) -> None:
        if self._waiting:
            self._changed.notify_all()
        awaiting, self._awaiting = self._awaiting, []
        for loop, changed in awaiting:
            try:
                loop.call_soon_threadsafe(_settle, changed)
            except RuntimeError:
                # That loop is closed: nobody waits there any more.
                continue


def _settle(changed: asyncio.Future[None]) -> None:
    if not changed.done():
        changed.set_result(None)
