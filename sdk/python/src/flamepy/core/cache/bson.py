"""As much of BSON as references are made of: one flat document of texts and whole numbers.

The published package brings a database client for this. Reading skips fields of other kinds, since answers of a cache
may have more than a reference has; it never guesses: what is not a whole document is a [NotBson].
"""

from __future__ import annotations

import struct
from typing import Dict, Mapping, Optional, Union

Value = Union[str, int]

_DOUBLE, _TEXT, _DOCUMENT, _ARRAY, _BINARY = 0x01, 0x02, 0x03, 0x04, 0x05
_OBJECT_ID, _BOOLEAN, _DATE, _NULL, _INT32, _STAMP, _INT64 = 0x07, 0x08, 0x09, 0x0A, 0x10, 0x11, 0x12

# Bytes of values that always have as many.
_SIZES = {_DOUBLE: 8, _OBJECT_ID: 12, _BOOLEAN: 1, _DATE: 8, _NULL: 0, _INT32: 4, _STAMP: 8, _INT64: 8}

# References are short. Anything longer is data that begins like one.
BYTES_MAX = 64 * 1024


class NotBson(ValueError):
    """Bytes that are no document."""


def encode(fields: Mapping[str, Value]) -> bytes:
    """A document, its fields in the order given. Numbers take four bytes where they fit, as published clients do it."""
    body = bytearray()
    for name, value in fields.items():
        if isinstance(value, str):
            raw = value.encode("utf-8") + b"\0"
            kind, content = _TEXT, struct.pack("<i", len(raw)) + raw
        elif -(1 << 31) <= value < 1 << 31:
            kind, content = _INT32, struct.pack("<i", value)
        else:
            kind, content = _INT64, struct.pack("<q", value)
        body += bytes([kind]) + name.encode("ascii") + b"\0" + content
    return struct.pack("<i", len(body) + 5) + bytes(body) + b"\0"


def decode(data: bytes) -> Dict[str, Optional[Value]]:
    """The fields of a document; None for those that are neither text nor whole number."""
    data = bytes(data[: BYTES_MAX + 1])
    if len(data) < 5 or struct.unpack_from("<i", data)[0] != len(data) or data[-1]:
        raise NotBson("not a BSON document")
    end = len(data) - 1
    at, fields = 4, {}
    while at < end:
        kind = data[at]
        mark = data.find(b"\0", at + 1, end)
        if mark < 0:
            raise NotBson("a field without a name")
        name = data[at + 1 : mark].decode("utf-8", "replace")
        at = mark + 1
        size = _size(kind, data, at, end)
        if at + size > end:
            raise NotBson(f"the field {name!r} is longer than the document")
        fields[name] = _value(kind, data, at, size)
        at += size
    return fields


def _size(kind: int, data: bytes, at: int, end: int) -> int:
    if kind in _SIZES:
        return _SIZES[kind]
    if kind not in (_TEXT, _DOCUMENT, _ARRAY, _BINARY) or at + 4 > end:
        raise NotBson(f"a field of the kind {kind:#x}")
    (told,) = struct.unpack_from("<i", data, at)
    size = int(told) + {_TEXT: 4, _BINARY: 5}.get(kind, 0)
    if told < (1 if kind == _TEXT else 0) or size < 4:
        raise NotBson("a field without a length")
    return size


def _value(kind: int, data: bytes, at: int, size: int) -> Optional[Value]:
    if kind == _INT32:
        return int(struct.unpack_from("<i", data, at)[0])
    if kind == _INT64:
        return int(struct.unpack_from("<q", data, at)[0])
    if kind != _TEXT:
        return None
    raw = data[at + 4 : at + size]
    if raw[-1:] != b"\0":
        raise NotBson("a text without an end")
    try:
        return raw[:-1].decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotBson(f"a text that is not UTF-8: {error}") from None
