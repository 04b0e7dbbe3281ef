"""What became of one attempt of a call, and the error that a caller sees.

Invariant: only three things prove that nothing was done and that another attempt may fare better: the connection never
came up, or the server itself said UNAVAILABLE, or it said RESOURCE_EXHAUSTED together with a time after which to come
back. RESOURCE_EXHAUSTED without such a time is a limit, which another attempt meets as well. Everything else that is no
answer is lost.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Dict, NamedTuple, Optional, Union

from .._grpc import grpc
from ..core.errors import FlameError, FlameErrorCode
from .requests import REQUEST_SEEN

_WAIT_MAX = 5.0
_PUSHBACK = "grpc-retry-pushback-ms"

# How the core says that there was no connection that anything could have been sent on.
_NEVER_UP = ("failed to connect to all addresses", "errors resolving ", "DNS resolution failed", "empty address list")
_BAD_CERTIFICATE = ("handshake failed", "CERTIFICATE_VERIFY_FAILED", "Peer name", "WRONG_VERSION_NUMBER", "TLS")


class Kind(Enum):
    ANSWERED = 1
    """The server decided against it."""
    NOT_DONE = 2
    """Nothing was done: another attempt is safe."""
    LOST = 3
    """It may have been done."""


class Fate(NamedTuple):
    kind: Kind
    why: str
    code: grpc.StatusCode
    wait: float = 0.0
    """No attempt before this has passed."""
    is_busy: bool = False
    """It is there, and has too much to do."""
    is_hopeless: bool = False
    """Of this coordinator: its certificate, or ours, will not get better."""
    number: int = 0
    """It cannot tell any more whether the change was done; the number to begin anew with."""


def fate_of(error: grpc.aio.AioRpcError) -> Fate:
    code, why = error.code(), error.details() or ""
    asked = _asked_to_wait(error)
    if code == grpc.StatusCode.UNAVAILABLE:
        if any(mark in why for mark in _NEVER_UP):
            return Fate(Kind.NOT_DONE, why, code, is_hopeless=any(mark in why for mark in _BAD_CERTIFICATE))
        # What the server says comes with headers of its own; what the core makes up does not.
        said = bool(error.trailing_metadata()) or bool(error.initial_metadata())
        return Fate(Kind.NOT_DONE if said else Kind.LOST, why, code, asked or 0.0)
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED and asked is not None:
        return Fate(Kind.NOT_DONE, why, code, asked, is_busy=True)
    if code in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED):
        return Fate(Kind.LOST, why or code.name, code)
    number = _trailer(error, REQUEST_SEEN) if code == grpc.StatusCode.ABORTED else None
    return Fate(Kind.ANSWERED, why or code.name, code, number=number or 0)


def _asked_to_wait(error: grpc.aio.AioRpcError) -> Optional[float]:
    milliseconds = _trailer(error, _PUSHBACK)
    return None if milliseconds is None else min(max(milliseconds / 1000, 0.0), _WAIT_MAX)


def _trailer(error: grpc.aio.AioRpcError, name: str) -> Optional[int]:
    """A number that came with the status."""
    for key, value in error.trailing_metadata() or ():
        if key == name:
            try:
                return int(value)
            except ValueError:
                return None
    return None


@cache
def _codes() -> Dict[grpc.StatusCode, FlameErrorCode]:
    return {
        grpc.StatusCode.CANCELLED: FlameErrorCode.CANCELLED,
        grpc.StatusCode.UNKNOWN: FlameErrorCode.INTERNAL,
        grpc.StatusCode.INVALID_ARGUMENT: FlameErrorCode.INVALID_ARGUMENT,
        grpc.StatusCode.DEADLINE_EXCEEDED: FlameErrorCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.NOT_FOUND: FlameErrorCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS: FlameErrorCode.ALREADY_EXISTS,
        grpc.StatusCode.PERMISSION_DENIED: FlameErrorCode.PERMISSION_DENIED,
        grpc.StatusCode.UNAUTHENTICATED: FlameErrorCode.UNAUTHENTICATED,
        grpc.StatusCode.RESOURCE_EXHAUSTED: FlameErrorCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.FAILED_PRECONDITION: FlameErrorCode.INVALID_STATE,
        grpc.StatusCode.ABORTED: FlameErrorCode.ABORTED,
        grpc.StatusCode.UNIMPLEMENTED: FlameErrorCode.UNIMPLEMENTED,
        grpc.StatusCode.OUT_OF_RANGE: FlameErrorCode.OUT_OF_RANGE,
        grpc.StatusCode.INTERNAL: FlameErrorCode.INTERNAL,
        grpc.StatusCode.UNAVAILABLE: FlameErrorCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS: FlameErrorCode.DATA_LOSS,
    }


# The published protocol uses INVALID_ARGUMENT and INTERNAL for some refusals that depend on a state.
_ABOUT_A_STATE = ("running tasks", "is not open", "open session", "Cannot delete open", "is disabled")

# Opening a session that is closed is INVALID_ARGUMENT there, and not about a state.
_AS_PUBLISHED = "open session"

_REMEDIES = {
    FlameErrorCode.UNIMPLEMENTED: "the server is older than this client: upgrade it",
    FlameErrorCode.UNAUTHENTICATED: "give this client a certificate (FLAME_CERT_FILE, FLAME_KEY_FILE)",
}


def error_of_status(code: Union[grpc.StatusCode, int], text: str, doing: str) -> FlameError:
    """The error of a refusal."""
    if isinstance(code, int):
        code = next((one for one in grpc.StatusCode if one.value[0] == code), grpc.StatusCode.UNKNOWN)
    found = _codes().get(code, FlameErrorCode.INTERNAL)
    # Programs for the published package know one of these by its code.
    is_vague = found in (FlameErrorCode.INVALID_ARGUMENT, FlameErrorCode.INTERNAL)
    if is_vague and doing != _AS_PUBLISHED and _is_about_a_state(text):
        found = FlameErrorCode.INVALID_STATE
    return FlameError(found, f"failed to {doing}: {text}", remedy=_REMEDIES.get(found))


def not_ours(doing: str) -> FlameError:
    """The server knows the published protocol only."""
    text = "the server has no session streams; this release of flamepy needs a cluster of Flame HA"
    return error_of_status(grpc.StatusCode.UNIMPLEMENTED, text, doing)


def error_of_refusal(text: str, doing: str) -> FlameError:
    """The error of a refusal inside a reply, which has a text only."""
    text = text or "the server refused without saying why"
    if "not found" in text:
        code = FlameErrorCode.NOT_FOUND
    elif "already exist" in text:
        code = FlameErrorCode.ALREADY_EXISTS
    elif _is_about_a_state(text):
        code = FlameErrorCode.INVALID_STATE
    elif text.startswith("limit reached"):
        code = FlameErrorCode.RESOURCE_EXHAUSTED
    else:
        code = FlameErrorCode.INTERNAL  # as published
    return FlameError(code, text)


def _is_about_a_state(text: str) -> bool:
    return any(mark in text for mark in _ABOUT_A_STATE)


def gave_up(fate: Fate, endpoints: str, doing: str) -> FlameError:
    """The error after the last attempt, none of which did anything."""
    if fate.is_busy:
        return FlameError(
            FlameErrorCode.OVERLOADED,
            f"failed to {doing}: the coordinators at {endpoints} have too much to do: {fate.why}",
            remedy="try again later, or send less at a time",
        )
    if fate.is_hopeless:
        return bad_certificate(fate, endpoints, doing)
    return FlameError(
        FlameErrorCode.UNAVAILABLE,
        f"failed to {doing}: no coordinator served it at {endpoints}: {fate.why}",
        remedy="check that a majority of the coordinators runs (flmctl cluster status), and the endpoints; "
        "nothing was done, so the same can be tried again",
    )


def bad_certificate(fate: Fate, endpoints: str, doing: str) -> FlameError:
    return FlameError(
        FlameErrorCode.INVALID_CONFIG,
        f"failed to {doing}: no TLS connection to {endpoints}: {fate.why}",
        remedy="ca_file (FLAME_CA_FILE) must have the authority that signed the server's certificate, which must "
        "name the host of the endpoint",
    )


def unknown_outcome(why: str, doing: str) -> FlameError:
    return FlameError(
        FlameErrorCode.UNKNOWN_OUTCOME,
        f"failed to {doing}: the answer was lost ({why}); it may have been done or not",
        remedy="look before you try again",
    )
