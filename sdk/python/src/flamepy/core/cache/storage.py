"""Objects that a client writes into the folder of its cache, instead of sending them (`FLAME_CACHE_STORAGE`).

Only for a cache that shares its folder with its clients and looks there for what it was not told, as the published one
does. Unset everywhere else, above all for services.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from ..errors import FlameErrorCode
from . import flight, values
from .errors import ObjectError
from .key import ObjectKey


def folder(text: str) -> Path:
    """The folder that the setting means."""
    for scheme in ("fs://", "file://"):
        if text.startswith(scheme):
            text = text[len(scheme) :]
    if not text or "://" in text:
        raise ObjectError(
            FlameErrorCode.INVALID_CONFIG,
            f"cache storage {text!r} is no folder",
            remedy="write it like fs:///var/lib/flame/objects, or unset FLAME_CACHE_STORAGE and cache.storage",
        )
    path = Path(text)
    return path if path.is_absolute() else Path(os.environ.get("FLAME_HOME") or "/var/lib/flame") / path


def write(root: Path, key: ObjectKey, payload: Any) -> None:
    """Writes the file of an object: all of it, or nothing."""
    import pyarrow as pa

    if isinstance(payload, values.Native):
        schema, batches = payload.schema, payload.batches
    else:
        batch = flight.row(payload)
        schema, batches = batch.schema, [batch]
    place = root / key.app_name / key.session_id
    try:
        place.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=place, prefix=".", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                with pa.ipc.new_file(file, schema) as writer:
                    for batch in batches:
                        writer.write_batch(batch)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, place / f"{key.object_id}.arrow")
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise ObjectError(
            FlameErrorCode.INVALID_CONFIG,
            f"cannot write an object below {root}: {error}",
            remedy="unset FLAME_CACHE_STORAGE and cache.storage, unless this machine shares the folder of the cache",
        ) from error
