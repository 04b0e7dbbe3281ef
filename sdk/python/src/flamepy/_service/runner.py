"""Runs what lies on the desk, one order after the other."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from functools import partial
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Iterable, Optional, Protocol, Tuple

from .context import current_task
from .desk import Ended, Said
from .orders import EnterOrder, Order, Result, SessionResult, TaskOrder, TaskResult
from .shield import Outcome, output_of, shielded, shielded_async

if TYPE_CHECKING:
    from ..core.service import FlameService


def is_async(service: FlameService) -> bool:
    """Whether user code runs on an event loop. A service may say so itself: one that calls a function given to it."""
    told: Optional[bool] = getattr(service, "_is_async", None)
    if told is not None:
        return told
    methods = (service.on_session_enter, service.on_task_invoke, service.on_session_leave)
    return any(inspect.iscoroutinefunction(method) for method in methods)


# So long tasks that never wait may keep an event loop to themselves, in nanoseconds.
_TURN_NS = 1_000_000


class Source(Protocol):
    """Where orders come from: a desk, or a line that leads to one."""

    def wait(self, said: Optional[Said]) -> Order:
        """Says what became of the order before, if there was one, and waits for the next. Raises [Ended]."""
        ...

    def poll(self, said: Optional[Said]) -> Optional[Order]:
        """As [wait], but None when there is no order now."""
        ...

    def wake_with(self, wake: Optional[Callable[[], None]]) -> None:
        """Calls `wake` whenever there may be something to [poll]."""
        ...


class Runner:
    """Runs orders on the thread that calls [run], until the desk says that nothing more will come."""

    def __init__(self, service: FlameService, desk: Source) -> None:
        self._service = service
        self._desk = desk
        self._where = f"{type(service).__qualname__}.on_task_invoke"
        # The session that was entered last.
        self._session_id = ""
        self._canceller = _Canceller()

    def run(self) -> None:
        try:
            if is_async(self._service):
                asyncio.run(self._run_async())
            else:
                self._run_sync()
        except Ended:
            pass

    # ── one thread ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _run_sync(self) -> None:
        wait, said = self._desk.wait, None
        while True:
            order = wait(said)
            said = (order, self.perform(order))

    def perform_anyhow(self, order: Order) -> Result:
        """Runs one order where the caller is, on an event loop of its own if need be."""
        return asyncio.run(self._perform_async(order)) if is_async(self._service) else self.perform(order)

    def perform(self, order: Order) -> Result:
        service = self._service
        if isinstance(order, TaskOrder):
            context = order.context(self._session_id)
            current_task.set(context)
            begun = perf_counter_ns()
            outcome = shielded(service.on_task_invoke, context)
            ran_us = (perf_counter_ns() - begun) // 1000
            current_task.set(None)
            return self._task_result(outcome, ran_us)
        if isinstance(order, EnterOrder):
            self._session_id = order.context.session_id
            return self._enter_result(shielded(service.on_session_enter, order.context))
        return SessionResult(shielded(service.on_session_leave)[1])

    # ── one event loop ──────────────────────────────────────────────────────────────────────────────────────────────
    #
    # User code runs in the asyncio task of the runner: one of its own for each would cost several turns of the loop.

    async def _run_async(self) -> None:
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        self._desk.wake_with(in_loop(loop, woken.set))
        said: Optional[Said] = None
        turned = perf_counter_ns()
        try:
            while True:
                woken.clear()
                order = self._desk.poll(said)
                said = None
                if order is None:
                    await _undisturbed(woken.wait())
                    turned = perf_counter_ns()
                    continue
                said = (order, await self._perform_async(order))
                if perf_counter_ns() - turned > _TURN_NS:
                    # Tasks that never wait would keep everything else from running in this loop.
                    await _undisturbed(asyncio.sleep(0))
                    turned = perf_counter_ns()
        finally:
            self._desk.wake_with(None)

    async def _perform_async(self, order: Order) -> Result:
        service = self._service
        if isinstance(order, TaskOrder):
            context = order.context(self._session_id)
            current_task.set(context)
            self._canceller.begin(order)
            begun = perf_counter_ns()
            outcome = await shielded_async(service.on_task_invoke, context)
            ran_us = (perf_counter_ns() - begun) // 1000
            current_task.set(None)
            if self._canceller.end():
                await _undisturbed(asyncio.sleep(0))
            return self._task_result(outcome, ran_us)
        if isinstance(order, EnterOrder):
            self._session_id = order.context.session_id
            return self._enter_result(await shielded_async(service.on_session_enter, order.context))
        return SessionResult((await shielded_async(service.on_session_leave))[1])

    # ── results ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def _task_result(self, outcome: Outcome, ran_us: int) -> TaskResult:
        value, failure = outcome
        output = None
        if failure is None and value is not None:
            output, failure = output_of(value, self._where)
        publish, retract = self._attributes()
        return TaskResult(output, failure, publish, retract, ran_us)

    def _enter_result(self, outcome: Outcome) -> SessionResult:
        failure = outcome[1]
        if failure is not None:
            # What it published on its way to a failure waits for the session that it does enter.
            return SessionResult(failure)
        return SessionResult(None, *self._attributes())

    def _attributes(self) -> Tuple[Iterable[bytes], Iterable[bytes]]:
        publisher = self._service.publisher()
        return ((), ()) if publisher is None else publisher._take()


class _Canceller:
    """Cancels the task that runs in an event loop, when nobody wants it any more, as asyncio does it.

    **Invariant:** a cancellation reaches the task for which it was meant, and no other.
    """

    def __init__(self) -> None:
        self._running: Optional[TaskOrder] = None
        self._is_cancelled = False

    def begin(self, order: TaskOrder) -> None:
        """In the asyncio task that is going to run it."""
        self._running = order
        order.cancellation._when_cancelled = partial(self._on_cancelled, asyncio.current_task(), order)
        if order.cancellation.is_cancelled():
            self._cancel(asyncio.current_task(), order)

    def end(self) -> bool:
        """Whether there may be a cancellation that has not shown yet: the next one to wait would find it."""
        self._running = None
        if self._is_cancelled:
            self._is_cancelled = False
            return True
        task = asyncio.current_task()
        cancelling = getattr(task, "cancelling", None)  # from Python 3.11 on
        return cancelling() > 0 if cancelling is not None else bool(getattr(task, "_must_cancel", False))

    def _on_cancelled(self, task: Optional[asyncio.Task[Any]], order: TaskOrder) -> None:
        if task is not None:
            in_loop(task.get_loop(), partial(self._cancel, task, order))()

    def _cancel(self, task: Optional[asyncio.Task[Any]], order: TaskOrder) -> None:
        if task is not None and self._running is order and not self._is_cancelled:
            self._is_cancelled = True
            task.cancel()


async def _undisturbed(waiting: Awaitable[object]) -> None:
    """Waits. A cancellation that was meant for user code, which ended before it waited, ends here."""
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    uncancel = getattr(asyncio.current_task(), "uncancel", None)  # from Python 3.11 on
    while uncancel is not None and uncancel() > 0:
        pass


def in_loop(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> Callable[[], None]:
    """Calls `callback` in the loop, from whatever thread; a loop that is closed needs no calls."""

    def call() -> None:
        try:
            loop.call_soon_threadsafe(callback)
        except RuntimeError:
            if not loop.is_closed():
                raise

    return call
