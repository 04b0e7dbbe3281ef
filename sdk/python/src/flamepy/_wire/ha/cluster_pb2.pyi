from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MembersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Member(_message.Message):
    __slots__ = ("id", "client_endpoint", "worker_endpoint", "peer_endpoint", "voter")
    ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    WORKER_ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    PEER_ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    VOTER_FIELD_NUMBER: _ClassVar[int]
    id: int
    client_endpoint: str
    worker_endpoint: str
    peer_endpoint: str
    voter: bool
    def __init__(self, id: _Optional[int] = ..., client_endpoint: _Optional[str] = ..., worker_endpoint: _Optional[str] = ..., peer_endpoint: _Optional[str] = ..., voter: bool = ...) -> None: ...

class MembersReply(_message.Message):
    __slots__ = ("cluster_id", "members", "leader", "self", "term", "changing", "next_request")
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    SELF_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    CHANGING_FIELD_NUMBER: _ClassVar[int]
    NEXT_REQUEST_FIELD_NUMBER: _ClassVar[int]
    cluster_id: str
    members: _containers.RepeatedCompositeFieldContainer[Member]
    leader: int
    self: int
    term: int
    changing: bool
    next_request: int
    def __init__(self, cluster_id: _Optional[str] = ..., members: _Optional[_Iterable[_Union[Member, _Mapping]]] = ..., leader: _Optional[int] = ..., term: _Optional[int] = ..., changing: bool = ..., next_request: _Optional[int] = ...) -> None: ...

class MemberStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MemberStatusReply(_message.Message):
    __slots__ = ("id", "role", "term", "leader", "last_log", "committed", "applied", "version", "feature_level", "disk_bytes", "uptime_seconds", "ready", "not_ready_reason", "cluster_time_ms", "workers_attached", "kept_tasks", "kept_bytes", "closed_sessions", "closed_bytes", "kept_bytes_max", "flushed", "disk_free_bytes", "disk_total_bytes", "disk_floor_bytes", "feature_level_min", "feature_level_max")
    ID_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    LAST_LOG_FIELD_NUMBER: _ClassVar[int]
    COMMITTED_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FEATURE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    UPTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    NOT_READY_REASON_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    WORKERS_ATTACHED_FIELD_NUMBER: _ClassVar[int]
    KEPT_TASKS_FIELD_NUMBER: _ClassVar[int]
    KEPT_BYTES_FIELD_NUMBER: _ClassVar[int]
    CLOSED_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    CLOSED_BYTES_FIELD_NUMBER: _ClassVar[int]
    KEPT_BYTES_MAX_FIELD_NUMBER: _ClassVar[int]
    FLUSHED_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_FLOOR_BYTES_FIELD_NUMBER: _ClassVar[int]
    FEATURE_LEVEL_MIN_FIELD_NUMBER: _ClassVar[int]
    FEATURE_LEVEL_MAX_FIELD_NUMBER: _ClassVar[int]
    id: int
    role: str
    term: int
    leader: int
    last_log: int
    committed: int
    applied: int
    version: str
    feature_level: int
    disk_bytes: int
    uptime_seconds: int
    ready: bool
    not_ready_reason: str
    cluster_time_ms: int
    workers_attached: int
    kept_tasks: int
    kept_bytes: int
    closed_sessions: int
    closed_bytes: int
    kept_bytes_max: int
    flushed: int
    disk_free_bytes: int
    disk_total_bytes: int
    disk_floor_bytes: int
    feature_level_min: int
    feature_level_max: int
    def __init__(self, id: _Optional[int] = ..., role: _Optional[str] = ..., term: _Optional[int] = ..., leader: _Optional[int] = ..., last_log: _Optional[int] = ..., committed: _Optional[int] = ..., applied: _Optional[int] = ..., version: _Optional[str] = ..., feature_level: _Optional[int] = ..., disk_bytes: _Optional[int] = ..., uptime_seconds: _Optional[int] = ..., ready: bool = ..., not_ready_reason: _Optional[str] = ..., cluster_time_ms: _Optional[int] = ..., workers_attached: _Optional[int] = ..., kept_tasks: _Optional[int] = ..., kept_bytes: _Optional[int] = ..., closed_sessions: _Optional[int] = ..., closed_bytes: _Optional[int] = ..., kept_bytes_max: _Optional[int] = ..., flushed: _Optional[int] = ..., disk_free_bytes: _Optional[int] = ..., disk_total_bytes: _Optional[int] = ..., disk_floor_bytes: _Optional[int] = ..., feature_level_min: _Optional[int] = ..., feature_level_max: _Optional[int] = ...) -> None: ...

class StateDigestRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StateDigestReply(_message.Message):
    __slots__ = ("applied", "digest")
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    applied: int
    digest: str
    def __init__(self, applied: _Optional[int] = ..., digest: _Optional[str] = ...) -> None: ...

class CancelTaskRequest(_message.Message):
    __slots__ = ("session_id", "task_id")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    task_id: str
    def __init__(self, session_id: _Optional[str] = ..., task_id: _Optional[str] = ...) -> None: ...

class CancelTaskReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ForceCloseSessionRequest(_message.Message):
    __slots__ = ("session_id",)
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    session_id: str
    def __init__(self, session_id: _Optional[str] = ...) -> None: ...

class ForceCloseSessionReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TransferLeaderRequest(_message.Message):
    __slots__ = ("to",)
    TO_FIELD_NUMBER: _ClassVar[int]
    to: int
    def __init__(self, to: _Optional[int] = ...) -> None: ...

class TransferLeaderReply(_message.Message):
    __slots__ = ("leader",)
    LEADER_FIELD_NUMBER: _ClassVar[int]
    leader: int
    def __init__(self, leader: _Optional[int] = ...) -> None: ...

class UpgradeRequest(_message.Message):
    __slots__ = ("to", "dry_run")
    TO_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    to: int
    dry_run: bool
    def __init__(self, to: _Optional[int] = ..., dry_run: bool = ...) -> None: ...

class UpgradeReply(_message.Message):
    __slots__ = ("present", "to", "members", "refusal", "raised", "not_leader", "leader")
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    MEMBERS_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    RAISED_FIELD_NUMBER: _ClassVar[int]
    NOT_LEADER_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    present: int
    to: int
    members: _containers.RepeatedCompositeFieldContainer[MemberLevels]
    refusal: str
    raised: bool
    not_leader: bool
    leader: int
    def __init__(self, present: _Optional[int] = ..., to: _Optional[int] = ..., members: _Optional[_Iterable[_Union[MemberLevels, _Mapping]]] = ..., refusal: _Optional[str] = ..., raised: bool = ..., not_leader: bool = ..., leader: _Optional[int] = ...) -> None: ...

class MemberLevels(_message.Message):
    __slots__ = ("id", "voter", "lowest", "highest", "silent")
    ID_FIELD_NUMBER: _ClassVar[int]
    VOTER_FIELD_NUMBER: _ClassVar[int]
    LOWEST_FIELD_NUMBER: _ClassVar[int]
    HIGHEST_FIELD_NUMBER: _ClassVar[int]
    SILENT_FIELD_NUMBER: _ClassVar[int]
    id: int
    voter: bool
    lowest: int
    highest: int
    silent: str
    def __init__(self, id: _Optional[int] = ..., voter: bool = ..., lowest: _Optional[int] = ..., highest: _Optional[int] = ..., silent: _Optional[str] = ...) -> None: ...
