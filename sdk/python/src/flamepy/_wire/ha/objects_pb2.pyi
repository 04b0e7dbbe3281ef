from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Extent(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXTENT_UNSPECIFIED: _ClassVar[Extent]
    EXTENT_FULL: _ClassVar[Extent]
    EXTENT_PATCHES: _ClassVar[Extent]
    EXTENT_NOT_MODIFIED: _ClassVar[Extent]

class IfExists(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    IF_EXISTS_UNSPECIFIED: _ClassVar[IfExists]
    IF_EXISTS_REPLACE: _ClassVar[IfExists]
    IF_EXISTS_REFUSE: _ClassVar[IfExists]
    IF_EXISTS_EXPECT: _ClassVar[IfExists]
EXTENT_UNSPECIFIED: Extent
EXTENT_FULL: Extent
EXTENT_PATCHES: Extent
EXTENT_NOT_MODIFIED: Extent
IF_EXISTS_UNSPECIFIED: IfExists
IF_EXISTS_REPLACE: IfExists
IF_EXISTS_REFUSE: IfExists
IF_EXISTS_EXPECT: IfExists

class ObjectInfo(_message.Message):
    __slots__ = ("endpoint", "key", "version", "base_version", "size", "data_type", "creation_time_ms", "parts", "native")
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    BASE_VERSION_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    DATA_TYPE_FIELD_NUMBER: _ClassVar[int]
    CREATION_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    NATIVE_FIELD_NUMBER: _ClassVar[int]
    endpoint: str
    key: str
    version: int
    base_version: int
    size: int
    data_type: str
    creation_time_ms: int
    parts: int
    native: bool
    def __init__(self, endpoint: _Optional[str] = ..., key: _Optional[str] = ..., version: _Optional[int] = ..., base_version: _Optional[int] = ..., size: _Optional[int] = ..., data_type: _Optional[str] = ..., creation_time_ms: _Optional[int] = ..., parts: _Optional[int] = ..., native: bool = ...) -> None: ...

class FetchObjectRequest(_message.Message):
    __slots__ = ("key", "version", "local_only")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ONLY_FIELD_NUMBER: _ClassVar[int]
    key: str
    version: int
    local_only: bool
    def __init__(self, key: _Optional[str] = ..., version: _Optional[int] = ..., local_only: bool = ...) -> None: ...

class ObjectFrame(_message.Message):
    __slots__ = ("header", "piece")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PIECE_FIELD_NUMBER: _ClassVar[int]
    header: ObjectHeader
    piece: ObjectPiece
    def __init__(self, header: _Optional[_Union[ObjectHeader, _Mapping]] = ..., piece: _Optional[_Union[ObjectPiece, _Mapping]] = ...) -> None: ...

class ObjectHeader(_message.Message):
    __slots__ = ("info", "extent")
    INFO_FIELD_NUMBER: _ClassVar[int]
    EXTENT_FIELD_NUMBER: _ClassVar[int]
    info: ObjectInfo
    extent: Extent
    def __init__(self, info: _Optional[_Union[ObjectInfo, _Mapping]] = ..., extent: _Optional[_Union[Extent, str]] = ...) -> None: ...

class ObjectPiece(_message.Message):
    __slots__ = ("number", "head", "data")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    HEAD_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    number: int
    head: bytes
    data: bytes
    def __init__(self, number: _Optional[int] = ..., head: _Optional[bytes] = ..., data: _Optional[bytes] = ...) -> None: ...

class PutObjectFrame(_message.Message):
    __slots__ = ("header", "data", "message")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    header: PutObjectHeader
    data: bytes
    message: ArrowMessage
    def __init__(self, header: _Optional[_Union[PutObjectHeader, _Mapping]] = ..., data: _Optional[bytes] = ..., message: _Optional[_Union[ArrowMessage, _Mapping]] = ...) -> None: ...

class PutObjectHeader(_message.Message):
    __slots__ = ("key", "data_type", "native", "if_exists", "expected_version", "local_only")
    KEY_FIELD_NUMBER: _ClassVar[int]
    DATA_TYPE_FIELD_NUMBER: _ClassVar[int]
    NATIVE_FIELD_NUMBER: _ClassVar[int]
    IF_EXISTS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_VERSION_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ONLY_FIELD_NUMBER: _ClassVar[int]
    key: str
    data_type: str
    native: bool
    if_exists: IfExists
    expected_version: int
    local_only: bool
    def __init__(self, key: _Optional[str] = ..., data_type: _Optional[str] = ..., native: bool = ..., if_exists: _Optional[_Union[IfExists, str]] = ..., expected_version: _Optional[int] = ..., local_only: bool = ...) -> None: ...

class ArrowMessage(_message.Message):
    __slots__ = ("head", "body")
    HEAD_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    head: bytes
    body: bytes
    def __init__(self, head: _Optional[bytes] = ..., body: _Optional[bytes] = ...) -> None: ...

class DeleteObjectsRequest(_message.Message):
    __slots__ = ("target",)
    TARGET_FIELD_NUMBER: _ClassVar[int]
    target: str
    def __init__(self, target: _Optional[str] = ...) -> None: ...

class DeleteObjectsReply(_message.Message):
    __slots__ = ("deleted",)
    DELETED_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    def __init__(self, deleted: _Optional[int] = ...) -> None: ...

class ListObjectsRequest(_message.Message):
    __slots__ = ("target", "after", "limit")
    TARGET_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    target: str
    after: str
    limit: int
    def __init__(self, target: _Optional[str] = ..., after: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ListObjectsReply(_message.Message):
    __slots__ = ("objects", "more")
    OBJECTS_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    objects: _containers.RepeatedCompositeFieldContainer[ObjectInfo]
    more: bool
    def __init__(self, objects: _Optional[_Iterable[_Union[ObjectInfo, _Mapping]]] = ..., more: bool = ...) -> None: ...

class ObjectMetadataRequest(_message.Message):
    __slots__ = ("key", "local_only")
    KEY_FIELD_NUMBER: _ClassVar[int]
    LOCAL_ONLY_FIELD_NUMBER: _ClassVar[int]
    key: str
    local_only: bool
    def __init__(self, key: _Optional[str] = ..., local_only: bool = ...) -> None: ...

class ObjectNodesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ObjectNodesReply(_message.Message):
    __slots__ = ("nodes",)
    NODES_FIELD_NUMBER: _ClassVar[int]
    nodes: _containers.RepeatedCompositeFieldContainer[ObjectNode]
    def __init__(self, nodes: _Optional[_Iterable[_Union[ObjectNode, _Mapping]]] = ...) -> None: ...

class ObjectNode(_message.Message):
    __slots__ = ("name", "endpoint")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ENDPOINT_FIELD_NUMBER: _ClassVar[int]
    name: str
    endpoint: str
    def __init__(self, name: _Optional[str] = ..., endpoint: _Optional[str] = ...) -> None: ...

class LocalObjectsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class LocalObjectsReply(_message.Message):
    __slots__ = ("socket", "token")
    SOCKET_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    socket: str
    token: str
    def __init__(self, socket: _Optional[str] = ..., token: _Optional[str] = ...) -> None: ...
