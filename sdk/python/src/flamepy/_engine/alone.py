"""The short way of a task that is alone: one blocking call on the thread of the caller, which submits the task and brings
its result. Nothing else of this process is woken for it.

The call is tried once, at the leader. Whatever else than a result comes of it is looked after on the engine, with the same
key, like every other call: there it is tried elsewhere, and waited for as long as it takes.

Invariant: all attempts of a task carry the same key; it is submitted once.
Invariant: a task whose caller has gone (Ctrl-C) is ended, as far as a coordinator can be reached.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Optional

from .._grpc import grpc
from .._wire.ha import cluster_pb2, session_pb2
from ..core.errors import FlameError, FlameErrorCode
from ..core.types import TaskOptions
from . import methods
from .channel import open_blocking_channel
from .cluster import Cluster
from .endpoints import Endpoint
from .fate import Kind, fate_of, not_ours
from .frame import task_options
from .requests import Key

if TYPE_CHECKING:
    from .client import Client

_DOING = "run a task"

# For a coordinator to say which task it is whose caller has gone.
_FAREWELL_SECONDS = 0.5


class Alone:
    """Runs one task at a time. Calls may come from any thread but the engine's."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._free = threading.Lock()
        self._channel: Optional[grpc.Channel] = None
        self._call: Any = None
        self._at: Optional[int] = None

    def run(
        self, session_id: str, payload: Optional[bytes], options: Optional[TaskOptions]
    ) -> Optional[session_pb2.TaskResult]:
        """The end of the task. None, and nothing done: another task is on this way."""
        if not self._free.acquire(blocking=False):
            return None
        try:
            request = session_pb2.RunTask(session_id=session_id, options=task_options(options))
            request.submit.SetInParent()
            if payload is not None:
                request.submit.input = payload
            return self._run(request)
        finally:
            self._free.release()

    def _run(self, request: session_pb2.RunTask) -> session_pb2.TaskResult:
        engine, key, was_lost = self._client.engine, Key(), False
        try:
            call = self._ready()
            try:
                ran = call(request, timeout=self._client.options.attempt_timeout, metadata=key.metadata)
                if ran.HasField("result"):
                    return ran.result  # type: ignore[no-any-return]
                request = session_pb2.RunTask(session_id=request.session_id, wait=ran.task)
            except (grpc.RpcError, ValueError) as error:
                # ValueError: the channel was closed meanwhile.
                was_lost = isinstance(error, ValueError) or fate_of(error).kind == Kind.LOST
            return engine.wait(self._finish(request, key, was_lost))
        except Exception:
            raise
        except BaseException:
            engine.wait(self._give_up(request, key))
            raise

    def _ready(self) -> Any:
        """The call at the coordinator that this client has turned to."""
        cluster = self._client.known_cluster
        if self._call is None or cluster is None or not cluster.is_here(self._at):
            at, endpoint = self._client.engine.wait(self._turn())
            if at != self._at:
                self.close()
                self._channel = open_blocking_channel(endpoint, self._client.endpoints.tls, self._client.options)
                method = methods.RUN
                self._call = self._channel.unary_unary(method.path, methods.serialize, method.parse)
                self._at = at
        return self._call

    async def _turn(self) -> tuple[int, Endpoint]:
        cluster = self._client.cluster
        await cluster.turn_to_leader()
        at, place = cluster.here()
        return at, place.endpoint

    # ── on the engine ───────────────────────────────────────────────────────────────────────────────────────────────

    async def _finish(self, request: session_pb2.RunTask, key: Key, was_lost: bool) -> session_pb2.TaskResult:
        cluster, session_id = self._client.cluster, request.session_id
        task = request.wait
        if not task:
            outcome = await cluster.call(methods.RUN, request, _DOING, key, was_lost)
            if outcome.is_refused(FlameErrorCode.UNIMPLEMENTED):
                raise not_ours(_DOING)
            ran = outcome.of_change()
            if ran.HasField("result"):
                return ran.result
            task = ran.task
        while True:
            ran = await cluster.wait(methods.RUN, session_pb2.RunTask(session_id=session_id, wait=task), _DOING)
            if ran.HasField("result"):
                return ran.result

    async def _give_up(self, request: session_pb2.RunTask, key: Key) -> None:
        """Ends the task, if this is soon done."""
        with suppress(FlameError, grpc.RpcError):
            cluster: Cluster = self._client.cluster
            task = request.wait
            _, place = cluster.here()
            if not task:
                call = place.unary(methods.RUN)
                task = (await call(request, timeout=_FAREWELL_SECONDS, metadata=key.metadata)).task
            end = cluster_pb2.CancelTaskRequest(session_id=request.session_id, task_id=str(task))
            await place.unary(methods.CANCEL_TASK)(end, timeout=_FAREWELL_SECONDS)

    def close(self) -> None:
        """A call that is under way ends with an error."""
        channel, self._channel, self._call, self._at = self._channel, None, None, None
        if channel is not None:
            channel.close()
