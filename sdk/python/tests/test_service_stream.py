"""A service that is called by our stream, over gRPC and in frames."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, ContextManager, Iterator, List, Optional

import grpc
import pytest
import service_worker
from service_worker import LIMIT, Calls, fields_of, socket_path, wait_until

from flamepy._service.server import Server
from flamepy._service.stream import IN_FLIGHT_MAX
from flamepy._wire.ha import service_pb2 as wire
from flamepy.core.errors import FlameError
from flamepy.core.service import ApplicationContext, FlameService, Publisher, SessionContext, TaskContext

_in_frames = False


@pytest.fixture(params=["grpc", "frames"], autouse=True)
def transport(request: Any) -> Iterator[str]:
    """What carries the stream in the test that runs."""
    global _in_frames
    _in_frames = request.param == "frames"
    yield request.param
    _in_frames = False


over_grpc = pytest.mark.parametrize("transport", ["grpc"], indirect=True)


def serving(service: Any) -> ContextManager[str]:
    return service_worker.serving(service, _in_frames)


def Stream(path: str) -> Any:
    return service_worker.FrameStream(path) if _in_frames else service_worker.Stream(path)


class Echo(FlameService):
    """Answers with what it was asked, and remembers how it was called."""

    def __init__(self) -> None:
        self.calls: List[str] = []
        self.session: Optional[SessionContext] = None
        self.tasks: List[TaskContext] = []
        self.threads: List[int] = []

    def on_session_enter(self, context: SessionContext) -> None:
        self.session = context
        self.calls.append("enter")

    def on_task_invoke(self, context: TaskContext) -> Optional[bytes]:
        self.tasks.append(context)
        self.threads.append(threading.get_ident())
        if context.input is not None and context.input.startswith(b"fail:"):
            raise ValueError(context.input[5:].decode())
        return context.input

    def on_session_leave(self) -> None:
        self.calls.append("leave")


class AsyncEcho(FlameService):
    async def on_session_enter(self, context: SessionContext) -> None:
        self.session = context

    async def on_task_invoke(self, context: TaskContext) -> Optional[bytes]:
        await asyncio.sleep(0)
        if context.input is not None and context.input.startswith(b"fail:"):
            raise ValueError(context.input[5:].decode())
        return context.input

    async def on_session_leave(self) -> None:
        pass


class Gated(FlameService):
    """Its tasks run until they are let go; what they saw of their cancellation is their output."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.gate = threading.Semaphore(0)

    def on_task_invoke(self, context: TaskContext) -> bytes:
        self.begun.release()
        if context.input == b"until cancelled":
            return b"cancelled" if context.cancellation.wait(LIMIT) else b"in vain"
        assert self.gate.acquire(timeout=LIMIT)
        return b"cancelled" if context.cancellation.is_cancelled() else b"done"

    def has_begun(self) -> None:
        assert self.begun.acquire(timeout=LIMIT)


def test_a_session_from_enter_to_leave() -> None:
    service = Echo()
    with serving(service) as path, Stream(path) as stream:
        entered = stream.enter(
            "s-7",
            common_data=b"common",
            tokens={"git": "secret"},
            batch_size=3,
            image="img",
            command="cmd",
            working_directory="/w",
            url="file:///u",
        )
        assert (entered.return_code, entered.feature_level, entered.in_flight_max) == (0, 1, IN_FLIGHT_MAX)
        assert stream.call(b"hello", 5).output == b"hello"
        assert stream.leave() == wire.LeftSession()
        assert service.calls == ["enter", "leave"]
        session = service.session
        assert session is not None
        assert (session.session_id, session.common_data(), session.batch_size) == ("s-7", b"common", 3)
        assert session.application == ApplicationContext("app", "img", "cmd", "/w", "file:///u")
        assert session.tokens == {"git": "secret"} and "secret" not in repr(session)
        task = service.tasks[0]
        assert (task.task_id, task.session_id, task.token, task.attempt, task.timeout) == ("5", "s-7", 50, 1, None)
        limited = wire.InvokeTask(token=60, task=6, attempt=2, timeout_ms=1500)
        stream.send(invoke=wire.InvokeTasks(tasks=[limited]))
        stream.done(1)
        assert (service.tasks[1].timeout, service.tasks[1].attempt) == (1.5, 2)
        # The process goes on to another session.
        assert stream.enter("s-8").return_code == 0
        stream.call(None, 1)
        assert (service.tasks[2].session_id, service.tasks[2].input) == ("s-8", None)
        assert service.session.application == ApplicationContext("app")


