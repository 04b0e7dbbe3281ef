"""Whether Runner works on the configured cluster: functions, futures as arguments, and an instance with a state.

`flamepy-runner-e2e`, or `python -m flamepy.runner`. Ends with 0 when everything came back as it should.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from ..core.context import DEFAULT_FLAME_RUNNER_TEMPLATE, FlameContext
from ..core.errors import FlameError, FlameErrorCode
from ..util import short_name
from .runner import Runner

# Seconds for everything: a package may have to be installed first.
TIMEOUT = 600.0


@dataclass(frozen=True)
class RunnerE2EResult:
    """What came back."""

    app_name: str
    template: str
    workdir: str
    function_results: List[int]
    chained_result: int
    stateful_result: int


def run_runner_e2e(
    name: Optional[str] = None,
    tasks: int = 4,
    python_version: Optional[str] = None,
    dependencies: Optional[Sequence[str]] = None,
    workdir: Optional[Path] = None,
    keep_workdir: bool = False,
) -> RunnerE2EResult:
    """Runs all of it, and checks what comes back. Raises what went wrong."""
    app_name = name or short_name("flamepy-runner-e2e")
    template = FlameContext().runner.template or DEFAULT_FLAME_RUNNER_TEMPLATE
    square, add, counter = _objects()
    with _folder(workdir, keep_workdir) as folder, _inside(folder):
        with Runner(app_name, fail_if_exists=True, dependencies=dependencies, python_version=python_version) as runner:
            squares = runner.service(square)
            futures = [squares(number) for number in range(tasks)]
            results = runner.get(futures, TIMEOUT)
            _check("the squares", results, [number * number for number in range(tasks)])
            # Neither of the two is there when the third is asked for.
            chained = runner.service(add)(squares(3), squares(4)).get(TIMEOUT)
            _check("the sum of two futures", chained, 25)
            instance = runner.service(counter, stateful=True)
            for number in (1, 2):
                instance.add(number).wait(TIMEOUT)  # type: ignore[attr-defined]  # made when the service is
            count = instance.get().get(TIMEOUT)  # type: ignore[attr-defined]
            _check("the count", count, 13)
        return RunnerE2EResult(app_name, template, str(folder), results, chained, count)


def _objects() -> Tuple[Any, Any, Any]:
    """What is made a service. Here, so that it travels with its code, whatever is installed on the workers."""

    def square(number: int) -> int:
        return number * number

    def add(left: int, right: int) -> int:
        return left + right

    class Counter:
        def __init__(self, count: int) -> None:
            self._count = count

        def add(self, value: int) -> int:
            self._count += value
            return self._count

        def get(self) -> int:
            return self._count

    return square, add, Counter(10)


def _check(what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise FlameError(FlameErrorCode.INTERNAL, f"{what}: {found!r} came back, {expected!r} was expected")


@contextlib.contextmanager
def _folder(workdir: Optional[Path], keep: bool) -> Iterator[Path]:
    """The project: a folder that is given, or one that is made for it."""
    if workdir is not None:
        workdir.mkdir(parents=True, exist_ok=True)
        yield workdir.resolve()
    elif keep:
        yield Path(tempfile.mkdtemp(prefix="flamepy-runner-e2e-"))
    else:
        with tempfile.TemporaryDirectory(prefix="flamepy-runner-e2e-") as folder:
            yield Path(folder)


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def format_result(result: RunnerE2EResult) -> str:
    """For people."""
    return "\n".join(
        [
            "Flame Runner cluster e2e passed",
            f"app: {result.app_name}",
            f"template: {result.template}",
            f"workdir: {result.workdir}",
            f"function results: {result.function_results}",
            f"ObjectFuture chained result: {result.chained_result}",
            f"stateful instance result: {result.stateful_result}",
        ]
    )


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flamepy-runner-e2e", description="Run a small Flame Runner workload against the configured cluster."
    )
    parser.add_argument("--name", help="name of the application (default: flamepy-runner-e2e- and six characters)")
    parser.add_argument("--tasks", type=_positive, default=4, help="number of function calls (default: 4)")
    parser.add_argument("--python-version", help="Python of the services, for example 3.12")
    parser.add_argument(
        "--dependency", action="append", default=[], help="a package that the services need; may be repeated"
    )
    parser.add_argument("--workdir", type=Path, help="folder to package (default: a temporary one)")
    parser.add_argument("--keep-workdir", action="store_true", help="keep the temporary folder")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return int(text)


def main(argv: Optional[Sequence[str]] = None) -> int:
    given = build_parser().parse_args(argv)
    try:
        result = run_runner_e2e(
            given.name, given.tasks, given.python_version, given.dependency or None, given.workdir, given.keep_workdir
        )
    except FlameError as error:
        print(f"Flame Runner cluster e2e failed: {error}", file=sys.stderr)
        return 1
    print(json.dumps(dataclasses.asdict(result), indent=2) if given.json else format_result(result))
    return 0
