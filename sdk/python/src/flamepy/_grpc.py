"""grpcio, loaded when it is first used: it takes longer to load than everything else here together, and a service that
speaks in frames never uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc
    import grpc.aio
else:

    class _Grpc:
        def __getattr__(self, name: str) -> object:
            import grpc
            import grpc.aio

            value = getattr(grpc, name)
            setattr(self, name, value)
            return value

    grpc = _Grpc()

__all__ = ["grpc"]
