"""Putting and reading through the memory of a cache on this host. None means: over its port, please."""

from __future__ import annotations

import logging
from typing import Any, List, Optional

from ...._wire.ha import arena_pb2 as wire
from ...._wire.ha import objects_pb2 as objects
from ...errors import FlameErrorCode
from ..errors import ObjectError, VersionConflict, missing
from ..flight import CODES, Fetched
from ..payload import Payload
from ..ref import ObjectRef
from . import hosts
from .link import Link
from .mapping import Lent, Mapping

logger = logging.getLogger("flamepy.cache")

# Smaller ones travel in the message: the cache asks for it (proto/flame/ha/v1/arena.proto).
_INLINE_BYTES_MAX = 64 << 10

# Codes of gRPC by number.
_NAMES = {
    1: "CANCELLED",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    6: "ALREADY_EXISTS",
    7: "PERMISSION_DENIED",
    8: "RESOURCE_EXHAUSTED",
    9: "FAILED_PRECONDITION",
    11: "OUT_OF_RANGE",
    12: "UNIMPLEMENTED",
    15: "DATA_LOSS",
    16: "UNAUTHENTICATED",
}
_NOT_FOUND, _ABORTED, _UNAVAILABLE = 5, 10, 14


def put(endpoint: str, path: str, payload: Payload, expected: Optional[int] = None) -> Optional[ObjectRef]:
    """Puts an object below a prefix, or in the place of the one with that key; of the expected version, if one is."""
    found = hosts.host(endpoint)
    if found is None:
        return None
    header = objects.PutObjectHeader(key=path, data_type="raw")
    if expected is not None:
        header.if_exists, header.expected_version = objects.IF_EXISTS_EXPECT, expected
    try:
        with found.link() as (link, mapping):
            seal = _content(link, mapping, payload)
            if seal is None:
                return None
            seal.header.CopyFrom(header)
            reply = link.call(wire.ArenaRequest(seal=seal))
    except OSError as why:
        _broken(endpoint, why)
        return None
    if not _is(reply, "sealed", "put", path):
        return None
    return ObjectRef(reply.sealed.endpoint or endpoint, reply.sealed.key, reply.sealed.version)


def _content(link: Link, mapping: Mapping, payload: Payload) -> Any:
    """The content of the object, where the cache finds it."""
    if payload.size <= _INLINE_BYTES_MAX:
        return wire.ArenaSeal(data=bytes(payload.joined()))
    reply = link.call(wire.ArenaRequest(create=wire.ArenaCreate(size=payload.size)))
    if not _is(reply, "room", "put", "an object"):
        return None
    try:
        payload.write(mapping.room(reply.room.offset, payload.size))
    except BaseException:
        link.give_back(reply.room.id)
        raise
    return wire.ArenaSeal(room=reply.room.id)


def fetch(endpoint: str, key: str, version: int) -> Optional[Fetched]:
    """Asks for an object of which the reader has this version. What is large is lent."""
    found = hosts.host(endpoint)
    if found is None:
        return None
    try:
        with found.link() as (link, mapping):
            reply = link.call(wire.ArenaRequest(get=wire.ArenaGet(key=key, version=version)))
            if not _is(reply, "object", "get", key):
                return None
            parts = _parts(link, mapping, reply.object)
    except OSError as why:
        _broken(endpoint, why)
        return None
    header = reply.object.header
    if header.extent == objects.EXTENT_NOT_MODIFIED:
        return Fetched(version)
    patches = [(part.version, data) for part, data in zip(reply.object.parts, parts)]
    if header.extent == objects.EXTENT_PATCHES:
        # Kept together with the base that the reader has.
        return Fetched(header.info.version, None, [(at, memoryview(bytes(_view(data)))) for at, data in patches])
    return Fetched(header.info.version, parts[0], patches[1:])


def _parts(link: Link, mapping: Mapping, found: Any) -> List[Any]:
    pin = link.pin(found.pin) if found.pin else None
    parts: List[Any] = []
    for part in found.parts:
        if part.WhichOneof("place") == "offset" and pin is not None:
            parts.append(Lent(mapping, part.offset, part.size, pin))
        else:
            parts.append(memoryview(part.data))
    return parts


def _view(data: Any) -> memoryview:
    return data.view if isinstance(data, Lent) else data


def _is(reply: Any, kind: str, what: str, key: str) -> bool:
    """Whether the reply is what was asked for; not if it has to go another way. Raises what the cache refused with."""
    told = reply.WhichOneof("reply")
    if told == kind:
        return True
    if told == "elsewhere":
        logger.debug("%s %s goes over the port of the cache: %s", what, key, reply.elsewhere.reason)
        return False
    if told != "error":
        raise ObjectError(FlameErrorCode.INTERNAL, f"{what} {key}: the cache answered with {told}")
    code, text = reply.error.code, reply.error.message
    if code == _UNAVAILABLE:
        logger.debug("%s %s goes over the port of the cache: %s", what, key, text)
        return False
    if code == _NOT_FOUND:
        raise missing(key, text)
    if code == _ABORTED:
        raise VersionConflict(FlameErrorCode.ABORTED, f"{what} {key}: {text}")
    raise ObjectError(CODES.get(_NAMES.get(code, ""), FlameErrorCode.INTERNAL), f"{what} {key}: {text}")


def _broken(endpoint: str, why: OSError) -> None:
    logger.debug("the memory of the cache at %s is not used: %s", endpoint, why)
    hosts.forget(endpoint)
