from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FollowLeader(_message.Message):
    __slots__ = ("cluster_id",)
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    def __init__(self, cluster_id: _Optional[str] = ...) -> None: ...

class Leading(_message.Message):
    __slots__ = ("term", "leader")
    TERM_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    term: int
    leader: str
    def __init__(self, term: _Optional[int] = ..., leader: _Optional[str] = ...) -> None: ...

class WorkerUp(_message.Message):
    __slots__ = ("hello", "ready", "failed", "left", "complete", "revoke_answer", "heartbeat", "stopping", "goodbye", "install_log")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    COMPLETE_FIELD_NUMBER: _ClassVar[int]
    REVOKE_ANSWER_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    STOPPING_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    INSTALL_LOG_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    ready: ExecutorReady
    failed: ExecutorFailed
    left: ExecutorLeft
    complete: Complete
    revoke_answer: RevokeAnswer
    heartbeat: Heartbeat
    stopping: Stopping
    goodbye: Goodbye
    install_log: InstallLog
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., ready: _Optional[_Union[ExecutorReady, _Mapping]] = ..., failed: _Optional[_Union[ExecutorFailed, _Mapping]] = ..., left: _Optional[_Union[ExecutorLeft, _Mapping]] = ..., complete: _Optional[_Union[Complete, _Mapping]] = ..., revoke_answer: _Optional[_Union[RevokeAnswer, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., stopping: _Optional[_Union[Stopping, _Mapping]] = ..., goodbye: _Optional[_Union[Goodbye, _Mapping]] = ..., install_log: _Optional[_Union[InstallLog, _Mapping]] = ...) -> None: ...

class WorkerDown(_message.Message):
    __slots__ = ("welcome", "refused", "not_leader", "start", "assign", "recall", "cancel", "stop", "recorded", "lease_ack", "read_install_log")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    NOT_LEADER_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    ASSIGN_FIELD_NUMBER: _ClassVar[int]
    RECALL_FIELD_NUMBER: _ClassVar[int]
    CANCEL_FIELD_NUMBER: _ClassVar[int]
    STOP_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    LEASE_ACK_FIELD_NUMBER: _ClassVar[int]
    READ_INSTALL_LOG_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    refused: Refused
    not_leader: NotLeader
    start: Start
    assign: Assign
    recall: Recall
    cancel: Cancel
    stop: Stop
    recorded: Recorded
    lease_ack: LeaseAck
    read_install_log: ReadInstallLog
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ..., not_leader: _Optional[_Union[NotLeader, _Mapping]] = ..., start: _Optional[_Union[Start, _Mapping]] = ..., assign: _Optional[_Union[Assign, _Mapping]] = ..., recall: _Optional[_Union[Recall, _Mapping]] = ..., cancel: _Optional[_Union[Cancel, _Mapping]] = ..., stop: _Optional[_Union[Stop, _Mapping]] = ..., recorded: _Optional[_Union[Recorded, _Mapping]] = ..., lease_ack: _Optional[_Union[LeaseAck, _Mapping]] = ..., read_install_log: _Optional[_Union[ReadInstallLog, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("feature_level", "cluster_id", "node", "started_ms", "nonce", "hello", "host", "capacity", "shims", "seen", "executors", "tokens")
    FEATURE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    STARTED_MS_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    CAPACITY_FIELD_NUMBER: _ClassVar[int]
    SHIMS_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    EXECUTORS_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    feature_level: int
    cluster_id: str
    node: str
    started_ms: int
    nonce: int
    hello: int
    host: Host
    capacity: Resources
    shims: _containers.RepeatedScalarFieldContainer[int]
    seen: int
    executors: _containers.RepeatedCompositeFieldContainer[HeldExecutor]
    tokens: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, feature_level: _Optional[int] = ..., cluster_id: _Optional[str] = ..., node: _Optional[str] = ..., started_ms: _Optional[int] = ..., nonce: _Optional[int] = ..., hello: _Optional[int] = ..., host: _Optional[_Union[Host, _Mapping]] = ..., capacity: _Optional[_Union[Resources, _Mapping]] = ..., shims: _Optional[_Iterable[int]] = ..., seen: _Optional[int] = ..., executors: _Optional[_Iterable[_Union[HeldExecutor, _Mapping]]] = ..., tokens: _Optional[_Iterable[int]] = ...) -> None: ...

class Host(_message.Message):
    __slots__ = ("name", "boot_id", "arch", "os")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    ARCH_FIELD_NUMBER: _ClassVar[int]
    OS_FIELD_NUMBER: _ClassVar[int]
    name: str
    boot_id: str
    arch: str
    os: str
    def __init__(self, name: _Optional[str] = ..., boot_id: _Optional[str] = ..., arch: _Optional[str] = ..., os: _Optional[str] = ...) -> None: ...

class Resources(_message.Message):
    __slots__ = ("cpu", "memory", "gpu")
    CPU_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    GPU_FIELD_NUMBER: _ClassVar[int]
    cpu: int
    memory: int
    gpu: int
    def __init__(self, cpu: _Optional[int] = ..., memory: _Optional[int] = ..., gpu: _Optional[int] = ...) -> None: ...

class HeldExecutor(_message.Message):
    __slots__ = ("executor", "session", "ready", "resources", "attributes")
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    executor: int
    session: int
    ready: bool
    resources: Resources
    attributes: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, executor: _Optional[int] = ..., session: _Optional[int] = ..., ready: bool = ..., resources: _Optional[_Union[Resources, _Mapping]] = ..., attributes: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Attributes(_message.Message):
    __slots__ = ("publish", "retract")
    PUBLISH_FIELD_NUMBER: _ClassVar[int]
    RETRACT_FIELD_NUMBER: _ClassVar[int]
    publish: _containers.RepeatedScalarFieldContainer[bytes]
    retract: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, publish: _Optional[_Iterable[bytes]] = ..., retract: _Optional[_Iterable[bytes]] = ...) -> None: ...

class ExecutorReady(_message.Message):
    __slots__ = ("executor", "session", "attributes")
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    executor: int
    session: int
    attributes: Attributes
    def __init__(self, executor: _Optional[int] = ..., session: _Optional[int] = ..., attributes: _Optional[_Union[Attributes, _Mapping]] = ...) -> None: ...

class ExecutorFailed(_message.Message):
    __slots__ = ("executor", "started", "bind", "crashed")
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    BIND_FIELD_NUMBER: _ClassVar[int]
    CRASHED_FIELD_NUMBER: _ClassVar[int]
    executor: int
    started: _containers.RepeatedScalarFieldContainer[int]
    bind: BindFailure
    crashed: str
    def __init__(self, executor: _Optional[int] = ..., started: _Optional[_Iterable[int]] = ..., bind: _Optional[_Union[BindFailure, _Mapping]] = ..., crashed: _Optional[str] = ...) -> None: ...

class BindFailure(_message.Message):
    __slots__ = ("return_code", "message")
    RETURN_CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    return_code: int
    message: str
    def __init__(self, return_code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...

class ExecutorLeft(_message.Message):
    __slots__ = ("executor",)
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    executor: int
    def __init__(self, executor: _Optional[int] = ...) -> None: ...

class Complete(_message.Message):
    __slots__ = ("done",)
    DONE_FIELD_NUMBER: _ClassVar[int]
    done: _containers.RepeatedCompositeFieldContainer[Completion]
    def __init__(self, done: _Optional[_Iterable[_Union[Completion, _Mapping]]] = ...) -> None: ...

class Completion(_message.Message):
    __slots__ = ("token", "succeed", "output", "message", "ran_us", "attributes")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SUCCEED_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RAN_US_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    token: int
    succeed: bool
    output: bytes
    message: str
    ran_us: int
    attributes: Attributes
    def __init__(self, token: _Optional[int] = ..., succeed: bool = ..., output: _Optional[bytes] = ..., message: _Optional[str] = ..., ran_us: _Optional[int] = ..., attributes: _Optional[_Union[Attributes, _Mapping]] = ...) -> None: ...

class RevokeAnswer(_message.Message):
    __slots__ = ("returned", "started")
    RETURNED_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    returned: _containers.RepeatedScalarFieldContainer[int]
    started: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, returned: _Optional[_Iterable[int]] = ..., started: _Optional[_Iterable[int]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class Stopping(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class InstallLog(_message.Message):
    __slots__ = ("question", "found", "text", "written", "cut", "error")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    question: int
    found: bool
    text: str
    written: int
    cut: bool
    error: str
    def __init__(self, question: _Optional[int] = ..., found: bool = ..., text: _Optional[str] = ..., written: _Optional[int] = ..., cut: bool = ..., error: _Optional[str] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("feature_level", "cluster_id", "epoch", "settled", "endpoints", "term", "lease_ms", "detached_lease_ms", "lapsed", "client_endpoints")
    FEATURE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    SETTLED_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    DETACHED_LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    LAPSED_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    feature_level: int
    cluster_id: str
    epoch: int
    settled: _containers.RepeatedScalarFieldContainer[int]
    endpoints: _containers.RepeatedScalarFieldContainer[str]
    term: int
    lease_ms: int
    detached_lease_ms: int
    lapsed: bool
    client_endpoints: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, feature_level: _Optional[int] = ..., cluster_id: _Optional[str] = ..., epoch: _Optional[int] = ..., settled: _Optional[_Iterable[int]] = ..., endpoints: _Optional[_Iterable[str]] = ..., term: _Optional[int] = ..., lease_ms: _Optional[int] = ..., detached_lease_ms: _Optional[int] = ..., lapsed: bool = ..., client_endpoints: _Optional[_Iterable[str]] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ("reason", "message")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[Refused.Reason]
        SUPERSEDED: _ClassVar[Refused.Reason]
        NAME_IN_USE: _ClassVar[Refused.Reason]
        OTHER_CLUSTER: _ClassVar[Refused.Reason]
        INVALID: _ClassVar[Refused.Reason]
        STALE_HELLO: _ClassVar[Refused.Reason]
    REASON_UNSPECIFIED: Refused.Reason
    SUPERSEDED: Refused.Reason
    NAME_IN_USE: Refused.Reason
    OTHER_CLUSTER: Refused.Reason
    INVALID: Refused.Reason
    STALE_HELLO: Refused.Reason
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    reason: Refused.Reason
    message: str
    def __init__(self, reason: _Optional[_Union[Refused.Reason, str]] = ..., message: _Optional[str] = ...) -> None: ...

class NotLeader(_message.Message):
    __slots__ = ("leader", "endpoints")
    LEADER_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    leader: str
    endpoints: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, leader: _Optional[str] = ..., endpoints: _Optional[_Iterable[str]] = ...) -> None: ...

class Start(_message.Message):
    __slots__ = ("executor", "session", "session_id", "resources", "application", "common_data", "tokens", "batch_size")
    class TokensEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCES_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    COMMON_DATA_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    executor: int
    session: int
    session_id: str
    resources: Resources
    application: Application
    common_data: bytes
    tokens: _containers.ScalarMap[str, str]
    batch_size: int
    def __init__(self, executor: _Optional[int] = ..., session: _Optional[int] = ..., session_id: _Optional[str] = ..., resources: _Optional[_Union[Resources, _Mapping]] = ..., application: _Optional[_Union[Application, _Mapping]] = ..., common_data: _Optional[bytes] = ..., tokens: _Optional[_Mapping[str, str]] = ..., batch_size: _Optional[int] = ...) -> None: ...

class Application(_message.Message):
    __slots__ = ("name", "shim", "image", "command", "arguments", "environments", "working_directory", "url", "installer")
    class EnvironmentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    SHIM_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ARGUMENTS_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENTS_FIELD_NUMBER: _ClassVar[int]
    WORKING_DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    INSTALLER_FIELD_NUMBER: _ClassVar[int]
    name: str
    shim: int
    image: str
    command: str
    arguments: _containers.RepeatedScalarFieldContainer[str]
    environments: _containers.ScalarMap[str, str]
    working_directory: str
    url: str
    installer: str
    def __init__(self, name: _Optional[str] = ..., shim: _Optional[int] = ..., image: _Optional[str] = ..., command: _Optional[str] = ..., arguments: _Optional[_Iterable[str]] = ..., environments: _Optional[_Mapping[str, str]] = ..., working_directory: _Optional[str] = ..., url: _Optional[str] = ..., installer: _Optional[str] = ...) -> None: ...

class Assign(_message.Message):
    __slots__ = ("tasks",)
    TASKS_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[Task]
    def __init__(self, tasks: _Optional[_Iterable[_Union[Task, _Mapping]]] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("token", "executor", "session", "task", "attempt", "input", "timeout_ms")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    INPUT_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    token: int
    executor: int
    session: int
    task: int
    attempt: int
    input: bytes
    timeout_ms: int
    def __init__(self, token: _Optional[int] = ..., executor: _Optional[int] = ..., session: _Optional[int] = ..., task: _Optional[int] = ..., attempt: _Optional[int] = ..., input: _Optional[bytes] = ..., timeout_ms: _Optional[int] = ...) -> None: ...

class Recall(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, tokens: _Optional[_Iterable[int]] = ...) -> None: ...

class Cancel(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, tokens: _Optional[_Iterable[int]] = ...) -> None: ...

class Stop(_message.Message):
    __slots__ = ("executor",)
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    executor: int
    def __init__(self, executor: _Optional[int] = ...) -> None: ...

class Recorded(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, tokens: _Optional[_Iterable[int]] = ...) -> None: ...

class LeaseAck(_message.Message):
    __slots__ = ("number",)
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    number: int
    def __init__(self, number: _Optional[int] = ...) -> None: ...

class ReadInstallLog(_message.Message):
    __slots__ = ("question", "application")
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    question: int
    application: str
    def __init__(self, question: _Optional[int] = ..., application: _Optional[str] = ...) -> None: ...
