"""What makes a change repeatable: all attempts of one call carry the same number, no other call ever does.

CreateTask has a key, which the coordinators remember with the session for so many further submits (a repeat after that
would make a second task); every other change has a request id, remembered with its answer. A server that does not know
request ids ignores them.

Invariant: a key is not sent again once it may have been forgotten.
"""

from __future__ import annotations

import os
from typing import List, Tuple, Union

REQUEST_ID = "flame-request-id-bin"
TASK_KEY = "flame-idempotency-key-bin"
_BYTES = 16

# Keyed submits of this process after which a key counts as forgotten. A coordinator remembers twice as many of each
# session (65,536): the other half is for whoever else submits to the same session meanwhile.
SUBMITS_REMEMBERED = 32_768

Metadata = List[Tuple[str, Union[str, bytes]]]


class Once:
    """Nothing marks the attempts: a read, or a change that done twice is the same as once."""

    metadata: Metadata = []

    def may_repeat(self) -> bool:
        """Whether doing it once more is certainly the same as having done it once."""
        return True


class Request(Once):
    """The number of one change."""

    def __init__(self) -> None:
        self.metadata = [(REQUEST_ID, os.urandom(_BYTES))]


class Key(Once):
    """The key of one CreateTask."""

    _drawn = 0

    def __init__(self, chosen: bytes = b"") -> None:
        self.metadata = [(TASK_KEY, chosen or os.urandom(_BYTES))]
        Key._drawn += 1
        self._drawn_at = Key._drawn

    def may_repeat(self) -> bool:
        return Key._drawn - self._drawn_at <= SUBMITS_REMEMBERED
