"""Python and shell scripts on the workers of a cluster, through the application `flmexec`.

The name is the published one. **It isolates nothing**: a script runs as the user of the worker and may do what that
user may. Each script runs in a fresh folder, and nothing of it is left behind; a sandbox is a session, not a machine.
"""

from __future__ import annotations

import json
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Callable, Dict, Optional, Type, Union

from ..core import client as core
from ..core.errors import FlameError, FlameErrorCode
from ..core.future import TaskFuture
from ..core.types import ResourceRequirement

APPLICATION = "flmexec"

_LANGUAGES = ("python", "shell")


@dataclass(frozen=True)
class SandboxAttr:
    """How a sandbox is made."""

    language: str = "python"
    """`python` or `shell`."""
    runtime: Optional[str] = None
    """The version of Python, such as `3.12`, or the shell, such as `bash`."""
    min_instances: int = 0
    max_instances: Optional[int] = None
    resreq: Optional[Union[str, ResourceRequirement]] = None
    """What one executor needs, also as a text like `cpu=1,mem=1g`."""
    timeout: Optional[float] = None
    """How long each script may run, in seconds, unless it says otherwise."""

    def __post_init__(self) -> None:
        if str(self.language).lower() not in _LANGUAGES:
            raise FlameError(
                FlameErrorCode.INVALID_ARGUMENT, f"the language is {self.language!r}, expected python or shell"
            )
        _checked(self.timeout)


@dataclass(frozen=True)
class SandboxOutput:
    """What a script wrote."""

    data: bytes
    """To its standard output."""
    stderr: bytes = b""
    """To its standard error; the end of it when that was much."""
    exit_code: int = 0
    """Always 0: a script that ends with another one fails its task, and the error says with which."""

    def text(self) -> str:
        """The standard output as text; bytes that are not UTF-8 are replaced."""
        return self.data.decode("utf-8", "replace")


class Sandbox:
    """A session for scripts of one language. Made by [create] or found by [open]; closed when a `with` block ends."""

    def __init__(self, session: core.Session, attr: SandboxAttr) -> None:
        self._session = session
        self._attr = attr

    @classmethod
    def create(cls, attr: Optional[SandboxAttr] = None) -> Sandbox:
        """Makes a sandbox; one for Python when nothing else is asked for."""
        attr = attr or SandboxAttr()
        resreq = attr.resreq
        session = core.create_session(
            APPLICATION,
            common_data=_common_data(attr),
            min_instances=attr.min_instances,
            max_instances=attr.max_instances,
            resreq=ResourceRequirement.from_string(resreq) if isinstance(resreq, str) else resreq,
        )
        return cls(session, attr)

    @classmethod
    def open(cls, sandbox_id: str) -> Sandbox:
        """Finds a sandbox that is open, made by whomever."""
        session = core.open_session(sandbox_id)
        if session.application != APPLICATION:
            raise FlameError(
                FlameErrorCode.INVALID_ARGUMENT,
                f"{sandbox_id} is a session of {session.application}, a sandbox is one of {APPLICATION}",
            )
        return cls(session, _attr(session.common_data()))

    @property
    def sandbox_id(self) -> str:
        """By which it can be opened elsewhere."""
        return self._session.id

    @property
    def attr(self) -> SandboxAttr:
        """How it was made."""
        return self._attr

    def run_code(
        self, code: str, input: Optional[Union[bytes, str]] = None, timeout: Optional[float] = None
    ) -> SandboxOutput:
        """Runs a script and waits for it. `input` is what it reads from its standard input; after `timeout` seconds it
        is killed.

        Raises FlameError when it ends with another exit code than 0, runs too long or cannot be run; the text has the
        last lines that it wrote to its standard error. Whoever does not wait any longer, by Ctrl-C, has it killed.
        """
        future = self._run(code, input, timeout)
        try:
            return _output(future.result())
        finally:
            future.cancel()

    def submit_code(
        self, code: str, input: Optional[Union[bytes, str]] = None, timeout: Optional[float] = None
    ) -> Future[SandboxOutput]:
        """Submits a script and returns at once. Cancelling the future kills the script."""
        return _Derived(self._run(code, input, timeout), _output)

    def close(self) -> None:
        """Closes it; scripts that still run are killed."""
        self._session.close(force=True)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def _run(self, code: str, input: Optional[Union[bytes, str]], timeout: Optional[float]) -> TaskFuture:
        if isinstance(input, str):
            input = input.encode()
        job: Dict[str, Any] = {
            "language": self._attr.language,
            "code": code,
            "input": None if input is None else list(input),
        }
        if self._attr.runtime is not None:
            job["runtime"] = self._attr.runtime
        limit = _checked(self._attr.timeout if timeout is None else timeout)
        if limit is not None:
            job["timeout"] = limit
        return self._session.run(json.dumps(job).encode())


class _Derived(Future):  # type: ignore[type-arg]  # not generic at run time in Python 3.8
    """What becomes of another future, seen through a function."""

    def __init__(self, source: TaskFuture, function: Callable[[Optional[bytes]], SandboxOutput]) -> None:
        super().__init__()
        self._source = source
        self._function = function
        source.add_done_callback(self._on_done)

    def cancel(self) -> bool:
        # Whether it was in time shows there, and its callback says so here.
        return self._source.cancel() or self.cancelled()

    def running(self) -> bool:
        return self._source.running()

    def _on_done(self, source: Future[Any]) -> None:
        if source.cancelled():
            super().cancel()
            self.set_running_or_notify_cancel()
            return
        error = source.exception()
        if error is not None:
            self.set_exception(error)
            return
        try:
            self.set_result(self._function(source.result()))
        except FlameError as wrong:
            self.set_exception(wrong)


def _common_data(attr: SandboxAttr) -> bytes:
    """The attributes as JSON: the service reads language, runtime and timeout, `open` everything."""
    values = {name: value for name, value in asdict(attr).items() if value is not None}
    if "timeout" in values:
        values["timeout"] = float(values["timeout"])
    return json.dumps(values).encode()


def _attr(common_data: Optional[bytes]) -> SandboxAttr:
    try:
        values = json.loads(common_data or b"{}")
        if not isinstance(values, dict):
            raise ValueError("it is no JSON object")
        resreq = values.get("resreq")
        if isinstance(resreq, dict):
            values["resreq"] = ResourceRequirement(**resreq)
        known = SandboxAttr.__dataclass_fields__
        return SandboxAttr(**{name: value for name, value in values.items() if name in known and value is not None})
    except (ValueError, TypeError) as error:
        raise FlameError(FlameErrorCode.INVALID_ARGUMENT, f"the session was not made as a sandbox: {error}") from None


def _output(data: Optional[bytes]) -> SandboxOutput:
    try:
        found = json.loads(data or b"{}")
        return SandboxOutput(
            bytes(found.get("data", ())), bytes(found.get("stderr", ())), int(found.get("exit_code", 0))
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise FlameError(FlameErrorCode.INTERNAL, f"{APPLICATION} answered with what cannot be read: {error}") from None


def _checked(timeout: Optional[float]) -> Optional[float]:
    if timeout is not None and not timeout > 0:
        raise FlameError(FlameErrorCode.INVALID_ARGUMENT, f"the timeout is {timeout}, it must be more than 0 seconds")
    return timeout
