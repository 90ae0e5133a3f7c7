"""Asking an open connection why it is allowed."""

from __future__ import annotations

from typing import Any

from pinio.core.decision import Permit, Refusal
from pinio.errors import NotJudgedError
from pinio.tls.gate import State
from pinio.tls.judgement import Judgement
from pinio.tls.latch import PinnedSSLObject, PinnedSSLSocket
from pinio.tls.transport import PinnedTransport
from pinio.tls.wanted import current_policy
from pinio.typing import PolicyLike


def attest(connection: object, policy: PolicyLike | None = None) -> Permit:
    """Return the `Permit` of an open pinned connection; with `policy`, judge its chain again by that policy, now.

    `connection` is what a door returned: a transport, a `StreamWriter`, a TLS object or socket of a pinned context, or an HTTP
    response that still holds its connection (aiohttp's give it back once the body has arrived). It is recognised by what it
    is, never by what it says of itself. Raises `NotJudgedError` for anything else, and for connections that are closed. With
    `policy` raises what a new connection would, and `NoVerifiedChainError` if that policy verifies the host's certificate in
    another way than was done.
    """
    pinned = _find(connection)
    judgement = pinned.judgement if pinned is not None else None
    if judgement is None or judgement.gate.state is not State.OPEN or judgement.gate.permit is None:
        raise NotJudgedError(Refusal("NOT_JUDGED", "unknown host", detail=_why_not(connection)))
    return judgement.gate.permit if policy is None else _judge_again(judgement, policy)


def _find(connection: Any) -> PinnedTransport | PinnedSSLObject | PinnedSSLSocket | None:
    """The pinned thing behind a writer (`.transport`), a response (`.connection.transport`), or a loop's TLS transport."""
    for candidate in (
        connection,
        _get(connection, "transport"),
        _get(_get(connection, "connection"), "transport"),
    ):
        if isinstance(candidate, PinnedTransport | PinnedSSLObject | PinnedSSLSocket):
            return candidate
        ask = _get(candidate, "get_extra_info")  # uvloop's transports are no asyncio.BaseTransport
        if ask is not None:
            inner = ask("ssl_object")
            if isinstance(inner, PinnedSSLObject):
                return inner
    return None


def _why_not(connection: object) -> str:
    kind = type(connection).__name__
    if _get(connection, "connection") is None and hasattr(connection, "connection"):
        return (
            f"this {kind} holds no connection: a response gives it back once its body has arrived; "
            "observer= hears of every Permit"
        )
    return f"this {kind} is no connection of pinio's, or one that is closed"


def _get(holder: Any, name: str) -> Any:
    return getattr(holder, name, None)


def _judge_again(judgement: Judgement, policy: PolicyLike) -> Permit:
    _, decision = judgement.hold_against(current_policy(policy))
    if isinstance(decision, Refusal):
        raise decision.error()
    return decision
