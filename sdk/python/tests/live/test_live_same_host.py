"""Objects through memory that a cache on this host shares. It needs a cache alone: that of FLAME_TEST_CACHE_ENDPOINT, with
64 MiB of such memory, and the address of its metrics in FLAME_TEST_CACHE_METRICS."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import threading
import time
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, Iterator

import numpy as np
import pyarrow as pa
import pytest

import flamepy
from flamepy import FlameErrorCode
from flamepy.core.cache import ObjectNotFound, VersionConflict, flight, nodes, objects, own, same_host, values
from flamepy.core.cache.same_host import hosts

ENDPOINT = os.environ.get("FLAME_TEST_CACHE_ENDPOINT", "")
METRICS = os.environ.get("FLAME_TEST_CACHE_METRICS", "")

pytestmark = pytest.mark.skipif(not METRICS, reason="FLAME_TEST_CACHE_METRICS names no object cache of its own")

MIB = 1 << 20
LARGE = MIB // 8  # numbers of eight bytes


@pytest.fixture(autouse=True)
def _configured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FLAME_CACHE_ENDPOINT", ENDPOINT)
    yield
    gc.collect()
    flamepy.core.delete_objects("app/*")


@pytest.fixture
def session() -> str:
    return f"app/{uuid.uuid4().hex}"


def metrics() -> Dict[str, float]:
    with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line and line[0] != "#")}


def used() -> float:
    return metrics()["flame_cache_arena_bytes"]


def counted(operation: str, outcome: str) -> float:
    found = metrics()
    for name, value in found.items():
        if name.startswith("flame_cache_arena_operations_total") and operation in name and outcome in name:
            return value
    raise AssertionError(found)


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not check():
        assert time.monotonic() < deadline, "it does not come to be"
        time.sleep(0.01)


def by_port(ref: flamepy.ObjectRef) -> Any:
    """The object as others get it."""
    return values.decode(flight.fetch(nodes.client(ENDPOINT), ref.key, 0).base)


def test_values_come_back_through_the_memory(session: str) -> None:
    puts, gets = counted("put", "shared"), counted("get", "shared")
    array = np.arange(float(LARGE))
    nested = {"array": array, "flags": np.ones(MIB, dtype=bool), "text": "x" * MIB}
    for value in (array, nested, b"z" * MIB, array.reshape(8, -1).T):
        ref = flamepy.put_object(session, value)
        for found in (flamepy.get_object(ref), by_port(ref)):
            if isinstance(value, dict):
                assert np.array_equal(found["array"], array) and found["flags"].all() and found["text"] == value["text"]
            else:
                assert np.array_equal(found, value)
    assert (counted("put", "shared") - puts, counted("get", "shared") - gets) == (4, 4)


def test_nothing_is_copied_and_nothing_is_shared(session: str) -> None:
    ref = flamepy.put_object(session, np.arange(float(LARGE)))
    one, other = flamepy.get_object(ref), flamepy.get_object(ref)
    assert np.shares_memory(one, other) and not one.flags.writeable and one.flags.aligned
    ref = flamepy.put_object(session, [np.arange(float(LARGE))])
    [one], [other] = flamepy.get_object(ref), flamepy.get_object(ref)
    assert one.flags.writeable and one.flags.aligned and one.base is not None
    one[:] = -1.0
    assert other[5] == 5.0 and flamepy.get_object(ref)[0][5] == 5.0 and by_port(ref)[0][5] == 5.0


def test_what_is_read_stays_until_it_is_dropped(session: str) -> None:
    before = used()
    ref = flamepy.put_object(session, np.full(LARGE, 1.0))
    array = flamepy.get_object(ref)
    [private] = flamepy.get_object(flamepy.put_object(session, [np.full(LARGE, 2.0)]))
    part = array[10:20]
    del array
    flamepy.core.delete_objects(session)
    for at in range(8):
        flamepy.put_object(session, np.full(LARGE, float(at)))
    assert (part == 1.0).all() and (private == 2.0).all()
    flamepy.core.delete_objects(session)
    assert used() > before
    del part, private
    eventually(lambda: used() == before)


def test_small_values_and_tables_go_their_own_ways(session: str) -> None:
    inline, shared = counted("put", "inline"), counted("put", "shared")
    ref = flamepy.put_object(session, {"a": 1})
    assert flamepy.get_object(ref) == {"a": 1} and counted("put", "inline") == inline + 1
    # By its version it is not sent again.
    assert ref.version == 1 and flamepy.get_object(ref) == {"a": 1}
    table = pa.table({"a": range(100_000)})
    elsewhere = counted("get", "elsewhere")
    assert flamepy.get_object(flamepy.put_object(session, table)).equals(table)
    assert (counted("put", "shared"), counted("get", "elsewhere")) == (shared, elsewhere + 1)


def test_updates_patches_and_conditions(session: str) -> None:
    ref = flamepy.put_object(session, np.full(LARGE, 1.0))
    ref = flamepy.update_object(ref, np.full(LARGE, 2.0))
    assert ref.version == 2 and flamepy.get_object(ref)[0] == 2.0
    known = flamepy.get_object(ref)
    ref = flamepy.core.patch_object(ref, [3.0])
    ref = flamepy.core.patch_object(ref, np.full(LARGE, 4.0))
    base, deltas = flamepy.get_object(ref, lambda base, deltas: (base, deltas))
    assert (base[0], deltas[0], deltas[1][0], known[0]) == (2.0, [3.0], 4.0, 2.0)
    with pytest.raises(VersionConflict):
        own.replace_if(ref, [np.zeros(LARGE)], 7)
    ref = own.replace_if(ref, [np.full(LARGE, 5.0)], 4)
    assert ref.version == 5 and flamepy.get_object(ref)[0][0] == 5.0
    small = flamepy.put_object(session, "base")
    flamepy.get_object(small)
    flamepy.core.patch_object(small, "more")
    assert flamepy.get_object(small, lambda base, deltas: [base, *deltas]) == ["base", "more"]


def test_errors_are_those_of_the_port(session: str) -> None:
    with pytest.raises(ObjectNotFound, match="nobody has put it"):
        flamepy.get_object(flamepy.ObjectRef(ENDPOINT, f"{session}/none"))
    with pytest.raises(flamepy.FlameError) as refused:
        same_host.put(ENDPOINT, "no key", values.payload(np.zeros(LARGE)))
    assert refused.value.code == FlameErrorCode.INVALID_ARGUMENT

    class Breaks(values.Payload):
        size = MIB

        def write(self, to: memoryview) -> None:
            raise RuntimeError("in the middle")

    before = used()
    with pytest.raises(RuntimeError, match="in the middle"):
        objects.put_payload(session, Breaks())
    eventually(lambda: used() == before)


def test_a_full_memory_is_another_way_and_not_an_error(session: str, caplog: pytest.LogCaptureFixture) -> None:
    kept = [flamepy.get_object(flamepy.put_object(session, np.full(4 * LARGE, float(at)))) for at in range(15)]
    before = counted("put", "elsewhere")
    with caplog.at_level(logging.DEBUG, "flamepy.cache"):
        ref = flamepy.put_object(session, np.full(8 * LARGE, 99.0))
        assert flamepy.get_object(ref)[0] == 99.0
    assert "cache.arena" in caplog.text and counted("put", "elsewhere") == before + 1
    assert all((array == at).all() for at, array in enumerate(kept))
    del kept
    shared = counted("get", "shared")
    # With a version it would not be sent again.
    assert flamepy.get_object(flamepy.ObjectRef(ref.endpoint, ref.key))[-1] == 99.0
    assert counted("get", "shared") == shared + 1


def test_many_threads(session: str) -> None:
    def work(number: int) -> bool:
        value = np.full(LARGE // 4, float(number))
        found = flamepy.get_object(flamepy.put_object(session, [value, number]))
        return bool((found[0] == number).all()) and found[1] == number

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(200)))
    flamepy.core.delete_objects(session)
    gc.collect()
    eventually(lambda: used() == 0)


def _in_child(ref: flamepy.ObjectRef, inherited: Any, session: str, go: Any, answers: Any) -> None:
    mine = flamepy.get_object(flamepy.put_object(session, np.full(LARGE, 7.0)))
    answers.put(float(mine[3]))
    go.wait(20)
    # The parent has dropped it, and others have been put since.
    answers.put(bool((inherited == 1.0).all()))
    answers.put(float(flamepy.get_object(ref)[0]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_keeps_what_it_has_inherited(session: str) -> None:
    context = multiprocessing.get_context("fork")
    go, answers = context.Event(), context.Queue()
    array = flamepy.get_object(flamepy.put_object(session, np.full(LARGE, 1.0)))
    ref = flamepy.put_object(session, np.full(LARGE, 2.0))
    child = context.Process(target=_in_child, args=(ref, array, f"{session}-child", go, answers))
    child.start()
    try:
        assert answers.get(timeout=60) == 7.0
        del array
        gc.collect()
        for at in range(80):
            flamepy.put_object(session, np.full(LARGE // 2, float(at)))
        go.set()
        assert answers.get(timeout=60) is True
        assert answers.get(timeout=60) == 2.0
        child.join(60)
        assert child.exitcode == 0
    finally:
        child.kill()
    flamepy.core.delete_objects("app/*")
    eventually(lambda: used() == 0)


def _hold(session: str, ready: Any) -> None:
    kept = [flamepy.get_object(flamepy.put_object(session, np.full(4 * LARGE, float(at)))) for at in range(4)]
    with hosts.host(ENDPOINT).link() as (link, mapping):
        from flamepy._wire.ha import arena_pb2 as wire

        reply = link.call(wire.ArenaRequest(create=wire.ArenaCreate(size=8 * MIB)))
        mapping.room(reply.room.offset, 8)[:] = b"half way"
        ready.set()
        threading.Event().wait(60)
    assert kept


def test_what_a_killed_client_holds_is_free_again(session: str) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    child = context.Process(target=_hold, args=(session, ready))
    child.start()
    assert ready.wait(60)
    flamepy.core.delete_objects(session)
    assert used() > 20 * MIB
    child.kill()
    child.join(60)
    eventually(lambda: used() == 0)


def test_a_cache_that_knows_no_token_is_left_for_the_port(session: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "_hosts", {nodes.location(ENDPOINT): hosts.Host("flame-cache-that-is-gone", "x")})
    monkeypatch.setattr(hosts, "_ask_after", {})
    ref = flamepy.put_object(session, np.full(LARGE, 3.0))
    assert flamepy.get_object(ref)[1] == 3.0
    assert nodes.location(ENDPOINT) not in hosts._hosts
