"""A session, for programs that block."""

from __future__ import annotations

import concurrent.futures
import threading
import weakref
from datetime import datetime
from typing import TYPE_CHECKING, Any, Callable, Generator, Iterable, Iterator, List, Optional, Sequence, Union

from .._engine.stream import SessionStream
from .._wire.ha import session_pb2 as ha
from .._wire.v1 import types_pb2 as wire
from . import convert
from .errors import FlameError, FlameErrorCode
from .future import TaskFuture, failure, late
from .informer import tell
from .many import run_map
from .payloads import Payloads
from .types import ApplicationID, Event, SessionID, SessionState, Task, TaskID, TaskInformer, TaskOptions, TaskState
from .watch import TaskIterator, TaskWatcher

if TYPE_CHECKING:
    from ..aio import AsyncSession
    from .client import Connection

IN_FLIGHT = 4096

# So much of many tasks is handed over at a time.
_CHUNK_TASKS = 1024
_CHUNK_BYTES = 1 << 20


class Session:
    """An open or closed session. Its state and counters are those of the moment when it was fetched: `refresh`.

    Awaited, it is an `AsyncSession`: `session = await flamepy.create_session("app")`.
    """

    connection: Connection
    id: SessionID
    application: ApplicationID
    state: SessionState
    creation_time: datetime
    pending: int
    running: int
    succeed: int
    failed: int
    cancelled: int
    completion_time: Optional[datetime]
    events: Optional[List[Event]]

    def __init__(
        self,
        connection: Connection,
        id: SessionID,
        application: ApplicationID,
        state: SessionState,
        creation_time: datetime,
        pending: int,
        running: int,
        succeed: int,
        failed: int,
        completion_time: Optional[datetime],
        common_data: Optional[bytes] = None,
        events: Optional[List[Event]] = None,
        *,
        cancelled: int = 0,
        payloads: Optional[Payloads] = None,
    ) -> None:
        self.connection = connection
        self.id = id
        self.application = application
        self.state = state
        self.creation_time = creation_time
        self.pending = pending
        self.running = running
        self.succeed = succeed
        self.failed = failed
        self.cancelled = cancelled
        self.completion_time = completion_time
        self.events = events
        self.payloads = payloads or Payloads()
        self._common_data = common_data
        self._stream: Optional[SessionStream] = None
        self._give_back: Optional[Callable[[], object]] = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Session(id={self.id!r}, application={self.application!r}, state={self.state.name})"

    def __await__(self) -> Generator[Any, None, AsyncSession]:
        from ..aio import AsyncSession

        return AsyncSession(self)
        yield  # it is a coroutine that never waits: everything is here already

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        """Closes the session; tasks that still run are ended when an error is on its way."""
        self.close(force=error is not None)

    # ── tasks ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def create_task(self, input_data: Optional[bytes], *, key: Optional[bytes] = None) -> Task:
        """Submits a task without waiting for its end. However often it has to be sent until an answer comes, it becomes
        one task; so does a `key` of 16 bytes that a program chose, also when the program submits it again."""
        content = self.payloads.encode(input_data)
        client = self.connection.client
        return client.engine.wait(client.create_task(self.id, content, key))

    def get_task(self, task_id: TaskID) -> Task:
        client = self.connection.client
        return client.engine.wait(client.get_task(self.id, task_id))

    def list_tasks(self) -> TaskIterator:
        client = self.connection.client
        client.check_open()
        return TaskIterator(client.engine, client.list_tasks(self.id))

    def watch_task(self, task_id: TaskID, timeout: Optional[float] = None) -> TaskWatcher:
        """The states of a task until its last. What breaks in between is taken up again elsewhere."""
        client = self.connection.client
        client.check_open()
        convert.task_number(task_id)
        return TaskWatcher(client.engine, client.watch_task(self.id, task_id), timeout)

    def cancel_task(self, task_id: TaskID) -> None:
        """Ends a task, whether it waits or runs."""
        client = self.connection.client
        client.engine.wait(client.cancel_task(self.id, task_id))

    def run(
        self, input_data: Any, informer: Optional[TaskInformer] = None, *, options: Optional[TaskOptions] = None
    ) -> TaskFuture:
        """Submits a task and returns at once; the future has its output. Waits only while too much is under way."""
        stream = self._take_stream()
        future = TaskFuture(stream, self.payloads.encode(input_data), convert.options(options), self.payloads.decode)
        stream.put(future)
        if informer is not None:
            tell(self.connection.client, self.id, future, informer)
        return future

    def invoke(
        self,
        input_data: Any,
        informer: Optional[TaskInformer] = None,
        *,
        timeout: Optional[float] = None,
        options: Optional[TaskOptions] = None,
    ) -> Any:
        """Runs a task and returns its output. After `timeout` seconds the task is ended: DEADLINE_EXCEEDED."""
        self.connection.client.engine.check_may_wait()
        if informer is None and timeout is None and (self._stream is None or self._stream.is_idle):
            client, checked = self.connection.client, convert.options(options)
            client.check_open()
            ended = client.alone.run(self.id, self.payloads.encode(input_data), checked)
            if ended is not None:
                return self._output_of(ended)
        future = self.run(input_data, informer, options=options)
        try:
            return future.result(timeout)
        except concurrent.futures.TimeoutError:
            if future.done():
                raise  # the service itself failed with that
            raise late(timeout) from None
        except concurrent.futures.CancelledError:
            raise FlameError(FlameErrorCode.CANCELLED, "the task was cancelled") from None
        finally:
            # Whoever waited has gone: by its time, or by Ctrl-C.
            future.cancel()

    def submit_many(self, inputs: Iterable[Any], *, options: Optional[TaskOptions] = None) -> List[TaskFuture]:
        """Submits a task for each input. `concurrent.futures.wait` and `as_completed` take the futures."""
        stream, checked = self._take_stream(), convert.options(options)
        encode, decode = self.payloads.encode, self.payloads.decode
        futures: List[TaskFuture] = []
        handed = size = 0
        for one in inputs:
            future = TaskFuture(stream, encode(one), checked, decode)
            futures.append(future)
            size += len(future.payload) if future.payload else 0
            if len(futures) - handed >= _CHUNK_TASKS or size >= _CHUNK_BYTES:
                stream.put_many(futures[handed:])
                handed, size = len(futures), 0
        if handed < len(futures):
            stream.put_many(futures[handed:])
        return futures

    @staticmethod
    def as_completed(futures: Iterable[TaskFuture], timeout: Optional[float] = None) -> Iterator[TaskFuture]:
        """The futures as they end."""
        return concurrent.futures.as_completed(futures, timeout)  # type: ignore[return-value]

    def map(
        self,
        inputs: Iterable[Any],
        *,
        ordered: bool = True,
        in_flight: int = IN_FLIGHT,
        timeout: Optional[float] = None,
        options: Optional[TaskOptions] = None,
        return_exceptions: bool = False,
        progress: Union[bool, str] = False,
    ) -> Iterator[Any]:
        """Outputs of one task for each input, in the order of the inputs, or as they come.

        At most `in_flight` tasks are under way, whatever the number of inputs, which may be endless. The first task that
        fails raises, unless exceptions are to be returned in its place. Whoever leaves the loop, or runs out of `timeout`
        seconds, ends what is still under way. `progress` shows a bar (needs tqdm).
        """
        if in_flight < 1:
            raise convert.invalid(f"in_flight is {in_flight}, it must be at least 1")
        self.connection.client.engine.check_may_wait()
        total = len(inputs) if isinstance(inputs, Sequence) else None
        return run_map(
            self._take_stream(),
            inputs,
            self.payloads.encode,
            self.payloads.decode,
            convert.options(options),
            ordered,
            in_flight,
            timeout,
            return_exceptions,
            progress,
            total,
        )

    # ── the session ─────────────────────────────────────────────────────────────────────────────────────────────────

    def close(self, force: bool = False) -> None:
        """Ends the session. What waits is cancelled; while tasks run it is refused, unless they are ended by `force`."""
        client = self.connection.client
        self.take(client.engine.wait(client.close_session(self.id, force)))
        self.drop_stream()

    def delete(self) -> None:
        """Removes the session, which must be closed, with its tasks."""
        client = self.connection.client
        client.engine.wait(client.delete_session(self.id))

    def suspend(self) -> None:
        """Lets running tasks finish and starts no others, until it is resumed."""
        client = self.connection.client
        self.take(client.engine.wait(client.suspend_session(self.id)))

    def resume(self) -> None:
        client = self.connection.client
        self.take(client.engine.wait(client.resume_session(self.id)))

    def refresh(self) -> Session:
        """Fetches state and counters."""
        client = self.connection.client
        return self.take(client.engine.wait(client.get_session(self.id)))

    def flush(self) -> None:
        """Waits until the cluster has accepted everything that was submitted."""
        client = self.connection.client
        client.engine.wait(client.flush(self.id))

    def common_data(self) -> Optional[bytes]:
        return self._common_data

    def _output_of(self, ended: ha.TaskResult) -> Any:
        if ended.state != TaskState.SUCCEED:
            raise failure(self.id, ended.task, ended.state, convert.optional(ended, "message"))
        output = convert.optional(ended, "output")
        return output if self.payloads.decode is None else self.payloads.decode(output)

    # ── inside ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def of(cls, connection: Connection, message: wire.Session, payloads: Optional[Payloads] = None) -> Session:
        session = cls(
            connection,
            message.metadata.id,
            message.spec.application,
            SessionState.OPEN,
            convert.moment(message.status.creation_time),
            0,
            0,
            0,
            0,
            None,
            convert.optional(message.spec, "common_data"),
            payloads=payloads,
        )
        return session.take(message)

    def take(self, message: wire.Session) -> Session:
        """Takes state and counters over."""
        status = message.status
        self.state = SessionState(status.state)
        self.pending, self.running = status.pending, status.running
        self.succeed, self.failed, self.cancelled = status.succeed, status.failed, status.cancelled
        completed = convert.optional(status, "completion_time")
        self.completion_time = None if completed is None else convert.moment(completed)
        self.events = convert.events(status.events)
        return self

    def _take_stream(self) -> SessionStream:
        stream = self._stream
        if stream is not None and not stream.is_over:
            return stream
        with self._lock:
            if self._stream is None or self._stream.is_over:
                if self._give_back is not None:
                    self._give_back()
                client = self.connection.client
                self._stream = client.take_stream(self.id)
                # However this session goes, its stream ends once nobody else has it.
                give_back = weakref.finalize(self, client.give_stream, self._stream)
                give_back.atexit = False
                self._give_back = give_back
            return self._stream

    def take_stream(self) -> SessionStream:
        """For the asynchronous side of this session."""
        return self._take_stream()

    def drop_stream(self) -> None:
        """It ends, once everything submitted has."""
        with self._lock:
            if self._give_back is not None:
                self._give_back()
            self._stream = self._give_back = None
