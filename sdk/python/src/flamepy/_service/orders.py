"""What is to be done, and where the answer goes."""

from __future__ import annotations

from typing import Iterable, NamedTuple, Optional, Protocol, Union

from .cancellation import Cancellation
from .context import SessionContext, TaskContext


class TaskResult(NamedTuple):
    """What became of a task."""

    output: Optional[bytes]
    failure: Optional[str]
    """The text of its failure; None when it succeeded."""
    publish: Iterable[bytes]
    retract: Iterable[bytes]
    ran_us: int


class SessionResult(NamedTuple):
    """How entering or leaving a session went."""

    failure: Optional[str]
    publish: Iterable[bytes] = ()
    retract: Iterable[bytes] = ()


# None: the task has not begun and never will.
Result = Union[TaskResult, SessionResult, None]


class Outbox(Protocol):
    """Where answers go: a stream, or the one call that waits."""

    def put(self, order: Order, result: Result) -> None:
        """Takes an answer. Called with the desk's lock held, so it must not wait for anything."""

    def on_ending(self) -> None:
        """Nothing is begun any more. Called with the desk's lock held."""


class EnterOrder:
    """Enter a session."""

    __slots__ = ("context", "outbox")

    def __init__(self, outbox: Outbox, context: SessionContext) -> None:
        self.outbox = outbox
        self.context = context


class LeaveOrder:
    """Leave the session."""

    __slots__ = ("outbox",)

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox


class TaskOrder:
    """Run a task. The session of a stream's task is the one that the stream has entered by the time it runs."""

    __slots__ = ("attempt", "cancellation", "input", "outbox", "session_id", "task_id", "timeout", "token")

    def __init__(
        self,
        outbox: Outbox,
        session_id: Optional[str],
        task_id: str,
        input: Optional[bytes],
        token: Optional[int],
        attempt: Optional[int],
        timeout: Optional[float],
    ) -> None:
        self.outbox = outbox
        self.session_id = session_id
        self.task_id = task_id
        self.input = input
        self.token = token
        self.attempt = attempt
        self.timeout = timeout
        self.cancellation = Cancellation()

    def context(self, entered: str) -> TaskContext:
        session_id = self.session_id if self.session_id is not None else entered
        return TaskContext(
            self.task_id, session_id, self.input, self.token, self.attempt, self.timeout, self.cancellation
        )


Order = Union[EnterOrder, LeaveOrder, TaskOrder]
