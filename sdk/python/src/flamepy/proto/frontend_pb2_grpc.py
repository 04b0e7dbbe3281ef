"""A stub of the published Frontend service, for programs that speak it themselves.

It calls the one coordinator of its channel: no leader is looked for, nothing is tried again.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message_factory import GetMessageClass

from .._wire.v1 import frontend_pb2

_SERVICE = frontend_pb2.DESCRIPTOR.services_by_name["Frontend"]

# By whether requests, and replies, are streams.
_KINDS = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}


class FrontendStub:
    """A method for each call of the service."""

    def __init__(self, channel: Any) -> None:
        for method in _SERVICE.methods:
            kind = _KINDS[bool(method.client_streaming), bool(method.server_streaming)]
            call = getattr(channel, kind)(
                f"/{_SERVICE.full_name}/{method.name}",
                request_serializer=GetMessageClass(method.input_type).SerializeToString,
                response_deserializer=GetMessageClass(method.output_type).FromString,
            )
            setattr(self, method.name, call)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the Frontend service has no call {name!r}")
