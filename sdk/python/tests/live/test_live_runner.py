"""Runner on a real cluster, with the object cache of FLAME_TEST_CACHE_ENDPOINT.

The acceptance command, the code blocks of the guide and of the reference, the examples, and what only a real cluster
can show.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Iterator

import pytest
from live_cluster import ENDPOINT, LIMIT, application, connection, needs_cluster
from test_reference import (
    test_guide_function,
    test_guide_futures,
    test_guide_instance,
    test_guide_resources,
    test_guide_template,
    test_runner_of_the_reference,
)
from test_runner_examples import check_map_reduce, check_parameter_server, check_replay_buffer, run

import flamepy
from flamepy import FlameErrorCode, service
from flamepy.runner import Runner, e2e, get_data

# What is imported is collected here, too, and runs with the fixtures of this file.
__all__ = [
    "connection",
    "test_guide_function",
    "test_guide_futures",
    "test_guide_instance",
    "test_guide_resources",
    "test_guide_template",
    "test_runner_of_the_reference",
]

CACHE = os.environ.get("FLAME_TEST_CACHE_ENDPOINT", "")

pytestmark = [
    needs_cluster,
    pytest.mark.skipif(not CACHE, reason="FLAME_TEST_CACHE_ENDPOINT names no object cache"),
]


@pytest.fixture(autouse=True)
def project(connection: flamepy.Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A project of its own as the current directory. Nothing is left of the applications of a test."""
    monkeypatch.setenv("FLAME_ENDPOINT", ENDPOINT)
    monkeypatch.setenv("FLAME_CACHE_ENDPOINT", CACHE)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    before = {one.name for one in connection.list_applications()}
    yield folder
    assert {one.name for one in connection.list_applications()} == before, "a Runner takes its application away"


def test_the_acceptance_command() -> None:
    result = e2e.run_runner_e2e(tasks=20)
    assert result.function_results == [number * number for number in range(20)]
    assert (result.chained_result, result.stateful_result) == (25, 13)


@pytest.mark.parametrize("check", [check_map_reduce, check_parameter_server, check_replay_buffer])
def test_examples(check) -> None:
    check(run)


def test_modules_of_the_project_and_code_that_changes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker serves the code that was packed, not what it has installed before under that name."""
    monkeypatch.syspath_prepend(str(project))
    import importlib

    for number in (1, 2):
        (project / "of_project.py").write_text(f"def answer():\n    return {number}, __file__\n")
        importlib.invalidate_caches()
        module = importlib.import_module("of_project")
        with Runner(f"project-{os.getpid()}") as runner:
            found, file = runner.service(module.answer)().get(LIMIT)
            assert found == number and not file.startswith(str(project)), "it is the copy of the worker"


def test_results_of_every_size_and_failures() -> None:
    def data(size):
        return b"x" * size

    def fails():
        raise LookupError("no such thing")

    with Runner(f"sizes-{os.getpid()}") as runner:
        sized = runner.service(data)
        sizes = [0, 1000, 64 << 10, 1 << 20, 20 << 20]
        futures = [sized(size) for size in sizes]
        assert [len(one) for one in runner.get(futures, LIMIT)] == sizes
        assert len(flamepy.get_object(futures[-1].ref(LIMIT))) == sizes[-1]
        large = runner.put_object(b"y" * (8 << 20))
        assert runner.service(len)(large).get(LIMIT) == 8 << 20
        (task,) = list(flamepy.get_session(sized.session_id).list_tasks())[1:2]
        assert get_data(task.input)["args"] and len(get_data(task.output)["result"]) in sizes
        with pytest.raises(flamepy.FlameError, match="no such thing") as failed:
            runner.service(fails)().get(LIMIT)
        assert "LookupError" in str(failed.value.__cause__)


def test_a_state_survives_its_process(tmp_path: Path) -> None:
    """The process is killed in a call: the state is as the calls before have left it, and the call is made again."""
    marker = tmp_path / "killed"

    class Counter:
        def __init__(self) -> None:
            self.count = 0

        def add(self, value, end_at=""):
            if end_at and not os.path.exists(end_at):
                open(end_at, "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            self.count += value
            return self.count, os.getpid()

    with Runner(f"state-{os.getpid()}") as runner:
        counter = runner.service(Counter(), stateful=True)
        found = [counter.add(value, end_at).get(LIMIT) for value, end_at in [(1, ""), (10, str(marker)), (100, "")]]
    assert [count for count, _ in found] == [1, 11, 111] and marker.exists()
    assert found[0][1] != found[1][1] == found[2][1]


def test_everybody_sees_a_context_that_changes(connection: flamepy.Connection) -> None:
    code = """
        from flamepy import service
        ins = service.FlameInstance()
        @ins.entrypoint
        def add(number):
            ins.update_context([*ins.context(), number])
            return len(ins.context())
        ins.run()
    """
    large = b"x" * (3 << 20)
    with application(connection, code) as name, service.Session(name, ctx=[large]) as session:
        assert [session.invoke(number) for number in (1, 2)] == [2, 3]
        assert session.context() == [large, 1, 2]
        assert service.Session(session_id=session.id()).context() == [large, 1, 2]


def test_what_a_closed_runner_leaves() -> None:
    name = f"closed-{os.getpid()}"
    with Runner(name) as runner:
        ref = runner.put_object([1])
        url = flamepy.get_application(name).url or ""
        package = flamepy.ObjectRef(ref.endpoint, url.partition("#")[0].partition("://")[2].partition("/")[2])
        assert bytes(flamepy.get_object(package))[:2] == b"\x1f\x8b", "gzip"
        result = runner.service(lambda size: bytes(size))(1 << 20).ref(LIMIT)
    for one in (ref, package, result):
        with pytest.raises(flamepy.FlameError) as gone:
            flamepy.get_object(one)
        assert gone.value.code == FlameErrorCode.NOT_FOUND
