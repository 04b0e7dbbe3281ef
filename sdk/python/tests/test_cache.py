"""The object cache, against one that serves the published protocol."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from fake_cache import FakeCache

import flamepy
from flamepy import FlameErrorCode
from flamepy.core import ObjectKey, ObjectRef
from flamepy.core.cache import (
    ObjectError,
    ObjectNotFound,
    bson,
    delete_objects,
    download_object,
    get_object,
    nodes,
    objects,
    patch_object,
    put_object,
    storage,
    update_object,
    upload_object,
    values,
)
from flamepy.core.cache.local import Kept, LocalCache

# ── names and references ────────────────────────────────────────────────────────────────────────────────────────────


def test_keys():
    key = ObjectKey.from_key("app/session/object")
    assert (key.app_name, key.session_id, key.object_id) == ("app", "session", "object")
    assert (str(key), key.to_key(), key.to_prefix()) == ("app/session/object", "app/session/object", "app/session")
    prefix = ObjectKey.from_prefix("app/session")
    assert prefix.to_key() is None and str(prefix) == "app/session"
    assert prefix.matches_key("app/session/x") and not prefix.matches_key("app/other/x") and not prefix.matches_key("x")
    assert key.matches_key("app/session/object") and not key.matches_key("app/session/other")
    everything = ObjectKey.for_all_sessions("app")
    assert everything.is_all_sessions() and str(everything) == "app/*"
    assert everything.matches_key("app/x/y") and not everything.matches_key("apple/x/y")
    assert str(ObjectKey.for_shared("app")) == "app/shared"
    made = {str(prefix.with_generated_id()) for _ in range(100)}
    assert len(made) == 100 and all(prefix.matches_key(one) for one in made)
    with pytest.raises(ValueError):
        everything.with_generated_id()
    assert flamepy.core.WILDCARD_SESSION == "*"


@pytest.mark.parametrize(
    "bad", ["", "a", "a/b/c/d", "/b", "a//c", "a/b/", "../b", "a/..", "a/b\\c", "*/b", "a/*/c", "a/b*", "a/b\0/c"]
)
def test_bad_keys(bad):
    with pytest.raises(ValueError) as error:
        ObjectKey.from_path(bad)
    assert isinstance(error.value, flamepy.FlameError) and error.value.code == FlameErrorCode.INVALID_ARGUMENT


def test_a_prefix_is_no_key():
    for call, text in [(ObjectKey.from_key, "a/b"), (ObjectKey.from_prefix, "a/b/c"), (ObjectKey.from_key, "a/*")]:
        with pytest.raises(ValueError, match="expected"):
            call(text)


# As the published package encodes them.
ENCODED = (
    b":\x00\x00\x00\x02endpoint\x00\x0b\x00\x00\x00grpc://h:1\x00\x02key\x00\x06\x00\x00\x00a/b/c\x00"
    b"\x10version\x00\x03\x00\x00\x00\x00"
)


def test_references_travel_as_published():
    ref = ObjectRef("grpc://h:1", "a/b/c", 3)
    assert ref.encode() == ENCODED and ObjectRef.decode(ENCODED) == ref
    large = ObjectRef("grpc://h:1", "a/b/c", 1 << 40)
    assert ObjectRef.decode(large.encode()) == large
    # Servers write every number with eight bytes.
    long = ENCODED.replace(b"\x10version\x00\x03\x00\x00\x00", b"\x12version\x00\x03" + bytes(7))
    assert ObjectRef.decode(bytes([len(long)]) + long[1:]) == ref
    assert ObjectRef("e", "k").version == 0


def test_a_reference_has_three_fields_and_no_more():
    more = bson.encode({"endpoint": "e", "key": "k", "version": 1, "size": 3})
    with pytest.raises(ValueError, match="size"):
        ObjectRef.decode(more)
    for wrong in [
        {"endpoint": "e"},
        {"endpoint": 1, "key": "k", "version": 1},
        {"endpoint": "e", "key": "k", "version": "1"},
    ]:
        with pytest.raises(ValueError, match="reference"):
            ObjectRef.decode(bson.encode(wrong))


@pytest.mark.parametrize("cut", range(len(ENCODED)))
def test_bytes_that_are_no_reference(cut):
    for bad in [ENCODED[:cut], ENCODED[:cut] + b"\xff" + ENCODED[cut + 1 :]]:
        try:
            found = ObjectRef.decode(bad)
        except ObjectError:
            continue
        assert len(bad) == len(ENCODED) and found.encode() == bad, "a text or a number of another value"


def test_documents_skip_what_references_do_not_have():
    data = b"\x01d\x00" + bytes(8) + b"\x08t\x00\x01" + b"\x0an\x00" + b"\x03o\x00\x05\x00\x00\x00\x00"
    data += b"\x05b\x00\x02\x00\x00\x00\x00xy" + b"\x10i\x00\x07\x00\x00\x00"
    data = (len(data) + 5).to_bytes(4, "little") + data + b"\0"
    assert bson.decode(data) == {"d": None, "t": None, "n": None, "o": None, "b": None, "i": 7}


# ── values ──────────────────────────────────────────────────────────────────────────────────────────────────────────

PLAIN = [
    None,
    0,
    "text",
    b"bytes",
    b"",
    [1, [2, {"a": (3,)}]],
    {1, 2},
    np.float64(3),
    ObjectRef("grpc://h:1", "a/b/c", 3),
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_values(cache, value):
    ref = put_object("app/session", value)
    assert get_object(ref) == value and type(get_object(ref)) is type(value)
    assert ref.version == 1 and ref.endpoint == cache.endpoint and ref.key.startswith("app/session/")
    assert cache.objects[ref.key].base[:4] == b"FLM\x00"


ARRAYS = [
    np.arange(10),
    np.arange(6, dtype="int8").reshape(2, 3),
    np.arange(6, dtype="float32").reshape(2, 3).T,
    np.arange(20, dtype="uint16")[::2],
    np.ones((2, 3, 4), dtype="float16"),
    np.array(3.5),
    np.zeros((0, 3)),
    np.array([True, False]),
    np.array(["a", "bc"]),
    np.array([1 + 2j]),
    np.array([{"a": 1}, None], dtype=object),
    np.arange(3).astype(">i4"),
    np.array(["2026-11-23"], dtype="datetime64[D]"),
    np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
]


@pytest.mark.parametrize("value", ARRAYS, ids=lambda one: f"{one.dtype}{one.shape}")
def test_arrays(cache, value):
    found = get_object(put_object("app/session", value))
    assert type(found) is np.ndarray and found.dtype == value.dtype and found.shape == value.shape
    assert (found == value).all()


def test_numbers_travel_as_tensors_and_cannot_be_changed(cache):
    ref = put_object("app/session", np.arange(1000))
    assert cache.objects[ref.key].base[:4] == b"FLM\x01"
    found = get_object(ref)
    with pytest.raises(ValueError):
        found[0] = 7
    assert found.flags.aligned


TABLE = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"], "c": pa.array(["p", "q", "p"]).dictionary_encode()})


def test_tables(cache):
    with_metadata = TABLE.replace_schema_metadata({"mine": "kept"})
    ref = put_object("app/session", with_metadata)
    metadata = cache.objects[ref.key].base.schema.metadata
    assert (
        metadata[b"flame.cache.format"] == b"arrow-table-v1"
        and metadata[b"flame.cache.logical_type"] == b"pyarrow.table"
    )
    found = get_object(ref)
    assert found.equals(with_metadata) and found.schema.metadata == {b"mine": b"kept"}
    assert get_object(put_object("app/session", TABLE)).schema.metadata is None


def test_tables_without_rows_and_record_batches(cache):
    empty = TABLE.slice(0, 0)
    assert get_object(put_object("app/session", empty)).equals(empty)
    for batch in [
        TABLE.to_batches()[0],
        empty.to_batches()[0] if empty.to_batches() else pa.record_batch({"a": pa.array([], "int8")}),
    ]:
        found = get_object(put_object("app/session", batch))
        assert isinstance(found, pa.RecordBatch) and found.equals(batch)


def test_large_tables_travel_in_several_batches(cache, monkeypatch):
    monkeypatch.setattr(values, "_BATCH_BYTES", 1000)
    table = pa.table({"a": list(range(5000))})
    ref = put_object("app/session", table)
    assert len(cache.objects[ref.key].base.to_batches()) > 10
    assert get_object(ref).equals(table)


def test_data_frames(cache):
    frame = pd.DataFrame({"a": [1.5, 2.5], "b": ["x", "y"]}, index=["one", "two"])
    pd.testing.assert_frame_equal(get_object(put_object("app/session", frame)), frame)
    mixed = pd.DataFrame({"a": [1, "x", {2}]})
    pd.testing.assert_frame_equal(get_object(put_object("app/session", mixed)), mixed)
    polars = pl.DataFrame({"a": [1, None], "b": ["x", "y"]})
    found = get_object(put_object("app/session", polars))
    assert isinstance(found, pl.DataFrame) and found.equals(polars)


def test_whatever_has_to_arrow(cache):
    class Dataset:
        def to_arrow(self):
            return TABLE

    ref = put_object("app/session", Dataset())
    assert cache.objects[ref.key].base.schema.metadata[b"flame.cache.logical_type"] == b"dataset"
    assert get_object(ref).equals(TABLE)


def test_arrow_arrays(cache):
    ref = put_object("app/session", pa.array([1, None, 3]))
    assert cache.objects[ref.key].base[:4] == b"FLM\x03"
    assert get_object(ref).equals(pa.array([1, None, 3]))


def test_bytes_of_other_languages_stay_bytes(cache, tmp_path):
    file = tmp_path / "x.json"
    file.write_bytes(b'{"a":1}')
    assert get_object(upload_object("app/session", str(file))) == b'{"a":1}'
    import pickle

    file.write_bytes(pickle.dumps([1]))
    assert get_object(upload_object("app/session", str(file))) == [1]


def test_what_cannot_be_pickled_says_so(cache):
    with pytest.raises(ValueError, match="cannot pickle the lock") as error:
        put_object("app/session", threading.Lock())
    assert error.value.code == FlameErrorCode.INVALID_ARGUMENT and error.value.remedy


def test_what_cannot_be_unpickled_here_says_so(cache, tmp_path):
    code = "import sys; sys.path.insert(0, sys.argv[1]); import gone; from flamepy.core.cache import put_object; "
    code += "print(put_object('app/session', gone.Thing()).key)"
    (tmp_path / "gone.py").write_text("class Thing: pass\n")
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True)
    with pytest.raises(ObjectError, match="No module named 'gone'") as error:
        get_object(ObjectRef(cache.endpoint, found.stdout.strip()))
    assert "importable" in error.value.remedy


# ── versions ────────────────────────────────────────────────────────────────────────────────────────────────────────


def everything(base, deltas):
    return [base, *deltas]


def test_versions_and_patches(cache):
    ref = put_object("app/session", "base")
    first = patch_object(ref, "one")
    second = patch_object(ref, np.arange(2))
    assert (ref.version, first.version, second.version) == (1, 2, 3) and second.key == ref.key
    assert get_object(ref) == "base", "without a deserializer it is the base"
    base, one, two = get_object(ref, everything)
    assert (base, one, two.tolist()) == ("base", "one", [0, 1])
    third = update_object(ref, "new")
    assert third.version == 4 and get_object(third, everything) == ["new"]


def asked(cache):
    return [what.rpartition(":")[2] for name, what in cache.calls if name == "get"]


def test_only_what_is_new_is_sent(cache):
    ref = put_object("app/session", "base")
    assert get_object(ref, everything) == ["base"]
    patch_object(ref, "one")
    assert get_object(ref, everything) == ["base", "one"]
    assert get_object(ref, everything) == ["base", "one"]
    update_object(ref, "new")
    assert get_object(ref, everything) == ["new"]
    assert asked(cache) == ["0", "1", "2", "2"]
    fresh = ObjectRef(ref.endpoint, ref.key, 0)
    assert get_object(fresh) == "new" and asked(cache)[-1] == "0"


def test_a_table_is_not_sent_again(cache):
    ref = put_object("app/session", TABLE)
    assert get_object(ref).equals(TABLE) and get_object(ref).equals(TABLE)
    assert asked(cache) == ["0", "1"]
    update_object(ref, TABLE.slice(1))
    assert get_object(ref).equals(TABLE.slice(1))
    with pytest.raises(ObjectError):
        patch_object(ref, 1)


def test_caches_that_answer_with_two_columns(cache):
    cache.is_legacy = True
    ref = put_object("app/session", "base")
    patch_object(ref, "one")
    assert get_object(ref, everything) == ["base", "one"]


def test_nothing_that_is_handed_out_is_shared(cache):
    ref = put_object("app/session", {"a": [1]})
    get_object(ref)["a"].append(2)
    assert get_object(ref) == {"a": [1]}
    deltas = []
    patch_object(ref, [3])
    get_object(ref, lambda base, got: deltas.extend(got))
    deltas[0].append(4)
    assert get_object(ref, everything) == [{"a": [1]}, [3]]


def test_versions_that_do_not_rise_are_refused(cache, monkeypatch):
    ref = put_object("app/session", "base")
    patch_object(ref, "one")
    cache.objects[ref.key].patches.append((1, b"FLM\x00x"))
    with pytest.raises(ObjectError, match="version 1 after version 2") as error:
        get_object(ObjectRef(ref.endpoint, ref.key))
    assert error.value.code == FlameErrorCode.DATA_LOSS


def test_a_key_that_was_used_before(cache):
    ref = put_object("app/session", "old")
    update_object(ref, "old")
    assert get_object(ref) == "old"
    cache.objects.clear()
    assert flamepy.update_object(ref, "new").version == 1
    assert get_object(ref) == "new"


# ── what this process keeps ─────────────────────────────────────────────────────────────────────────────────────────


def kept(size, version=1):
    return Kept(version, memoryview(bytes(size)))


def test_what_is_kept_is_bounded_in_bytes():
    local = LocalCache(10_000)
    for number in range(100):
        local.put(("e", str(number)), kept(1000))
        assert local.size <= 10_000
    assert local.get(("e", "99")) is not None and local.get(("e", "0")) is None
    local.get(("e", "94"))
    for number in range(5):
        local.put(("e", f"new {number}"), kept(1000))
    assert local.get(("e", "94")) is not None, "it was used last"
    local.put(("e", "huge"), kept(20_000))
    assert local.get(("e", "huge")) is None and local.get(("e", "94")) is not None
    local.put(("e", "94"), kept(20_000))
    assert local.get(("e", "94")) is None, "what it was before counts no more"
    local.forget(lambda key: True)
    assert local.size == 0 and len(local) == 0


def test_patches_count():
    one = Kept(2, memoryview(bytes(10)), [(2, memoryview(bytes(5000)))])
    assert one.size > 5000


def test_a_bound_of_nothing_keeps_nothing(cache, monkeypatch):
    monkeypatch.setattr(objects, "local", LocalCache(0))
    ref = put_object("app/session", "base")
    assert get_object(ref) == get_object(ref) == "base"
    assert asked(cache) == ["0", "0"]


def test_the_bound_is_of_the_environment():
    code = "from flamepy.core.cache.local import local; print(local._bytes_max)"
    for value, expected in [("1000", "1000"), ("", str(256 << 20))]:
        environment = {**os.environ, "FLAME_CLIENT_CACHE_BYTES": value}
        assert subprocess.check_output([sys.executable, "-c", code], env=environment, text=True).strip() == expected


# ── deleting ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_deleting(cache):
    refs = [put_object(prefix, "x") for prefix in ["app/a", "app/a", "app/b", "apple/a"]]
    delete_objects(refs[0].key)
    assert cache.keys() == sorted(ref.key for ref in refs[1:])
    delete_objects("app/a")
    assert cache.keys() == sorted(ref.key for ref in refs[2:])
    delete_objects("app/*")
    assert cache.keys() == [refs[3].key]
    delete_objects("app/*")


def test_what_was_deleted_is_not_found(cache):
    ref = put_object("app/a", "x")
    assert get_object(ref) == "x"
    delete_objects("app/a")
    for call in [get_object, lambda ref: patch_object(ref, 1), lambda ref: download_object(ref, "/tmp/never")]:
        with pytest.raises(ObjectNotFound) as error:
            call(ref)
        assert error.value.code == FlameErrorCode.NOT_FOUND and ref.key in str(error.value)
        assert isinstance(error.value, KeyError) and isinstance(error.value, ValueError)


# ── files ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [1, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_files(cache, tmp_path, size):
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(os.urandom(size))
    ref = upload_object("app/pkg/package.tar.gz", str(source))
    assert ref.key == "app/pkg/package.tar.gz"
    download_object(ref, str(copy))
    assert copy.read_bytes() == source.read_bytes()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["copy", "source"]


def test_an_empty_file(cache, tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    ref = upload_object("app/pkg", str(tmp_path / "empty"))
    download_object(ref, str(tmp_path / "copy"))
    assert (tmp_path / "copy").read_bytes() == b""


def test_what_is_no_file_is_not_downloaded(cache, tmp_path):
    table, patched = put_object("app/a", TABLE), put_object("app/a", 1)
    patch_object(patched, 2)
    for ref in [table, patched]:
        with pytest.raises(ValueError, match="get_object"):
            download_object(ref, str(tmp_path / "copy"))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        upload_object("app/a", str(tmp_path / "absent"))


# ── nodes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def two(cache, monkeypatch):
    """Two nodes of one cache; the one that is configured second is yielded with the first."""
    other = FakeCache(cache.objects)
    monkeypatch.setenv("FLAME_CACHE_ENDPOINT", f"{cache.endpoint},{other.endpoint}")
    yield cache, other
    other.stop()


def test_another_node_serves_when_one_is_gone(two, tmp_path):
    first, second = two
    ref = put_object("app/a", "x")
    assert ref.endpoint == first.endpoint
    first.stop()
    assert get_object(ref) == "x"
    assert patch_object(ref, "y").version == 2
    assert get_object(ref, everything) == ["x", "y"]
    assert update_object(ref, "z").version == 3
    other = put_object("app/a", "w")
    assert other.endpoint == second.endpoint
    (tmp_path / "f").write_bytes(b"f")
    download_object(upload_object("app/pkg", str(tmp_path / "f")), str(tmp_path / "g"))
    delete_objects("app/*")
    assert second.keys() == []


def test_the_node_of_a_reference_is_asked_first(two):
    first, second = two
    ref = put_object("app/a", "x")
    assert get_object(ObjectRef(second.endpoint, ref.key)) == "x"
    assert second.count("get") == 1 and first.count("get") == 0


def test_no_cache_at_all(monkeypatch):
    monkeypatch.setattr("flamepy.core.cache.calls._REACH_SECONDS", 0.1)
    gone = FakeCache()
    monkeypatch.setenv("FLAME_CACHE_ENDPOINT", gone.endpoint)
    gone.stop()
    with pytest.raises(ObjectError) as error:
        put_object("app/a", 1)
    assert error.value.code == FlameErrorCode.UNAVAILABLE and gone.endpoint in error.value.message
    assert "cache.endpoint" in error.value.remedy


def test_a_node_that_comes_back_is_found(cache, monkeypatch):
    """A node that cannot serve now is asked again; what must happen once is not."""
    ref = put_object("app/a", "x")
    refusals = 3

    def refuse(key):
        nonlocal refusals
        refusals -= 1
        if refusals >= 0:
            raise pa.flight.FlightUnavailableError("the directory has no leader")

    cache.on_write = refuse
    assert get_object(put_object("app/a", "y")) == "y"
    assert refusals == -1
    assert update_object(ref, "z").version == 2


def test_a_patch_whose_answer_was_lost_is_not_sent_again(cache, monkeypatch):
    ref = put_object("app/a", "x")

    def lost(writer, key, version):
        raise pa.flight.FlightUnavailableError("the node goes away")

    monkeypatch.setattr(cache, "_answer", lost)
    with pytest.raises(ObjectError) as error:
        patch_object(ref, "y")
    assert error.value.code == FlameErrorCode.UNKNOWN_OUTCOME
    assert get_object(ref, everything) == ["x", "y"]


@pytest.mark.parametrize("bad", ["ftp://h", "grpc://", "grpc://h:x", "grpc://h/path", "http://h:1"])
def test_bad_endpoints(bad, monkeypatch):
    monkeypatch.setenv("FLAME_CACHE_ENDPOINT", bad)
    with pytest.raises(ObjectError) as error:
        put_object("app/a", 1)
    assert error.value.code == FlameErrorCode.INVALID_CONFIG and bad in error.value.message


def test_endpoints():
    for text, expected in [
        ("grpc://h", "grpc+tcp://h:9090"),
        ("grpcs://h:1", "grpc+tls://h:1"),
        ("grpc+tls://h:1", "grpc+tls://h:1"),
        ("h:1", "grpc+tcp://h:1"),
        ("grpc://[::1]:1", "grpc+tcp://[::1]:1"),
    ]:
        assert nodes.location(text) == expected


def test_the_configuration_names_the_cache(tmp_path, monkeypatch):
    assert nodes.configured() == ["grpc://127.0.0.1:9090"] and not nodes.context().names_cache
    (tmp_path / ".flame").mkdir()
    file = tmp_path / ".flame/flame.yaml"

    def write(cache):
        file.write_text(
            f"current-context: a\ncontexts:\n- name: a\n  cluster: {{endpoint: 'http://h:1'}}\n  cache: {cache}\n"
        )
        return nodes.configured()

    assert write("{endpoint: 'grpc://one:1'}") == ["grpc://one:1"] and nodes.context().names_cache
    assert write("{endpoint: 'grpc://one:1', endpoints: ['grpc://two:2']}") == ["grpc://one:1", "grpc://two:2"]
    assert write("{storage: '/x/y'}") == ["grpc://127.0.0.1:9090"], "a section without an endpoint has the default"
    monkeypatch.setenv("FLAME_CACHE_ENDPOINT", "grpc://three:3, grpc://four:4")
    assert nodes.configured() == ["grpc://three:3", "grpc://four:4"]


# ── the folder of a cache ───────────────────────────────────────────────────────────────────────────────────────────


def test_objects_in_the_folder_of_the_cache(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("FLAME_CACHE_STORAGE", f"fs://{tmp_path}/objects")
    ref = put_object("app/session", "x")
    assert ref.endpoint == cache.endpoint and ref.version == 1 and cache.count("put") == 0
    table = put_object("app/session", TABLE)
    for one in [ref, table]:
        assert (tmp_path / "objects" / f"{one.key}.arrow").is_file()
    with pa.ipc.open_file(str(tmp_path / "objects" / f"{ref.key}.arrow")) as file:
        rows = file.read_all().to_pydict()
    assert rows["version"] == [0] and values.decode(rows["data"][0]) == "x"
    with pa.ipc.open_file(str(tmp_path / "objects" / f"{table.key}.arrow")) as file:
        assert values.from_native(file.read_all()).equals(TABLE)
    assert [one.name for one in (tmp_path / "objects/app/session").iterdir() if one.suffix != ".arrow"] == []


def test_a_storage_that_is_no_folder(cache, tmp_path, monkeypatch):
    assert str(storage.folder("/a")) == "/a" and str(storage.folder("file:///a")) == "/a"
    monkeypatch.setenv("FLAME_HOME", "/home/flame")
    assert str(storage.folder("fs://data")) == "/home/flame/data"
    (tmp_path / "file").write_text("")
    for bad in ["s3://bucket", f"{tmp_path}/file"]:
        monkeypatch.setenv("FLAME_CACHE_STORAGE", bad)
        with pytest.raises(ObjectError, match="FLAME_CACHE_STORAGE"):
            put_object("app/a", 1)


# ── what is imported ────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_heavy_is_imported_before_an_object_travels():
    heavy = "('pyarrow', 'cloudpickle', 'numpy', 'pandas')"
    for first in [
        "import flamepy",
        "import flamepy; flamepy.put_object; flamepy.cache",
        "from flamepy.core import ObjectKey",
    ]:
        code = f"import sys; {first}; print([name for name in {heavy} if name in sys.modules])"
        assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]", first
    code = "import sys, flamepy; print([name for name in sys.modules if name.startswith('flamepy.core.cache')])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_in_a_fork_connections_are_its_own(cache):
    ref = put_object("app/a", "x")
    pid = os.fork()
    if pid == 0:
        os._exit(0 if not nodes._clients and nodes._of_parents else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert get_object(ref) == "x"