@pytest.mark.parametrize("service", [Echo, AsyncEcho])
def test_inputs_and_outputs_keep_their_presence_and_failures_their_text(service: type) -> None:
    with serving(service()) as path, Stream(path) as stream:
        stream.enter()
        stream.invoke([b"", None, b"fail:no such page", b"\xff" * 100])
        empty, absent, failed, raw = stream.done(4)
        assert fields_of(empty) == {"token": 10, "output": b""} and empty.HasField("output")
        assert fields_of(absent) == {"token": 20} and not absent.HasField("output")
        assert (failed.return_code, failed.HasField("output")) == (-1, False)
        assert failed.message.startswith("no such page\n") and "ValueError" in failed.message
        assert raw.output == b"\xff" * 100


@pytest.mark.parametrize("service", [Echo, AsyncEcho])
def test_many_tasks_keep_their_order(service: type) -> None:
    with serving(service()) as path, Stream(path) as stream:
        stream.enter()
        tokens: List[int] = []
        for frame in range(8):
            tokens += stream.invoke([b"%d" % number for number in range(128)], 1 + 128 * frame)
        done = stream.done(len(tokens))
        assert [one.token for one in done] == tokens
        assert [one.output for one in done] == [b"%d" % (number % 128) for number in range(len(tokens))]


@over_grpc
def test_user_code_has_one_thread() -> None:
    service = Echo()
    with serving(service) as path, Stream(path) as one, Stream(path) as other, Calls(path) as calls:
        one.enter()
        other.enter()
        for _ in range(3):
            one.call(b"1")
            other.call(b"2")
            calls.invoke(b"3")
    assert len(service.threads) == 9 and len(set(service.threads)) == 1


def test_a_refused_session_says_why_and_the_next_one_may_enter() -> None:
    class Refusing(Echo):
        def on_session_enter(self, context: SessionContext) -> None:
            if context.common_data() == b"bad":
                raise FlameError(0, "no model named 'bad'")  # type: ignore[arg-type]

    with serving(Refusing()) as path, Stream(path) as stream:
        refused = stream.enter(common_data=b"bad")
        assert refused.return_code == -1 and refused.message.startswith("no model named 'bad' (code: 0)")
        assert stream.enter(common_data=b"good").return_code == 0


def test_an_output_that_is_no_output_fails_its_task() -> None:
    class Odd(FlameService):
        def on_task_invoke(self, context: TaskContext) -> object:
            return {b"text": "text", b"view": memoryview(b"view"), b"large": bytes(5 << 20)}[context.input or b""]

    with serving(Odd()) as path, Stream(path) as stream:
        stream.enter()
        assert "returned str, expected bytes or None" in stream.call(b"text").message
        assert stream.call(b"view").output == b"view"
        large = stream.call(b"large")
        assert "5242880 bytes, at most 4128768" in large.message and not large.HasField("output")


def test_an_exit_in_user_code_fails_its_task_only() -> None:
    class Exiting(FlameService):
        def on_task_invoke(self, context: TaskContext) -> bytes:
            if context.input == b"exit":
                raise SystemExit("out of here")
            return b"still here"

    with serving(Exiting()) as path, Stream(path) as stream:
        stream.enter()
        assert stream.call(b"exit").message.startswith("out of here")
        assert stream.call(b"").output == b"still here"


def test_a_coroutine_where_none_is_expected_is_named() -> None:
    class Hidden(FlameService):
        def on_task_invoke(self, context: TaskContext) -> object:
            async def later() -> bytes:
                return b""

            return later()

    with serving(Hidden()) as path, Stream(path) as stream:
        stream.enter()
        assert "must be written as `async def`" in stream.call(b"").message


def test_inputs_larger_than_the_default_of_the_library() -> None:
    class Size(FlameService):
        def on_task_invoke(self, context: TaskContext) -> bytes:
            return b"%d" % len(context.input or b"")

    with serving(Size()) as path, Stream(path) as stream:
        stream.enter()
        assert stream.call(bytes(20 << 20)).output == b"%d" % (20 << 20)


