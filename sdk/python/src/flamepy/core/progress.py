"""The progress bar of `Session.map`: that of tqdm, when it is installed."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Optional, Type, Union

from .errors import FlameError, FlameErrorCode


class Progress:
    """`show`: False for none, True for a bar, a text for a bar with that text before it."""

    def __init__(self, show: Union[bool, str], total: Optional[int]) -> None:
        self._bar: Any = None
        if not show:
            return
        try:
            from tqdm.auto import tqdm
        except ImportError:
            raise FlameError(
                FlameErrorCode.INVALID_ARGUMENT,
                "a progress bar is asked for, and tqdm is not installed",
                remedy="pip install 'flamepy[progress]'",
            ) from None
        self._bar = tqdm(total=total, desc=show if isinstance(show, str) else None, unit="task")

    def add(self, count: int) -> None:
        if self._bar is not None and count:
            self._bar.update(count)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._bar is not None:
            self._bar.close()
