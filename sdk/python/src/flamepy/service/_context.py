"""How a session's context travels: inside the session's common data, behind a mark.

The published package keeps contexts in an object cache and only a reference to it in the common data. There is no such
cache here yet, so a context must fit into the common data itself, and it does not change while the session lives.
"""

from __future__ import annotations

from typing import Any, Optional

from ..codec import PICKLE, CodecError
from ..core.errors import FlameError, FlameErrorCode

# Largest context, in bytes of its pickle: it travels to every executor of the session.
CONTEXT_BYTES_MAX = 1024 * 1024

# Not the beginning of a reference to the object cache, which is a BSON document and thus begins with its own small
# length, and not of a pickle.
MARK = b"flame-context/1\n"


def encode_context(context: Any) -> Optional[bytes]:
    """The common data of a session with this context. Raises FlameError INVALID_ARGUMENT when it does not fit."""
    if context is None:
        return None
    try:
        raw = PICKLE.encode(context)
    except CodecError as error:
        raise FlameError(FlameErrorCode.INVALID_ARGUMENT, f"the context cannot travel: {error}") from None
    if len(raw) > CONTEXT_BYTES_MAX:
        raise FlameError(
            FlameErrorCode.INVALID_ARGUMENT,
            f"the context has {len(raw)} bytes as a pickle, at most {CONTEXT_BYTES_MAX} are allowed",
            remedy="give the tasks a path or URL of the large part; larger contexts need an object cache",
        )
    return MARK + raw


def decode_context(common_data: Optional[bytes]) -> Any:
    """The context in the common data of a session. Raises FlameError INVALID_ARGUMENT when there is something else."""
    if common_data is None:
        return None
    if not common_data.startswith(MARK):
        raise FlameError(
            FlameErrorCode.INVALID_ARGUMENT,
            f"the {len(common_data)} bytes of common data are not a context of flamepy.service",
            remedy="make the session with flamepy.service.Session of this package; references to an object cache "
            "cannot be followed",
        )
    try:
        return PICKLE.decode(common_data[len(MARK) :])
    except CodecError as error:
        raise FlameError(FlameErrorCode.INVALID_ARGUMENT, f"the context of the session: {error}") from None
