"""Small helpers."""

from __future__ import annotations

import random
import string

__all__ = ["short_name"]

_ALPHABET = string.ascii_letters + string.digits
_RANDOM = random.SystemRandom()


def short_name(prefix: str, length: int = 6) -> str:
    """`prefix-XXXXXX`: a name that nobody else draws."""
    return f"{prefix}-{''.join(_RANDOM.choices(_ALPHABET, k=length))}"
