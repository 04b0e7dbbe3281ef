"""What stands for an object: where it is, its key, and the version that was seen.

**Invariant:** on the wire it is the three fields of the published package and nothing more: published readers refuse
any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from . import bson
from .errors import ObjectError, invalid

_FIELDS = {"endpoint", "key", "version"}


@dataclass
class ObjectRef:
    """A reference to an object. `version=0` reads everything anew; from 1 on a reader may use what it has already."""

    endpoint: str
    key: str
    version: int = 0

    def encode(self) -> bytes:
        """As it travels."""
        return bson.encode({"endpoint": self.endpoint, "key": self.key, "version": self.version})

    @classmethod
    def decode(cls, json_data: bytes) -> ObjectRef:
        """The reference in these bytes. Raises when they are anything else. (The parameter is named as published.)"""
        try:
            fields = bson.decode(json_data)
        except (bson.NotBson, TypeError) as error:
            raise invalid(f"these bytes are not a reference to an object: {error}") from None
        if not _FIELDS.issuperset(fields):
            strange = ", ".join(sorted(set(fields) - _FIELDS))
            raise invalid(f"these bytes are not a reference to an object: it has no field {strange}")
        return of_fields(fields)


ObjectRef.__module__ = "flamepy.core.cache"


def of_fields(fields: dict) -> ObjectRef:  # type: ignore[type-arg]
    """The reference in a document that may say more, as the answer to a put may."""
    endpoint, key, version = fields.get("endpoint"), fields.get("key"), fields.get("version", 0)
    if not (isinstance(endpoint, str) and isinstance(key, str) and isinstance(version, int)):
        raise invalid("these bytes are not a reference to an object: endpoint, key or version is not what it should be")
    return ObjectRef(endpoint, key, version)


def try_decode(data: Optional[bytes]) -> Optional[ObjectRef]:
    """The reference in these bytes; None when they are something else."""
    if data is None:
        return None
    try:
        return ObjectRef.decode(data)
    except ObjectError:
        return None
