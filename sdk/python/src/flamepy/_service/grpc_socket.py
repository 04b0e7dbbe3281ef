"""The published socket: gRPC, with our stream and the published calls.

**Invariant:** results that are there when the socket has room leave in one message, without waiting for more.
"""

from __future__ import annotations

import threading
from concurrent import futures
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple

import grpc

from .._wire.ha import service_pb2 as wire
from .._wire.v1 import shim_pb2, types_pb2
from . import unary
from .desk import Desk
from .orders import Order, Result
from .path import MESSAGE_BYTES_MAX, checked, refused
from .stream import StreamOutbox, TooMany, frame_of, on_frame

# A stream and a few calls at a time; a worker makes one.
_THREADS = 10

# Answers that are said already leave within this time, in seconds, or nobody reads them.
_FLUSH_SECONDS = 10.0


class GrpcSocket:
    """Brings orders to a desk and carries answers away, on threads of its own."""

    def __init__(self, desk: Desk, path: str) -> None:
        self._desk = desk
        self._path = path
        # What the runner asks for orders.
        self.source = desk
        self._server = grpc.server(
            futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="flame-service"),
            handlers=[_instance(unary.Calls(desk)), _streams(desk)],
            options=[
                ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
                ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
                # Not shared with a second service that got the same path by mistake.
                ("grpc.so_reuseport", 0),
            ],
        )

    def open(self) -> None:
        """Listens."""
        # gRPC would take the place of whatever is there.
        checked(self._path)
        try:
            bound = self._server.add_insecure_port(f"unix:{self._path}")
        except RuntimeError as error:
            raise refused(self._path, str(error)) from None
        if not bound:
            raise refused(self._path, "the system refuses")
        self._server.start()

    def on_ending(self) -> None:
        """Nothing more is begun; the threads that carry answers away know it from the desk."""

    def close(self) -> None:
        """When the desk has ended: lets what was said leave."""
        self._server.stop(_FLUSH_SECONDS).wait()


class _WaitedOutbox(StreamOutbox):
    """An outbox with a thread that waits for words."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._word_came = threading.Condition(desk.lock)

    def put(self, order: Order, result: Result) -> None:
        super().put(order, result)
        if len(self._words) == 1:
            self._word_came.notify()

    def on_ending(self) -> None:
        self._word_came.notify()

    def close(self) -> None:
        super().close()
        with self._desk.lock:
            self._word_came.notify()

    def next_frame(self) -> Optional[wire.ServiceUp]:
        """Waits for something to say; None when nothing will be said any more."""
        with self._desk.lock:
            while not self._words:
                if self._is_closed or self._desk.is_finished(self):
                    return None
                self._word_came.wait()
            words = self._take_words()
        return frame_of(words)


def _serve(frames: Iterator[wire.ServiceDown], context: grpc.ServicerContext, desk: Desk) -> Iterator[wire.ServiceUp]:
    """One stream, for as long as its worker keeps it."""
    outbox = _WaitedOutbox(desk)
    desk.open(outbox)
    refusal: List[Tuple[grpc.StatusCode, str]] = []

    def read() -> None:
        try:
            for frame in frames:
                on_frame(frame, outbox, desk)
        except TooMany:
            refusal.append((grpc.StatusCode.RESOURCE_EXHAUSTED, TooMany.__doc__ or ""))
        except ValueError as error:
            refusal.append((grpc.StatusCode.INVALID_ARGUMENT, str(error)))
        except Exception:  # the worker is gone; gRPC says so in several ways
            pass
        outbox.close()

    if not context.add_callback(outbox.close):
        outbox.close()  # over before it began
        return
    # The worker says nothing before it knows that there is a stream; gRPC would tell it with our first frame.
    context.send_initial_metadata(())
    threading.Thread(target=read, name="flame-stream", daemon=True).start()
    while True:
        answer = outbox.next_frame()
        if answer is None:
            break
        yield answer
    if refusal:
        context.abort(*refusal[0])


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
        lambda frames, context: _serve(frames, context, desk),
        request_deserializer=wire.ServiceDown.FromString,
        response_serializer=_serialized,
    )
    return grpc.method_handlers_generic_handler("flame.ha.v1.ServiceStream", {"Run": run})


def _serialized(message: Any) -> bytes:
    raw: bytes = message.SerializeToString()
    return raw
