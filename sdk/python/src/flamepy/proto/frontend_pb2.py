"""Messages of the published protocol: see `proto/flame/v1/frontend.proto`."""

from .._wire.v1.frontend_pb2 import *  # noqa: F403
