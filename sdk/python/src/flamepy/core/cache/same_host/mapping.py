"""The memory that a cache shares, and what lies in it."""

from __future__ import annotations

import ctypes
import mmap
import os
import pickle
import threading
from typing import Any, Callable, Optional

# Mappings of single objects at a time: each takes a file descriptor.
_PRIVATE_MAX = 256


class Pin:
    """Keeps a part of the memory as it is, until the last who refers to it is gone."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release

    def __del__(self) -> None:
        self._release()


class Mapping:
    """All of the memory, mapped once."""

    def __init__(self, descriptor: int, size: int) -> None:
        self._memory = mmap.mmap(descriptor, size)
        self._descriptor = _Descriptor(descriptor)
        # An object that is over the memory and refers to a pin: what is over it in turn keeps it alive.
        self._window: Any = type("Window", (ctypes.Array,), {"_length_": size, "_type_": ctypes.c_ubyte})

    def room(self, offset: int, size: int) -> memoryview:
        """A place to write to."""
        return memoryview(self._memory)[offset : offset + size]

    def view(self, offset: int, size: int, pin: Pin) -> memoryview:
        """What lies there, to be read."""
        window = self._window.from_buffer(self._memory)
        window.pin = pin
        return pickle.PickleBuffer(window).raw()[offset : offset + size].toreadonly()

    def private(self, offset: int, size: int, pin: Pin) -> Optional[memoryview]:
        """The same for one reader alone, who may write to it: pages that it writes to are copied. None when there are too
        many such already."""
        begin = offset - offset % mmap.ALLOCATIONGRANULARITY
        if not _Private.may_come():
            return None
        try:
            alone = _Private(self._descriptor.number, offset + size - begin, access=mmap.ACCESS_COPY, offset=begin)
        except OSError:  # no descriptor, or no room in this process
            return None
        alone.pin = pin
        return memoryview(alone)[offset - begin :]


class _Descriptor:
    """A file descriptor that is closed with its last user."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class _Private(mmap.mmap):
    """A mapping of one object for one reader."""

    pin: Pin
    _is_counted = False
    _count = 0
    _lock = threading.RLock()  # a mapping may end while another one begins, on the same thread

    def __init__(self, *_: Any, **__: Any) -> None:
        with self._lock:
            type(self)._count += 1
            self._is_counted = True

    def __del__(self) -> None:
        with self._lock:
            type(self)._count -= self._is_counted

    @classmethod
    def may_come(cls) -> bool:
        return cls._count < _PRIVATE_MAX


class Lent:
    """Bytes of an object in the memory. They stay as they are as long as anybody has this, or a view of it."""

    def __init__(self, mapping: Mapping, offset: int, size: int, pin: Pin) -> None:
        self._mapping, self._offset, self._pin = mapping, offset, pin
        self.nbytes = size

    @property
    def view(self) -> memoryview:
        """To be read."""
        return self._mapping.view(self._offset, self.nbytes, self._pin)

    def private(self) -> Optional[memoryview]:
        """For one reader alone."""
        return self._mapping.private(self._offset, self.nbytes, self._pin)
