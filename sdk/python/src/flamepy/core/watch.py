"""Tasks as they come from the cluster: a list, or the states of one."""

from __future__ import annotations

import asyncio
from typing import AsyncIterator, Iterator, List, Optional

from .._engine.loop import Engine
from .errors import FlameError
from .types import Task

# A blocking reader gets so many tasks at a time, or those of so many seconds.
_CHUNK_TASKS = 256
_CHUNK_SECONDS = 0.01


class TaskIterator:
    """The tasks of a session, one after the other, fetched as they are read."""

    def __init__(self, engine: Engine, source: AsyncIterator[Task]) -> None:
        self._engine = engine
        self._source = source
        self._chunk: List[Task] = []
        self._error: Optional[FlameError] = None
        self._is_done = False

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        if not self._chunk and not self._is_done:
            self._engine.wait(self._fetch())
            self._chunk.reverse()
        if self._chunk:
            return self._chunk.pop()
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        raise StopIteration

    async def _fetch(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + _CHUNK_SECONDS
        try:
            while len(self._chunk) < _CHUNK_TASKS and (not self._chunk or loop.time() < until):
                self._chunk.append(await self._source.__anext__())
        except StopAsyncIteration:
            self._is_done = True
        except FlameError as error:
            self._is_done, self._error = True, error


class TaskWatcher:
    """The states of a task, from the present one to the last. Raises TimeoutError after `timeout` seconds, also while
    nothing comes."""

    def __init__(self, engine: Engine, source: AsyncIterator[Task], timeout: Optional[float] = None) -> None:
        self._engine = engine
        self._source = source
        self._timeout = timeout
        self._until: Optional[float] = None
        self._is_done = False

    def __iter__(self) -> Iterator[Task]:
        return self

    def __next__(self) -> Task:
        if self._is_done:
            raise StopIteration
        task = self._engine.wait(self._fetch())
        if task is None:
            raise StopIteration
        return task

    async def _fetch(self) -> Optional[Task]:
        loop = asyncio.get_running_loop()
        if self._until is None and self._timeout is not None:
            self._until = loop.time() + self._timeout
        left = None if self._until is None else max(self._until - loop.time(), 0.0)
        try:
            return await asyncio.wait_for(self._source.__anext__(), left)
        except StopAsyncIteration:
            self._is_done = True
            return None
        except asyncio.TimeoutError:
            self._is_done = True
            raise TimeoutError(f"the task did not end within {self._timeout:g} s") from None
        except BaseException:
            self._is_done = True
            raise
