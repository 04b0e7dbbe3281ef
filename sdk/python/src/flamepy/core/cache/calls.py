"""Calls to whichever cache node answers.

**Invariant:** what must happen once is not asked for again when an answer was lost: that is UNKNOWN_OUTCOME.
**Invariant:** each call ends: nodes that are not there are given up after seconds.
"""

from __future__ import annotations

import time
from typing import Any, Callable, List, TypeVar

from ..errors import FlameErrorCode
from . import nodes
from .errors import ObjectError
from .flight import Broken

T = TypeVar("T")

# Seconds for which nodes are tried again of which none could be reached, and of which some answer that they cannot
# serve now, as while the coordinators elect a leader.
_REACH_SECONDS = 3.0
_SERVE_SECONDS = 20.0

_PAUSE_SECONDS, _PAUSE_SECONDS_MAX = 0.05, 1.0


def anywhere(endpoints: List[str], call: Callable[[Any], T], *, may_repeat: bool = True) -> T:
    """Makes a call at the first of these nodes that serves it."""
    begun = time.monotonic()
    pause = _PAUSE_SECONDS
    while True:
        limit, reasons = _REACH_SECONDS, []
        for endpoint in endpoints:
            try:
                return call(nodes.client(endpoint))
            except Broken as broken:
                nodes.forget(endpoint)
                reasons.append(f"{endpoint}: {broken}")
                if broken.was_sent:
                    limit = _SERVE_SECONDS
                    if not may_repeat:
                        raise ObjectError(
                            FlameErrorCode.UNKNOWN_OUTCOME,
                            f"the answer of the object cache was lost ({reasons[-1]}): it may have been done or not",
                            remedy="read the object and look before you try again",
                        ) from broken
                why = broken
        if time.monotonic() + pause > begun + limit:
            raise ObjectError(
                FlameErrorCode.UNAVAILABLE,
                f"no object cache serves: {'; '.join(reasons)}",
                remedy="is flame-cache running, and is cache.endpoint of ~/.flame/flame.yaml, or FLAME_CACHE_ENDPOINT, "
                "its address?",
            ) from why
        time.sleep(pause)
        pause = min(2 * pause, _PAUSE_SECONDS_MAX)