# ── cancellation, withdrawal, too many ───────────────────────────────────────────────────────────────────────────────


def test_a_running_task_hears_of_its_cancellation() -> None:
    service = Gated()
    with serving(service) as path, Stream(path) as stream:
        stream.enter()
        (token,) = stream.invoke([b"until cancelled"])
        service.has_begun()
        stream.send(cancel=wire.CancelInvoke(token=token))
        assert stream.done(1)[0].output == b"cancelled"


def test_a_waiting_task_that_is_cancelled_is_skipped_and_others_run() -> None:
    service = Gated()
    with serving(service) as path, Stream(path) as stream:
        stream.enter()
        first, second, third = stream.invoke([b"", b"", b""])
        service.has_begun()
        stream.send(cancel=wire.CancelInvoke(token=second))
        (skipped,) = stream.done(1)
        assert fields_of(skipped) == {"token": second, "skipped": True}
        service.gate.release(2)
        assert [(one.token, one.output) for one in stream.done(2)] == [(first, b"done"), (third, b"done")]


def test_what_has_not_begun_can_be_withdrawn() -> None:
    service = Gated()
    with serving(service) as path, Stream(path) as stream:
        stream.enter()
        first, second, third = stream.invoke([b"", b"", b""])
        service.has_begun()
        stream.send(withdraw=wire.WithdrawTasks())
        assert [(one.token, one.skipped) for one in stream.done(2)] == [(second, True), (third, True)]
        service.gate.release()
        assert fields_of(stream.done(1)[0]) == {"token": first, "output": b"done"}


@over_grpc
def test_a_stream_is_not_disturbed_by_another() -> None:
    service = Gated()
    with serving(service) as path, Stream(path) as one, Stream(path) as other:
        one.enter()
        other.enter()
        one.invoke([b"", b""])
        service.has_begun()
        other.send(withdraw=wire.WithdrawTasks())
        other.send(cancel=wire.CancelInvoke(token=10))
        other.send(cancel=wire.CancelInvoke(token=20))
        other.invoke([b""])
        service.gate.release(3)
        assert [task.output for task in one.done(2)] == [b"done", b"done"]
        assert other.done(1)[0].output == b"done"


@over_grpc
def test_too_many_tasks_end_the_stream() -> None:
    service = Gated()
    with serving(service) as path, Stream(path) as stream:
        stream.enter()
        stream.invoke([b""] * (IN_FLIGHT_MAX + 1))
        assert stream.status() == grpc.StatusCode.RESOURCE_EXHAUSTED


@over_grpc
def test_a_frame_that_is_not_known_ends_the_stream() -> None:
    with serving(Echo()) as path, Stream(path) as stream:
        stream.send()
        assert stream.status() == grpc.StatusCode.INVALID_ARGUMENT


@over_grpc
def test_a_worker_that_is_gone_cancels_what_runs_for_it() -> None:
    service = Gated()
    seen: List[bytes] = []

    class Noting(Gated):
        def on_task_invoke(self, context: TaskContext) -> bytes:
            seen.append(service.on_task_invoke(context))
            return b""

    with serving(Noting()) as path:
        with Stream(path) as stream:
            stream.enter()
            stream.invoke([b"until cancelled", b"", b""])
            service.has_begun()
            stream.cut()
        wait_until(lambda: seen, "the task has heard")
        assert seen == [b"cancelled"]
        with Stream(path) as stream:
            stream.enter()
            service.gate.release()
            stream.call(b"")
        assert len(seen) == 2, "what waited on the stream that is gone was forgotten"


class AsyncGated(FlameService):
    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.notes: List[str] = []

    async def on_task_invoke(self, context: TaskContext) -> Optional[bytes]:
        if context.input == b"self":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            return b"self"
        if context.input != b"wait":
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return context.input
        self.begun.release()
        try:
            await asyncio.sleep(LIMIT)
        except asyncio.CancelledError:
            self.notes.append("cleaned up")
            raise
        return b"in vain"


def test_an_async_task_is_cancelled_as_asyncio_does_it() -> None:
    service = AsyncGated()
    with serving(service) as path, Stream(path) as stream:
        stream.enter()
        for _ in range(3):
            (token,) = stream.invoke([b"wait"])
            assert service.begun.acquire(timeout=LIMIT)
            stream.send(cancel=wire.CancelInvoke(token=token))
            (done,) = stream.done(1)
            assert (done.return_code, done.message) == (-1, "the task was cancelled")
            assert stream.call(b"next").output == b"next", "the next task is not cancelled with it"
        assert service.notes == ["cleaned up"] * 3


