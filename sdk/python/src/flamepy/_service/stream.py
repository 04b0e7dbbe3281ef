"""Our stream: frames in, frames out.

**Invariant:** words leave in the order in which they were said. Results that stand together leave in one frame: as many
as are there when the socket has room, without waiting for more. A message costs Python far more than a result.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Deque, Iterator, List, Optional, Tuple

import grpc

from .._wire.ha import service_pb2 as wire
from .context import ApplicationContext, SessionContext
from .desk import Desk
from .orders import EnterOrder, LeaveOrder, Order, Result, SessionResult, TaskOrder, TaskResult

# What this package understands of the stream.
FEATURE_LEVEL = 1

# Most tasks of one stream without an answer: what a service tells its worker.
IN_FLIGHT_MAX = 1024

_RESULTS_PER_FRAME_MAX = 1024

# No further result is added to a frame with this many bytes of outputs.
_FRAME_BYTES_GOAL = 1 << 20

OK = 0
FAILED = -1


class TooMany(Exception):
    """More was handed over than the service said that it takes at a time."""


class StreamOutbox:
    """What one stream has to say."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._word_came = threading.Condition(desk.lock)
        self._words: Deque[Tuple[Order, Result]] = deque()
        # Orders whose answer has not left.
        self._in_flight = 0
        self._is_closed = False

    def put(self, order: Order, result: Result) -> None:
        self._words.append((order, result))
        if len(self._words) == 1:
            self._word_came.notify()

    def on_ending(self) -> None:
        self._word_came.notify()

    def bring(self, orders: List[Order]) -> None:
        with self._desk.lock:
            if self._in_flight + len(orders) > IN_FLIGHT_MAX:
                raise TooMany
            self._in_flight += len(orders)
        self._desk.bring(orders)

    def close(self) -> None:
        """Nobody reads any more."""
        self._desk.close(self)
        with self._desk.lock:
            self._is_closed = True
            self._word_came.notify()

    def next_frame(self) -> Optional[wire.ServiceUp]:
        """Waits for something to say; None when nothing will be said any more."""
        with self._desk.lock:
            while not self._words:
                if self._is_closed or self._desk.is_finished(self):
                    return None
                self._word_came.wait()
            words = self._take_words()
        return _frame(words)

    def _take_words(self) -> List[Tuple[Order, Result]]:
        """What goes into one frame: results that stand together, or one other word."""
        taken: List[Tuple[Order, Result]] = []
        size = 0
        while self._words and len(taken) < _RESULTS_PER_FRAME_MAX and size < _FRAME_BYTES_GOAL:
            result = self._words[0][1]
            if isinstance(result, SessionResult):
                if not taken:
                    taken.append(self._words.popleft())
                break
            if result is not None and result.output is not None:
                size += len(result.output)
            taken.append(self._words.popleft())
        self._in_flight -= len(taken)
        return taken


def serve(frames: Iterator[wire.ServiceDown], context: grpc.ServicerContext, desk: Desk) -> Iterator[wire.ServiceUp]:
    """One stream, for as long as its worker keeps it."""
    outbox = StreamOutbox(desk)
    desk.open(outbox)
    refusal: List[Tuple[grpc.StatusCode, str]] = []

    def read() -> None:
        try:
            for frame in frames:
                _on_frame(frame, outbox, desk)
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


def _on_frame(frame: wire.ServiceDown, outbox: StreamOutbox, desk: Desk) -> None:
    kind = frame.WhichOneof("frame")
    if kind == "invoke":
        outbox.bring(
            [
                TaskOrder(
                    outbox,
                    None,
                    str(task.task),
                    task.input if task.HasField("input") else None,
                    task.token,
                    task.attempt,
                    task.timeout_ms / 1000 if task.timeout_ms else None,
                )
                for task in frame.invoke.tasks
            ]
        )
    elif kind == "cancel":
        desk.cancel(outbox, frame.cancel.token)
    elif kind == "withdraw":
        desk.withdraw(outbox)
    elif kind == "enter":
        outbox.bring([EnterOrder(outbox, _session_context(frame.enter))])
    elif kind == "leave":
        outbox.bring([LeaveOrder(outbox)])
    else:
        raise ValueError("a frame that this service does not know")


def _session_context(enter: wire.EnterSession) -> SessionContext:
    return SessionContext(
        enter.common_data if enter.HasField("common_data") else None,
        enter.session_id,
        ApplicationContext(
            enter.application,
            enter.image if enter.HasField("image") else None,
            enter.command if enter.HasField("command") else None,
            enter.working_directory if enter.HasField("working_directory") else None,
            enter.url if enter.HasField("url") else None,
        ),
        dict(enter.tokens),
        max(enter.batch_size, 1),
    )


def _frame(words: List[Tuple[Order, Result]]) -> wire.ServiceUp:
    first_order, first = words[0]
    if isinstance(first, SessionResult):
        code, message = (OK, "") if first.failure is None else (FAILED, first.failure)
        if isinstance(first_order, LeaveOrder):
            return wire.ServiceUp(left=wire.LeftSession(return_code=code, message=message))
        return wire.ServiceUp(
            entered=wire.EnteredSession(
                feature_level=FEATURE_LEVEL,
                return_code=code,
                message=message,
                in_flight_max=IN_FLIGHT_MAX,
                publish=first.publish,
                retract=first.retract,
            )
        )
    up = wire.ServiceUp()
    add = up.done.done.add
    for order, result in words:
        token = order.token if isinstance(order, TaskOrder) else None
        if result is None:
            add(token=token, skipped=True)
        elif isinstance(result, TaskResult):
            output, failure, publish, retract, ran_us = result
            if failure is None:
                done = add(token=token, output=output, ran_us=ran_us)
            else:
                done = add(token=token, return_code=FAILED, message=failure, ran_us=ran_us)
            if publish:
                done.publish.extend(publish)
            if retract:
                done.retract.extend(retract)
    return up
