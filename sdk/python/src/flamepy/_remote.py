"""How an exception of a service travels to the client that waits for the task.

A failed task has one text, of which the cluster keeps 4096 bytes. Every client and `flmctl` show that text: first comes
what the exception says, then as much of its traceback as fits. The client of this package takes the two apart again
(`core.errors.split_traceback`) and raises its own error *from* the traceback, so that Python prints both.

**Invariant:** the text never has more bytes than the cluster keeps, and what the exception says comes first and whole
as long as it fits. Of a traceback that does not fit the innermost part is kept.
"""

from __future__ import annotations

import os
import traceback
from typing import List

from .core.errors import join_traceback

# What the cluster keeps of a failure; it cuts longer texts anywhere.
TEXT_BYTES_MAX = 4096

# Less room than this shows nothing useful of a traceback.
_TRACEBACK_BYTES_MIN = 200

# The line with which a traceback ends repeats what the text begins with: so much of it is enough to recognise it.
_LAST_LINE_BYTES_MAX = 120

_OMITTED = "  …\n"

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


class PlainFailure(Exception):
    """Fails a task with nothing but its text: where it was raised would tell the reader nothing."""


def failure_text(error: BaseException) -> str:
    """The text of a task that failed with `error`."""
    message = _text_of(error) or type(error).__name__
    if isinstance(error, PlainFailure):
        return cut(message)
    room = TEXT_BYTES_MAX - _length(join_traceback(message, ""))
    if room < _TRACEBACK_BYTES_MIN:
        return cut(message)
    return cut(join_traceback(message, _traceback(error, message, room)))


def cut(text: str, most: int = TEXT_BYTES_MAX) -> str:
    """`text`, cut with a mark so that it has at most `most` bytes, and without what UTF-8 cannot say."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= most:
        return raw.decode("utf-8")
    mark = "…"
    return raw[: most - len(mark.encode())].decode("utf-8", "ignore") + mark


def _length(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as second:  # a broken __str__ must not hide that the task failed
        return f"{type(error).__name__}, whose text cannot be had: {type(second).__name__}"


def _traceback(error: BaseException, message: str, room: int) -> str:
    """The traceback in at most `room` bytes, without the frames of this package that called user code."""
    name = f"{type(error).__module__}.{type(error).__qualname__}".replace("builtins.", "", 1)
    last = cut(f"{name}: {' '.join(message.split())}", _LAST_LINE_BYTES_MAX) + "\n"
    begun = error.__traceback__
    while begun is not None and begun.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        begun = begun.tb_next
    try:
        told = traceback.TracebackException(type(error), error, begun)
        parts = list(told.format())
        if getattr(told, "exceptions", None):  # a group shows its members behind what it says
            last = ""
        else:
            parts = parts[: len(parts) - len(list(told.format_exception_only()))]
    except Exception:  # source files that changed, objects that cannot be shown
        parts = []
    return _last_of("".join(parts).splitlines(keepends=True), room - _length(last)) + last


def _last_of(lines: List[str], room: int) -> str:
    """As many of the last lines as there is room for."""
    if sum(map(_length, lines)) <= room:
        return "".join(lines)
    left = room - _length(_OMITTED)
    kept: List[str] = []
    for line in reversed(lines):
        left -= _length(line)
        if left < 0:
            break
        kept.append(line)
    return _OMITTED + "".join(reversed(kept))
