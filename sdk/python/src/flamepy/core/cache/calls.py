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
from .known import known

T = TypeVar("T")

# Seconds for which nodes are tried again of which none could be reached, and of which some answer that they cannot
# serve now, as while the coordinators elect a leader.
_REACH_SECONDS = 3.0
_SERVE_SECONDS = 20.0

_PAUSE_SECONDS, _PAUSE_SECONDS_MAX = 0.05, 1.0


def anywhere(endpoints: List[str], call: Callable[[Any], T], *, may_repeat: bool = True) -> T:
    """Makes a call over Arrow Flight at the first of these nodes, or of those that they know, that serves it."""
    return at_nodes(endpoints, lambda endpoint: call(nodes.client(endpoint)), may_repeat=may_repeat)


def at_nodes(endpoints: List[str], call: Callable[[str], T], *, may_repeat: bool = True) -> T:
    """The same for a call that is given the endpoint."""
    begun = time.monotonic()
    pause = _PAUSE_SECONDS
    has_asked = False
    while True:
        limit, reasons = _REACH_SECONDS, []
        for endpoint in nodes.different([*endpoints, *known.others()]):
            try:
                done = call(endpoint)
                known.on_served(endpoint)
                return done
            except Broken as broken:
                nodes.forget(endpoint)
                known.on_broken()
                reasons.append(f"{endpoint}: {broken}")
                why = broken
            if why.was_sent:
                limit = _SERVE_SECONDS
                if not may_repeat:
                    raise _unknown(reasons[-1]) from why
        if not has_asked:
            has_asked = True
            if known.ask_cluster():
                continue
        if time.monotonic() + pause > begun + limit:
            raise _unavailable(reasons) from why
        time.sleep(pause)
        pause = min(2 * pause, _PAUSE_SECONDS_MAX)


def _unknown(reason: str) -> ObjectError:
    return ObjectError(
        FlameErrorCode.UNKNOWN_OUTCOME,
        f"the answer of the object cache was lost ({reason}): it may have been done or not",
        remedy="read the object and look before you try again",
    )


def _unavailable(reasons: List[str]) -> ObjectError:
    return ObjectError(
        FlameErrorCode.UNAVAILABLE,
        f"no object cache serves: {'; '.join(reasons)}",
        remedy="is flame-cache running, and is its address FLAME_CACHE_ENDPOINT, or cache.endpoint of ~/.flame/flame.yaml?",
    )
