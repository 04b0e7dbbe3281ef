"""Objects through the published package: put, get, update, patch, upload, download, delete."""

import itertools
import os
import tempfile

import flamepy
import pyarrow as pa
import pyarrow.flight as flight
from flamepy.cache import delete_objects, get_object, put_object, update_object
from flamepy.core import ObjectKey, ObjectRef, patch_object, upload_object
from suite.harness import check


class World:
    """Fresh prefixes, and a folder for files."""

    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.numbers = itertools.count(1)
        self.folder = tempfile.mkdtemp()

    def prefix(self, session="session"):
        return f"py-{os.getpid()}-{next(self.numbers)}/{session}"

    def file(self, data):
        path = os.path.join(self.folder, f"file-{next(self.numbers)}")
        with open(path, "wb") as file:
            file.write(data)
        return path


def forced(ref):
    """The same object, past whatever this process remembers of it."""
    return ObjectRef(endpoint=ref.endpoint, key=ref.key, version=0)


def fails(call, *arguments):
    try:
        answer = call(*arguments)
    except Exception as error:  # the published package lets through whatever its libraries raise
        return str(error)
    raise AssertionError(f"it was accepted, an error was due; the answer was {answer!r}")


def leave(world, key, data):
    """Uploads an object for another client."""
    return upload_object(key, world.file(data)).key == key


def downloaded(world, key):
    """The bytes of a file, as the published worker reads them. `download_object` of the published package does not work with
    any pyarrow that it can be installed with: it takes the chunks of a stream for batches."""
    table = flight.connect(world.endpoint).do_get(flight.Ticket(f"{key}:0".encode())).read_all()
    assert table.column("kind").to_pylist() == ["base"], "one row, since a file has no patches"
    return table.column("data").to_pylist()[0]


def compare(world, key, expected):
    """Reads what another client put, and says whether it is that."""
    data = downloaded(world, key)
    print(f"ok {key}" if data == expected else f"FAILED {key}: {data!r} is not {expected!r}", flush=True)
    return data == expected


@check
def an_object_is_put_and_read(world):
    for value in [None, 7, "text", b"bytes", {"a": [1, 2, (3,)]}, list(range(100_000))]:
        ref = put_object(world.prefix(), value)
        assert ref.endpoint == world.endpoint and ref.version == 1, ref
        assert get_object(ref) == value
        assert get_object(forced(ref)) == value


@check
def a_reference_travels_as_bytes(world):
    ref = put_object(world.prefix(), "over there")
    again = ObjectRef.decode(ref.encode())
    assert again == ref
    assert get_object(again) == "over there"


@check
def a_large_object_comes_back_as_it_was(world):
    value = os.urandom(40_000_000)
    assert get_object(forced(put_object(world.prefix(), value))) == value


@check
def an_update_is_seen_by_its_readers(world):
    ref = put_object(world.prefix(), "one")
    assert get_object(ref) == "one"
    newer = update_object(ref, "two")
    assert (newer.key, newer.version) == (ref.key, 2), newer
    assert get_object(newer) == "two"
    assert get_object(ref) == "two"


@check
def patches_are_given_to_the_deserializer_in_order(world):
    ref = put_object(world.prefix(), [0])
    for number in (1, 2, 3):
        assert patch_object(ref, [number]).version == 1 + number
    assert get_object(forced(ref)) == [0], "without a deserializer the base alone"
    assert get_object(forced(ref), lambda base, deltas: base + sum(deltas, [])) == [0, 1, 2, 3]
    update_object(ref, [9])
    assert get_object(forced(ref), lambda base, deltas: (base, deltas)) == ([9], [])


@check
def a_reader_follows_patches_from_what_it_has(world):
    def joined(base, deltas):
        return base + "".join(deltas)

    ref = put_object(world.prefix(), "a")
    assert get_object(ref, joined) == "a"
    # Written past what this process remembers, as another process would.
    from flamepy.core import cache

    for text in "bcd":
        remembered = dict(cache._object_cache)
        patch_object(ref, text)
        cache._object_cache.update(remembered)
        assert get_object(ref, joined).endswith(text)
    assert get_object(ref, joined) == "abcd"


@check
def a_patch_of_nothing_is_refused(world):
    ref = ObjectRef(endpoint=world.endpoint, key=f"{world.prefix()}/none", version=1)
    assert "not found" in fails(patch_object, ref, "x")
    assert "not found" in fails(get_object, ref)


