"""How long to wait before the next attempt.

Invariant: the first attempt at each endpoint costs no wait; after that waits double up to a limit, and a random share of
each is left out so that many clients do not come back together.
Invariant: whoever is told when to come back comes back later than that, never earlier, and not all at once.
"""

from __future__ import annotations

import random

_FIRST_WAIT = 0.05
_LONGEST_WAIT = 1.0


class Backoff:
    """Counts failed attempts. Waits are seconds."""

    __slots__ = ("_endpoints", "_failed")

    def __init__(self, endpoints: int) -> None:
        self._endpoints = max(endpoints, 1)
        self._failed = 0

    def reset(self) -> None:
        """Something worked."""
        self._failed = 0

    def wait_after(self, asked: float) -> float:
        """After one more attempt that failed, and was asked to wait for so long."""
        self._failed += 1
        rounds = self._failed // self._endpoints
        longest = min(_FIRST_WAIT * 2.0 ** min(rounds - 1, 16), _LONGEST_WAIT) if rounds else 0.0
        return max(longest * random.uniform(0.5, 1.0), asked * random.uniform(1.0, 1.5))
