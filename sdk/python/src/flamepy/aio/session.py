"""A session, for programs on an event loop."""

from __future__ import annotations

import asyncio
import weakref
from functools import partial
from typing import Any, AsyncIterable, AsyncIterator, Dict, Iterable, List, Optional, Set, TypeVar, Union

from .._engine.loop import Engine
from ..core import convert
from ..core.errors import FlameError, FlameErrorCode
from ..core.future import late
from ..core.informer import follow, guarded
from ..core.payloads import Payloads
from ..core.progress import Progress
from ..core.session import IN_FLIGHT, Session
from ..core.types import Task, TaskID, TaskInformer, TaskOptions
from .task import AsyncTask, Delivery

T = TypeVar("T")

# One for each loop that waits for tasks.
_deliveries: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Delivery] = weakref.WeakKeyDictionary()


class AsyncSession:
    """An open or closed session. What it shows is that of the moment when it was fetched: `refresh`."""

    def __init__(self, session: Session) -> None:
        self.sync = session
        """The same session, for code that blocks."""
        given = session.payloads
        # Bytes stay bytes; everything else needs a codec.
        self._payloads = given if given.codec is not None else Payloads("json", bytes)

    def __getattr__(self, name: str) -> Any:
        if name in _FIELDS:
            return getattr(self.sync, name)
        raise AttributeError(f"AsyncSession has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"Async{self.sync!r}"

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        await self.close(force=error is not None)

    @property
    def _client(self) -> Any:
        return self.sync.connection.client

    @property
    def _engine(self) -> Engine:
        engine: Engine = self._client.engine
        return engine

    # ── tasks ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def create_task(self, input_data: Any, *, key: Optional[bytes] = None) -> Task:
        """As `Session.create_task`."""
        content = self._payloads.encode(input_data)
        return await self._engine.await_(self._client.create_task(self.sync.id, content, key))

    async def get_task(self, task_id: TaskID) -> Task:
        return await self._engine.await_(self._client.get_task(self.sync.id, task_id))

    def list_tasks(self) -> AsyncIterator[Task]:
        return _through(self._engine, self._client.list_tasks(self.sync.id))

    def watch_task(self, task_id: TaskID) -> AsyncIterator[Task]:
        """The states of a task until its last."""
        convert.task_number(task_id)
        return _through(self._engine, self._client.watch_task(self.sync.id, task_id))

    async def cancel_task(self, task_id: TaskID) -> None:
        await self._engine.await_(self._client.cancel_task(self.sync.id, task_id))

    async def run(
        self, input_data: Any, informer: Optional[TaskInformer] = None, *, options: Optional[TaskOptions] = None
    ) -> AsyncTask:
        """Submits a task and returns what becomes of it. Waits only while too much is under way."""
        stream = self.sync.take_stream()
        task = AsyncTask(
            stream,
            _delivery(),
            self._payloads.encode(input_data),
            convert.options(options),
            self._payloads.decode,
        )
        await stream.put_async(task)
        if informer is not None:
            self._tell(task, informer)
        return task

    async def invoke(
        self,
        input_data: Any,
        informer: Optional[TaskInformer] = None,
        *,
        timeout: Optional[float] = None,
        options: Optional[TaskOptions] = None,
    ) -> Any:
        """Runs a task and returns its output. After `timeout` seconds the task is ended: DEADLINE_EXCEEDED."""
        task = await self.run(input_data, informer, options=options)
        if timeout is None:
            return await task
        try:
            return await task.result(timeout)
        finally:
            task.cancel()

    async def submit_many(self, inputs: Iterable[Any], *, options: Optional[TaskOptions] = None) -> List[AsyncTask]:
        """Submits a task for each input."""
        return [await self.run(one, options=options) for one in inputs]

    @staticmethod
    async def as_completed(tasks: Iterable[AsyncTask], timeout: Optional[float] = None) -> AsyncIterator[AsyncTask]:
        """The tasks as they end."""
        by_future = {task._future: task for task in tasks}
        loop = asyncio.get_running_loop()
        until = None if timeout is None else loop.time() + timeout
        while by_future:
            left = None if until is None else max(until - loop.time(), 0.0)
            done, _ = await asyncio.wait(by_future, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                raise late(timeout)
            for future in done:
                yield by_future.pop(future)

    async def map(
        self,
        inputs: Union[Iterable[Any], AsyncIterable[Any]],
        *,
        ordered: bool = True,
        in_flight: int = IN_FLIGHT,
        timeout: Optional[float] = None,
        options: Optional[TaskOptions] = None,
        return_exceptions: bool = False,
        progress: Union[bool, str] = False,
    ) -> AsyncIterator[Any]:
        """As `Session.map`; the inputs may come asynchronously."""
        if in_flight < 1:
            raise convert.invalid(f"in_flight is {in_flight}, it must be at least 1")
        source = inputs if hasattr(inputs, "__aiter__") else _each(inputs)
        pending: Set[AsyncTask] = set()
        ready: Dict[int, Any] = {}
        numbers: Dict[AsyncTask, int] = {}
        arrived: asyncio.Queue[AsyncTask] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        until = None if timeout is None else loop.time() + timeout
        submitted = taken = 0
        exhausted = False
        with Progress(progress, None) as bar:
            try:
                while True:
                    while not exhausted and len(pending) + len(ready) < in_flight and arrived.empty():
                        try:
                            one = await source.__anext__()  # type: ignore[union-attr]
                        except StopAsyncIteration:
                            exhausted = True
                            break
                        task = await self.run(one, options=options)
                        numbers[task] = submitted
                        submitted += 1
                        pending.add(task)
                        task._future.add_done_callback(partial(_arrive, arrived, task))
                    if exhausted and taken == submitted:
                        return
                    left = None if until is None else max(until - loop.time(), 0.0)
                    try:
                        task = await asyncio.wait_for(arrived.get(), left)
                    except asyncio.TimeoutError:
                        raise late(timeout) from None
                    pending.discard(task)
                    error = _cancelled() if task.cancelled() else task.exception()
                    if error is not None and not return_exceptions:
                        raise error
                    bar.add(1)
                    ready[numbers.pop(task)] = error if error is not None else task._future.result()
                    if ordered:
                        while taken in ready:
                            value = ready.pop(taken)
                            taken += 1
                            yield value
                    else:
                        taken += 1
                        yield ready.popitem()[1]
            finally:
                for task in pending:
                    task.cancel()

    # ── the session ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def close(self, force: bool = False) -> None:
        """Ends the session. What waits is cancelled; while tasks run it is refused, unless they are ended by `force`."""
        self.sync.take(await self._engine.await_(self._client.close_session(self.sync.id, force)))
        self.sync.drop_stream()

    async def delete(self) -> None:
        """Removes the session, which must be closed, with its tasks."""
        await self._engine.await_(self._client.delete_session(self.sync.id))

    async def suspend(self) -> None:
        """Lets running tasks finish and starts no others, until it is resumed."""
        self.sync.take(await self._engine.await_(self._client.suspend_session(self.sync.id)))

    async def resume(self) -> None:
        self.sync.take(await self._engine.await_(self._client.resume_session(self.sync.id)))

    async def refresh(self) -> AsyncSession:
        """Fetches state and counters."""
        self.sync.take(await self._engine.await_(self._client.get_session(self.sync.id)))
        return self

    async def flush(self) -> None:
        """Waits until the cluster has accepted everything that was submitted."""
        await self._engine.await_(self._client.flush(self.sync.id))

    def common_data(self) -> Optional[bytes]:
        return self.sync.common_data()

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _tell(self, task: AsyncTask, informer: TaskInformer) -> None:
        loop = asyncio.get_running_loop()
        engine = self._engine

        async def accepted() -> int:
            async def ask() -> int:
                try:
                    await task.accepted()
                except (FlameError, asyncio.CancelledError):
                    return 0
                return task.number

            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(ask(), loop))

        def refusal() -> Optional[BaseException]:
            return None if task.cancelled() or not task.done() else task.exception()

        def call(function: Any, value: Any) -> None:
            loop.call_soon_threadsafe(guarded, function, value)

        engine.start(follow(self._client, self.sync.id, accepted, refusal, informer, call))


_FIELDS = frozenset(
    [
        "id",
        "application",
        "state",
        "creation_time",
        "pending",
        "running",
        "succeed",
        "failed",
        "cancelled",
        "completion_time",
        "events",
        "connection",
    ]
)


def _delivery() -> Delivery:
    loop = asyncio.get_running_loop()
    found = _deliveries.get(loop)
    if found is None:
        found = _deliveries[loop] = Delivery(loop)
    return found


def _cancelled() -> FlameError:
    return FlameError(FlameErrorCode.CANCELLED, "the task was cancelled")


def _arrive(arrived: asyncio.Queue[AsyncTask], task: AsyncTask, _: object) -> None:
    arrived.put_nowait(task)


async def _each(inputs: Any) -> AsyncIterator[Any]:
    for one in inputs:
        yield one


async def _through(engine: Engine, source: AsyncIterator[T]) -> AsyncIterator[T]:
    """What the engine reads, on this loop."""
    while True:
        try:
            yield await engine.await_(_next(source))
        except _End:
            return


class _End(Exception):
    """StopAsyncIteration cannot leave a coroutine."""


async def _next(source: AsyncIterator[T]) -> T:
    try:
        return await source.__anext__()
    except StopAsyncIteration:
        raise _End from None
