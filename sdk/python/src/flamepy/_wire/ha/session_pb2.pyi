from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RunTask(_message.Message):
    __slots__ = ("session_id", "submit", "wait", "options")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    submit: TaskInput
    wait: int
    options: TaskOptions
    def __init__(self, session_id: _Optional[str] = ..., submit: _Optional[_Union[TaskInput, _Mapping]] = ..., wait: _Optional[int] = ..., options: _Optional[_Union[TaskOptions, _Mapping]] = ...) -> None: ...

class RanTask(_message.Message):
    __slots__ = ("task", "result")
    TASK_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    task: int
    result: TaskResult
    def __init__(self, task: _Optional[int] = ..., result: _Optional[_Union[TaskResult, _Mapping]] = ...) -> None: ...

class SessionUp(_message.Message):
    __slots__ = ("open", "submit", "cancel", "watch")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    WATCH_FIELD_NUMBER: _ClassVar[int]
    open: OpenStream
    submit: SubmitTasks
    cancel: CancelTask
    watch: WatchFrom
    def __init__(self, open: _Optional[_Union[OpenStream, _Mapping]] = ..., submit: _Optional[_Union[SubmitTasks, _Mapping]] = ..., cancel: _Optional[_Union[CancelTask, _Mapping]] = ..., watch: _Optional[_Union[WatchFrom, _Mapping]] = ...) -> None: ...

class SessionDown(_message.Message):
    __slots__ = ("opened", "accepted", "results", "resync", "trimmed")
    OPENED_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    RESYNC_FIELD_NUMBER: _ClassVar[int]
    TRIMMED_FIELD_NUMBER: _ClassVar[int]
    opened: Opened
    accepted: Accepted
    results: Results
    resync: Resync
    trimmed: Trimmed
    def __init__(self, opened: _Optional[_Union[Opened, _Mapping]] = ..., accepted: _Optional[_Union[Accepted, _Mapping]] = ..., results: _Optional[_Union[Results, _Mapping]] = ..., resync: _Optional[_Union[Resync, _Mapping]] = ..., trimmed: _Optional[_Union[Trimmed, _Mapping]] = ...) -> None: ...

class OpenStream(_message.Message):
    __slots__ = ("feature_level", "session_id", "client")
    FEATURE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    feature_level: int
    session_id: str
    client: int
    def __init__(self, feature_level: _Optional[int] = ..., session_id: _Optional[str] = ..., client: _Optional[int] = ...) -> None: ...

class Opened(_message.Message):
    __slots__ = ("feature_level", "client", "credit_bytes", "credit_frames", "position")
    FEATURE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    CREDIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    CREDIT_FRAMES_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    feature_level: int
    client: int
    credit_bytes: int
    credit_frames: int
    position: Position
    def __init__(self, feature_level: _Optional[int] = ..., client: _Optional[int] = ..., credit_bytes: _Optional[int] = ..., credit_frames: _Optional[int] = ..., position: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...

class SubmitTasks(_message.Message):
    __slots__ = ("seq", "below", "tasks", "count", "options", "idempotency_key")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    BELOW_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    OPTIONS_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    seq: int
    below: int
    tasks: _containers.RepeatedCompositeFieldContainer[TaskInput]
    count: int
    options: TaskOptions
    idempotency_key: bytes
    def __init__(self, seq: _Optional[int] = ..., below: _Optional[int] = ..., tasks: _Optional[_Iterable[_Union[TaskInput, _Mapping]]] = ..., count: _Optional[int] = ..., options: _Optional[_Union[TaskOptions, _Mapping]] = ..., idempotency_key: _Optional[bytes] = ...) -> None: ...

class TaskInput(_message.Message):
    __slots__ = ("input",)
    INPUT_FIELD_NUMBER: _ClassVar[int]
    input: bytes
    def __init__(self, input: _Optional[bytes] = ...) -> None: ...

class TaskOptions(_message.Message):
    __slots__ = ("affinity", "priority", "timeout_ms")
    AFFINITY_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    affinity: _containers.RepeatedScalarFieldContainer[bytes]
    priority: int
    timeout_ms: int
    def __init__(self, affinity: _Optional[_Iterable[bytes]] = ..., priority: _Optional[int] = ..., timeout_ms: _Optional[int] = ...) -> None: ...

class CancelTask(_message.Message):
    __slots__ = ("seq", "below", "task")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    BELOW_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    seq: int
    below: int
    task: int
    def __init__(self, seq: _Optional[int] = ..., below: _Optional[int] = ..., task: _Optional[int] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("generation", "log_index")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    LOG_INDEX_FIELD_NUMBER: _ClassVar[int]
    generation: int
    log_index: int
    def __init__(self, generation: _Optional[int] = ..., log_index: _Optional[int] = ...) -> None: ...

class WatchFrom(_message.Message):
    __slots__ = ("own", "tasks")
    FROM_FIELD_NUMBER: _ClassVar[int]
    OWN_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    own: bool
    tasks: _containers.RepeatedCompositeFieldContainer[TaskRange]
    def __init__(self, own: bool = ..., tasks: _Optional[_Iterable[_Union[TaskRange, _Mapping]]] = ..., **kwargs) -> None: ...

class TaskRange(_message.Message):
    __slots__ = ("first", "last")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    first: int
    last: int
    def __init__(self, first: _Optional[int] = ..., last: _Optional[int] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ("seq", "first_task", "count", "error", "credit_bytes")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    FIRST_TASK_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    CREDIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    seq: int
    first_task: int
    count: int
    error: StreamError
    credit_bytes: int
    def __init__(self, seq: _Optional[int] = ..., first_task: _Optional[int] = ..., count: _Optional[int] = ..., error: _Optional[_Union[StreamError, _Mapping]] = ..., credit_bytes: _Optional[int] = ...) -> None: ...

class StreamError(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class Results(_message.Message):
    __slots__ = ("position", "results", "cancelled")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    CANCELLED_FIELD_NUMBER: _ClassVar[int]
    position: Position
    results: _containers.RepeatedCompositeFieldContainer[TaskResult]
    cancelled: _containers.RepeatedCompositeFieldContainer[TaskRange]
    def __init__(self, position: _Optional[_Union[Position, _Mapping]] = ..., results: _Optional[_Iterable[_Union[TaskResult, _Mapping]]] = ..., cancelled: _Optional[_Iterable[_Union[TaskRange, _Mapping]]] = ...) -> None: ...

class TaskResult(_message.Message):
    __slots__ = ("task", "state", "output", "message")
    TASK_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    task: int
    state: int
    output: bytes
    message: str
    def __init__(self, task: _Optional[int] = ..., state: _Optional[int] = ..., output: _Optional[bytes] = ..., message: _Optional[str] = ...) -> None: ...

class Trimmed(_message.Message):
    __slots__ = ()
    FROM_FIELD_NUMBER: _ClassVar[int]
    def __init__(self, **kwargs) -> None: ...

class Resync(_message.Message):
    __slots__ = ("now",)
    NOW_FIELD_NUMBER: _ClassVar[int]
    now: Position
    def __init__(self, now: _Optional[_Union[Position, _Mapping]] = ...) -> None: ...
