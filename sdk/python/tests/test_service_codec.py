"""Values to bytes and back, and what is said of those that do not fit."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

import pydantic
import pytest

from flamepy import codec
from flamepy.codec import JSON, MESSAGE_PACK, PICKLE, CodecError


class Page(pydantic.BaseModel):
    url: str
    depth: int = 0


@dataclasses.dataclass
class Part:
    raw: bytes
    size: int


@dataclasses.dataclass
class Whole:
    part: Part
    name: str


WHOLE = Whole(Part(b"\x00\xff", 2), "w")

VALUES = [
    (Page(url="http://x", depth=2), Page),
    (WHOLE, Whole),
    ([WHOLE, WHOLE], List[Whole]),
    ({"a": [1, 2.5, None, True]}, Dict[str, Any]),
    ("text", str),
    (7, int),
    (None, Optional[Page]),
    (b"\xff\x00", bytes),
]


@pytest.mark.parametrize("one", [JSON, MESSAGE_PACK, PICKLE], ids=lambda one: one.name)
@pytest.mark.parametrize(("value", "kind"), VALUES, ids=lambda value: str(value)[:20])
def test_what_is_written_is_read(one: codec.Codec, value: object, kind: Any) -> None:
    assert one.decode(one.encode(value, kind), kind) == value


def test_json_is_plain_json() -> None:
    assert json.loads(JSON.encode(Page(url="u"))) == {"url": "u", "depth": 0}
    assert json.loads(JSON.encode(WHOLE)) == {"part": {"raw": "AP8=", "size": 2}, "name": "w"}
    assert JSON.encode("hi") == b'"hi"'


def test_json_is_read_without_a_type() -> None:
    assert JSON.decode(b'{"a":[1,null]}') == {"a": [1, None]}


def test_a_misfit_names_the_field_and_what_came() -> None:
    with pytest.raises(CodecError) as refused:
        JSON.decode(b'{"url": 7, "depth": "deep"}', Page)
    text = str(refused.value)
    assert "not a valid Page" in text
    assert "url: should be a valid string, got 7 (int)" in text
    assert "depth: should be a valid integer" in text and "got 'deep' (str)" in text
    with pytest.raises(CodecError, match="url: is missing"):
        JSON.decode(b"{}", Page)
    with pytest.raises(CodecError, match=r"part\.size: .*got 'x' \(str\)"):
        JSON.decode(b'{"part":{"raw":"AA==","size":"x"},"name":"n"}', Whole)


def test_rubbish_is_told_by_its_size_and_large_values_are_cut() -> None:
    with pytest.raises(CodecError, match="5 bytes that are not JSON"):
        JSON.decode(b"hello", Page)
    with pytest.raises(CodecError, match="2 bytes that are not MessagePack"):
        MESSAGE_PACK.decode(b"\x92\x01", Page)
    with pytest.raises(CodecError, match="3 bytes that cannot be unpickled"):
        PICKLE.decode(b"abc")
    with pytest.raises(CodecError) as refused:
        JSON.decode(json.dumps({"url": list(range(10_000))}).encode(), Page)
    assert len(str(refused.value)) < 300


def test_null_is_a_value_only_of_an_optional() -> None:
    with pytest.raises(CodecError, match="expected Page, got null"):
        JSON.decode(b"null", Page)
    assert JSON.decode(b"null", Optional[Page]) is None
    assert JSON.decode(b"null") is None


def test_what_is_not_what_it_is_declared_to_be_is_not_written() -> None:
    with pytest.raises(CodecError, match="str cannot be encoded as Page in JSON"):
        JSON.encode("page", Page)
    with pytest.raises(CodecError, match=r"Whole cannot be encoded as Whole in JSON: .*Expected `str`"):
        JSON.encode(Whole(Part(b"", 0), 7), Whole)  # type: ignore[arg-type]
    with pytest.raises(CodecError, match="cannot be encoded in JSON"):
        JSON.encode(object())
    with pytest.raises(CodecError, match="expected Page, got 7"):
        PICKLE.decode(PICKLE.encode(7), Page)


def test_inputs_and_outputs() -> None:
    assert codec.encode_input(None) is None
    assert codec.encode_input(b"raw") == b"raw"
    assert codec.encode_input(bytearray(b"raw")) == b"raw"
    assert codec.encode_input(Page(url="u")) == b'{"url":"u","depth":0}'
    assert codec.decode_output(None, Page) is None
    assert codec.decode_output(b"raw") == b"raw"
    assert codec.decode_output(b'{"url":"u"}', Page) == Page(url="u")


def test_a_codec_whose_package_is_missing_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "msgpack", None)
    for use in (lambda: MESSAGE_PACK.encode(1), lambda: MESSAGE_PACK.decode(b"\x01")):
        with pytest.raises(CodecError, match=r"pip install 'flamepy\[msgpack\]'"):
            use()


def test_what_few_need_is_imported_when_it_is_needed() -> None:
    """A service of bytes starts without pydantic, cloudpickle and msgpack."""
    code = (
        "import flamepy, sys; print([name for name in ('pydantic', 'cloudpickle', 'msgpack') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(codec.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
