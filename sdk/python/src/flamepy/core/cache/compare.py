"""Writing on condition of a version: compare and set.

The published protocol has no such call. It answers a write with the version that it made, so that one in between shows
afterwards. Caches of this repository refuse it beforehand.
"""

from __future__ import annotations

import logging
from typing import Any

from . import flight, nodes, values
from .calls import anywhere
from .key import ObjectKey
from .ref import ObjectRef

logger = logging.getLogger("flamepy.cache")


def replace_if(ref: ObjectRef, value: Any, expected: int) -> ObjectRef:
    """Puts a value in the place of an object that has the expected version. Raises VersionConflict for any other."""
    key = str(ObjectKey.from_key(ref.key))
    payload = values.pickled(value)
    written = anywhere(nodes.near(ref.endpoint), lambda client: flight.put(client, key, payload))
    if written.version != expected + 1:
        logger.warning("%s had version %d when it was replaced, not %d", key, written.version - 1, expected)
    return written
