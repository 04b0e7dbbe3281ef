"""What travels as one numbered message.

Invariant: a frame keeps its number and its content until it is answered; only `below` is new in each sending, and that is
no part of what the coordinators compare.
Invariant: tasks of one frame have the same options, are accepted together or not at all, and keep their order.
"""

from __future__ import annotations

import asyncio
from typing import Any, Deque, List, Optional, Protocol

from .._wire.ha import session_pb2 as ha
from ..core.errors import FlameError
from ..core.types import TaskOptions
from .room import TASK_BYTES

FRAME_BYTES_MAX = 1 << 20
FRAME_TASKS_MAX = 4096

# What counts against the credit beside inputs: not less than any coordinator counts.
_FRAME_COST = 1024
_TASK_COST = 64


class Sink(Protocol):
    """Whoever is told of many ends at once."""

    def flush(self) -> None: ...


class Receiver(Protocol):
    """A task on its way: what is sent, and who learns what becomes of it. Called on the engine's thread."""

    payload: Optional[bytes]
    options: Optional[TaskOptions]

    def is_wanted(self) -> bool:
        """Whether anybody still wants it."""

    def accept(self, number: int) -> None:
        """It is a task of the session now."""

    def finish(self, state: int, output: Optional[bytes], message: Optional[str]) -> Optional[Sink]:
        """It has ended."""

    def refuse(self, error: FlameError) -> Optional[Sink]:
        """It never became a task, or its end cannot be learned."""


class Cancel:
    """An order to end a task; nobody waits for the answer."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number


class Marker:
    """Whoever wants to know when everything before it is answered."""

    __slots__ = ("reached",)

    def __init__(self, reached: asyncio.Future[None]) -> None:
        self.reached = reached

    def tell(self) -> None:
        if not self.reached.done():
            self.reached.set_result(None)


class Frame:
    __slots__ = ("cost", "is_sent", "message", "receivers", "seq", "size", "submit")

    def __init__(self, seq: int, message: ha.SessionUp, receivers: List[Any], size: int) -> None:
        self.seq = seq
        self.message = message
        self.submit: Any = message.submit if message.HasField("submit") else message.cancel
        self.receivers = receivers
        self.size = size
        """Room that comes back with its answer."""
        self.cost = _FRAME_COST + _TASK_COST * len(receivers) + size
        """What it counts against the credit."""
        self.is_sent = False


def gather(seq: int, waiting: Deque[Any], dropped: List[Any]) -> Optional[Frame]:
    """As much of what waits as one frame holds, from the front. What nobody wants any more is dropped. None: that was
    all of it."""
    receivers: List[Any] = []
    tasks: List[ha.TaskInput] = []
    size = 0
    options: Optional[TaskOptions] = None
    TaskInput = ha.TaskInput
    while waiting and len(receivers) < FRAME_TASKS_MAX:
        first = waiting[0]
        if type(first) is Cancel:
            if receivers:
                break
            waiting.popleft()
            return Frame(seq, ha.SessionUp(cancel=ha.CancelTask(seq=seq, task=first.number)), [], 0)
        if type(first) is Marker:
            break
        if not first.is_wanted():
            dropped.append(waiting.popleft())
            continue
        payload = first.payload
        length = 0 if payload is None else len(payload)
        if receivers and (size + length > FRAME_BYTES_MAX or first.options != options):
            break
        waiting.popleft()
        options = first.options
        receivers.append(first)
        tasks.append(TaskInput() if payload is None else TaskInput(input=payload))
        size += length
        # It is in the message now.
        first.payload = None
    if not receivers:
        return None
    submit = ha.SubmitTasks(seq=seq, tasks=tasks, options=task_options(options))
    return Frame(seq, ha.SessionUp(submit=submit), receivers, size + TASK_BYTES * len(receivers))


def task_options(options: Optional[TaskOptions]) -> Optional[ha.TaskOptions]:
    if options is None:
        return None
    timeout_ms = round(options.timeout * 1000) if options.timeout else 0
    return ha.TaskOptions(affinity=options.affinity, priority=options.priority, timeout_ms=timeout_ms)
