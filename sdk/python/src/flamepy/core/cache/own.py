"""What caches of this repository serve besides the published protocol: writing on condition of a version, and which
other nodes there are. A cache of another make says that it does not know the calls.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterator, List, TypeVar

from ..errors import FlameErrorCode
from . import flight, nodes, values
from .calls import anywhere, at_nodes
from .errors import ObjectError, VersionConflict, missing
from .key import ObjectKey
from .ref import ObjectRef

if TYPE_CHECKING:
    import grpc

logger = logging.getLogger("flamepy.cache")

T = TypeVar("T")

_TIMEOUT = 60.0
_NODES_TIMEOUT = 5.0
_PIECE_BYTES = 1 << 20

_PUT = "/flame.ha.v1.Objects/Put"
_NODES = "/flame.ha.v1.Objects/Nodes"


class Unknown(Exception):
    """The cache does not know the call."""


def replace_if(ref: ObjectRef, value: Any, expected: int) -> ObjectRef:
    """Puts a value in the place of an object that has the expected version. Raises VersionConflict for any other, and
    nothing was done.

    The published protocol has no such call. There a write is answered with the version that it made, which shows
    afterwards that somebody else wrote in between; that is logged.
    """
    key = str(ObjectKey.from_key(ref.key))
    payload = values.pickled(value)
    near = nodes.near(ref.endpoint)
    try:
        return at_nodes(near, lambda endpoint: _put_if(endpoint, key, payload, expected))
    except Unknown:
        written = anywhere(near, lambda client: flight.put(client, key, payload))
    if written.version != expected + 1:
        logger.warning("%s had version %d when it was replaced, not %d", key, written.version - 1, expected)
    return written


def _put_if(endpoint: str, key: str, payload: memoryview, expected: int) -> ObjectRef:
    from ..._wire.ha import objects_pb2 as wire

    def frames() -> Iterator[Any]:
        yield wire.PutObjectFrame(
            header=wire.PutObjectHeader(
                key=key, data_type="raw", if_exists=wire.IF_EXISTS_EXPECT, expected_version=expected
            )
        )
        for at in range(0, payload.nbytes, _PIECE_BYTES):
            yield wire.PutObjectFrame(data=bytes(payload[at : at + _PIECE_BYTES]))

    def call(channel: grpc.Channel) -> Any:
        put = channel.stream_unary(_PUT, wire.PutObjectFrame.SerializeToString, wire.ObjectInfo.FromString)
        return put(frames(), timeout=_TIMEOUT)

    info = _called(endpoint, call, "replace", key)
    return ObjectRef(info.endpoint or endpoint, key, info.version)


def other_nodes(endpoint: str) -> List[str]:
    """The endpoints of all nodes, as one of them knows them; none when it does not say."""
    from ..._wire.ha import objects_pb2 as wire

    def call(channel: grpc.Channel) -> Any:
        ask = channel.unary_unary(_NODES, wire.ObjectNodesRequest.SerializeToString, wire.ObjectNodesReply.FromString)
        return ask(wire.ObjectNodesRequest(), timeout=_NODES_TIMEOUT)

    try:
        reply = _called(endpoint, call, "nodes of", endpoint)
    except (Unknown, flight.Broken, ObjectError):
        return []
    return [node.endpoint for node in reply.nodes if node.endpoint]


# ── connections ─────────────────────────────────────────────────────────────────────────────────────────────────────

_lock = threading.Lock()
_channels: Dict[str, Any] = {}
_of_parents: List[Any] = []


def _called(endpoint: str, call: Callable[[grpc.Channel], T], what: str, key: str) -> T:
    import grpc

    try:
        return call(_channel(endpoint))
    except grpc.RpcError as error:
        raise _told(error, what, key) from error


def _channel(endpoint: str) -> grpc.Channel:
    import grpc

    where = nodes.location(endpoint)
    with _lock:
        found = _channels.get(where)
        if found is None:
            target = where.partition("://")[2]
            if where.startswith("grpc+tls"):
                found = grpc.secure_channel(target, _credentials(), nodes.OPTIONS)
            else:
                found = grpc.insecure_channel(target, nodes.OPTIONS)
            _channels[where] = found
        return found


def _credentials() -> Any:
    import grpc

    given = nodes.certificates(nodes.context().cache_tls)
    return grpc.ssl_channel_credentials(given.get("tls_root_certs"), given.get("private_key"), given.get("cert_chain"))


def _told(error: Any, what: str, key: str) -> Exception:
    import grpc

    code, text = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return Unknown(text)
    if code is grpc.StatusCode.UNAVAILABLE:
        return flight.Broken(text, flight.NEVER_SENT not in text)
    if code is grpc.StatusCode.NOT_FOUND:
        return missing(key, text)
    if code is grpc.StatusCode.ABORTED:
        return VersionConflict(FlameErrorCode.ABORTED, f"{what} {key}: {text}")
    return ObjectError(flight.CODES.get(code.name, FlameErrorCode.INTERNAL), f"{what} {key}: {text}")


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _of_parents.append(dict(_channels))
    _channels.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
