"""What becomes of a task, for an event loop.

Invariant: ends that come together wake a loop once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Deque, Generator, Optional

from .._engine.stream import SessionStream
from ..core.errors import FlameError
from ..core.future import Decode, failure, late
from ..core.types import TaskOptions, TaskState

_SUCCEED = int(TaskState.SUCCEED)


class Delivery:
    """Brings what has come to one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._arrived: Deque[Any] = deque()

    def add(self, task: AsyncTask, state: int, value: Any) -> None:
        self._arrived.append((task, state, value))

    def flush(self) -> None:
        try:
            self.loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            # The loop is closed: nobody waits there any more.
            self._arrived.clear()

    def _deliver(self) -> None:
        arrived = self._arrived
        while arrived:
            task, state, value = arrived.popleft()
            task.settle(state, value)


_NUMBER = -2
_ERROR = -3


class AsyncTask:
    """A task of a session. Awaited, it is the task's output; cancelled, the task is ended."""

    def __init__(
        self,
        stream: SessionStream,
        delivery: Delivery,
        payload: Optional[bytes],
        options: Optional[TaskOptions],
        decode: Optional[Decode],
    ) -> None:
        self.payload = payload
        self.options = options
        self.number = 0
        self._stream = stream
        self._delivery = delivery
        self._decode = decode
        self._is_wanted = True
        self._tells_number = False
        self._future: asyncio.Future[Any] = delivery.loop.create_future()
        self._numbered: Optional[asyncio.Future[None]] = None

    @property
    def session_id(self) -> str:
        return self._stream.session

    @property
    def task_id(self) -> Optional[str]:
        """The id of the task; None until the cluster has accepted it."""
        return str(self.number) if self.number else None

    async def accepted(self) -> str:
        """Waits until the cluster has accepted the task, and returns its id. Raises why it has not."""
        if not self.number and not self._future.done():
            if self._numbered is None:
                self._numbered = self._delivery.loop.create_future()
            self._tells_number = True
            if not self.number:
                await asyncio.wait([self._numbered, self._future], return_when=asyncio.FIRST_COMPLETED)
        if not self.number:
            self._future.result()
        return str(self.number)

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from self._future.__await__())
        except asyncio.CancelledError:
            self.cancel()
            raise

    async def result(self, timeout: Optional[float] = None) -> Any:
        """The output. After `timeout` seconds the task goes on, and DEADLINE_EXCEEDED is raised."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._future), timeout)
        except asyncio.TimeoutError:
            if self._future.done():
                raise
            raise late(timeout) from None

    def done(self) -> bool:
        return self._future.done()

    def cancelled(self) -> bool:
        return self._future.cancelled()

    def exception(self) -> Optional[BaseException]:
        return self._future.exception()

    def cancel(self) -> bool:
        """Nobody wants the output any more: the task is ended, whether it waits or runs. False when it has ended."""
        if not self._is_wanted:
            return False
        self._is_wanted = False
        was_open = self._future.cancel()
        self._stream.cancel(self)
        return was_open

    def settle(self, state: int, value: Any) -> None:
        """On the loop of this task: something has come."""
        if state == _NUMBER:
            if self._numbered is not None and not self._numbered.done():
                self._numbered.set_result(None)
            return
        self._is_wanted = False
        future = self._future
        if future.done():
            return
        if state == _ERROR:
            future.set_exception(value)
        elif state != _SUCCEED:
            future.set_exception(failure(self._stream.session, self.number, state, value))
        elif self._decode is None:
            future.set_result(value)
        else:
            try:
                future.set_result(self._decode(value))
            except Exception as error:  # of the decoder: it must not harm other tasks
                future.set_exception(error)

    # ── for the engine ──────────────────────────────────────────────────────────────────────────────────────────────

    def is_wanted(self) -> bool:
        return self._is_wanted

    def accept(self, number: int) -> None:
        self.number = number
        if self._tells_number:
            self._delivery.add(self, _NUMBER, None)
            self._delivery.flush()

    def finish(self, state: int, output: Optional[bytes], message: Optional[str]) -> Delivery:
        self._delivery.add(self, state, output if state == _SUCCEED else message)
        return self._delivery

    def refuse(self, error: FlameError) -> Delivery:
        self._delivery.add(self, _ERROR, error)
        return self._delivery
