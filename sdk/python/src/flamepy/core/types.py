"""The plain values of the API: names, defaults and texts are those of the published package; what is ours has a default.

Invariant: a number that this release does not know becomes the member UNKNOWN, never an exception.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, Dict, List, Optional, Sequence

from ..util import short_name
from .context import (
    DEFAULT_FLAME_CACHE_ENDPOINT,
    DEFAULT_FLAME_CONF,
    DEFAULT_FLAME_ENDPOINT,
    DEFAULT_FLAME_RUNNER_TEMPLATE,
    FlameClientCache,
    FlameClientTls,
    FlameClusterConfig,
    FlameContext,
    FlameContextRunner,
    FlamePackage,
)
from .errors import FlameError, FlameErrorCode, RemoteTraceback, TaskFailedError

__all__ = [
    "DEFAULT_FLAME_CACHE_ENDPOINT",
    "DEFAULT_FLAME_CONF",
    "DEFAULT_FLAME_ENDPOINT",
    "DEFAULT_FLAME_RUNNER_TEMPLATE",
    "Application",
    "ApplicationAttributes",
    "ApplicationID",
    "ApplicationSchema",
    "ApplicationState",
    "Attempt",
    "CommonData",
    "Event",
    "FlameClientCache",
    "FlameClientTls",
    "FlameClusterConfig",
    "FlameContext",
    "FlameContextRunner",
    "FlameError",
    "FlameErrorCode",
    "FlamePackage",
    "Message",
    "RemoteTraceback",
    "ResourceRequirement",
    "Retention",
    "Retries",
    "Retry",
    "SessionAttributes",
    "SessionID",
    "SessionState",
    "Shim",
    "Task",
    "TaskFailedError",
    "TaskID",
    "TaskInformer",
    "TaskInput",
    "TaskOptions",
    "TaskOutput",
    "TaskState",
    "short_name",
]

TaskID = str
SessionID = str
ApplicationID = str
Message = bytes
TaskInput = Message
TaskOutput = Message
CommonData = Message


# ── states ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class SessionState(IntEnum):
    OPEN = 0
    CLOSED = 1
    SUSPENDING = 2
    SUSPENDED = 3
    UNKNOWN = -1

    @classmethod
    def _missing_(cls, value: object) -> SessionState:
        return cls.UNKNOWN


class TaskState(IntEnum):
    PENDING = 0
    RUNNING = 1
    SUCCEED = 2
    FAILED = 3
    CANCELLED = 4
    UNKNOWN = -1

    @classmethod
    def _missing_(cls, value: object) -> TaskState:
        return cls.UNKNOWN


class ApplicationState(IntEnum):
    ENABLED = 0
    DISABLED = 1
    UNKNOWN = -1

    @classmethod
    def _missing_(cls, value: object) -> ApplicationState:
        return cls.UNKNOWN


class Shim(IntEnum):
    HOST = 0
    WASM = 1
    CRI = 3
    UNKNOWN = -1

    @classmethod
    def _missing_(cls, value: object) -> Shim:
        return cls.UNKNOWN


# ── values ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Event:
    code: int
    message: Optional[str] = None
    creation_time: datetime = None  # type: ignore[assignment]  # as published


_MEMORY = re.compile(r"\s*(\d+)\s*([kmgtp]?)(i?b?)\s*", re.IGNORECASE | re.ASCII)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}


@dataclass
class ResourceRequirement:
    """What one executor needs."""

    cpu: int = 0
    memory: int = 0
    """Bytes."""
    gpu: int = 0

    @classmethod
    def from_string(cls, text: str) -> ResourceRequirement:
        """Reads texts like `cpu=1,mem=16g,gpu=0`. Suffixes of memory are powers of 1024.

        Raises ValueError that names the part that is wrong.
        """
        if not text or not text.strip():
            raise ValueError("resource requirement cannot be empty")
        found: Dict[str, int] = {}
        for entry in text.split(","):
            key, mark, value = (part.strip() for part in entry.partition("="))
            if not mark:
                raise ValueError(f"invalid resource requirement entry {entry.strip()!r}, expected key=value")
            name = {"mem": "memory"}.get(key.lower(), key.lower())
            if name not in ("cpu", "memory", "gpu"):
                raise ValueError(f"unknown resource requirement key {key!r}")
            if not value:
                raise ValueError(f"missing value for resource requirement key {key!r}")
            found[name] = cls._parse_memory(value) if name == "memory" else _whole(key, value)
        return cls(**found)

    @staticmethod
    def _parse_memory(text: str) -> int:
        match = _MEMORY.fullmatch(text)
        if match is None or (match[3] and not match[2] and match[3].lower() != "b"):
            raise ValueError(f"invalid memory {text!r}, expected a whole number with a suffix like k, m, g, t or p")
        return int(match[1]) << (10 * _POWERS[match[2].lower()])


def _whole(key: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"invalid value {text!r} for resource requirement key {key!r}, expected a number") from None


@dataclass
class Retention:
    """How long ended things are kept. What is None is as the next wider policy says."""

    task_age_ms: Optional[int] = None
    task_age_ms_min: Optional[int] = None
    task_count: Optional[int] = None
    task_bytes: Optional[int] = None
    closed_age_ms: Optional[int] = None
    closed_count: Optional[int] = None
    closed_bytes: Optional[int] = None


@dataclass
class Retry:
    """What is asked for one cause."""

    starts_max: Optional[int] = None
    """Most starts that may come to nothing; 1: nothing is tried again."""
    backoff_ms: Optional[int] = None
    backoff_ms_max: Optional[int] = None


@dataclass
class Retries:
    """How often something is tried again, by the cause for which it came to nothing."""

    lost: Optional[Retry] = None
    crashed: Optional[Retry] = None
    refused: Optional[Retry] = None
    failed: Optional[Retry] = None


@dataclass
class SessionAttributes:
    """What is asked for when a session is made."""

    application: str
    id: Optional[str] = None
    common_data: Any = None
    min_instances: int = 0
    max_instances: Optional[int] = None
    batch_size: int = 1
    resreq: Optional[ResourceRequirement] = None
    priority: int = 0
    """Higher is served first."""
    tokens: Optional[Dict[str, str]] = field(default=None, repr=False)
    """Secrets by service name; never shown again."""
    retention: Optional[Retention] = None
    retry: Optional[Retries] = None
    task_timeout: Optional[float] = None
    """Seconds after which a running task has failed."""


@dataclass
class ApplicationSchema:
    """JSON Schemas, as texts."""

    input: Optional[str] = None
    output: Optional[str] = None
    common_data: Optional[str] = None


@dataclass
class ApplicationAttributes:
    shim: Optional[Shim] = None
    image: Optional[str] = None
    description: Optional[str] = None
    labels: Optional[List[str]] = None
    command: Optional[str] = None
    arguments: Optional[List[str]] = None
    environments: Optional[Dict[str, str]] = None
    working_directory: Optional[str] = None
    max_instances: Optional[int] = None
    delay_release: Optional[int] = None
    schema: Optional[ApplicationSchema] = None
    url: Optional[str] = None
    installer: Optional[str] = None
    retention: Optional[Retention] = None
    retry: Optional[Retries] = None
    task_timeout: Optional[float] = None
    """Seconds after which a running task has failed."""


@dataclass
class Attempt:
    """One start of a task. The last ones are kept."""

    number: int
    node: str
    started: datetime
    ended: Optional[datetime] = None
    cause: Optional[str] = None
    """Why it came to nothing: lost, crashed or failed; None when it did not."""
    message: Optional[str] = None


@dataclass
class Task:
    id: str
    session_id: str
    state: TaskState
    creation_time: datetime
    input: Any = None
    output: Any = None
    completion_time: Optional[datetime] = None
    events: Optional[List[Event]] = None
    attempts: Optional[List[Attempt]] = None
    cancelled: bool = False
    """It was ended by a user or with its session. The state is FAILED then, as the published package has it."""

    def is_completed(self) -> bool:
        """Whether it has ended, however."""
        return self.state in (TaskState.SUCCEED, TaskState.FAILED)

    def is_failed(self) -> bool:
        return self.state == TaskState.FAILED

    def is_cancelled(self) -> bool:
        return self.cancelled


@dataclass
class Application:
    id: str
    name: str
    state: ApplicationState
    creation_time: datetime
    shim: Optional[Shim] = None
    image: Optional[str] = None
    description: Optional[str] = None
    labels: Optional[List[str]] = None
    command: Optional[str] = None
    arguments: Optional[List[str]] = None
    environments: Optional[Dict[str, str]] = None
    working_directory: Optional[str] = None
    max_instances: Optional[int] = None
    delay_release: Optional[int] = None
    schema: Optional[ApplicationSchema] = None
    url: Optional[str] = None
    installer: Optional[str] = None
    retention: Optional[Retention] = None
    retry: Optional[Retries] = None
    task_timeout: Optional[float] = None


@dataclass(frozen=True)
class TaskOptions:
    """What is asked for one task. Tasks with the same options travel together."""

    priority: int = 0
    """Higher runs first among the tasks of its session."""
    timeout: Optional[float] = None
    """Seconds after which the running task has failed; None: as its session says."""
    affinity: Sequence[bytes] = ()
    """The task prefers an executor that publishes these keys."""


class TaskInformer:
    """Told of each change of a task. Override what is of interest."""

    def on_update(self, task: Task) -> None:
        """The task is in another state."""

    def on_error(self, error: FlameError) -> None:
        """What becomes of the task cannot be learned, or it has failed."""
