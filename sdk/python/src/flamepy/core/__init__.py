"""The client and the service side, by the names of the published package.

Those of the object cache come when somebody asks for them: most programs never do.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, List

from .names import *  # noqa: F403
from .names import __all__ as _at_once

if TYPE_CHECKING:
    from .cache import (
        WILDCARD_SESSION,
        ObjectKey,
        ObjectRef,
        delete_objects,
        download_object,
        get_object,
        patch_object,
        put_object,
        update_object,
        upload_object,
    )

__all__ = [
    "WILDCARD_SESSION",
    "ObjectKey",
    "ObjectRef",
    "delete_objects",
    "download_object",
    "get_object",
    "patch_object",
    "put_object",
    "update_object",
    "upload_object",
    *_at_once,
]

_OF_CACHE = frozenset(__all__).difference(_at_once)


def __getattr__(name: str) -> object:
    if name in _OF_CACHE:
        return getattr(importlib.import_module(f"{__name__}.cache"), name)
    if name == "cache":
        return importlib.import_module(f"{__name__}.cache")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> List[str]:
    return sorted({*globals(), *__all__})
