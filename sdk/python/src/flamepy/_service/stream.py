"""Our stream, whatever carries it: what frames mean, and what is to be said in frames.

**Invariant:** words leave in the order in which they were said. Results that stand together leave in one frame: a message
costs Python far more than a result.
"""

from __future__ import annotations

from collections import deque
from typing import Deque, List, Optional, Tuple

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
        self._words: Deque[Tuple[Order, Result]] = deque()
        # Orders whose answer has not left.
        self._in_flight = 0
        self._is_closed = False

    def put(self, order: Order, result: Result) -> None:
        self._words.append((order, result))

    def on_ending(self) -> None:
        """Whoever writes finds out by itself."""

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

    def has_words(self) -> bool:
        """Whether there is something to say."""
        return bool(self._words)

    def take_frame(self) -> Optional[wire.ServiceUp]:
        """What is to be said, as far as it goes into one frame; None when there is nothing."""
        with self._desk.lock:
            words = self._take_words()
        return frame_of(words) if words else None

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


def on_frame(frame: wire.ServiceDown, outbox: StreamOutbox, desk: Desk) -> None:
    """Takes a frame of the worker. Raises [TooMany] and ValueError, after which nothing more is to be taken."""
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


def frame_of(words: List[Tuple[Order, Result]]) -> wire.ServiceUp:
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
