"""Why an object could not be had or kept.

Programs for the published package catch `ValueError`, and `KeyError` for what is not there: these are both.
"""

from __future__ import annotations

from typing import Optional

from ..errors import FlameError, FlameErrorCode


class ObjectError(FlameError, ValueError):
    """An object, or a key of one, with which something is wrong."""


class ObjectNotFound(ObjectError, KeyError):
    """There is no such object, or it was lost with the node that had it."""

    __str__ = Exception.__str__  # that of KeyError shows a text as a literal


class VersionConflict(ObjectError):
    """The object has another version than was expected: somebody else has changed it. Nothing was done."""


def invalid(message: str, remedy: Optional[str] = None) -> ObjectError:
    return ObjectError(FlameErrorCode.INVALID_ARGUMENT, message, remedy=remedy)


def missing(key: str, why: str = "") -> ObjectNotFound:
    return ObjectNotFound(
        FlameErrorCode.NOT_FOUND,
        f"Object not found: {key}" + (f" ({why})" if why else ""),
        remedy="it was deleted with its session or application, or lost with the cache node that had it; put it again",
    )
