"""What makes a change one that may be sent again: all attempts of it carry the same mark, no other change ever does.

* A change has a request id. The coordinators do it once and answer its repeats as the first attempt, a refusal too. Their
  memory is bounded. So that an attempt which comes too late for it is turned away, and not done a second time, each one
  also names the number of the next change as this client heard it before it sent the first: whoever remembers nothing
  from that number on cannot tell, and says so.
* CreateTask has a key instead, which the coordinators remember with the session for so many further submits.
* A server that names no number knows no request ids, and is sent none: see `cluster` for what is repeated there.

Invariant: the number was heard before the first attempt was sent.
Invariant: a key is not sent again once it may have been forgotten.
"""

from __future__ import annotations

import os
import time
from typing import List, Optional, Tuple, Union

REQUEST_ID = "flame-request-id-bin"
REQUEST_SEEN = "flame-request-seen"
TASK_KEY = "flame-idempotency-key-bin"
_BYTES = 16

# Keyed submits of this process after which a key counts as forgotten. A coordinator remembers twice as many of each
# session (65,536): the other half is for whoever else submits to the same session meanwhile.
SUBMITS_REMEMBERED = 32_768

# A number that was heard longer ago is asked for anew: the older it is, the sooner nobody remembers what follows it.
_HEARD_SECONDS_MAX = 30.0

# As is one that so many changes of this client have named. The coordinators remember four times as many of everybody.
_NAMED_MAX = 16_384

Metadata = List[Tuple[str, Union[str, bytes]]]


class Mark:
    """What the attempts of one change have in common."""

    __slots__ = ("is_known", "metadata")

    def __init__(self, seen: int = 0) -> None:
        self.is_known = seen != 0
        """The coordinators tell a repeat from another change."""
        self.metadata: Metadata = []
        if seen:
            self.metadata = [(REQUEST_ID, os.urandom(_BYTES)), (REQUEST_SEEN, str(seen))]

    def may_repeat(self) -> bool:
        """Whether doing it once more is certainly the same as having done it once."""
        return True


class Key(Mark):
    """The mark of one CreateTask."""

    __slots__ = ("_drawn_at",)
    _drawn = 0

    def __init__(self, chosen: bytes = b"") -> None:
        super().__init__()
        self.metadata = [(TASK_KEY, chosen or os.urandom(_BYTES))]
        Key._drawn += 1
        self._drawn_at = Key._drawn

    def may_repeat(self) -> bool:
        return Key._drawn - self._drawn_at <= SUBMITS_REMEMBERED


class Heard:
    """The number that was heard last."""

    def __init__(self) -> None:
        self._number = 0
        self._since = 0.0
        self._named = 0

    def number(self) -> Optional[int]:
        """To be named by a change; 0: there are no request ids. None: it is too old."""
        self._named += 1
        is_young = time.monotonic() - self._since < _HEARD_SECONDS_MAX and self._named <= _NAMED_MAX
        return self._number if is_young and self._since else None

    def note(self, number: int) -> None:
        """A coordinator has named it; 0: it knows no request ids."""
        self._number, self._since, self._named = number, time.monotonic(), 0
