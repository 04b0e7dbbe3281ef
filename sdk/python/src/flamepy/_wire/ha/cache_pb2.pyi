from flamepy._wire.ha import worker_pb2 as _worker_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CacheUp(_message.Message):
    __slots__ = ("hello", "inventory", "report", "heartbeat", "stopping", "goodbye")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    INVENTORY_FIELD_NUMBER: _ClassVar[int]
    REPORT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    STOPPING_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    hello: CacheHello
    inventory: CacheInventory
    report: ObjectReport
    heartbeat: _worker_pb2.Heartbeat
    stopping: _worker_pb2.Stopping
    goodbye: _worker_pb2.Goodbye
    def __init__(self, hello: _Optional[_Union[CacheHello, _Mapping]] = ..., inventory: _Optional[_Union[CacheInventory, _Mapping]] = ..., report: _Optional[_Union[ObjectReport, _Mapping]] = ..., heartbeat: _Optional[_Union[_worker_pb2.Heartbeat, _Mapping]] = ..., stopping: _Optional[_Union[_worker_pb2.Stopping, _Mapping]] = ..., goodbye: _Optional[_Union[_worker_pb2.Goodbye, _Mapping]] = ...) -> None: ...

class CacheHello(_message.Message):
    __slots__ = ("feature_level", "cluster_id", "cache", "started_ms", "nonce", "hello", "host", "endpoint", "memory_bytes", "disk_bytes")
    FEATURE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    CACHE_FIELD_NUMBER: _ClassVar[int]
    STARTED_MS_FIELD_NUMBER: _ClassVar[int]
    NONCE_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    HOST_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    feature_level: int
    cluster_id: str
    cache: str
    started_ms: int
    nonce: int
    hello: int
    host: _worker_pb2.Host
    endpoint: str
    memory_bytes: int
    disk_bytes: int
    def __init__(self, feature_level: _Optional[int] = ..., cluster_id: _Optional[str] = ..., cache: _Optional[str] = ..., started_ms: _Optional[int] = ..., nonce: _Optional[int] = ..., hello: _Optional[int] = ..., host: _Optional[_Union[_worker_pb2.Host, _Mapping]] = ..., endpoint: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., disk_bytes: _Optional[int] = ...) -> None: ...

class CacheInventory(_message.Message):
    __slots__ = ("number", "held", "last")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    number: int
    held: _containers.RepeatedCompositeFieldContainer[HeldObject]
    last: bool
    def __init__(self, number: _Optional[int] = ..., held: _Optional[_Iterable[_Union[HeldObject, _Mapping]]] = ..., last: bool = ...) -> None: ...

class ObjectReport(_message.Message):
    __slots__ = ("number", "held", "gone")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    HELD_FIELD_NUMBER: _ClassVar[int]
    GONE_FIELD_NUMBER: _ClassVar[int]
    number: int
    held: _containers.RepeatedCompositeFieldContainer[HeldObject]
    gone: _containers.RepeatedCompositeFieldContainer[ObjectVersion]
    def __init__(self, number: _Optional[int] = ..., held: _Optional[_Iterable[_Union[HeldObject, _Mapping]]] = ..., gone: _Optional[_Iterable[_Union[ObjectVersion, _Mapping]]] = ...) -> None: ...

class HeldObject(_message.Message):
    __slots__ = ("key", "version", "size", "data_type", "created_ms", "recorded", "acknowledged", "copies")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DATA_TYPE_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    key: str
    version: int
    size: int
    data_type: str
    created_ms: int
    recorded: int
    acknowledged: bool
    copies: int
    def __init__(self, key: _Optional[str] = ..., version: _Optional[int] = ..., size: _Optional[int] = ..., data_type: _Optional[str] = ..., created_ms: _Optional[int] = ..., recorded: _Optional[int] = ..., acknowledged: bool = ..., copies: _Optional[int] = ...) -> None: ...

