"""What this process has read, so that it is not sent again as long as it is the same.

**Invariant:** bounded in bytes: what was not used for longest leaves first, and what is larger than everything never
enters. What is kept are the bytes that came, never a value that was handed out.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Callable, List, Optional, Tuple

from .errors import invalid

BYTES_VARIABLE = "FLAME_CLIENT_CACHE_BYTES"
BYTES_DEFAULT = 256 << 20

# What an entry takes besides its data, about.
_ENTRY_BYTES = 512

Name = Tuple[str, str]
"""Endpoint and key."""


@dataclass(frozen=True)
class Kept:
    """An object as it came: its base, and the patches after it by version. Never changed, only replaced."""

    version: int
    base: Any
    """A memoryview, or a table."""
    patches: List[Tuple[int, Any]] = field(default_factory=list)

    @property
    def size(self) -> int:
        base: int = self.base.nbytes
        return base + _ENTRY_BYTES + sum(_ENTRY_BYTES + int(data.nbytes) for _, data in self.patches)


class LocalCache:
    """May be used by many threads."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._lock = threading.Lock()
        self._kept: OrderedDict[Name, Kept] = OrderedDict()
        self._bytes = 0

    @property
    def size(self) -> int:
        """Bytes of what is kept."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: Name) -> Optional[Kept]:
        with self._lock:
            found = self._kept.get(name)
            if found is not None:
                self._kept.move_to_end(name)
            return found

    def put(self, name: Name, kept: Kept) -> None:
        """Keeps it in the place of what was there, unless it is too large. Versions are not compared: after a deletion
        those of a key begin anew."""
        size = kept.size
        with self._lock:
            if name in self._kept:
                self._drop(name)
            if size > self._bytes_max:
                return
            self._kept[name] = kept
            self._bytes += size
            while self._bytes > self._bytes_max:
                self._drop(next(iter(self._kept)))

    def forget(self, is_meant: Callable[[str], bool]) -> None:
        """Drops the objects whose keys are meant."""
        with self._lock:
            for name in [name for name in self._kept if is_meant(name[1])]:
                self._drop(name)

    def _drop(self, name: Name) -> None:
        self._bytes -= self._kept.pop(name).size


def bytes_max() -> int:
    """The bound, from the environment. 0 keeps nothing."""
    text = os.environ.get(BYTES_VARIABLE, "").strip()
    if not text:
        return BYTES_DEFAULT
    if not (text.isascii() and text.isdigit()):
        raise invalid(f"{BYTES_VARIABLE} is {text!r}, expected a number of bytes")
    return int(text)


local = LocalCache(bytes_max())
