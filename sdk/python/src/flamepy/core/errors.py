"""Errors: one class, a code by which a program decides, a text for people.

Invariant: the text of the server is kept; programs match on it.
Invariant: a code that says "nothing was done" speaks of all attempts; when an answer was lost it is UNKNOWN_OUTCOME.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Optional, Tuple


class FlameErrorCode(IntEnum):
    """What a program can do about an error. The first six are those of the published package."""

    INVALID_CONFIG = 0
    INVALID_STATE = 1
    INVALID_ARGUMENT = 2
    INTERNAL = 3
    ALREADY_EXISTS = 4
    NOT_FOUND = 5
    UNAVAILABLE = 6
    """No coordinator answered, or none leads. Nothing was done: try again."""
    DEADLINE_EXCEEDED = 7
    """It took longer than the caller wanted to wait."""
    RESOURCE_EXHAUSTED = 8
    """A limit is reached, which the text names. Nothing was done."""
    OVERLOADED = 9
    """The coordinators had too much to do for as long as was tried. Nothing was done: try again later."""
    UNKNOWN_OUTCOME = 10
    """The answer was lost: it may have been done or not. Look before you try again."""
    PERMISSION_DENIED = 11
    UNAUTHENTICATED = 12
    CANCELLED = 13
    UNIMPLEMENTED = 14
    """The server is older than this client."""
    DATA_LOSS = 15
    ABORTED = 16
    OUT_OF_RANGE = 17
    UNKNOWN = -1
    """A code of a later release."""

    @classmethod
    def _missing_(cls, value: object) -> FlameErrorCode:
        return cls.UNKNOWN


class FlameError(Exception):
    """Why something was not done. `str()` begins with `message (code: N)`, as published."""

    def __init__(self, code: FlameErrorCode, message: str, *, remedy: Optional[str] = None) -> None:
        self.code = code
        self.message = message
        self.remedy = remedy
        """What helps, if that is known."""
        text = f"{message} (code: {int(code)})"
        super().__init__(text if remedy is None else f"{text}\n  remedy: {remedy}")

    def __reduce__(self) -> Tuple[Any, ...]:
        return _restore, (type(self), self.code, self.message, self.remedy)


class TaskFailedError(FlameError):
    """The task ended as FAILED or CANCELLED."""

    task_id: str = ""


class RemoteTraceback(Exception):
    """Where a service raised. The cause of a TaskFailedError, so that its text is shown above the local one."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return "\n" + self.text.rstrip()


# Between the message of a failure and the traceback of the service, in the one text that travels.
_TRACEBACK_MARK = "\n\nRemote traceback:\n"


def join_traceback(message: str, traceback: str) -> str:
    """A message as our services send it: what published clients show first, then where it happened."""
    return f"{message}{_TRACEBACK_MARK}{traceback}"


def split_traceback(text: str) -> Tuple[str, Optional[str]]:
    """The parts of `join_traceback`; no traceback when the service is of another make."""
    message, mark, traceback = text.partition(_TRACEBACK_MARK)
    return (message, traceback) if mark else (text, None)


def _restore(kind: type, code: FlameErrorCode, message: str, remedy: Optional[str]) -> FlameError:
    error: FlameError = kind(code, message, remedy=remedy)
    return error
