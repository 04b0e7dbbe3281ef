"""Plain values and the messages of the protocol.

Invariant: what is absent stays None, what is present and empty stays empty.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, Dict, Iterable, List, Optional, Union

from .._wire.v1 import types_pb2 as wire
from .errors import FlameError, FlameErrorCode
from .types import (
    Application,
    ApplicationAttributes,
    ApplicationSchema,
    ApplicationState,
    Attempt,
    Event,
    ResourceRequirement,
    Retention,
    Retries,
    Retry,
    SessionAttributes,
    Shim,
    Task,
    TaskOptions,
    TaskState,
)

TASK_PAYLOAD_BYTES_MAX = 4 * 1024 * 1024 - 64 * 1024
COMMON_DATA_BYTES_MAX = 2 * 1024 * 1024
AFFINITY_KEYS_MAX = 1024
AFFINITY_KEY_BYTES_MAX = 256

_Bytes = (bytes, bytearray, memoryview)


def invalid(message: str, remedy: Optional[str] = None) -> FlameError:
    return FlameError(FlameErrorCode.INVALID_ARGUMENT, message, remedy=remedy)


def payload(value: Any, what: str = "task input", limit: int = TASK_PAYLOAD_BYTES_MAX) -> Optional[bytes]:
    """Bytes that fit, or nothing."""
    if value is None:
        return None
    if type(value) is not bytes:
        if not isinstance(value, _Bytes):
            raise invalid(
                f"{what} must be bytes, not {type(value).__name__}",
                "encode it, or give the session a codec: create_session(..., codec='json')",
            )
        value = bytes(value)
    if len(value) > limit:
        raise invalid(
            f"the {what} has {len(value)} bytes, at most {limit} are allowed",
            "split it, or send a reference to where the data is",
        )
    return value  # type: ignore[no-any-return]


def options(value: Optional[TaskOptions]) -> Optional[TaskOptions]:
    """Options as they travel; None when nothing is asked for."""
    if value is None:
        return None
    if not isinstance(value, TaskOptions):
        raise invalid(f"options must be TaskOptions, not {type(value).__name__}")
    if value.timeout is not None and not value.timeout >= 0.001:
        raise invalid(f"a timeout of {value.timeout!r} s is given, it must be at least 0.001")
    if len(value.affinity) > AFFINITY_KEYS_MAX:
        raise invalid(f"{len(value.affinity)} affinity keys are given, at most {AFFINITY_KEYS_MAX} are allowed")
    for key in value.affinity:
        if not isinstance(key, bytes) or not 1 <= len(key) <= AFFINITY_KEY_BYTES_MAX:
            raise invalid(f"an affinity key is 1 to {AFFINITY_KEY_BYTES_MAX} bytes, not {key!r}")
    return None if value == TaskOptions() else value


def task_number(task_id: str) -> str:
    """The id of a task, as a text. A number is as good."""
    text = str(task_id)
    if not (text.isascii() and text.isdigit()):
        raise invalid(f"invalid task id {text!r}: it is a number")
    return text


def moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, tz=timezone.utc)


def optional(message: Any, field: str) -> Any:
    return getattr(message, field) if message.HasField(field) else None


def events(messages: Iterable[wire.Event]) -> List[Event]:
    return [Event(one.code, optional(one, "message"), moment(one.creation_time)) for one in messages]


def task(message: wire.Task, session_id: str) -> Task:
    """A task. One that was cancelled is to programs for the published package what it would be there: failed, with an event
    of code 3 that says why."""
    status = message.status
    completed = optional(status, "completion_time")
    state, told = TaskState(status.state), events(status.events)
    is_cancelled = state == TaskState.CANCELLED
    if is_cancelled:
        state = TaskState.FAILED
        told = [replace(one, code=int(state)) if one.code == TaskState.CANCELLED else one for one in told]
    return Task(
        id=message.metadata.id,
        session_id=message.spec.session_id or session_id,
        state=state,
        creation_time=moment(status.creation_time),
        input=optional(message.spec, "input"),
        output=optional(message.spec, "output"),
        completion_time=None if completed is None else moment(completed),
        events=told,
        attempts=[
            Attempt(
                one.number,
                one.node,
                moment(one.started),
                moment(one.ended) if one.HasField("ended") else None,
                optional(one, "cause"),
                optional(one, "message"),
            )
            for one in status.attempts
        ]
        or None,
        cancelled=is_cancelled,
    )


# ── policies ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _filled(value: Any) -> Dict[str, Any]:
    return {name: part for name, part in vars(value).items() if part is not None}


def _whole_numbers(value: Any, what: str) -> Dict[str, int]:
    found = _filled(value)
    for name, number in found.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise invalid(f"{what}.{name} is {number!r}, it must be a whole number that is not negative")
    return found


def _set_policies(spec: Any, given: Union[SessionAttributes, ApplicationAttributes]) -> None:
    if given.retention is not None:
        spec.retention.CopyFrom(wire.Retention(**_whole_numbers(given.retention, "retention")))
    if given.retry is not None:
        for name, retry in _filled(given.retry).items():
            getattr(spec.retry, name).CopyFrom(wire.Retry(**_whole_numbers(retry, f"retry.{name}")))
        spec.retry.SetInParent()
    if given.task_timeout is not None:
        if not given.task_timeout >= 0.001:
            raise invalid(f"a task_timeout of {given.task_timeout!r} s is given, it must be at least 0.001")
        spec.task_timeout_ms = round(given.task_timeout * 1000)


def _retention(spec: Any) -> Optional[Retention]:
    if not spec.HasField("retention"):
        return None
    return Retention(**{field.name: value for field, value in spec.retention.ListFields()})


def _retries(spec: Any) -> Optional[Retries]:
    if not spec.HasField("retry"):
        return None
    causes = spec.retry.ListFields()
    return Retries(**{field.name: Retry(**{f.name: v for f, v in one.ListFields()}) for field, one in causes})


# ── sessions ────────────────────────────────────────────────────────────────────────────────────────────────────────


def session_spec(given: SessionAttributes) -> wire.SessionSpec:
    if not isinstance(given.application, str) or not given.application:
        raise invalid(f"the name of an application is a text that is not empty, not {given.application!r}")
    spec = wire.SessionSpec(application=given.application)
    common_data = payload(given.common_data, "common data", COMMON_DATA_BYTES_MAX)
    if common_data is not None:
        spec.common_data = common_data
    for name in ("min_instances", "max_instances", "batch_size", "priority"):
        value = getattr(given, name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**32:
            raise invalid(f"{name} is {value!r}, it must be a whole number that is not negative")
        setattr(spec, name, value)
    if given.resreq is not None:
        spec.resreq.CopyFrom(_resources(given.resreq))
    for key, token in (given.tokens or {}).items():
        spec.tokens[key] = token
    _set_policies(spec, given)
    return spec


def _resources(given: ResourceRequirement) -> wire.ResourceRequirement:
    if isinstance(given, str):
        raise invalid("resreq is a text", "use ResourceRequirement.from_string(...)")
    try:
        return wire.ResourceRequirement(cpu=given.cpu, memory=given.memory, gpu=given.gpu)
    except (TypeError, ValueError, AttributeError) as error:
        raise invalid(f"resreq is {given!r}: {error}") from error


# ── applications ────────────────────────────────────────────────────────────────────────────────────────────────────

_TEXTS = ("image", "description", "command", "working_directory", "url", "installer")


def application_attributes(given: Union[ApplicationAttributes, Dict[str, Any]]) -> ApplicationAttributes:
    if isinstance(given, ApplicationAttributes):
        return given
    if not isinstance(given, dict):
        raise invalid(f"the attributes of an application are ApplicationAttributes or a dict, not {given!r}")
    try:
        return ApplicationAttributes(**given)
    except TypeError as error:
        raise invalid(f"the attributes of an application: {error}") from error


def application_spec(given: ApplicationAttributes) -> wire.ApplicationSpec:
    try:
        spec = wire.ApplicationSpec(
            shim=int(Shim.HOST if given.shim is None else given.shim),  # type: ignore[arg-type]
            labels=given.labels or [],
            arguments=given.arguments or [],
            environments=[wire.Environment(name=k, value=v) for k, v in (given.environments or {}).items()],
        )
        for name in (*_TEXTS, "max_instances", "delay_release"):
            value = getattr(given, name)
            if value is not None:
                setattr(spec, name, value)
    except (TypeError, ValueError) as error:
        raise invalid(f"the attributes of an application: {error}") from error
    schema = given.schema
    if isinstance(schema, dict):
        schema = ApplicationSchema(**schema)
    if schema is not None:
        parts = {name: text for name, text in vars(schema).items() if text is not None and text.strip()}
        if parts:
            spec.schema.CopyFrom(wire.ApplicationSchema(**parts))
    _set_policies(spec, given)
    return spec


def application(message: wire.Application) -> Application:
    spec = message.spec
    schema = None
    if spec.HasField("schema"):
        parts = {name: optional(spec.schema, name) for name in ("input", "output", "common_data")}
        schema = ApplicationSchema(**parts)
    timeout = optional(spec, "task_timeout_ms")
    return Application(
        id=message.metadata.id,
        name=message.metadata.name,
        state=ApplicationState(message.status.state),
        creation_time=moment(message.status.creation_time),
        shim=Shim(spec.shim),
        labels=list(spec.labels),
        arguments=list(spec.arguments),
        environments={one.name: one.value for one in spec.environments},
        max_instances=optional(spec, "max_instances"),
        delay_release=optional(spec, "delay_release"),
        schema=schema,
        retention=_retention(spec),
        retry=_retries(spec),
        task_timeout=None if timeout is None else timeout / 1000,
        **{name: optional(spec, name) for name in _TEXTS},
    )