class ObjectVersion(_message.Message):
    __slots__ = ("key", "version")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    key: str
    version: int
    def __init__(self, key: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class CacheDown(_message.Message):
    __slots__ = ("welcome", "refused", "not_leader", "recorded", "drop", "fetch", "copied", "quota", "lease_ack")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    NOT_LEADER_FIELD_NUMBER: _ClassVar[int]
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    DROP_FIELD_NUMBER: _ClassVar[int]
    FETCH_FIELD_NUMBER: _ClassVar[int]
    COPIED_FIELD_NUMBER: _ClassVar[int]
    QUOTA_FIELD_NUMBER: _ClassVar[int]
    LEASE_ACK_FIELD_NUMBER: _ClassVar[int]
    welcome: CacheWelcome
    refused: _worker_pb2.Refused
    not_leader: _worker_pb2.NotLeader
    recorded: ObjectsRecorded
    drop: DropObjects
    fetch: FetchObjects
    copied: ObjectCopied
    quota: ObjectQuota
    lease_ack: _worker_pb2.LeaseAck
    def __init__(self, welcome: _Optional[_Union[CacheWelcome, _Mapping]] = ..., refused: _Optional[_Union[_worker_pb2.Refused, _Mapping]] = ..., not_leader: _Optional[_Union[_worker_pb2.NotLeader, _Mapping]] = ..., recorded: _Optional[_Union[ObjectsRecorded, _Mapping]] = ..., drop: _Optional[_Union[DropObjects, _Mapping]] = ..., fetch: _Optional[_Union[FetchObjects, _Mapping]] = ..., copied: _Optional[_Union[ObjectCopied, _Mapping]] = ..., quota: _Optional[_Union[ObjectQuota, _Mapping]] = ..., lease_ack: _Optional[_Union[_worker_pb2.LeaseAck, _Mapping]] = ...) -> None: ...

class CacheWelcome(_message.Message):
    __slots__ = ("feature_level", "cluster_id", "epoch", "endpoints", "client_endpoints", "term", "lease_ms", "detached_lease_ms", "generation", "full")
    FEATURE_LEVEL_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_ID_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    CLIENT_ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    DETACHED_LEASE_MS_FIELD_NUMBER: _ClassVar[int]
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    FULL_FIELD_NUMBER: _ClassVar[int]
    feature_level: int
    cluster_id: str
    epoch: int
    endpoints: _containers.RepeatedScalarFieldContainer[str]
    client_endpoints: _containers.RepeatedScalarFieldContainer[str]
    term: int
    lease_ms: int
    detached_lease_ms: int
    generation: int
    full: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, feature_level: _Optional[int] = ..., cluster_id: _Optional[str] = ..., epoch: _Optional[int] = ..., endpoints: _Optional[_Iterable[str]] = ..., client_endpoints: _Optional[_Iterable[str]] = ..., term: _Optional[int] = ..., lease_ms: _Optional[int] = ..., detached_lease_ms: _Optional[int] = ..., generation: _Optional[int] = ..., full: _Optional[_Iterable[str]] = ...) -> None: ...

class ObjectsRecorded(_message.Message):
    __slots__ = ("number", "refused")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    number: int
    refused: _containers.RepeatedCompositeFieldContainer[ObjectRefused]
    def __init__(self, number: _Optional[int] = ..., refused: _Optional[_Iterable[_Union[ObjectRefused, _Mapping]]] = ...) -> None: ...

class ObjectRefused(_message.Message):
    __slots__ = ("at", "reason", "message", "present")
    class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        REASON_UNSPECIFIED: _ClassVar[ObjectRefused.Reason]
        DELETED: _ClassVar[ObjectRefused.Reason]
        STALE: _ClassVar[ObjectRefused.Reason]
        SURPLUS: _ClassVar[ObjectRefused.Reason]
        QUOTA: _ClassVar[ObjectRefused.Reason]
        LIMIT: _ClassVar[ObjectRefused.Reason]
        DISK_SHORT: _ClassVar[ObjectRefused.Reason]
        INVALID: _ClassVar[ObjectRefused.Reason]
    REASON_UNSPECIFIED: ObjectRefused.Reason
    DELETED: ObjectRefused.Reason
    STALE: ObjectRefused.Reason
    SURPLUS: ObjectRefused.Reason
    QUOTA: ObjectRefused.Reason
    LIMIT: ObjectRefused.Reason
    DISK_SHORT: ObjectRefused.Reason
    INVALID: ObjectRefused.Reason
    AT_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    at: int
    reason: ObjectRefused.Reason
    message: str
    present: int
    def __init__(self, at: _Optional[int] = ..., reason: _Optional[_Union[ObjectRefused.Reason, str]] = ..., message: _Optional[str] = ..., present: _Optional[int] = ...) -> None: ...

class DropObjects(_message.Message):
    __slots__ = ("objects",)
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    objects: _containers.RepeatedCompositeFieldContainer[ObjectVersion]
    def __init__(self, objects: _Optional[_Iterable[_Union[ObjectVersion, _Mapping]]] = ...) -> None: ...

