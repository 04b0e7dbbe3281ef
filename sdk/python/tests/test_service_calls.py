"""A service that is called by the published protocol, in both generations."""

from __future__ import annotations

import threading
from typing import List

import grpc
import pytest
from service_worker import LIMIT, Calls, Stream, serving
from test_service_stream import AsyncEcho, Echo, Gated, Publishing

import flamepy
from flamepy._wire.v1 import shim_pb2, types_pb2
from flamepy.core.service import FlameInstanceServer, FlameInstanceServicer


@pytest.mark.parametrize("service", [Echo, AsyncEcho])
def test_a_caller_of_0_6_is_answered_as_0_6_does(service: type) -> None:
    """As the published service answers: bare results, and nothing at all for a plain success."""
    with serving(service()) as path, Calls(path) as calls:
        assert calls.enter(common_data=b"common") == b""
        assert calls.invoke(b"hi") == b"\x12\x02hi"
        assert calls.invoke(b"") == b"\x12\x00", "an empty output is present"
        assert calls.invoke(None) == b""
        failed = types_pb2.TaskResult.FromString(calls.invoke(b"fail:boom"))
        assert (failed.return_code, failed.message.splitlines()[0]) == (-1, "boom")
        assert calls.leave() == b""


@pytest.mark.parametrize("service", [Echo, AsyncEcho])
def test_a_caller_of_0_7_is_answered_as_0_7_does(service: type) -> None:
    with serving(service()) as path, Calls(path) as calls:
        assert calls.enter(batch_size=1, tokens={"git": "secret"}) == b"\x0a\x00\x12\x00"
        assert calls.invoke(b"hi") == b"\x0a\x04\x12\x02hi\x12\x00"
        assert calls.invoke(None) == b"\x0a\x00\x12\x00"
        failed = shim_pb2.OnTaskInvokeResponse.FromString(calls.invoke(b"fail:boom")).task_result
        assert (failed.return_code, failed.message.splitlines()[0]) == (-1, "boom")
        assert calls.leave() == b""


def test_keys_travel_to_a_caller_of_0_7() -> None:
    with serving(Publishing()) as path, Calls(path) as calls:
        entered = shim_pb2.OnSessionEnterResponse.FromString(calls.enter(batch_size=1))
        assert (list(entered.attributes.publish), list(entered.attributes.retract)) == ([b"a", b"model"], [b"b"])
        invoked = shim_pb2.OnTaskInvokeResponse.FromString(calls.invoke(b"k"))
        assert (invoked.task_result.return_code, list(invoked.attributes.publish)) == (-1, [b"k"])


def test_what_a_service_is_told() -> None:
    service = Echo()
    application = shim_pb2.ApplicationContext(
        name="app", image="img", command="cmd", working_directory="/work", url="file:///x"
    )
    with serving(service) as path, Calls(path) as calls:
        calls.enter(session_id="s-9", application=application, batch_size=2, tokens={"a": "b"}, common_data=b"")
        calls.invoke(b"x", task_id="12")
    session = service.session
    assert session is not None
    assert session.application == flamepy.ApplicationContext("app", "img", "cmd", "/work", "file:///x")
    assert (session.session_id, session.common_data(), session.batch_size) == ("s-9", b"", 2)
    task = service.tasks[0]
    assert (task.task_id, task.token, task.attempt, task.cancellation.is_cancelled()) == ("12", None, None, False)


def test_a_session_without_its_application_is_refused() -> None:
    with serving(Echo()) as path, Calls(path) as calls:
        reply = types_pb2.Result.FromString(calls.raw("OnSessionEnter", shim_pb2.SessionContext(session_id="s")))
        assert (reply.return_code, reply.message) == (-1, "the session comes without its application")


def test_calls_that_overlap_run_one_after_the_other() -> None:
    service = Gated()
    with serving(service) as path, Calls(path) as calls:
        replies: List[bytes] = []
        threads = [threading.Thread(target=lambda: replies.append(calls.invoke(b""))) for _ in range(3)]
        for thread in threads:
            thread.start()
        for done in range(3):
            service.has_begun()
            assert not service.begun.acquire(blocking=False), "one at a time"
            assert len(replies) <= done
            service.gate.release()
        for thread in threads:
            thread.join(LIMIT)
        assert replies == [b"\x12\x04done"] * 3


def test_a_caller_that_gives_up_cancels_its_task() -> None:
    service = Gated()
    with serving(service) as path, Calls(path) as calls:
        call = calls._channel.unary_unary(
            "/flame.v1.Instance/OnTaskInvoke", request_serializer=shim_pb2.TaskContext.SerializeToString
        ).future(shim_pb2.TaskContext(task_id="1", session_id="s", input=b"until cancelled"), timeout=LIMIT)
        service.has_begun()
        call.cancel()
        service.gate.release()
        assert calls.invoke(b"") == b"\x12\x04done", "the service goes on"


def test_a_method_that_is_not_there_is_unimplemented() -> None:
    with serving(Echo()) as path, Calls(path) as calls, pytest.raises(grpc.RpcError) as refused:
        calls.raw("OnNothing", types_pb2.EmptyRequest())
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("service", [Echo, AsyncEcho])
def test_the_servicer_by_hand(service: type) -> None:
    servicer = FlameInstanceServicer(service())
    enter = shim_pb2.SessionContext(session_id="s", application=shim_pb2.ApplicationContext(name="a"))
    assert servicer.OnSessionEnter(enter, None) == types_pb2.Result()
    task = shim_pb2.TaskContext(task_id="1", session_id="s", input=b"x")
    assert servicer.OnTaskInvoke(task, None) == types_pb2.TaskResult(output=b"x")
    assert servicer.OnSessionLeave(types_pb2.EmptyRequest(), None) == types_pb2.Result()


def test_a_service_started_by_hand_is_told_who_starts_services(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLAME_INSTANCE_ENDPOINT", raising=False)
    with pytest.raises(flamepy.FlameError, match="FLAME_INSTANCE_ENDPOINT not found") as refused:
        flamepy.run(Echo())
    assert refused.value.code == flamepy.FlameErrorCode.INTERNAL
    assert "flmctl register" in str(refused.value)


def test_the_published_server_starts_and_stops(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("FLAME_INSTANCE_ENDPOINT", f"{folder}/s.sock")
        server = FlameInstanceServer(Echo())
        thread = threading.Thread(target=server.start, daemon=True)
        thread.start()
        with Stream(f"{folder}/s.sock") as stream:
            assert stream.enter().return_code == 0
        server.stop()
        thread.join(LIMIT)
        assert not thread.is_alive()
        with pytest.raises(flamepy.FlameError, match="started or stopped before"):
            server.start()
