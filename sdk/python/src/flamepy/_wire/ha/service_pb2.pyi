from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ServiceDown(_message.Message):
    __slots__ = ("enter", "invoke", "cancel", "leave", "withdraw")
    ENTER_FIELD_NUMBER: _ClassVar[int]
    INVOKE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    LEAVE_FIELD_NUMBER: _ClassVar[int]
    WITHDRAW_FIELD_NUMBER: _ClassVar[int]
    enter: EnterSession
    invoke: InvokeTasks
    cancel: CancelInvoke
    leave: LeaveSession
    withdraw: WithdrawTasks
    def __init__(self, enter: _Optional[_Union[EnterSession, _Mapping]] = ..., invoke: _Optional[_Union[InvokeTasks, _Mapping]] = ..., cancel: _Optional[_Union[CancelInvoke, _Mapping]] = ..., leave: _Optional[_Union[LeaveSession, _Mapping]] = ..., withdraw: _Optional[_Union[WithdrawTasks, _Mapping]] = ...) -> None: ...

class ServiceUp(_message.Message):
    __slots__ = ("entered", "done", "left")
    ENTERED_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    entered: EnteredSession
    done: TasksDone
    left: LeftSession
    def __init__(self, entered: _Optional[_Union[EnteredSession, _Mapping]] = ..., done: _Optional[_Union[TasksDone, _Mapping]] = ..., left: _Optional[_Union[LeftSession, _Mapping]] = ...) -> None: ...

class EnterSession(_message.Message):
    __slots__ = ("feature_level", "session_id", "application", "common_data", "tokens", "batch_size", "image", "command", "working_directory", "url")
    class TokensEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FEATURE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    COMMON_DATA_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    WORKING_DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    feature_level: int
    session_id: str
    application: str
    common_data: bytes
    tokens: _containers.ScalarMap[str, str]
    batch_size: int
    image: str
    command: str
    working_directory: str
    url: str
    def __init__(self, feature_level: _Optional[int] = ..., session_id: _Optional[str] = ..., application: _Optional[str] = ..., common_data: _Optional[bytes] = ..., tokens: _Optional[_Mapping[str, str]] = ..., batch_size: _Optional[int] = ..., image: _Optional[str] = ..., command: _Optional[str] = ..., working_directory: _Optional[str] = ..., url: _Optional[str] = ...) -> None: ...

class EnteredSession(_message.Message):
    __slots__ = ("feature_level", "return_code", "message", "in_flight_max", "publish", "retract")
    FEATURE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    RETURN_CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_MAX_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    RETRACT_FIELD_NUMBER: _ClassVar[int]
    feature_level: int
    return_code: int
    message: str
    in_flight_max: int
    publish: _containers.RepeatedScalarFieldContainer[bytes]
    retract: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, feature_level: _Optional[int] = ..., return_code: _Optional[int] = ..., message: _Optional[str] = ..., in_flight_max: _Optional[int] = ..., publish: _Optional[_Iterable[bytes]] = ..., retract: _Optional[_Iterable[bytes]] = ...) -> None: ...

class InvokeTasks(_message.Message):
    __slots__ = ("tasks",)
    TASKS_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[InvokeTask]
    def __init__(self, tasks: _Optional[_Iterable[_Union[InvokeTask, _Mapping]]] = ...) -> None: ...

class InvokeTask(_message.Message):
    __slots__ = ("token", "task", "attempt", "input", "timeout_ms")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    token: int
    task: int
    attempt: int
    input: bytes
    timeout_ms: int
    def __init__(self, token: _Optional[int] = ..., task: _Optional[int] = ..., attempt: _Optional[int] = ..., input: _Optional[bytes] = ..., timeout_ms: _Optional[int] = ...) -> None: ...

class TasksDone(_message.Message):
    __slots__ = ("done",)
    DONE_FIELD_NUMBER: _ClassVar[int]
    done: _containers.RepeatedCompositeFieldContainer[TaskDone]
    def __init__(self, done: _Optional[_Iterable[_Union[TaskDone, _Mapping]]] = ...) -> None: ...

class TaskDone(_message.Message):
    __slots__ = ("token", "return_code", "output", "message", "publish", "retract", "ran_us", "skipped")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    RETURN_CODE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    RETRACT_FIELD_NUMBER: _ClassVar[int]
    RAN_US_FIELD_NUMBER: _ClassVar[int]
    SKIPPED_FIELD_NUMBER: _ClassVar[int]
    token: int
    return_code: int
    output: bytes
    message: str
    publish: _containers.RepeatedScalarFieldContainer[bytes]
    retract: _containers.RepeatedScalarFieldContainer[bytes]
    ran_us: int
    skipped: bool
    def __init__(self, token: _Optional[int] = ..., return_code: _Optional[int] = ..., output: _Optional[bytes] = ..., message: _Optional[str] = ..., publish: _Optional[_Iterable[bytes]] = ..., retract: _Optional[_Iterable[bytes]] = ..., ran_us: _Optional[int] = ..., skipped: bool = ...) -> None: ...

class CancelInvoke(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: int
    def __init__(self, token: _Optional[int] = ...) -> None: ...

class WithdrawTasks(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LeaveSession(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LeftSession(_message.Message):
    __slots__ = ("return_code", "message")
    RETURN_CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    return_code: int
    message: str
    def __init__(self, return_code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...
