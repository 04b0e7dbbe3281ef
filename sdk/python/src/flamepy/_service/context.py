"""What a service is told: of the application, of the session, of a task."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Dict, Optional

from .cancellation import Cancellation


@dataclass
class ApplicationContext:
    """The application of a session."""

    name: str
    image: Optional[str] = None
    command: Optional[str] = None
    working_directory: Optional[str] = None
    url: Optional[str] = None


@dataclass
class SessionContext:
    """The session that a service enters."""

    _common_data: Optional[bytes]
    session_id: str
    application: ApplicationContext
    tokens: Dict[str, str] = field(default_factory=dict, repr=False)
    """Secrets by service name."""
    batch_size: int = 1
    """How many executors the session holds at least while tasks start."""

    def common_data(self) -> Optional[bytes]:
        """What the client gave the session for all its tasks; absent is not the same as empty."""
        return self._common_data


@dataclass
class TaskContext:
    """One task to run."""

    task_id: str
    """Its number in its session, as text."""
    session_id: str
    input: Optional[bytes]
    """Absent is not the same as empty."""
    token: Optional[int] = None
    """Tells this run of the task from every other one: never used twice in the life of a cluster, and higher for every
    later run. A worker that was given up may still run a task that runs elsewhere already: side effects that must
    happen once carry the token, and whoever takes them refuses one that is lower than the last it saw for the task.
    None when the worker calls by the published protocol, which does not say."""
    attempt: Optional[int] = None
    """The how manieth attempt at the task this is, from 1; None as `token` is."""
    timeout: Optional[float] = None
    """How long it may run, in seconds from its beginning on; then it has failed, and its process is ended. None: as long
    as it likes, or the worker does not say."""
    cancellation: Cancellation = field(default_factory=Cancellation, repr=False, compare=False)
    """Whether anybody still wants the task."""


# The task that the code runs for, in the thread or asyncio task that runs it.
current_task: ContextVar[Optional[TaskContext]] = ContextVar("flamepy_task", default=None)
