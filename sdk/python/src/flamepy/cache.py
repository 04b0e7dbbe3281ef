"""The object cache, by the names of the published package. `flamepy.core.cache` has more."""

from .core.cache import (
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
    "ObjectKey",
    "ObjectRef",
    "delete_objects",
    "download_object",
    "get_object",
    "patch_object",
    "put_object",
    "update_object",
    "upload_object",
]
