"""The text of a failed task."""

from __future__ import annotations

import pytest

from flamepy._remote import TEXT_BYTES_MAX, PlainFailure, cut, failure_text
from flamepy.core.errors import split_traceback


def raised(error: BaseException, depth: int = 0) -> BaseException:
    def deeper(left: int) -> None:
        if left:
            deeper(left - 1)
        raise error

    try:
        deeper(depth)
    except BaseException as caught:
        return caught
    raise AssertionError


def test_what_it_says_comes_first_and_its_place_behind() -> None:
    message, traceback = split_traceback(failure_text(raised(ValueError("no such page"))))
    assert message == "no such page"
    assert traceback is not None
    assert "in deeper" in traceback and traceback.rstrip().endswith("ValueError: no such page")


def test_a_deep_traceback_keeps_its_inner_end() -> None:
    def inner_most() -> None:
        raise KeyError("x" * 50)

    def deeper(left: int) -> None:
        # Different lines, so that Python does not fold them.
        if left % 2:
            deeper(left - 1)
            return
        if left:
            deeper(left - 1)
        inner_most()

    with pytest.raises(KeyError) as error:
        deeper(200)
    text = failure_text(error.value)
    assert len(text.encode()) <= TEXT_BYTES_MAX
    message, traceback = split_traceback(text)
    assert message == repr("x" * 50) and traceback is not None
    assert traceback.startswith("  …\n") and "in inner_most" in traceback


@pytest.mark.parametrize("length", [0, 1, 3000, 3900, 4000, 4095, 4096, 5000, 100_000])
def test_the_text_is_bounded_whatever_its_length(length: int) -> None:
    for letter in ("x", "ä", "\udcff"):
        text = failure_text(raised(RuntimeError(letter * length), depth=30))
        assert len(text.encode()) <= TEXT_BYTES_MAX
        shown = split_traceback(text)[0]
        whole = (letter * length).encode("utf-8", "replace").decode() or "RuntimeError"
        assert shown == whole or (shown.endswith("…") and whole.startswith(shown[:-1]))
        assert len(whole.encode()) > TEXT_BYTES_MAX or shown == whole


def test_causes_are_told() -> None:
    try:
        try:
            raise OSError("the disk")
        except OSError as cause:
            raise RuntimeError("cannot save") from cause
    except RuntimeError as error:
        message, traceback = split_traceback(failure_text(error))
    assert message == "cannot save"
    assert traceback is not None and "OSError: the disk" in traceback and "direct cause" in traceback


def test_odd_exceptions() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise ZeroDivisionError

    assert failure_text(raised(Broken())).startswith("Broken, whose text cannot be had: ZeroDivisionError")
    assert failure_text(raised(ValueError())).startswith("ValueError\n")
    assert failure_text(raised(PlainFailure("just that"))) == "just that"


def test_cut() -> None:
    assert cut("abc", 3) == "abc"
    assert cut("abcdefg", 6) == "abc…"
    assert cut("ääää", 6) == "ä…"
