"""A worker in a few lines: calls a service over its socket, by our stream (gRPC or frames) or by the published calls."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
import time
from queue import SimpleQueue
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional

import grpc

from flamepy._service.server import Server
from flamepy._wire.ha import service_pb2 as wire
from flamepy._wire.v1 import shim_pb2, types_pb2

# Longest any step of a test may take, in seconds; nothing is measured by it.
LIMIT = 30.0

OPTIONS = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]


def wait_until(condition: Callable[[], Any], what: str) -> None:
    """Waits until `condition` holds."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.002)


@contextlib.contextmanager
def socket_path() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="flame-") as folder:
        yield os.path.join(folder, "s.sock")


@contextlib.contextmanager
def serving(service: Any, in_frames: bool = False) -> Iterator[str]:
    """The service on a thread of this process, on the socket that is yielded."""
    with socket_path() as path:
        server = Server(service, path, in_frames=in_frames)
        failed: List[BaseException] = []

        def serve() -> None:
            try:
                server.serve()
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        wait_until(lambda: failed or os.path.exists(path), "the socket is there")
        if failed:
            raise failed[0]
        try:
            yield path
        finally:
            server.stop()
            thread.join(LIMIT)
            assert not thread.is_alive(), "the service ends"
            assert not os.path.exists(path), "the socket is removed"
        if failed:
            raise failed[0]


class StreamWords:
    """What a worker says and hears, whatever carries it."""

    def send(self, **frame: Any) -> None:
        raise NotImplementedError

    def next(self) -> wire.ServiceUp:
        raise NotImplementedError

    def enter(self, session_id: str = "s-1", **fields: Any) -> wire.EnteredSession:
        self.send(enter=wire.EnterSession(feature_level=1, session_id=session_id, application="app", **fields))
        return self.next().entered

    def leave(self) -> wire.LeftSession:
        self.send(leave=wire.LeaveSession())
        return self.next().left

    def invoke(self, inputs: Iterable[Optional[bytes]], first: int = 1) -> List[int]:
        """Hands tasks over in one frame, numbered from `first`. Returns their tokens, ten times their numbers."""
        tasks = [
            wire.InvokeTask(token=10 * number, task=number, attempt=1, input=value)
            for number, value in enumerate(inputs, first)
        ]
        self.send(invoke=wire.InvokeTasks(tasks=tasks))
        return [task.token for task in tasks]

    def done(self, count: int) -> List[wire.TaskDone]:
        """The next `count` results, in the order in which they came."""
        done: List[wire.TaskDone] = []
        while len(done) < count:
            frame = self.next()
            assert frame.WhichOneof("frame") == "done", frame
            done.extend(frame.done.done)
        assert len(done) == count, done
        return done

    def call(self, value: Optional[bytes], number: int = 1) -> wire.TaskDone:
        """One task and its result."""
        self.invoke([value], number)
        return self.done(1)[0]


class Stream(StreamWords):
    """The worker's side of our stream over gRPC."""

    def __init__(self, path: str) -> None:
        self._down: SimpleQueue[Optional[wire.ServiceDown]] = SimpleQueue()
        self._channel = grpc.insecure_channel(f"unix:{path}", OPTIONS)
        run = self._channel.stream_stream(
            "/flame.ha.v1.ServiceStream/Run",
            request_serializer=wire.ServiceDown.SerializeToString,
            response_deserializer=wire.ServiceUp.FromString,
        )
        self._up = run(iter(self._down.get, None), timeout=LIMIT, wait_for_ready=True)
        # As a worker does: whether there is a stream must show before anything is said.
        self._up.initial_metadata()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()
        self._channel.close()

    def finish(self) -> None:
        """Nothing more comes down."""
        self._down.put(None)

    def cut(self) -> None:
        """The worker is gone."""
        self._up.cancel()

    def send(self, **frame: Any) -> None:
        self._down.put(wire.ServiceDown(**frame))

    def next(self) -> wire.ServiceUp:
        return next(self._up)

    def rest(self) -> List[wire.ServiceUp]:
        return list(self._up)

    def status(self) -> grpc.StatusCode:
        with contextlib.suppress(grpc.RpcError):
            list(self._up)
        return self._up.code()


class FrameStream(StreamWords):
    """The worker's side of our stream in frames."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(LIMIT)
        # Between bind and listen the file is there and nobody answers.
        wait_until(lambda: self.socket.connect_ex(path) == 0, "the service listens")
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> FrameStream:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.socket.close()

    def finish(self) -> None:
        """Nothing more comes down."""
        self.socket.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """The worker is gone."""
        self.socket.shutdown(socket.SHUT_RDWR)

    def send(self, **frame: Any) -> None:
        raw = wire.ServiceDown(**frame).SerializeToString()
        self.socket.sendall(len(raw).to_bytes(4, "big") + raw)

    def next(self) -> wire.ServiceUp:
        found = self._next()
        assert found is not None, "the service ended the stream"
        return found

    def rest(self) -> List[wire.ServiceUp]:
        return list(iter(self._next, None))

    def _next(self) -> Optional[wire.ServiceUp]:
        head = self._file.read(4)
        if not head:
            return None
        length = int.from_bytes(head, "big")
        raw = self._file.read(length)
        assert len(raw) == length, "a frame that ends in the middle"
        return wire.ServiceUp.FromString(raw)


class Calls:
    """The worker's side of the published calls. Replies are raw bytes, as a bilingual worker takes them."""

    def __init__(self, path: str) -> None:
        self._channel = grpc.insecure_channel(f"unix:{path}", OPTIONS)

    def __enter__(self) -> Calls:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def raw(self, method: str, request: Any) -> bytes:
        call = self._channel.unary_unary(
            f"/flame.v1.Instance/{method}", request_serializer=type(request).SerializeToString
        )
        reply: bytes = call(request, timeout=LIMIT, wait_for_ready=True)
        return reply

    def enter(self, **fields: Any) -> bytes:
        fields.setdefault("session_id", "s-1")
        fields.setdefault("application", shim_pb2.ApplicationContext(name="app"))
        return self.raw("OnSessionEnter", shim_pb2.SessionContext(**fields))

    def invoke(self, value: Optional[bytes], task_id: str = "1") -> bytes:
        return self.raw("OnTaskInvoke", shim_pb2.TaskContext(task_id=task_id, session_id="s-1", input=value))

    def leave(self) -> bytes:
        return self.raw("OnSessionLeave", types_pb2.EmptyRequest())


def fields_of(done: wire.TaskDone) -> Dict[str, Any]:
    """What a result says, without the time."""
    return {field.name: value for field, value in done.ListFields() if field.name != "ran_us"}
