"""What live tests share: the cluster of FLAME_TEST_ENDPOINT, and applications that are gone when a test ends.

The workers run on this machine. `flmctl` is FLAME_TEST_FLMCTL, or the one on the PATH.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional

import pytest

import flamepy

# Longest any step of a test may take, in seconds; nothing is measured by it.
LIMIT = 90.0

ENDPOINT = os.environ.get("FLAME_TEST_ENDPOINT", "")

EXAMPLES = Path(__file__).resolve().parents[4] / "examples"

SOURCE = Path(flamepy.__file__).resolve().parents[1]

needs_cluster = pytest.mark.skipif(not ENDPOINT, reason="FLAME_TEST_ENDPOINT names no cluster")


def wait_until(condition: Callable[[], Any], what: str) -> None:
    """Waits until `condition` holds."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"in vain: {what}"
        time.sleep(0.01)


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="flame-live-") as folder:
        yield Path(folder)


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[flamepy.Connection]:
    """A connection of the test's own; functions without one use the same cluster."""
    monkeypatch.setenv("FLAME_ENDPOINT", ENDPOINT)
    with flamepy.connect(ENDPOINT) as connection:
        yield connection


@contextlib.contextmanager
def application(connection: flamepy.Connection, code: str, **attributes: Any) -> Iterator[str]:
    """An application with a service of this source. Yields its name."""
    with short_folder() as folder:
        program = folder / "service.py"
        program.write_text(textwrap.dedent(code))
        name = flamepy.short_name("live")
        connection.register_application(
            name,
            flamepy.ApplicationAttributes(
                shim=flamepy.Shim.HOST,
                command=sys.executable,
                arguments=[str(program)],
                environments={"PYTHONPATH": str(SOURCE), "FOLDER": str(folder)},
                **attributes,
            ),
        )
        try:
            yield name
        finally:
            remove(connection, name)


def remove(connection: flamepy.Connection, name: str) -> None:
    """Takes an application away, with what a failed test has left open."""
    for session in connection.list_sessions():
        if session.application == name and session.state == flamepy.SessionState.OPEN:
            session.close(force=True)
    connection.unregister_application(name)


def flmctl(*words: str, stdin: Optional[str] = None) -> str:
    program = os.environ.get("FLAME_TEST_FLMCTL") or shutil.which("flmctl")
    assert program, "there is no flmctl: name it by FLAME_TEST_FLMCTL"
    return output_of([program, *words], stdin=stdin)


def output_of(command: List[str], stdin: Optional[str] = None, environment: Optional[Dict[str, str]] = None) -> str:
    """What a program prints that ends well."""
    done = subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env={**os.environ, "FLAME_ENDPOINT": ENDPOINT, "PYTHONPATH": str(SOURCE), **(environment or {})},
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
