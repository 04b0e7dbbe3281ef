"""What is peculiar to a service that is called in bare frames."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import List

import pytest
from service_worker import LIMIT, FrameStream, fields_of, serving, socket_path, wait_until

import flamepy
from flamepy._service.path import MESSAGE_BYTES_MAX
from flamepy._service.server import Server
from flamepy._service.stream import IN_FLIGHT_MAX
from flamepy._wire.ha import service_pb2 as wire
from flamepy.core.errors import FlameError
from flamepy.core.service import FlameService, TaskContext

# What a service is asked must be heard so soon while user code runs, in seconds.
SOON = 0.05


class Busy(FlameService):
    """Its tasks keep their thread for so many milliseconds, or until they are cancelled."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.heard = 0.0

    def on_task_invoke(self, context: TaskContext) -> bytes:
        self.begun.release()
        until = time.perf_counter() + int(context.input or b"0") / 1000
        while time.perf_counter() < until:
            time.sleep(0.001)
            if context.cancellation.is_cancelled():
                self.heard = time.perf_counter()
                return b"cancelled"
        return b"done"

    def has_begun(self) -> None:
        assert self.begun.acquire(timeout=LIMIT)


class AsyncBusy(Busy):
    """As [Busy], on an event loop that it does not let turn."""

    async def on_task_invoke(self, context: TaskContext) -> bytes:  # type: ignore[override]
        return Busy.on_task_invoke(self, context)


class Served:
    """A service that is expected to end by itself, with an error."""

    def __init__(self, service: FlameService, path: str) -> None:
        self._server = Server(service, path, in_frames=True)
        self._errors: List[BaseException] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            self._server.serve()
        except FlameError as error:
            self._errors.append(error)

    def errors(self) -> List[BaseException]:
        self._thread.join(LIMIT)
        assert not self._thread.is_alive(), "the service ends"
        return self._errors


def test_a_service_to_which_nobody_came_ends() -> None:
    with serving(Busy(), in_frames=True):
        pass


@pytest.mark.parametrize("kind", [Busy, AsyncBusy])
@pytest.mark.parametrize("warm_up", [0, 100])
def test_a_cancellation_is_heard_soon_while_user_code_runs(kind: type, warm_up: int) -> None:
    service = kind()
    with serving(service, in_frames=True) as path, FrameStream(path) as stream:
        stream.enter()
        took: List[float] = []
        for _ in range(5):
            for number in range(warm_up):
                stream.call(b"0", number)
            while service.begun.acquire(blocking=False):
                pass
            (token,) = stream.invoke([b"20000"])
            service.has_begun()
            asked = time.perf_counter()
            stream.send(cancel=wire.CancelInvoke(token=token))
            assert stream.done(1)[0].output == b"cancelled"
            took.append(service.heard - asked)
        # The machine may be busy with something else at any one time.
        assert min(took) < SOON, took


@pytest.mark.parametrize("kind", [Busy, AsyncBusy])
def test_an_answer_does_not_wait_for_the_next_task(kind: type) -> None:
    service = kind()
    with serving(service, in_frames=True) as path, FrameStream(path) as stream:
        stream.enter()
        first, second = stream.invoke([b"0", b"20000"])
        assert fields_of(stream.done(1)[0]) == {"token": first, "output": b"done"}
        service.has_begun()
        stream.send(cancel=wire.CancelInvoke(token=second))
        assert stream.done(1)[0].output == b"cancelled"


def test_orders_are_heard_between_tasks() -> None:
    """A withdrawal passes tasks that are short each, and many."""
    service = Busy()
    with serving(service, in_frames=True) as path, FrameStream(path) as stream:
        stream.enter()
        tokens = stream.invoke([b"3"] * 200)
        service.has_begun()
        stream.send(withdraw=wire.WithdrawTasks())
        done = stream.done(len(tokens))
        assert sorted(one.token for one in done) == tokens
        ran = [one.token for one in done if not one.skipped]
        assert ran == tokens[: len(ran)] and len(ran) < len(tokens) // 2


