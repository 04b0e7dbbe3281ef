"""Names of objects: `application/session/object`.

**Invariant:** a key that was made is one that every cache takes: nothing empty, nothing that leaves its folder.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import List, Optional

from .errors import ObjectError, invalid

WILDCARD_SESSION = "*"
"""In the place of a session: all of the application. Only for deleting."""

SHARED_SESSION = "shared"
"""By convention the session of what all sessions of an application use."""

_FORMAT = "expected '<app>/<ssn>' or '<app>/<ssn>/<uuid>' format"


@dataclass(frozen=True)
class ObjectKey:
    """The name of an object; without `object_id` the prefix of all objects of a session."""

    app_name: str
    session_id: str
    object_id: Optional[str] = None

    def __post_init__(self) -> None:
        if self.app_name == WILDCARD_SESSION:
            raise invalid(f"Wildcard '{WILDCARD_SESSION}' not allowed for app_name")
        if self.session_id == WILDCARD_SESSION and self.object_id is not None:
            raise invalid(f"Wildcard session '{WILDCARD_SESSION}' cannot have object_id")
        _check("app_name", self.app_name)
        if self.session_id != WILDCARD_SESSION:
            _check("session_id", self.session_id)
        if self.object_id is not None:
            _check("object_id", self.object_id)

    @classmethod
    def from_path(cls, path: str) -> ObjectKey:
        """A key or a prefix."""
        parts = _parts(path)
        return cls(parts[0], parts[1], parts[2] if len(parts) == 3 else None)

    @classmethod
    def from_prefix(cls, prefix: str) -> ObjectKey:
        """A prefix: `app/session`, or `app/*`."""
        found = cls.from_path(prefix)
        if found.object_id is not None:
            raise invalid(f"Invalid key prefix '{prefix}': expected '<app>/<ssn>' format")
        return found

    @classmethod
    def from_key(cls, key: str) -> ObjectKey:
        """The key of one object."""
        found = cls.from_path(key)
        if found.object_id is None:
            raise invalid(f"Invalid object key '{key}': expected '<app>/<ssn>/<uuid>' format")
        return found

    @classmethod
    def for_shared(cls, app_name: str) -> ObjectKey:
        """The prefix of what all sessions of an application use."""
        return cls(app_name, SHARED_SESSION)

    @classmethod
    def for_all_sessions(cls, app_name: str) -> ObjectKey:
        """The prefix of everything of an application."""
        return cls(app_name, WILDCARD_SESSION)

    def is_all_sessions(self) -> bool:
        return self.session_id == WILDCARD_SESSION

    def with_generated_id(self) -> ObjectKey:
        """The key of a new object with this prefix."""
        if self.is_all_sessions():
            raise invalid(f"'{self}' means all sessions of an application: an object is put into one")
        return ObjectKey(self.app_name, self.session_id, str(uuid.uuid4()))

    def to_prefix(self) -> str:
        return f"{self.app_name}/{self.session_id}"

    def to_key(self) -> Optional[str]:
        """The key of the object; None for a prefix."""
        return None if self.object_id is None else f"{self.to_prefix()}/{self.object_id}"

    def matches_key(self, key: str) -> bool:
        """Whether it means the object of that key: itself, or one with this prefix."""
        try:
            other = ObjectKey.from_key(key)
        except ObjectError:
            return False
        if self.object_id is not None:
            return self == other
        return self.app_name == other.app_name and (self.is_all_sessions() or self.session_id == other.session_id)

    def __str__(self) -> str:
        return self.to_key() or self.to_prefix()


ObjectKey.__module__ = "flamepy.core.cache"


def _parts(path: str) -> List[str]:
    if not isinstance(path, str):
        raise invalid(f"an object key is a text, not {type(path).__name__}")
    parts = path.split("/")
    if len(parts) not in (2, 3):
        raise invalid(f"Invalid object key path '{path}': {_FORMAT}")
    return parts


def _check(name: str, value: str) -> None:
    if not isinstance(value, str):
        raise invalid(f"{name} must be a text, not {type(value).__name__}")
    if not value:
        raise invalid(f"{name} cannot be empty")
    if "/" in value or "\\" in value or ".." in value or WILDCARD_SESSION in value or "\0" in value:
        raise invalid(f"{name} contains invalid characters: '{value}'")