def test_an_async_task_that_cancels_itself_harms_nobody() -> None:
    with serving(AsyncGated()) as path, Stream(path) as stream:
        stream.enter()
        stream.invoke([b"self", b"next", b"self", b"next"])
        assert [one.output for one in stream.done(4)] == [b"self", b"next", b"self", b"next"]


def test_async_services_share_one_loop_with_what_they_begin() -> None:
    class Background(FlameService):
        def __init__(self) -> None:
            self.ticks = 0

        async def on_session_enter(self, context: SessionContext) -> None:
            self.ticker = asyncio.create_task(self.tick())

        async def tick(self) -> None:
            while True:
                self.ticks += 1
                await asyncio.sleep(0.001)

        async def on_task_invoke(self, context: TaskContext) -> None:
            pass

        async def on_session_leave(self) -> None:
            self.ticker.cancel()

    service = Background()
    with serving(service) as path, Stream(path) as stream:
        stream.enter()
        stream.call(b"")
        seen = service.ticks
        wait_until(lambda: service.ticks > seen + 3, "it goes on between tasks")
        stream.leave()


# ── attributes ───────────────────────────────────────────────────────────────────────────────────────────────────────


class Publishing(FlameService):
    def __init__(self) -> None:
        self.keys = Publisher()

    def publisher(self) -> Publisher:
        return self.keys

    def on_session_enter(self, context: SessionContext) -> None:
        self.keys.publish(["model", "b", "a"])
        self.keys.retract([b"b"])
        if context.common_data():
            raise ValueError("refused")

    def on_task_invoke(self, context: TaskContext) -> None:
        if context.input:
            self.keys.publish([context.input])
            raise ValueError("failed, and holds it nevertheless")


def test_keys_travel_with_the_next_answer() -> None:
    with serving(Publishing()) as path, Stream(path) as stream:
        refused = stream.enter(common_data=b"no")
        assert (list(refused.publish), list(refused.retract)) == ([], [])
        entered = stream.enter()
        assert (list(entered.publish), list(entered.retract)) == ([b"a", b"model"], [b"b"])
        assert list(stream.call(None).publish) == [], "it is said once"
        assert list(stream.call(b"k").publish) == [b"k"]


def test_keys_that_no_answer_could_carry_are_refused_and_change_nothing() -> None:
    keys = Publisher()
    keys.publish(["a"])
    for wrong in [["b", ""], [b"x" * 257], (str(number) for number in range(1024))]:
        with pytest.raises(FlameError):
            keys.publish(wrong)
    with pytest.raises(FlameError, match="not the one key"):
        keys.publish("abc")
    assert keys._take() == ([b"a"], [])


# ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_stop_answers_what_runs_and_skips_the_rest() -> None:
    service = Gated()
    with socket_path() as path:
        server = Server(service, path, in_frames=_in_frames)
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        with Stream(path) as stream:
            stream.enter()
            first, second = stream.invoke([b"", b""])
            service.has_begun()
            server.stop()
            assert fields_of(stream.done(1)[0]) == {"token": second, "skipped": True}
            (third,) = stream.invoke([b""], 3)
            assert fields_of(stream.done(1)[0]) == {"token": third, "skipped": True}
            service.gate.release()
            assert fields_of(stream.done(1)[0]) == {"token": first, "output": b"done"}
            assert stream.rest() == []
            assert _in_frames or stream.status() == grpc.StatusCode.OK
        thread.join(LIMIT)
        assert not thread.is_alive()


def test_a_socket_that_is_there_is_not_taken_over() -> None:
    with serving(Echo()) as path, pytest.raises(FlameError, match="a socket is there already"):
        Server(Echo(), path, in_frames=_in_frames).serve()
    with pytest.raises(FlameError, match="at most 107 bytes"):
        Server(Echo(), "/tmp/" + "x" * 120, in_frames=_in_frames).serve()
    with pytest.raises(FlameError, match="cannot listen on"):
        Server(Echo(), "/nowhere/at/all.sock", in_frames=_in_frames).serve()
