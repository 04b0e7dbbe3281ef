"""Pickles whose large buffers can be used where they lie.

A value with large buffers (an array in a list, say) is pickled as everybody does it, with the buffers in the pickle. Two
things are added that whoever reads pickles passes over: before each large buffer nothing is pushed and popped until the
buffer lies aligned, and behind the end of the pickle there is a list of the places where the buffers are.

    FLM\\x00 | pickle … buffer … pickle … buffer … | list | its length | magic

A reader that has the bytes to itself takes the buffers out of the pickle by that list, and hands them in from outside
(protocol 5): arrays are then over the bytes as they lie, nothing is copied. Everybody else reads the pickle as it is.

**Invariant:** both give the same value.
"""

from __future__ import annotations

import pickle
import struct
from typing import Any, Callable, List, Optional, Tuple

from .payload import Payload, Pieces

PICKLE = b"FLM\x00"

# Buffers lie at multiples of this behind the prefix.
_ALIGNMENT = 64

_MAGIC = b"FLMBUF\x01\n"  # no pickle ends so: they end with a full stop
_END = struct.Struct("<I8s")
_MARK = struct.Struct("<QQQ?")

# Opcodes: how a buffer begins in a pickle, how one from outside is asked for, and pushing and popping nothing.
_WRITABLE, _LONG_BYTES, _BYTES = b"\x96", b"\x8e", b"B"
_NEXT_BUFFER, _READONLY_BUFFER = b"\x97", b"\x98"
_TWO_BYTES_OF_NOTHING, _THREE_BYTES_OF_NOTHING = b"N0", b"K\x000"

_LENGTH, _SHORT_LENGTH = struct.Struct("<Q"), struct.Struct("<I")


def dump(pickler: Callable[..., Any], value: Any, protocol: int) -> Payload:
    """The value as a pickle, with its prefix. Large buffers are not copied yet."""
    out = _Out()
    pickler(out, protocol=protocol).dump(value)
    return out.payload()


class _Out:
    """The file that a pickler writes to. It hands over large buffers as they are, each after the opcode that begins it."""

    def __init__(self) -> None:
        self._pieces: List[Any] = [PICKLE]
        self._size = len(PICKLE)
        self._marks: List[Tuple[int, int, int, bool]] = []

    def write(self, data: Any) -> int:
        if isinstance(data, pickle.PickleBuffer):
            data = data.raw()
            self._align(data.nbytes)
        self._add(data)
        return len(data)

    def _add(self, data: Any) -> None:
        self._pieces.append(data)
        self._size += memoryview(data).nbytes

    def _align(self, size: int) -> None:
        """Makes the next buffer lie aligned, if it begins as buffers do."""
        before = bytes(self._pieces[-1])
        if before[-9:-8] in (_WRITABLE, _LONG_BYTES) and before[-8:] == _LENGTH.pack(size):
            head = before[-9:]
        elif size < 1 << 32 and before[-5:] == _BYTES + _SHORT_LENGTH.pack(size):
            head = before[-5:]
        else:
            return
        self._pieces[-1] = before[: -len(head)]
        self._size -= len(head)
        self._add(_nothing(-(self._size + len(head) - len(PICKLE)) % _ALIGNMENT))
        self._marks.append((self._size, self._size + len(head), size, head[:1] != _WRITABLE))
        self._add(head)

    def payload(self) -> Payload:
        if self._marks:
            marks = b"".join(_MARK.pack(*mark) for mark in self._marks)
            self._add(marks + _END.pack(len(marks), _MAGIC))
        return Pieces(self._pieces)


def _nothing(size: int) -> bytes:
    """So many bytes of a pickle that do nothing; a whole alignment more where one is asked for."""
    if size == 1:
        size += _ALIGNMENT
    odd = _THREE_BYTES_OF_NOTHING if size % 2 else b""
    return odd + _TWO_BYTES_OF_NOTHING * ((size - len(odd)) // 2)


def load(data: memoryview, own: Optional[Callable[[], Optional[memoryview]]] = None) -> Any:
    """The value in these bytes, prefix included. `own` gives the same bytes for the value alone, to read and to write."""
    marks = _marks(data) if own is not None else []
    mine = own() if own is not None and marks else None
    if mine is None:
        return pickle.loads(data[len(PICKLE) :])
    opcodes: List[Any] = []
    at = len(PICKLE)
    for begin, buffer, size, is_readonly in marks:
        opcodes += [data[at:begin], _NEXT_BUFFER + (_READONLY_BUFFER if is_readonly else b"")]
        at = buffer + size
    opcodes.append(data[at:])
    return pickle.loads(b"".join(opcodes), buffers=[mine[buffer : buffer + size] for _, buffer, size, _ in marks])


def _marks(data: memoryview) -> List[Tuple[int, int, int, bool]]:
    """Where the buffers are; none in a pickle of another make."""
    if data.nbytes < len(PICKLE) + _END.size:
        return []
    size, magic = _END.unpack(data[-_END.size :])
    end = data.nbytes - _END.size - size
    if magic != _MAGIC or end < len(PICKLE) or size % _MARK.size:
        return []
    return [*_MARK.iter_unpack(data[end : end + size])]
