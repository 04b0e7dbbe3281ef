"""Bytes that an object will have: how many they are, before they are where they go. So they are written once, to the place
that was made for them.
"""

from __future__ import annotations

from typing import Any, List


class Payload:
    """The bytes of one object."""

    size: int

    def write(self, to: memoryview) -> None:
        """Writes them to a place of their size."""
        raise NotImplementedError

    def joined(self) -> memoryview:
        """All of them in one."""
        whole = memoryview(bytearray(self.size))
        self.write(whole)
        return whole


class Pieces(Payload):
    """Bytes that lie in several places."""

    def __init__(self, pieces: List[Any]) -> None:
        self.pieces = [memoryview(piece).cast("B") for piece in pieces]
        self.size = sum(piece.nbytes for piece in self.pieces)

    def write(self, to: memoryview) -> None:
        at = 0
        for piece in self.pieces:
            to[at : at + piece.nbytes] = piece
            at += piece.nbytes

    def joined(self) -> memoryview:
        return self.pieces[0] if len(self.pieces) == 1 else super().joined()


class Tensor(Payload):
    """An Arrow tensor behind a prefix."""

    def __init__(self, prefix: bytes, tensor: Any) -> None:
        import pyarrow as pa

        self._prefix, self._tensor = prefix, tensor
        self.size = len(prefix) + pa.ipc.get_tensor_size(tensor)

    def write(self, to: memoryview) -> None:
        import pyarrow as pa

        at = len(self._prefix)
        to[:at] = self._prefix
        # A sink of its own: the tensor is aligned to where it begins.
        pa.ipc.write_tensor(self._tensor, pa.FixedSizeBufferWriter(pa.py_buffer(to[at:])))

    def joined(self) -> memoryview:
        import pyarrow as pa

        whole = memoryview(pa.allocate_buffer(self.size)).cast("B")
        self.write(whole)
        return whole


def of_buffer(data: Any) -> Payload:
    """The payload that a buffer is."""
    return Pieces([data])
