"""The object API: put, get, update, patch, delete, and files.

A new object goes to a configured node. What is done with an object is done at the node that its reference names, or at
another one when that does not answer.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from typing import Any, Callable, List, Optional, Tuple

from . import flight, nodes, storage, values
from .calls import anywhere
from .errors import invalid
from .key import ObjectKey
from .local import Kept, local
from .ref import ObjectRef

Deserializer = Callable[[Any, List[Any]], Any]


def put_object(key_prefix: str, obj: Any) -> ObjectRef:
    """Puts a value below `app/session` and returns the reference to it."""
    return put_payload(key_prefix, _payload(obj))


def put_payload(key_prefix: str, payload: Any) -> ObjectRef:
    """The same for what `values` has made of a value."""
    prefix = ObjectKey.from_prefix(key_prefix)
    if prefix.is_all_sessions():
        raise invalid(f"'{key_prefix}' means all sessions of an application: an object is put into one")
    cache = nodes.context().cache
    if cache is not None and cache.storage:
        key = prefix.with_generated_id()
        storage.write(storage.folder(cache.storage), key, payload)
        endpoint = anywhere(nodes.configured(), lambda client: flight.serving_endpoint(client, str(key)))
        return ObjectRef(endpoint or nodes.configured()[0], str(key), 1)
    # An object that is put twice because the first answer was lost has two names: the other one goes with its session.
    return anywhere(nodes.configured(), lambda client: flight.put(client, str(prefix), payload))


def get_object(ref: ObjectRef, deserializer: Optional[Deserializer] = None) -> Any:
    """The value of an object. Patches are for a `deserializer(base, deltas)`; without one it is the base alone.

    With a version in the reference, what this process has read before is not sent again as long as it is the same.
    """
    kept = fetch(ref)
    base = _value(kept.base)
    if deserializer is None:
        return base
    return deserializer(base, [values.decode(data) for _, data in kept.patches])


def load(ref: ObjectRef) -> Tuple[Any, int]:
    """The base of an object, and the version that it has now."""
    kept = fetch(ref)
    return _value(kept.base), kept.version


def fetch(ref: ObjectRef) -> Kept:
    """An object as it came."""
    ObjectKey.from_key(_checked(ref).key)
    name = (nodes.location(ref.endpoint), ref.key)
    known = local.get(name) if ref.version else None
    version = known.version if known else 0
    found = anywhere(nodes.near(ref.endpoint), lambda client: flight.fetch(client, ref.key, version))
    kept = found.onto(known, ref.key)
    if kept is not known:
        local.put(name, kept)
    return kept


def update_object(ref: ObjectRef, new_obj: Any) -> ObjectRef:
    """Puts a value in the place of an object and its patches. Returns the reference with the new version."""
    key, payload = str(ObjectKey.from_key(_checked(ref).key)), _payload(new_obj)
    # Twice the same value is the same as once, but for a version more.
    return anywhere(nodes.near(ref.endpoint), lambda client: flight.put(client, key, payload))


def patch_object(ref: ObjectRef, delta: Any) -> ObjectRef:
    """Adds a part to an object. Returns the reference with the new version."""
    key, payload = str(ObjectKey.from_key(_checked(ref).key)), values.encode(delta)
    return anywhere(nodes.near(ref.endpoint), lambda client: flight.patch(client, key, payload), may_repeat=False)


def delete_objects(key_prefix: str) -> None:
    """Deletes an object (`app/session/object`), those of a session (`app/session`) or of an application (`app/*`)."""
    target = ObjectKey.from_path(key_prefix)
    anywhere(nodes.configured(), lambda client: flight.delete(client, str(target)))
    local.forget(target.matches_key)


def upload_object(key_or_prefix: str, file_path: str) -> ObjectRef:
    """Puts the bytes of a file, in pieces: of any size. A key replaces what is there."""
    return upload_to(nodes.configured(), key_or_prefix, file_path)


def upload_to(endpoints: List[str], key_or_prefix: str, file_path: str) -> ObjectRef:
    """The same, at these nodes."""
    key = ObjectKey.from_path(key_or_prefix)
    if key.is_all_sessions():
        raise invalid(f"'{key_or_prefix}' means all sessions of an application: a file is put into one")

    def send(client: Any) -> ObjectRef:
        with open(file_path, "rb") as file:
            return flight.put(client, str(key), flight.pieces(file))

    return anywhere(endpoints, send)


def download_object(ref: ObjectRef, dest_path: str) -> None:
    """Writes the bytes of an object to a file: all of them, or the file is as it was."""
    key = str(ObjectKey.from_key(_checked(ref).key))

    def receive(client: Any) -> None:
        name = f"{dest_path}.{uuid.uuid4().hex}.part"
        try:
            with open(name, "xb") as file:
                for data in flight.payload_of(client, key):
                    file.write(data)
            os.replace(name, dest_path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise

    anywhere(nodes.near(ref.endpoint), receive)


def _payload(value: Any) -> Any:
    found = values.native(value)
    return values.encode(value) if found is None else found


def _value(base: Any) -> Any:
    return values.decode(base) if isinstance(base, memoryview) else values.from_native(base)


def _checked(ref: ObjectRef) -> ObjectRef:
    if not isinstance(ref, ObjectRef):
        raise invalid(f"a reference to an object is an ObjectRef, not {type(ref).__name__}")
    return ref