@check
def tables_and_batches_keep_their_kind(world):
    table = pa.table({"name": ["Ada", None, "Grace"], "age": [36, 41, 85]}, metadata={"of the user": "stays"})
    ref = put_object(world.prefix(), table)
    got = get_object(forced(ref))
    assert got.equals(table) and got.schema.metadata == {b"of the user": b"stays"}, got.schema
    assert get_object(ref).equals(table)
    batch = table.to_batches()[0]
    got = get_object(forced(put_object(world.prefix(), batch)))
    assert isinstance(got, pa.RecordBatch) and got.equals(batch)
    newer = update_object(ref, table.slice(1))
    assert newer.version == 2 and get_object(newer).equals(table.slice(1))


@check
def a_table_without_rows_and_one_of_many_batches_are_kept(world):
    schema = pa.schema([("name", pa.string()), ("age", pa.int64())])
    empty = schema.empty_table()
    assert get_object(forced(put_object(world.prefix(), empty))).equals(empty)
    parts = pa.concat_tables([pa.table({"n": list(range(at, at + 1000))}) for at in range(0, 50_000, 1000)])
    assert get_object(forced(put_object(world.prefix(), parts))).equals(parts)


@check
def columns_of_words_are_kept(world):
    words = pa.array(["yes", "no", "yes", "maybe"]).dictionary_encode()
    nested = pa.array([["a", "b"], [], ["a"]], pa.list_(pa.dictionary(pa.int8(), pa.string())))
    table = pa.table({"word": words.slice(0, 3), "other": words.slice(1, 3), "nested": nested})
    assert get_object(forced(put_object(world.prefix(), table))).equals(table)


@check
def a_native_table_is_not_patched(world):
    ref = put_object(world.prefix(), pa.table({"n": [1]}))
    assert "native Arrow" in fails(patch_object, ref, "x")
    assert get_object(forced(ref)).num_rows == 1


@check
def arrays_of_arrow_are_kept(world):
    array = pa.array([1, None, 3])
    assert get_object(forced(put_object(world.prefix(), array))).equals(array)


@check
def a_file_is_uploaded_and_downloaded(world):
    data = os.urandom(3_500_000)
    prefix = world.prefix("pkg")
    for name in (f"{prefix}/app-1.0.tar.gz", prefix):
        ref = upload_object(name, world.file(data))
        assert ref.key.startswith(prefix) and ref.version == 1, ref
        assert downloaded(world, ref.key) == data
    again = upload_object(f"{prefix}/app-1.0.tar.gz", world.file(b"newer"))
    assert again.version == 2
    assert downloaded(world, again.key) == b"newer"


@check
def an_empty_file_is_accepted(world):
    ref = upload_object(f"{world.prefix('pkg')}/empty", world.file(b""))
    assert ref.version == 1
    assert downloaded(world, ref.key) == b""


@check
def deletions_take_keys_prefixes_and_applications(world):
    prefix = world.prefix()
    application = prefix.split("/")[0]
    refs = [put_object(prefix, number) for number in range(3)] + [put_object(f"{application}/shared", "s")]

    def left():
        return [ref for ref in refs if not_found(ref) is None]

    def not_found(ref):
        try:
            get_object(forced(ref))
        except Exception as error:
            assert "not found" in str(error), error
            return error
        return None

    delete_objects(refs[0].key)
    assert left() == refs[1:]
    delete_objects(prefix)
    assert left() == refs[3:]
    delete_objects(f"{application}/*")
    assert left() == []
    delete_objects(f"{application}/*")


@check
def names_that_cannot_be_are_refused(world):
    long_name = "x" * 300
    for key in [f"a/s/{long_name}", "a/s/control\n"]:
        assert ObjectKey.from_key(key), "the package itself would let it through"
        assert fails(update_object, ObjectRef(endpoint=world.endpoint, key=key, version=1), "x")


@check
def the_actions_of_the_cache_are_listed(world):
    client = flight.connect(world.endpoint)
    assert [action.type for action in client.list_actions()] == ["DELETE"]
    ref = put_object(world.prefix(), pa.table({"n": [1]}))
    info = client.get_flight_info(flight.FlightDescriptor.for_path(ref.key))
    assert info.endpoints[0].locations[0].uri == world.endpoint.encode()
    assert "n" in info.schema.names
    listed = [found.descriptor.path[0].decode() for found in client.list_flights()]
    assert ref.key in listed
