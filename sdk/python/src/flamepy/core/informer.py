"""Telling an informer what becomes of a task.

Invariant: informers of blocking programs are called by one thread of their own, never by that of the engine, and one
that raises harms nobody else.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Callable, Optional

from .errors import FlameError
from .future import TaskFuture, failure
from .types import Task, TaskInformer

if TYPE_CHECKING:
    from .._engine.client import Client

_log = logging.getLogger("flamepy")
_callbacks: Optional[ThreadPoolExecutor] = None

Call = Callable[[Callable[..., Any], Any], object]


def tell(client: Client, session_id: str, future: TaskFuture, informer: TaskInformer) -> None:
    """Follows a task that was just submitted."""
    global _callbacks
    if _callbacks is None:
        _callbacks = ThreadPoolExecutor(1, thread_name_prefix="flamepy-informers")
    callbacks = _callbacks

    async def accepted() -> int:
        while not future.number and not future.done():
            await asyncio.sleep(0.001)
        return future.number

    def error() -> Optional[BaseException]:
        return None if future.cancelled() or not future.done() else future.exception()

    def call(function: Callable[..., Any], value: Any) -> None:
        callbacks.submit(guarded, function, value)

    client.engine.start(follow(client, session_id, accepted, error, informer, call))


async def follow(
    client: Client,
    session_id: str,
    accepted: Callable[[], Any],
    refusal: Callable[[], Optional[BaseException]],
    informer: TaskInformer,
    call: Call,
) -> None:
    """Tells each state of a task, and what went wrong."""
    number = await accepted()
    if not number:
        error = refusal()
        if isinstance(error, FlameError):
            call(informer.on_error, error)
        return
    try:
        async for task in client.watch_task(session_id, str(number)):
            call(informer.on_update, task)
            if task.is_failed() or task.is_cancelled():
                call(informer.on_error, failure(session_id, number, int(task.state), message_of(task)))
    except FlameError as error:
        call(informer.on_error, error)


def message_of(task: Task) -> Optional[str]:
    """What a failed task says."""
    return next((event.message for event in task.events or () if event.code == int(task.state)), None)


def guarded(function: Callable[..., Any], value: Any) -> None:
    try:
        function(value)
    except Exception:
        _log.exception("an informer raised")