def test_orders_are_heard_while_large_answers_wait_for_the_worker() -> None:
    """The worker reads nothing before it has written everything."""
    runs: List[str] = []

    class Large(FlameService):
        def on_task_invoke(self, context: TaskContext) -> bytes:
            runs.append(context.task_id)
            return bytes(3 << 20)

    with serving(Large(), in_frames=True) as path, FrameStream(path) as stream:
        stream.enter()
        stream.invoke([b"x"] * 8)
        wait_until(lambda: runs, "it has begun")
        stream.invoke([b"x" * (1 << 20)] * 8, 9)
        assert [len(one.output) for one in stream.done(16)] == [3 << 20] * 16


def test_frames_may_come_in_any_pieces() -> None:
    with serving(Busy(), in_frames=True) as path, FrameStream(path) as stream:
        stream.enter()
        tasks = [wire.InvokeTask(token=token, task=token, input=b"0") for token in range(1, 4)]
        raw = b""
        for task in tasks:
            frame = wire.ServiceDown(invoke=wire.InvokeTasks(tasks=[task])).SerializeToString()
            raw += len(frame).to_bytes(4, "big") + frame
        for byte in raw:
            stream.socket.sendall(bytes([byte]))
        assert [one.token for one in stream.done(3)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ((MESSAGE_BYTES_MAX + 1).to_bytes(4, "big"), "a frame of 67108865 bytes, at most 67108864 are allowed"),
        (b"\0\0\0\x02\xff\xff", "Error parsing message"),
        (b"\0\0\0\0", "a frame that this service does not know"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "at most 67108864 are allowed"),
    ],
)
def test_wrong_frames_end_the_service_with_a_clear_error(said: bytes, why: str) -> None:
    with socket_path() as path:
        served = Served(Busy(), path)
        with FrameStream(path) as stream:
            stream.socket.sendall(said)
            assert stream.rest() == []
        (error,) = served.errors()
        assert "the worker sent what this service cannot take" in str(error) and why in str(error)
        assert not Path(path).exists()


def test_too_many_tasks_end_the_service_with_a_clear_error() -> None:
    with socket_path() as path:
        served = Served(Busy(), path)
        with FrameStream(path) as stream:
            stream.enter()
            stream.invoke([b"0"] * (IN_FLIGHT_MAX + 1))
            assert stream.rest() == []
        (error,) = served.errors()
        assert f"more than {IN_FLIGHT_MAX} tasks" in str(error)


@pytest.mark.parametrize("kind", [Busy, AsyncBusy])
@pytest.mark.parametrize("while_busy", [False, True])
def test_a_worker_that_is_gone_ends_the_service_and_cancels_what_runs(kind: type, while_busy: bool) -> None:
    service = kind()
    with socket_path() as path:
        served = Served(service, path)
        with FrameStream(path) as stream:
            stream.enter()
            if while_busy:
                stream.invoke([b"20000", b"0"])
                service.has_begun()
        assert served.errors() == []
        assert (service.heard > 0) == while_busy
        assert not service.begun.acquire(blocking=False), "what waited was forgotten"


def test_a_coroutine_that_waits_hears_that_the_worker_is_gone() -> None:
    notes: List[str] = []

    class Waiting(FlameService):
        async def on_task_invoke(self, context: TaskContext) -> bytes:
            notes.append("begun")
            try:
                await asyncio.sleep(LIMIT)
            except asyncio.CancelledError:
                notes.append("cancelled")
                raise
            return b""

    with socket_path() as path:
        served = Served(Waiting(), path)
        with FrameStream(path) as stream:
            stream.enter()
            stream.invoke([b""])
            wait_until(lambda: notes, "the task has begun")
        assert served.errors() == []
        assert notes == ["begun", "cancelled"]


def test_nobody_loads_grpc() -> None:
    """It takes longer to load than everything else together."""
    code = """
        import sys
        import flamepy

        class Service(flamepy.FlameService):
            def on_task_invoke(self, context):
                return ",".join(name for name in sys.modules if name.split(".")[0] == "grpc").encode()

        flamepy.run(Service())
    """
    with socket_path() as path:
        source = str(Path(flamepy.__file__).parents[1])
        environment = {"FLAME_INSTANCE_ENDPOINT": "/nowhere", "FLAME_FRAMES_ENDPOINT": path, "PYTHONPATH": source}
        process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], env=environment)
        try:
            wait_until(lambda: Path(path).exists() or process.poll() is not None, "it listens")
            with FrameStream(path) as stream:
                stream.enter()
                assert stream.call(b"").output == b""
            assert process.wait(LIMIT) == 0, "it ends with its worker"
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
