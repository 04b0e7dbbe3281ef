"""What the inputs and outputs of a session are: bytes as published, or typed values by a codec.

Invariant: nothing is pickled or unpickled unless the program chose the codec `pickle`.
"""

from __future__ import annotations

from typing import Any, Optional, Union

from .convert import invalid, payload
from .errors import FlameError, FlameErrorCode
from .future import Decode


class Payloads:
    """`codec`: json, msgpack, pickle or an object of `flamepy.codec`; None: only bytes. `output`: the type of outputs;
    None: bytes, or with a codec whatever it makes of them."""

    __slots__ = ("codec", "decode", "output")

    def __init__(self, codec: Any = None, output: Any = None) -> None:
        self.codec = _codec(codec)
        if self.codec is None and output is not None:
            self.codec = _codec("json")
        self.output = Any if output is None and codec is not None else output
        self.decode: Optional[Decode] = None if self.output is None else self._decode

    def encode(self, value: Any) -> Optional[bytes]:
        if value is None or type(value) is bytes or self.codec is None:
            return payload(value)
        if not isinstance(value, (bytearray, memoryview)):
            value = encoded(value, self.codec, "the task input")
        return payload(value)

    def _decode(self, data: Optional[bytes]) -> Any:
        from ..codec import CodecError, decode_output

        try:
            return decode_output(data, self.output, self.codec)
        except CodecError as error:
            raise FlameError(
                FlameErrorCode.INVALID_ARGUMENT,
                f"the output of the task cannot be decoded: {error}",
                remedy="use the codec and the type that the service uses, or no codec to get the bytes",
            ) from error


def encoded(value: Any, codec: Any, what: str) -> bytes:
    """The bytes of a value, by a codec."""
    from ..codec import CodecError

    try:
        data: bytes = codec.encode(value)
    except CodecError as error:
        raise invalid(f"{what} cannot be encoded: {error}", "send something else, or choose another codec") from error
    return data


def _codec(chosen: Union[str, Any, None]) -> Any:
    if chosen is None:
        return None
    from .. import codec

    if not isinstance(chosen, str):
        if not (hasattr(chosen, "encode") and hasattr(chosen, "decode")):
            raise invalid(f"{chosen!r} is no codec: it has no encode and decode")
        return chosen
    known = {"json": codec.JSON, "msgpack": codec.MESSAGE_PACK, "pickle": codec.PICKLE}
    found = known.get(chosen.lower())
    if found is None:
        raise invalid(f"{chosen!r} is no codec", f"choose one of {', '.join(sorted(known))}")
    return found
