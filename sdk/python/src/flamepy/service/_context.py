"""How a session's context travels.

As in the published package it is an object in the object cache, and the session's common data is a reference to it: so it
may be large, and the service may replace it. Where no cache is configured it goes within the common data, behind a mark,
and stays as it is while the session lives.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Optional

from ..codec import PICKLE, CodecError
from ..core.context import FlameContext
from ..core.errors import FlameError, FlameErrorCode

if TYPE_CHECKING:
    from ..core.cache import ObjectRef

# What is of the object cache is imported where a context travels through it: most programs have none.

logger = logging.getLogger("flamepy.service")

# Largest context without a cache, in bytes of its pickle: it travels to every executor of the session.
CONTEXT_BYTES_MAX = 1024 * 1024

# Not the beginning of a reference to the object cache, which is a BSON document and thus begins with its own small
# length, and not of a pickle.
MARK = b"flame-context/1\n"


def is_cached() -> bool:
    """Whether contexts of new sessions go through the object cache: one is configured."""
    return FlameContext().names_cache


def encode_context(context: Any) -> bytes:
    """Common data with this context in it. Raises FlameError INVALID_ARGUMENT when it does not fit."""
    raw = _pickled(context)
    if len(raw) > CONTEXT_BYTES_MAX:
        raise FlameError(
            FlameErrorCode.INVALID_ARGUMENT,
            f"the context has {len(raw)} bytes as a pickle, at most {CONTEXT_BYTES_MAX} are allowed without an object "
            "cache",
            remedy="set FLAME_CACHE_ENDPOINT, or cache.endpoint in ~/.flame/flame.yaml",
        )
    return MARK + raw


def put_context(prefix: str, context: Any) -> bytes:
    """Puts the context below `app/session`. Common data that leads to it."""
    from ..core.cache import put_object

    # The bytes of the pickle are the object, as published.
    return put_object(prefix, _pickled(context)).encode()


def drop_context(prefix: str) -> None:
    """Takes the context of a session away that could not be made."""
    from ..core.cache import delete_objects

    try:
        delete_objects(prefix)
    except FlameError as error:
        logger.warning("the context of a session that was not made is left in the object cache: %s", error)


class Context:
    """The context of one session, where its common data says it is."""

    def __init__(self, common_data: Optional[bytes] = None) -> None:
        """Raises FlameError INVALID_ARGUMENT when the common data is something else."""
        self._value: Any = None
        self._ref: Optional[ObjectRef] = None
        self.is_there = common_data is not None
        if common_data is None:
            return
        if common_data.startswith(MARK):
            self._value = _unpickled(common_data[len(MARK) :])
            return
        from ..core.cache.ref import try_decode

        self._ref = try_decode(common_data)
        if self._ref is None:
            raise FlameError(
                FlameErrorCode.INVALID_ARGUMENT,
                f"the {len(common_data)} bytes of common data are not a context of flamepy.service",
                remedy="make the session with flamepy.service.Session",
            )

    @property
    def is_shared(self) -> bool:
        """It is in the object cache, where everybody sees what becomes of it."""
        return self._ref is not None

    def get(self) -> Any:
        """The context as it is now; None if there is none."""
        if self._ref is None:
            return self._value
        from ..core.cache import get_object

        # Only asked for, not sent, while it is the one that was read before.
        found = get_object(self._ref)
        if not isinstance(found, bytes):
            raise FlameError(
                FlameErrorCode.INVALID_ARGUMENT,
                f"the session's common data leads to a {type(found).__qualname__} in the object cache, not to a context",
                remedy="make the session with flamepy.service.Session",
            )
        return _unpickled(found)

    def replace(self, context: Any) -> None:
        """Puts another one in its place: for everybody, if it is shared."""
        if self._ref is None:
            self._value = context
            return
        from ..core.cache import update_object

        update_object(self._ref, _pickled(context))


def _pickled(context: Any) -> bytes:
    try:
        return PICKLE.encode(context)
    except CodecError as error:
        raise FlameError(FlameErrorCode.INVALID_ARGUMENT, f"the context cannot travel: {error}") from None


def _unpickled(raw: bytes) -> Any:
    try:
        return PICKLE.decode(raw)
    except CodecError as error:
        raise FlameError(FlameErrorCode.INVALID_ARGUMENT, f"the context of the session: {error}") from None
