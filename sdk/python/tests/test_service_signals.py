"""A service as a process: how it starts, and how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any, Iterator, List

import pytest
from service_worker import LIMIT, FrameStream, Stream, fields_of, wait_until

import flamepy

# Its tasks tell that they have begun, and end when they are let go.
SERVICE = """
    import os, sys, time
    import flamepy

    class Service(flamepy.FlameService):
        {define} on_task_invoke(self, context):
            if context.input is None:
                return b"at once"
            folder = context.input.decode()
            open(folder + "/begun", "w").close()
            while not os.path.exists(folder + "/go"):
                {wait}(0.005)
            return b"done"

    {more}
    flamepy.run(Service())
    print("ended", flush=True)
"""


def program(kind: str, more: str = "") -> str:
    define, wait = ("def", "time.sleep") if kind == "sync" else ("async def", "await __import__('asyncio').sleep")
    return textwrap.dedent(SERVICE).format(define=define, wait=wait, more=more)


class Service:
    def __init__(self, folder: Path, code: str, in_frames: bool = False, **variables: str) -> None:
        self.folder = folder
        self.in_frames = in_frames
        source = str(Path(flamepy.__file__).parents[1])
        sockets = {"FLAME_INSTANCE_ENDPOINT": str(folder / "s.sock")}
        if in_frames:
            # As a worker does that knows frames: one that does not names the published socket only.
            sockets["FLAME_FRAMES_ENDPOINT"] = str(folder / "s.frames")
        self.path = list(sockets.values())[-1]
        environment = {**os.environ, **sockets, "PYTHONPATH": source, **variables}
        self.process = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        wait_until(lambda: os.path.exists(self.path) or self.process.poll() is not None, "it listens")
        assert self.process.poll() is None, self.process.communicate()[1]

    def stream(self) -> Any:
        return FrameStream(self.path) if self.in_frames else Stream(self.path)

    def has_begun(self) -> None:
        wait_until((self.folder / "begun").exists, "the task has begun")

    def go(self) -> None:
        (self.folder / "go").touch()

    def ended(self) -> List[str]:
        """Waits for its end, which is a good one; what it printed."""
        out, err = self.process.communicate(timeout=LIMIT)
        assert self.process.returncode == 0, err
        assert not os.path.exists(self.path), "its socket is removed"
        return out.split()


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    import tempfile

    # Not below pytest's own: the path of a socket has little room.
    with tempfile.TemporaryDirectory(prefix="flame-") as folder:
        yield Path(folder)


def started(folder: Path, code: str, in_frames: bool = False, **variables: str) -> Iterator[Service]:
    service = Service(folder, code, in_frames, **variables)
    try:
        yield service
    finally:
        if service.process.poll() is None:
            service.process.kill()
            service.process.communicate()


@pytest.mark.parametrize("in_frames", [False, True], ids=["grpc", "frames"])
@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_what_runs_end_and_gives_the_rest_back(
    folder: Path, kind: str, number: signal.Signals, in_frames: bool
) -> None:
    for service in started(folder, program(kind), in_frames):
        with service.stream() as stream:
            stream.enter()
            name = str(folder).encode()
            first, second = stream.invoke([name, name])
            service.has_begun()
            service.process.send_signal(number)
            assert fields_of(stream.done(1)[0]) == {"token": second, "skipped": True}
            service.go()
            assert fields_of(stream.done(1)[0]) == {"token": first, "output": b"done"}
            assert stream.rest() == []
        assert service.ended() == ["ended"]


@pytest.mark.parametrize("in_frames", [False, True], ids=["grpc", "frames"])
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_an_idle_service_ends_at_once(folder: Path, kind: str, in_frames: bool) -> None:
    for service in started(folder, program(kind), in_frames):
        with service.stream() as stream:
            stream.enter()
            assert stream.call(None).output == b"at once"
            service.process.terminate()
            assert stream.rest() == []
        assert service.ended() == ["ended"]


@pytest.mark.parametrize(("level", "is_told"), [("info", True), ("WARNING", False), ("loud", False), ("", False)])
def test_the_log_is_as_asked(folder: Path, level: str, is_told: bool) -> None:
    """What went wrong in user code stands in the service's own log, in full, for whoever wants it there."""
    code = """
        import flamepy
        ins = flamepy.FlameInstance()
        @ins.entrypoint
        def fail(word: str) -> None:
            raise LookupError(word)
        ins.run()
    """
    for service in started(folder, textwrap.dedent(code), FLAME_LOG_LEVEL=level):
        with service.stream() as stream:
            stream.enter()
            assert stream.call(b'"no such page"').return_code == -1
            service.process.terminate()
        out, err = service.process.communicate(timeout=LIMIT)
        assert service.process.returncode == 0 and out == ""
        assert ("LookupError: no such page" in err and "INFO flamepy.service" in err) == is_told, err
        assert ("expected DEBUG, INFO" in err) == (level == "loud"), err


@pytest.mark.parametrize("in_frames", [False, True], ids=["grpc", "frames"])
def test_signals_are_given_back(folder: Path, in_frames: bool) -> None:
    more = """
import atexit, signal
before = signal.getsignal(signal.SIGTERM)
atexit.register(lambda: print(signal.getsignal(signal.SIGTERM) is before, flush=True))
"""
    for service in started(folder, program("sync", more), in_frames):
        service.process.terminate()
        assert service.ended() == ["ended", "True"]


@pytest.mark.parametrize("in_frames", [False, True], ids=["grpc", "frames"])
def test_children_of_user_code_are_nobody_s_business(folder: Path, in_frames: bool) -> None:
    """Processes that a task starts do not disturb the sockets, nor the sockets them."""
    code = """
        import subprocess, sys
        import flamepy

        ins = flamepy.FlameInstance()

        @ins.entrypoint
        def run(word: str) -> bytes:
            return subprocess.run([sys.executable, "-c", f"print({word!r})"], stdout=subprocess.PIPE, check=True).stdout

        ins.run()
    """
    for service in started(folder, textwrap.dedent(code), in_frames):
        with service.stream() as stream:
            stream.enter()
            for word in ("one", "two"):
                assert stream.call(f'"{word}"'.encode()).output == word.encode() + b"\n"
            service.process.terminate()
        assert service.ended() == []
