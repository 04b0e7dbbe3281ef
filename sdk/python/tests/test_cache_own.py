"""What caches of this repository serve besides the published protocol: writing on condition, and which nodes there are."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from fake_cache import FakeCache, eventually

import flamepy
from flamepy import FlameErrorCode
from flamepy._wire.ha import cache_pb2
from flamepy._wire.ha import objects_pb2 as wire
from flamepy.core.cache import ObjectError, ObjectNotFound, VersionConflict, get_object, nodes, own, put_object, values
from flamepy.core.cache.known import Known, known


class Objects:
    """As much of the service as is used here, over the objects of a fake cache."""

    def __init__(self, cache):
        self.cache, self.nodes, self.answer = cache, [], None
        self.server = grpc.server(ThreadPoolExecutor(4))
        put = grpc.stream_unary_rpc_method_handler(
            self.put, wire.PutObjectFrame.FromString, wire.ObjectInfo.SerializeToString
        )
        ask = grpc.unary_unary_rpc_method_handler(
            self.ask, wire.ObjectNodesRequest.FromString, wire.ObjectNodesReply.SerializeToString
        )
        handlers = grpc.method_handlers_generic_handler("flame.ha.v1.Objects", {"Put": put, "Nodes": ask})
        self.server.add_generic_rpc_handlers((handlers,))
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.endpoint = f"grpc://127.0.0.1:{port}"
        self.server.start()

    def put(self, frames, context):
        header = next(frames).header
        data = b"".join(frame.data for frame in frames)
        if self.answer is not None:
            context.abort(self.answer, "as told")
        found = self.cache.objects.get(header.key)
        if found is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no such object")
        if header.if_exists == wire.IF_EXISTS_EXPECT and found.version != header.expected_version:
            context.abort(grpc.StatusCode.ABORTED, f"it has version {found.version}")
        found.base, found.base_version, found.patches = data, found.version + 1, []
        return wire.ObjectInfo(key=header.key, version=found.version)

    def ask(self, request, context):
        return wire.ObjectNodesReply(nodes=[wire.ObjectNode(name=one, endpoint=one) for one in self.nodes])


@pytest.fixture
def objects(cache):
    made = Objects(cache)
    yield made
    made.server.stop(0).wait()


def test_compare_and_set(cache, objects):
    ref = put_object("app/s", "one")
    here = flamepy.ObjectRef(objects.endpoint, ref.key)
    large = "x" * 3_000_000
    assert own.replace_if(here, large, 1).version == 2
    assert get_object(ref) == large
    with pytest.raises(VersionConflict, match="it has version 2") as error:
        own.replace_if(here, "two", 1)
    assert error.value.code == FlameErrorCode.ABORTED and get_object(ref) == large
    gone = flamepy.ObjectRef(objects.endpoint, "app/s/none")
    with pytest.raises(ObjectNotFound):
        own.replace_if(gone, "two", 1)
    for status, code in [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, FlameErrorCode.RESOURCE_EXHAUSTED),
        (grpc.StatusCode.FAILED_PRECONDITION, FlameErrorCode.INVALID_STATE),
        (grpc.StatusCode.UNKNOWN, FlameErrorCode.INTERNAL),
    ]:
        objects.answer = status
        with pytest.raises(ObjectError, match="as told") as error:
            own.replace_if(here, "two", 2)
        assert error.value.code == code


def test_a_cache_of_another_make_shows_it_afterwards(cache, caplog):
    ref = put_object("app/s", "one")
    assert own.replace_if(ref, "two", 1).version == 2
    with caplog.at_level(logging.WARNING):
        assert own.replace_if(ref, "three", 1).version == 3
    assert "had version 2 when it was replaced, not 1" in caplog.text
    assert get_object(ref) == "three" and bytes(cache.objects[ref.key].base[:4]) == values.PICKLE


def test_nodes_tell_of_each_other(cache, objects):
    objects.nodes = [objects.endpoint, "grpc://other:1"]
    assert own.other_nodes(objects.endpoint) == objects.nodes
    assert own.other_nodes(cache.endpoint) == [], "it does not know the call"
    gone = FakeCache()
    gone.stop()
    assert own.other_nodes(gone.endpoint) == []


def test_each_node_is_asked_once_until_one_is_gone():
    asked = []

    def ask(endpoint):
        asked.append(endpoint)
        return ["grpc://other:1"] if endpoint == "grpc://a:1" else []

    here = Known(ask, list)
    for endpoint in ["grpc://a:1", "a:1", "grpc://b:1", "grpc://a:1"]:
        here.on_served(endpoint)
    eventually(lambda: len(asked) == 2 and here.others(), "they have answered")
    assert here.others() == ["grpc://other:1"]
    here.on_broken()
    assert here.others() == ["grpc://other:1"]
    here.on_served("grpc://b:1")
    eventually(lambda: len(asked) == 3, "it was asked again")


def test_a_node_that_was_told_of_takes_over(cache, monkeypatch):
    """Only one is configured, and it goes away."""
    other = FakeCache(cache.objects)
    try:
        monkeypatch.setattr(known, "_told", {})
        monkeypatch.setattr(known, "_asked", set())
        monkeypatch.setattr(known, "_ask", lambda endpoint: [cache.endpoint, other.endpoint])
        ref = put_object("app/s", "x")
        eventually(known.others, "the node has told")
        cache.stop()
        assert get_object(ref) == "x" and put_object("app/s", "y").endpoint == other.endpoint
    finally:
        other.stop()


class Directory:
    """The coordinators' word on cache nodes."""

    def __init__(self, told):
        self.told, self.asked = told, 0
        self.server = grpc.server(ThreadPoolExecutor(2))
        ask = grpc.unary_unary_rpc_method_handler(
            self.ask, cache_pb2.CacheNodesRequest.FromString, cache_pb2.CacheNodesReply.SerializeToString
        )
        handlers = grpc.method_handlers_generic_handler("flame.ha.v1.ObjectDirectory", {"Nodes": ask})
        self.server.add_generic_rpc_handlers((handlers,))
        self.endpoint = f"http://127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def ask(self, request, context):
        self.asked += 1
        return cache_pb2.CacheNodesReply(
            nodes=[cache_pb2.CacheNode(name=one, endpoint=one, away=is_away) for one, is_away in self.told]
        )


def test_the_coordinators_know_who_else_serves(cache, monkeypatch):
    """A process that has met no node yet: the one that it was told of is gone."""
    other = FakeCache(cache.objects)
    ref = put_object("app/s", "x")
    directory = Directory([("grpc://127.0.0.1:1", True), (cache.endpoint, False), (other.endpoint, False)])
    cache.stop()
    monkeypatch.setattr(known, "_told", {})
    monkeypatch.setattr(known, "_asked", set())
    # The first coordinator is dead.
    monkeypatch.setenv("FLAME_ENDPOINT", f"http://127.0.0.1:1,{directory.endpoint}")
    try:
        assert get_object(ref) == "x" and put_object("app/s", "y").endpoint == other.endpoint
        assert directory.asked == 1, "what it said is remembered"
        other.stop()
        with pytest.raises(ObjectError, match="no object cache serves"):
            get_object(flamepy.ObjectRef(ref.endpoint, ref.key))
        assert directory.asked == 2, "once for a call"
    finally:
        directory.server.stop(0).wait()
        other.stop()


def test_nodes_are_the_same_however_they_are_written():
    given = ["grpc://a:9090", "a", "grpc://b:1", "grpc+tcp://a:9090", "grpcs://a:9090"]
    assert nodes.different(given) == ["grpc://a:9090", "grpc://b:1", "grpcs://a:9090"]
