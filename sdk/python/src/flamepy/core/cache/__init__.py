"""The object cache: values too large for tasks, shared by sessions, read where they are needed.

    ref = flamepy.put_object("my-app/shared", table)
    table = flamepy.get_object(ref)

Everything here speaks the published protocol and works with every cache that serves it. Arrow is imported when an object
first travels, not before.

| module | holds |
|---|---|
| `objects` | the functions; start here |
| `key`, `ref`, `bson` | names of objects, and references to them as they travel |
| `values` | how values become bytes or Arrow batches |
| `local` | what this process has read |
| `flight` | the calls of the published protocol |
| `nodes`, `known`, `calls` | which cache nodes there are, and calling whichever answers |
| `own` | what caches of this repository serve besides |
| `storage` | objects that a client writes into the folder of its cache |
| `errors` | why an object could not be had or kept |
"""

from .errors import ObjectError, ObjectNotFound, VersionConflict
from .key import SHARED_SESSION, WILDCARD_SESSION, ObjectKey
from .objects import (
    delete_objects,
    download_object,
    get_object,
    patch_object,
    put_object,
    update_object,
    upload_object,
)
from .ref import ObjectRef

__all__ = [
    "SHARED_SESSION",
    "WILDCARD_SESSION",
    "ObjectError",
    "ObjectKey",
    "ObjectNotFound",
    "ObjectRef",
    "VersionConflict",
    "delete_objects",
    "download_object",
    "get_object",
    "patch_object",
    "put_object",
    "update_object",
    "upload_object",
]
