"""Calls user code and keeps inside what goes wrong in it: an exception becomes a text."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import Any, Callable, Optional, Tuple

from .._remote import failure_text

# Largest output of one task. The cluster refuses more, and it is better to say so here.
OUTPUT_BYTES_MAX = 4 * 1024 * 1024 - 64 * 1024

logger = logging.getLogger("flamepy.service")

# What user code gave, and the text of what went wrong in it.
Outcome = Tuple[Any, Optional[str]]


def shielded(code: Callable[..., Any], *arguments: Any) -> Outcome:
    """Runs user code; what goes wrong in it becomes a text. A second Ctrl-C ends the process."""
    try:
        value = code(*arguments)
        if inspect.iscoroutine(value):
            value.close()
            name = getattr(code, "__qualname__", "the method")
            return None, f"{name} returned a coroutine: a method that does so must be written as `async def`"
        return value, None
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        return None, told(error)


async def shielded_async(code: Callable[..., Any], *arguments: Any) -> Outcome:
    """As [shielded], for code that may be async."""
    try:
        value = code(*arguments)
        if inspect.isawaitable(value):
            value = await value
        return value, None
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        return None, told(error)


def told(error: BaseException) -> str:
    """The text that the client reads. All of it, however long, is in the service's own log at level INFO."""
    if logger.isEnabledFor(logging.INFO):
        logger.info("user code failed", exc_info=error)
    if isinstance(error, asyncio.CancelledError) and not error.args:
        return "the task was cancelled"
    return failure_text(error)


def output_of(value: Any, where: str) -> Tuple[Optional[bytes], Optional[str]]:
    """The output of a task, or why it is none."""
    if value is None or type(value) is bytes:
        output: Optional[bytes] = value
    elif isinstance(value, (bytes, bytearray, memoryview)):
        output = bytes(value)
    else:
        return None, f"{where} returned {type(value).__qualname__}, expected bytes or None"
    if output is not None and len(output) > OUTPUT_BYTES_MAX:
        return None, f"the output has {len(output)} bytes, at most {OUTPUT_BYTES_MAX} are allowed"
    return output, None
