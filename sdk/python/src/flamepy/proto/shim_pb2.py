"""Messages of the published protocol: see `proto/flame/v1/shim.proto`."""

from .._wire.v1.shim_pb2 import *  # noqa: F403
