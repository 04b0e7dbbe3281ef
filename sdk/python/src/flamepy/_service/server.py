"""The socket of a service, and the signals that end it."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import threading
from concurrent import futures
from types import FrameType
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional

import grpc

from .._wire.ha import service_pb2
from .._wire.v1 import shim_pb2, types_pb2
from ..core.errors import FlameError, FlameErrorCode
from . import stream, unary
from .desk import Desk
from .runner import Runner

if TYPE_CHECKING:
    from ..core.service import FlameService

# Largest message, in bytes: a batch of inputs.
MESSAGE_BYTES_MAX = 64 * 1024 * 1024

# The path of a unix socket has room for so many bytes on Linux.
SOCKET_PATH_BYTES_MAX = 107

# A stream and a few calls at a time; a worker makes one.
_THREADS = 10

# Answers that are said already leave within this time, in seconds, or nobody reads them.
_FLUSH_SECONDS = 10.0


class Server:
    """Serves one service on one socket, once."""

    def __init__(self, service: FlameService, path: str) -> None:
        self._desk = Desk()
        self._runner = Runner(service, self._desk)
        self._path = path

    def serve(self) -> None:
        """Serves until [stop] or a signal. User code runs on the calling thread."""
        server = grpc.server(
            futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="flame-service"),
            handlers=[_instance(unary.Calls(self._desk)), _streams(self._desk)],
            options=[
                ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
                ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
                # Not shared with a second service that got the same path by mistake.
                ("grpc.so_reuseport", 0),
            ],
        )
        # Whoever sees the socket may send a signal.
        with _Signals(self.stop):
            self._bind(server)
            server.start()
            try:
                self._runner.run()
            finally:
                self._desk.end()
                server.stop(_FLUSH_SECONDS).wait()
                # The worker may have removed it already.
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._path)

    def stop(self) -> None:
        """What runs is ended and answered; nothing else is begun. Returns at once."""
        self._desk.end()

    def _bind(self, server: grpc.Server) -> None:
        def refused(why: str) -> FlameError:
            return FlameError(FlameErrorCode.INVALID_CONFIG, f"cannot listen on {self._path}: {why}")

        if len(os.fsencode(self._path)) > SOCKET_PATH_BYTES_MAX:
            raise refused(f"the path of a socket has at most {SOCKET_PATH_BYTES_MAX} bytes")
        # gRPC would take the place of whatever is there.
        if os.path.lexists(self._path):
            kind = "a socket" if stat.S_ISSOCK(os.lstat(self._path).st_mode) else "a file"
            raise refused(f"{kind} is there already")
        try:
            bound = server.add_insecure_port(f"unix:{self._path}")
        except RuntimeError as error:
            raise refused(str(error)) from None
        if not bound:
            raise refused("the system refuses")


def _instance(calls: unary.Calls) -> grpc.GenericRpcHandler[Any, Any]:
    def method(behaviour: Callable[..., Any], request: Any) -> grpc.RpcMethodHandler[Any, Any]:
        return grpc.unary_unary_rpc_method_handler(
            behaviour, request_deserializer=request.FromString, response_serializer=_serialized
        )

    methods: Dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "OnSessionEnter": method(calls.enter, shim_pb2.SessionContext),
        "OnTaskInvoke": method(calls.invoke, shim_pb2.TaskContext),
        "OnSessionLeave": method(calls.leave, types_pb2.EmptyRequest),
    }
    return grpc.method_handlers_generic_handler("flame.v1.Instance", methods)


def _streams(desk: Desk) -> grpc.GenericRpcHandler[Any, Any]:
    run = grpc.stream_stream_rpc_method_handler(
        lambda frames, context: stream.serve(frames, context, desk),
        request_deserializer=service_pb2.ServiceDown.FromString,
        response_serializer=_serialized,
    )
    return grpc.method_handlers_generic_handler("flame.ha.v1.ServiceStream", {"Run": run})


def _serialized(message: Any) -> bytes:
    raw: bytes = message.SerializeToString()
    return raw


class _Signals:
    """Calls `stop` on SIGTERM and SIGINT while it is entered, and gives the signals back afterwards.

    A handler runs on the main thread between any two instructions, perhaps of code that holds the lock that `stop`
    needs; and a main thread that is just about to wait for something runs no handler before that comes. So another
    thread listens to a pipe, which Python writes to the moment that a signal arrives. A second SIGINT is a
    KeyboardInterrupt, as without us.
    """

    _ENOUGH = 0

    def __init__(self, stop: Callable[[], None]) -> None:
        self._stop = stop
        self._before: Dict[int, Any] = {}
        self._pipe_before = -1
        self._thread: Optional[threading.Thread] = None

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread hears signals; whoever calls from another one handles them
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._thread = threading.Thread(target=self._listen, name="flame-signals", daemon=True)
        self._thread.start()
        self._pipe_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._on_signal)

    def __exit__(self, *_: object) -> None:
        if self._thread is None:
            return
        for number, handler in self._before.items():
            # None: it was set by something that is not Python, and cannot be named.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        signal.set_wakeup_fd(self._pipe_before)
        self._tell(self._ENOUGH)
        self._thread.join()
        os.close(self._read)
        os.close(self._write)

    def _on_signal(self, number: int, _frame: Optional[FrameType]) -> None:
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        # User code may have given Python another pipe, as asyncio does for its own signal handlers.
        self._tell(number)

    def _tell(self, number: int) -> None:
        with contextlib.suppress(BlockingIOError):  # full: there is enough to be read
            os.write(self._write, bytes([number]))

    def _listen(self) -> None:
        while True:
            (number,) = os.read(self._read, 1)
            if number == self._ENOUGH:
                return
            if number in (signal.SIGTERM, signal.SIGINT):
                self._stop()
