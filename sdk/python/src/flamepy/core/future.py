"""What becomes of a task, as a future.

Invariant: it ends once: with the output, or with the error that says why there is none.
"""

from __future__ import annotations

import concurrent.futures
from typing import TYPE_CHECKING, Any, Callable, Optional

from .errors import FlameError, FlameErrorCode, RemoteTraceback, TaskFailedError, split_traceback
from .types import TaskOptions, TaskState

if TYPE_CHECKING:
    from .._engine.stream import SessionStream

Decode = Callable[[Optional[bytes]], Any]

_SUCCEED = int(TaskState.SUCCEED)


def failure(session_id: str, number: int, state: int, message: Optional[str]) -> TaskFailedError:
    """The error of a task that has not succeeded."""
    if state == TaskState.CANCELLED:
        error = TaskFailedError(FlameErrorCode.CANCELLED, message or f"task {number} of {session_id} was cancelled")
    else:
        text, traceback = split_traceback(message or "Task failed without error message")
        error = TaskFailedError(FlameErrorCode.INTERNAL, text)
        if traceback is not None:
            error.__cause__ = RemoteTraceback(traceback)
    error.task_id = str(number)
    return error


class TaskFuture(concurrent.futures.Future):  # type: ignore[type-arg]  # not generic at run time in Python 3.8
    """A `concurrent.futures.Future` of a task's output: `wait` and `as_completed` of that module take it.

    Its callbacks run on the thread of flamepy: they must not block, and a blocking call of flamepy in one is refused.
    """

    def __init__(
        self, stream: SessionStream, payload: Optional[bytes], options: Optional[TaskOptions], decode: Optional[Decode]
    ) -> None:
        super().__init__()
        self.payload = payload
        self.options = options
        self.number = 0
        self._stream = stream
        self._decode = decode
        self._is_asked = False

    @property
    def session_id(self) -> str:
        return self._stream.session

    @property
    def task_id(self) -> Optional[str]:
        """The id of the task; None until the cluster has accepted it."""
        return str(self.number) if self.number else None

    def accepted(self, timeout: Optional[float] = None) -> str:
        """Waits until the cluster has accepted the task, and returns its id. Raises why it has not."""
        with self._condition:
            self._is_asked = True
            if not self._condition.wait_for(lambda: self.number or self.done(), timeout):
                raise late(timeout)
        if self.number:
            return str(self.number)
        error = self.exception()
        raise error if error is not None else FlameError(FlameErrorCode.CANCELLED, "the task was cancelled")

    def running(self) -> bool:
        """Whether it is a task of the session that has not ended."""
        return bool(self.number) and not self.done()

    def cancel(self) -> bool:
        """Nobody wants the output any more: the task is ended, whether it waits or runs. False when it has ended."""
        if not super().cancel():
            return False
        # Whoever waits for many futures is told.
        if self._state == "CANCELLED":
            self.set_running_or_notify_cancel()
            self._stream.cancel(self)
        return True

    # ── for the engine ──────────────────────────────────────────────────────────────────────────────────────────────

    def is_wanted(self) -> bool:
        return self._state == "PENDING"

    def accept(self, number: int) -> None:
        self.number = number
        if self._is_asked:
            with self._condition:
                self._condition.notify_all()

    def finish(self, state: int, output: Optional[bytes], message: Optional[str]) -> None:
        try:
            if state == _SUCCEED:
                self.set_result(output if self._decode is None else self._decode(output))
            else:
                self.set_exception(failure(self._stream.session, self.number, state, message))
        except concurrent.futures.InvalidStateError:
            # Cancelled in the same moment.
            return
        except Exception as error:  # of the decoder: it must not harm other tasks
            self.set_exception(error)

    def refuse(self, error: FlameError) -> None:
        try:
            self.set_exception(error)
        except concurrent.futures.InvalidStateError:
            return


def late(timeout: Optional[float]) -> FlameError:
    return FlameError(
        FlameErrorCode.DEADLINE_EXCEEDED,
        f"it did not come to pass within {timeout:g} s",
        remedy="wait longer, or cancel the task",
    )
