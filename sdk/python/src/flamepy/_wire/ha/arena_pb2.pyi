from flamepy._wire.ha import objects_pb2 as _objects_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ArenaRequest(_message.Message):
    __slots__ = ("released", "hello", "create", "seal", "get")
    RELEASED_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    CREATE_FIELD_NUMBER: _ClassVar[int]
    SEAL_FIELD_NUMBER: _ClassVar[int]
    GET_FIELD_NUMBER: _ClassVar[int]
    released: _containers.RepeatedScalarFieldContainer[int]
    hello: ArenaHello
    create: ArenaCreate
    seal: ArenaSeal
    get: ArenaGet
    def __init__(self, released: _Optional[_Iterable[int]] = ..., hello: _Optional[_Union[ArenaHello, _Mapping]] = ..., create: _Optional[_Union[ArenaCreate, _Mapping]] = ..., seal: _Optional[_Union[ArenaSeal, _Mapping]] = ..., get: _Optional[_Union[ArenaGet, _Mapping]] = ...) -> None: ...

class ArenaReply(_message.Message):
    __slots__ = ("welcome", "room", "sealed", "object", "elsewhere", "error")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    SEALED_FIELD_NUMBER: _ClassVar[int]
    OBJECT_FIELD_NUMBER: _ClassVar[int]
    ELSEWHERE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    welcome: ArenaWelcome
    room: ArenaRoom
    sealed: _objects_pb2.ObjectInfo
    object: ArenaObject
    elsewhere: ArenaElsewhere
    error: ArenaError
    def __init__(self, welcome: _Optional[_Union[ArenaWelcome, _Mapping]] = ..., room: _Optional[_Union[ArenaRoom, _Mapping]] = ..., sealed: _Optional[_Union[_objects_pb2.ObjectInfo, _Mapping]] = ..., object: _Optional[_Union[ArenaObject, _Mapping]] = ..., elsewhere: _Optional[_Union[ArenaElsewhere, _Mapping]] = ..., error: _Optional[_Union[ArenaError, _Mapping]] = ...) -> None: ...

class ArenaHello(_message.Message):
    __slots__ = ("token",)
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    token: str
    def __init__(self, token: _Optional[str] = ...) -> None: ...

class ArenaWelcome(_message.Message):
    __slots__ = ("bytes",)
    BYTES_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    def __init__(self, bytes: _Optional[int] = ...) -> None: ...

class ArenaCreate(_message.Message):
    __slots__ = ("size",)
    SIZE_FIELD_NUMBER: _ClassVar[int]
    size: int
    def __init__(self, size: _Optional[int] = ...) -> None: ...

class ArenaRoom(_message.Message):
    __slots__ = ("id", "offset")
    ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    id: int
    offset: int
    def __init__(self, id: _Optional[int] = ..., offset: _Optional[int] = ...) -> None: ...

class ArenaSeal(_message.Message):
    __slots__ = ("header", "room", "data")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    ROOM_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    header: _objects_pb2.PutObjectHeader
    room: int
    data: bytes
    def __init__(self, header: _Optional[_Union[_objects_pb2.PutObjectHeader, _Mapping]] = ..., room: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class ArenaGet(_message.Message):
    __slots__ = ("key", "version")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    key: str
    version: int
    def __init__(self, key: _Optional[str] = ..., version: _Optional[int] = ...) -> None: ...

class ArenaObject(_message.Message):
    __slots__ = ("header", "parts", "pin")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    PIN_FIELD_NUMBER: _ClassVar[int]
    header: _objects_pb2.ObjectHeader
    parts: _containers.RepeatedCompositeFieldContainer[ArenaPart]
    pin: int
    def __init__(self, header: _Optional[_Union[_objects_pb2.ObjectHeader, _Mapping]] = ..., parts: _Optional[_Iterable[_Union[ArenaPart, _Mapping]]] = ..., pin: _Optional[int] = ...) -> None: ...

class ArenaPart(_message.Message):
    __slots__ = ("version", "size", "offset", "data")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    version: int
    size: int
    offset: int
    data: bytes
    def __init__(self, version: _Optional[int] = ..., size: _Optional[int] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class ArenaElsewhere(_message.Message):
    __slots__ = ("reason",)
    REASON_FIELD_NUMBER: _ClassVar[int]
    reason: str
    def __init__(self, reason: _Optional[str] = ...) -> None: ...

class ArenaError(_message.Message):
    __slots__ = ("code", "message")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ...) -> None: ...
