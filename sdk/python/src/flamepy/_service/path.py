"""The path of a socket, and how large a message on it may be."""

from __future__ import annotations

import os
import stat

from ..core.errors import FlameError, FlameErrorCode

# Largest message, in bytes: a batch of inputs.
MESSAGE_BYTES_MAX = 64 * 1024 * 1024

# The path of a unix socket has room for so many bytes on Linux.
_PATH_BYTES_MAX = 107


def checked(path: str) -> None:
    """Raises FlameError when nobody can listen there."""
    if len(os.fsencode(path)) > _PATH_BYTES_MAX:
        raise refused(path, f"the path of a socket has at most {_PATH_BYTES_MAX} bytes")
    if os.path.lexists(path):
        kind = "a socket" if stat.S_ISSOCK(os.lstat(path).st_mode) else "a file"
        raise refused(path, f"{kind} is there already")


def refused(path: str, why: str) -> FlameError:
    return FlameError(FlameErrorCode.INVALID_CONFIG, f"cannot listen on {path}: {why}")
