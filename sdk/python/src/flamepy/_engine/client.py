"""Every call that a program can make, as a coroutine of the engine. The blocking and the asynchronous API are thin
facades over this."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Any, AsyncIterator, Dict, List, Optional, Union

from .._wire.ha import cluster_pb2 as ha
from .._wire.v1 import frontend_pb2 as frontend
from .._wire.v1 import types_pb2 as wire
from ..core import convert
from ..core.errors import FlameError, FlameErrorCode
from ..core.types import Application, ApplicationAttributes, SessionAttributes, SessionState, Task, short_name
from . import methods
from .alone import Alone
from .channel import Options
from .cluster import Cluster, closed
from .endpoints import Endpoints
from .fate import error_of_refusal, unknown_outcome
from .loop import Engine, engine, of_parent
from .requests import Key
from .stream import SessionStream

_GONE = FlameErrorCode.NOT_FOUND
_TERMINAL = (2, 3, 4)


class Client:
    """A connection, and the streams on it."""

    def __init__(self, endpoints: Endpoints, options: Options) -> None:
        self.engine: Engine = engine()
        self.endpoints = endpoints
        self.options = options
        self._cluster: Optional[Cluster] = None
        self._streams: Dict[str, SessionStream] = {}
        self.alone = Alone(self)
        self._is_closed = False
        # A finaliser may run at any point of the same thread.
        self._lock = threading.RLock()

    @property
    def cluster(self) -> Cluster:
        """Made on the engine: channels belong to its loop."""
        if self._is_closed:
            raise closed()
        if self._cluster is None:
            self._cluster = Cluster(self.endpoints, self.options)
            self.engine.on_stop(self.close)
        return self._cluster

    @property
    def known_cluster(self) -> Optional[Cluster]:
        """The same for any thread; None before it is made."""
        return self._cluster

    async def connect(self) -> None:
        try:
            await self.cluster.connect()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """What is under way ends with an error."""
        self._is_closed = True
        self.engine.forget_on_stop(self.close)
        for stream in list(self._streams.values()):
            stream.abandon(closed())
        self._streams.clear()
        self.alone.close()
        if self._cluster is not None:
            await self._cluster.close()

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def check_open(self) -> None:
        """Whoever submits to a connection that is closed, or belongs to another process, is told at once."""
        if self._is_closed:
            raise closed()
        if self.engine is not engine():
            raise of_parent()

    def take_stream(self, session_id: str) -> SessionStream:
        """The stream of a session, for one more user. One that has failed is followed by a new one."""
        self.check_open()
        cluster = self._cluster or self.engine.wait(self._made())
        with self._lock:
            stream = self._streams.get(session_id)
            if stream is None or stream.is_over:
                stream = SessionStream(self.engine, cluster, session_id)
                self._streams[session_id] = stream
            stream.users += 1
            return stream

    def give_stream(self, stream: SessionStream) -> None:
        """One user less; without any it ends, once everything submitted has."""
        with self._lock:
            stream.users -= 1
            if stream.users > 0:
                return
            if self._streams.get(stream.session) is stream:
                del self._streams[stream.session]
        stream.close()

    async def _made(self) -> Cluster:
        return self.cluster

    # ── applications ────────────────────────────────────────────────────────────────────────────────────────────────

    async def register_application(self, name: str, given: Union[ApplicationAttributes, Dict[str, Any]]) -> None:
        spec = convert.application_spec(convert.application_attributes(given))
        request = frontend.RegisterApplicationRequest(name=name, application=spec)
        await self._change_application(methods.REGISTER_APPLICATION, request, "register application")

    async def update_application(self, name: str, given: Union[ApplicationAttributes, Dict[str, Any]]) -> None:
        spec = convert.application_spec(convert.application_attributes(given))
        request = frontend.UpdateApplicationRequest(name=name, application=spec)
        await self._change_application(methods.UPDATE_APPLICATION, request, "update application")

    async def unregister_application(self, name: str) -> None:
        request = frontend.UnregisterApplicationRequest(name=name)
        await self._change_application(methods.UNREGISTER_APPLICATION, request, "unregister application", _GONE)

    async def _change_application(
        self, method: Any, request: Any, doing: str, done: Optional[FlameErrorCode] = None
    ) -> None:
        outcome = await self.cluster.change(method, request, doing)
        if outcome.error is None and outcome.reply is not None and outcome.reply.return_code != 0:
            outcome.error = error_of_refusal(outcome.reply.message, doing)
        if outcome.after_lost and done is not None and outcome.is_refused(done):
            return
        outcome.of_change()

    async def list_applications(self) -> List[Application]:
        request = frontend.ListApplicationsRequest()
        reply = await self.cluster.read(methods.LIST_APPLICATIONS, request, "list applications")
        return [convert.application(one) for one in reply.applications]

    async def get_application(self, name: str) -> Optional[Application]:
        request = frontend.GetApplicationRequest(name=name)
        outcome = await self.cluster.call(methods.GET_APPLICATION, request, "get application", None)
        if outcome.is_refused(_GONE):
            return None
        return convert.application(outcome.of_read())

    async def list_executors(self) -> List[wire.Executor]:
        request = frontend.ListExecutorsRequest()
        return list((await self.cluster.read(methods.LIST_EXECUTORS, request, "list executors")).executors)

    async def list_nodes(self) -> List[wire.Node]:
        return list((await self.cluster.read(methods.LIST_NODES, frontend.ListNodesRequest(), "list nodes")).nodes)

    # ── sessions ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def create_session(self, given: SessionAttributes) -> wire.Session:
        spec = convert.session_spec(given)
        chosen = given.id if given.id is not None else short_name(given.application)
        request = frontend.CreateSessionRequest(session_id=chosen, session=spec)
        outcome = await self.cluster.change(methods.CREATE_SESSION, request, "create session")
        if outcome.after_lost and given.id is None and outcome.is_refused(FlameErrorCode.ALREADY_EXISTS):
            # Nobody else draws the same id: what exists is what the lost attempt made.
            return await self.get_session(chosen)
        return outcome.of_change()

    async def open_session(self, session_id: str, given: Optional[SessionAttributes]) -> wire.Session:
        request = frontend.OpenSessionRequest(session_id=session_id)
        if given is not None:
            request.session.CopyFrom(convert.session_spec(given))
        if given is None:
            return await self.cluster.read(methods.OPEN_SESSION, request, "open session")
        return (await self.cluster.change(methods.OPEN_SESSION, request, "open session")).of_change()

    async def get_session(self, session_id: str) -> wire.Session:
        await self.settle(session_id)
        request = frontend.GetSessionRequest(session_id=session_id)
        return await self.cluster.read(methods.GET_SESSION, request, "get session")

    async def list_sessions(
        self, application: Optional[str] = None, state: Optional[SessionState] = None
    ) -> List[wire.Session]:
        await asyncio.gather(*(self.settle(one) for one in list(self._streams)))
        request = frontend.ListSessionsRequest(application=application)
        if state is not None:
            request.state = int(state)  # type: ignore[assignment]
        return list((await self.cluster.read(methods.LIST_SESSIONS, request, "list sessions")).sessions)

    async def close_session(self, session_id: str, force: bool = False) -> wire.Session:
        await self.settle(session_id)
        if force:
            ask = ha.ForceCloseSessionRequest(session_id=session_id)
            (await self.cluster.change(methods.FORCE_CLOSE_SESSION, ask, "close session")).of_change()
        request = frontend.CloseSessionRequest(session_id=session_id)
        outcome = await self.cluster.change(methods.CLOSE_SESSION, request, "close session")
        if outcome.is_refused(FlameErrorCode.INVALID_STATE):
            # Had a lost attempt closed it, nothing would run.
            error = outcome.error
            assert error is not None
            raise FlameError(
                error.code, error.message, remedy="wait for the tasks, cancel them, or close with force=True"
            )
        return outcome.of_change()

    async def delete_session(self, session_id: str) -> None:
        request = frontend.DeleteSessionRequest(session_id=session_id)
        outcome = await self.cluster.change(methods.DELETE_SESSION, request, "delete session")
        if not (outcome.after_lost and outcome.is_refused(_GONE)):
            outcome.of_change()

    async def suspend_session(self, session_id: str) -> wire.Session:
        await self.settle(session_id)
        request = frontend.SuspendSessionRequest(session_id=session_id)
        return (await self.cluster.change(methods.SUSPEND_SESSION, request, "suspend session")).of_change()

    async def resume_session(self, session_id: str) -> wire.Session:
        request = frontend.ResumeSessionRequest(session_id=session_id)
        return (await self.cluster.change(methods.RESUME_SESSION, request, "resume session")).of_change()

    # ── tasks ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def create_task(self, session_id: str, data: Any, key: Optional[bytes] = None) -> Task:
        if key is not None and len(key) != 16:
            raise convert.invalid(f"an idempotency key has 16 bytes, not {len(key)}", "use uuid.uuid4().bytes")
        spec = wire.TaskSpec(session_id=session_id)
        content = convert.payload(data)
        if content is not None:
            spec.input = content
        request = frontend.CreateTaskRequest(task=spec)
        outcome = await self.cluster.call(methods.CREATE_TASK, request, "create task", Key(key or b""))
        return convert.task(outcome.of_change(), session_id)

    async def get_task(self, session_id: str, task_id: str) -> Task:
        await self.settle(session_id)
        request = frontend.GetTaskRequest(task_id=convert.task_number(task_id), session_id=session_id)
        return convert.task(await self.cluster.read(methods.GET_TASK, request, "get task"), session_id)

    async def cancel_task(self, session_id: str, task_id: str) -> None:
        number = convert.task_number(task_id)
        request = ha.CancelTaskRequest(session_id=session_id, task_id=number)
        outcome = await self.cluster.change(methods.CANCEL_TASK, request, "cancel task")
        if outcome.after_lost and outcome.is_refused(FlameErrorCode.INVALID_STATE):
            if (await self.get_task(session_id, number)).is_cancelled():
                return
            raise unknown_outcome("the task has ended otherwise meanwhile", "cancel task")
        outcome.of_change()

    async def list_tasks(self, session_id: str) -> AsyncIterator[Task]:
        """In the order of their numbers; each once, also when the stream breaks in between."""
        await self.settle(session_id)
        request = frontend.ListTasksRequest(session_id=session_id)
        seen = set()
        deadline = self.options.deadline
        async for message in self.cluster.follow(methods.LIST_TASKS, request, "list tasks", deadline):
            if message.metadata.id not in seen:
                seen.add(message.metadata.id)
                yield convert.task(message, session_id)

    async def watch_task(self, session_id: str, task_id: str) -> AsyncIterator[Task]:
        """The present state, then every further one until the last."""
        request = frontend.WatchTaskRequest(task_id=convert.task_number(task_id), session_id=session_id)
        await self.settle(session_id)
        last: Optional[int] = None
        while True:
            messages = self.cluster.follow(methods.WATCH_TASK, request, "watch task", self.options.patience)
            async for message in messages:
                state = message.status.state
                if state != last:
                    last = state
                    yield convert.task(message, session_id)
                if state in _TERMINAL:
                    with suppress(RuntimeError):
                        await messages.aclose()  # type: ignore[attr-defined]
                    return
            # A clean end is no end of the task: ask again.
            await asyncio.sleep(0.05)

    async def settle(self, session_id: str) -> None:
        """What was submitted before is a task by then, as with calls that wait for their answer: whoever submits and
        then looks finds it. When that takes too long, the call that follows says why."""
        stream = self._streams.get(session_id)
        if stream is not None:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(stream.flushed(), self.options.deadline)

    async def flush(self, session_id: str) -> None:
        stream = self._streams.get(session_id)
        if stream is not None:
            await stream.flushed()
