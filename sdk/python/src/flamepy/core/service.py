"""The host side of a service, with the names of the published package: subclass [FlameService] and call [run].

`flamepy.FlameInstance` is the shorter way for a service that is one typed function.
"""

from __future__ import annotations

import abc
import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Optional

from .._service.cancellation import Cancellation, TaskCancelled
from .._service.context import ApplicationContext, SessionContext, TaskContext
from .._service.publisher import Publisher
from .errors import FlameError, FlameErrorCode
from .types import TaskOutput

if TYPE_CHECKING:
    from .._service.server import Server
    from .._wire.v1 import shim_pb2, types_pb2

__all__ = [
    "FLAME_INSTANCE_ENDPOINT",
    "ApplicationContext",
    "Cancellation",
    "FlameInstanceServer",
    "FlameInstanceServicer",
    "FlameService",
    "Publisher",
    "SessionContext",
    "TaskCancelled",
    "TaskContext",
    "TaskOutput",
    "run",
]

FLAME_LOG_LEVEL = "FLAME_LOG_LEVEL"

FLAME_INSTANCE_ENDPOINT = "FLAME_INSTANCE_ENDPOINT"
"""The variable with the path of the socket on which a service must listen."""

FLAME_FRAMES_ENDPOINT = "FLAME_FRAMES_ENDPOINT"
"""The variable with the path of a socket on which it may listen instead, for our stream without gRPC."""


class FlameService(abc.ABC):
    """What a service does. A worker calls `on_session_enter` once, `on_task_invoke` for each task, `on_session_leave`
    once, and then perhaps the next session.

    Each method may be `async def`; all of them then run on one event loop, which lives as long as the process. An
    exception refuses the session or fails the task; its text is what the client reads.
    """

    def on_session_enter(self, context: SessionContext) -> Any:  # noqa: B027  # nothing to do is a good default
        """A session begins. What it returns is ignored."""

    @abc.abstractmethod
    def on_task_invoke(self, context: TaskContext) -> Any:
        """Runs a task and returns its output: bytes or None."""

    def on_session_leave(self) -> Any:  # noqa: B027
        """The session ends for this process. What it returns is ignored."""

    def publisher(self) -> Optional[Publisher]:
        """Where this service says which keys its executor holds, if it ever does: what was published or retracted until
        a call ends goes with the answer to that call."""
        return None


def run(service: FlameService) -> None:
    """Serves `service` to the worker that started this process, until SIGTERM or SIGINT.

    User code runs on this thread. Raises FlameError when no worker started this process (FLAME_INSTANCE_ENDPOINT is
    unset) or its socket cannot be listened on.
    """
    _log_as_asked()
    FlameInstanceServer(service).start()


def _log_as_asked() -> None:
    """Has flamepy write its log to standard error, which the worker keeps, from the level in FLAME_LOG_LEVEL on. A program
    that has set up logging itself keeps its handlers."""
    level = os.environ.get(FLAME_LOG_LEVEL, "").strip().upper()
    if not level:
        return
    logger = logging.getLogger("flamepy")
    try:
        logger.setLevel(level)
    except ValueError:
        logger.warning("%s is %r, expected DEBUG, INFO, WARNING, ERROR or CRITICAL", FLAME_LOG_LEVEL, level)
    if not logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)


class FlameInstanceServer:
    """Serves a service on the socket of this process. `start` blocks until `stop` or a signal."""

    def __init__(self, service: FlameService) -> None:
        self._service = service
        self._lock = threading.Lock()
        self._server: Optional[Server] = None
        self._is_stopped = False

    def start(self) -> None:
        from .._service.server import Server

        # A worker that knows the frames of our stream offers a socket for them beside the published one.
        frames = os.environ.get(FLAME_FRAMES_ENDPOINT)
        path = frames or os.environ.get(FLAME_INSTANCE_ENDPOINT)
        if not path:
            raise FlameError(
                FlameErrorCode.INTERNAL,
                f"Failed to start gRPC instance server: {FLAME_INSTANCE_ENDPOINT} not found",
                remedy="a service is started by a worker, not by hand: register its command with flmctl register",
            )
        with self._lock:
            if self._server is not None or self._is_stopped:
                raise FlameError(FlameErrorCode.INVALID_STATE, "the server was started or stopped before")
            self._server = Server(self._service, path, in_frames=bool(frames))
        self._server.serve()

    def stop(self) -> None:
        """Lets what runs end and answers it; nothing else is begun. Does not wait; `start` returns when it is done."""
        with self._lock:
            self._is_stopped = True
            server = self._server
        if server is not None:
            server.stop()


class FlameInstanceServicer:
    """The published calls on a service, without a socket: what a test calls. Answers as release 0.6 does."""

    def __init__(self, service: FlameService) -> None:
        from .._service.unary import DirectCalls

        self._calls = DirectCalls(service)

    def OnSessionEnter(self, request: shim_pb2.SessionContext, context: object) -> types_pb2.Result:
        return self._calls.enter(request)

    def OnTaskInvoke(self, request: shim_pb2.TaskContext, context: object) -> types_pb2.TaskResult:
        return self._calls.invoke(request)

    def OnSessionLeave(self, request: types_pb2.EmptyRequest, context: object) -> types_pb2.Result:
        return self._calls.leave()
