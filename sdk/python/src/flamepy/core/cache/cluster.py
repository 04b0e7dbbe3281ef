"""The nodes of the object cache, as the coordinators know them: for when none answers that is known here."""

from __future__ import annotations

import time
from typing import List

from ..context import FlameContext
from ..errors import FlameError
from . import nodes

_NODES = "/flame.ha.v1.ObjectDirectory/Nodes"

# Seconds, for all of them together.
_TIMEOUT = 2.0


def cache_nodes() -> List[str]:
    """The endpoints of all nodes that are there; none when no coordinator says so in time."""
    import grpc

    from ..._engine import channel, endpoints
    from ..._wire.ha import cache_pb2 as wire

    context = FlameContext()
    try:
        coordinators = endpoints.parse(context.endpoints, context.tls)
    except FlameError:
        return []  # whoever calls the cluster is told
    until = time.monotonic() + _TIMEOUT
    for number, one in enumerate(coordinators.all):
        # One that hangs leaves time for the others.
        left = (until - time.monotonic()) / (len(coordinators.all) - number)
        try:
            with channel.raw_channel(one, context.tls) as opened:
                ask = opened.unary_unary(
                    _NODES, wire.CacheNodesRequest.SerializeToString, wire.CacheNodesReply.FromString
                )
                reply = ask(wire.CacheNodesRequest(), timeout=max(0.1, left))
        except (grpc.RpcError, FlameError):
            continue  # the next one; and what the cache itself said is told in the end
        return nodes.different([node.endpoint for node in reply.nodes if node.endpoint and not node.away])
    return []
