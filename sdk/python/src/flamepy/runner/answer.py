"""The output of a task of a service: the result itself when it is small, else a reference to it.

A published service answers with a reference as BSON, and is answered for by nothing else. Ours does so for published
clients; for its own it puts a mark in front, which is neither the beginning of a BSON document (that is its own length)
nor of a pickle.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Optional

from ..core.cache import ObjectRef, get_object, values
from ..core.cache.ref import try_decode
from ..core.errors import FlameErrorCode
from .helper import ErrorType, RunnerError

_MARK = b"FLMR\x01"
_INLINE, _REF = 1, 2
_HEAD = struct.Struct("<5sBQ")


@dataclass(frozen=True)
class Answer:
    """Either a payload or a reference."""

    payload: Optional[memoryview] = None
    """The result as the object cache would have it."""
    ref: Optional[ObjectRef] = None
    state_version: int = 0
    """Of the state that a stateful instance had after the call; 0: it has none."""

    def value(self) -> Any:
        """The result; anew for each caller."""
        if self.payload is not None:
            return values.decode(self.payload)
        assert self.ref is not None
        return get_object(self.ref)

    def encode(self) -> bytes:
        if self.payload is not None:
            return b"".join((_HEAD.pack(_MARK, _INLINE, self.state_version), self.payload))
        assert self.ref is not None
        return _HEAD.pack(_MARK, _REF, self.state_version) + self.ref.encode()


def is_answer(data: bytes) -> bool:
    """Whether these bytes are an answer of ours."""
    return data[: len(_MARK)] == _MARK


def decode(output: Optional[bytes]) -> Answer:
    """The answer in the output of a task, of ours or of a published service."""
    if output is not None and is_answer(output):
        if len(output) < _HEAD.size:
            raise _wrong(output)
        _, kind, version = _HEAD.unpack_from(output)
        rest = memoryview(output)[_HEAD.size :]
        if kind == _INLINE:
            return Answer(payload=rest, state_version=version)
        ref = try_decode(bytes(rest)) if kind == _REF else None
    else:
        ref, version = try_decode(output), 0
    if ref is None:
        raise _wrong(output)
    return Answer(ref=ref, state_version=version)


def _wrong(output: Optional[bytes]) -> RunnerError:
    told = "nothing" if output is None else f"{len(output)} bytes that are no result"
    return RunnerError(
        ErrorType.DATA_FORMAT_ERROR,
        f"the service answered with {told}: is its application made by Runner?",
        code=FlameErrorCode.INVALID_STATE,
    )
