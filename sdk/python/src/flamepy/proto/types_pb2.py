"""Messages of the published protocol: see `proto/flame/v1/types.proto`."""

from .._wire.v1.types_pb2 import *  # noqa: F403