class FetchObjects(_message.Message):
    __slots__ = ("objects",)
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    objects: _containers.RepeatedCompositeFieldContainer[FetchOrder]
    def __init__(self, objects: _Optional[_Iterable[_Union[FetchOrder, _Mapping]]] = ...) -> None: ...

class FetchOrder(_message.Message):
    __slots__ = ("key", "version", "size")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    key: str
    version: int
    size: int
    def __init__(self, key: _Optional[str] = ..., version: _Optional[int] = ..., size: _Optional[int] = ..., **kwargs) -> None: ...

class ObjectCopied(_message.Message):
    __slots__ = ("key", "version", "copies")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    key: str
    version: int
    copies: int
    def __init__(self, key: _Optional[str] = ..., version: _Optional[int] = ..., copies: _Optional[int] = ...) -> None: ...

class ObjectQuota(_message.Message):
    __slots__ = ("application", "full")
    APPLICATION_FIELD_NUMBER: _ClassVar[int]
    FULL_FIELD_NUMBER: _ClassVar[int]
    application: str
    full: bool
    def __init__(self, application: _Optional[str] = ..., full: bool = ...) -> None: ...

class LocateObjectRequest(_message.Message):
    __slots__ = ("key",)
    KEY_FIELD_NUMBER: _ClassVar[int]
    key: str
    def __init__(self, key: _Optional[str] = ...) -> None: ...

class DirectoryEntry(_message.Message):
    __slots__ = ("key", "version", "size", "data_type", "created_ms", "copies", "places")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DATA_TYPE_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    COPIES_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    key: str
    version: int
    size: int
    data_type: str
    created_ms: int
    copies: int
    places: _containers.RepeatedCompositeFieldContainer[ObjectPlace]
    def __init__(self, key: _Optional[str] = ..., version: _Optional[int] = ..., size: _Optional[int] = ..., data_type: _Optional[str] = ..., created_ms: _Optional[int] = ..., copies: _Optional[int] = ..., places: _Optional[_Iterable[_Union[ObjectPlace, _Mapping]]] = ...) -> None: ...

class ObjectPlace(_message.Message):
    __slots__ = ("cache", "endpoint", "attached", "away")
    CACHE_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    AWAY_FIELD_NUMBER: _ClassVar[int]
    cache: str
    endpoint: str
    attached: bool
    away: bool
    def __init__(self, cache: _Optional[str] = ..., endpoint: _Optional[str] = ..., attached: bool = ..., away: bool = ...) -> None: ...

class ListDirectoryRequest(_message.Message):
    __slots__ = ("target", "after", "limit")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    target: str
    after: str
    limit: int
    def __init__(self, target: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListDirectoryReply(_message.Message):
    __slots__ = ("entries", "next")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[DirectoryEntry]
    next: str
    def __init__(self, entries: _Optional[_Iterable[_Union[DirectoryEntry, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class DeleteEntriesRequest(_message.Message):
    __slots__ = ("target",)
    TARGET_FIELD_NUMBER: _ClassVar[int]
    target: str
    def __init__(self, target: _Optional[str] = ...) -> None: ...

class DeleteEntriesReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CacheNodesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class CacheNodesReply(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[CacheNode]
    def __init__(self, nodes: _Optional[_Iterable[_Union[CacheNode, _Mapping]]] = ...) -> None: ...

class CacheNode(_message.Message):
    __slots__ = ("name", "endpoint", "hostname", "attached", "away", "objects", "bytes", "memory_bytes", "disk_bytes", "last_hello")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    AWAY_FIELD_NUMBER: _ClassVar[int]
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAST_HELLO_FIELD_NUMBER: _ClassVar[int]
    name: str
    endpoint: str
    hostname: str
    attached: bool
    away: bool
    objects: int
    bytes: int
    memory_bytes: int
    disk_bytes: int
    last_hello: int
    def __init__(self, name: _Optional[str] = ..., endpoint: _Optional[str] = ..., hostname: _Optional[str] = ..., attached: bool = ..., away: bool = ..., objects: _Optional[int] = ..., bytes: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., disk_bytes: _Optional[int] = ..., last_hello: _Optional[int] = ...) -> None: ...

class RemoveCacheRequest(_message.Message):
    __slots__ = ("cache",)
    CACHE_FIELD_NUMBER: _ClassVar[int]
    cache: str
    def __init__(self, cache: _Optional[str] = ...) -> None: ...

class RemoveCacheReply(_message.Message):
    __slots__ = ("left",)
    LEFT_FIELD_NUMBER: _ClassVar[int]
    left: int
    def __init__(self, left: _Optional[int] = ...) -> None: ...
