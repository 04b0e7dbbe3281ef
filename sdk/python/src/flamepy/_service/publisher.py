"""What an executor says about itself: keys that tasks may ask for (their affinity)."""

from __future__ import annotations

import threading
from typing import Iterable, Set, Tuple, Union

from ..core.errors import FlameError, FlameErrorCode

# What one answer may carry in one direction.
KEYS_MAX = 1024
KEY_BYTES_MAX = 256
BYTES_MAX = 64 * 1024

Key = Union[str, bytes]


class Publisher:
    """Collects keys to publish and to retract until the next answer takes them along. Of a key that is both, the later
    word counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._published: Set[bytes] = set()
        self._retracted: Set[bytes] = set()

    def publish(self, keys: Iterable[Key]) -> None:
        """The executor holds these keys from now on.

        Raises FlameError INVALID_ARGUMENT for a key of a wrong length, RESOURCE_EXHAUSTED when more keys would wait
        than one answer can carry; nothing is published then.
        """
        self._change(keys, publish=True)

    def retract(self, keys: Iterable[Key]) -> None:
        """The executor does not hold these keys any more. Raises as `publish` does."""
        self._change(keys, publish=False)

    def _take(self) -> Tuple[Iterable[bytes], Iterable[bytes]]:
        """What has piled up, as keys to publish and keys to retract. The next answer begins with nothing."""
        if not self._published and not self._retracted:
            return (), ()
        with self._lock:
            taken = sorted(self._published), sorted(self._retracted)
            self._published, self._retracted = set(), set()
        return taken

    def _change(self, keys: Iterable[Key], *, publish: bool) -> None:
        if isinstance(keys, (str, bytes)):
            raise FlameError(FlameErrorCode.INVALID_ARGUMENT, f"keys must be a list of keys, not the one key {keys!r}")
        raw = [key.encode() if isinstance(key, str) else bytes(key) for key in keys]
        for key in raw:
            if not 1 <= len(key) <= KEY_BYTES_MAX:
                raise FlameError(
                    FlameErrorCode.INVALID_ARGUMENT, f"a key has {len(key)} bytes, 1 to {KEY_BYTES_MAX} are allowed"
                )
        with self._lock:
            if publish:
                changed = self._published.union(raw), self._retracted.difference(raw)
            else:
                changed = self._published.difference(raw), self._retracted.union(raw)
            for side in changed:
                if len(side) > KEYS_MAX or sum(map(len, side)) > BYTES_MAX:
                    raise FlameError(
                        FlameErrorCode.RESOURCE_EXHAUSTED,
                        f"one answer carries at most {KEYS_MAX} keys of {BYTES_MAX} bytes together in one direction",
                    )
            self._published, self._retracted = changed
