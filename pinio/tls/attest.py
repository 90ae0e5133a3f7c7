"""Asking an open connection why it is allowed."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeGuard

from pinio.core.decision import Permit, Refusal
from pinio.core.policy import Policy
from pinio.errors import NotJudgedError
from pinio.tls.config.expectation import current_policy
from pinio.tls.connection.transport import PinnedTransport
from pinio.tls.context.objects import PinnedSSLObject, PinnedSSLSocket
from pinio.tls.handshake.gate import State
from pinio.tls.handshake.judge import Judge
from pinio.typing import PolicyLike

_Pinned: TypeAlias = PinnedTransport | PinnedSSLObject | PinnedSSLSocket


def attest(connection: object, policy: PolicyLike | None = None) -> Permit:
    """Return the `Permit` of an open pinned connection; with `policy`, judge its chain again by that policy, now.

    Without `policy` it is the Permit that the connection was opened with, or was judged again with
    when a policy was swapped. If the pins have expired since, the connection is judged again by the
    same policy. Asking changes nothing.

    Args:
        connection: what pinio returned: a transport, a `StreamWriter`, a TLS object or socket of a
            pinned context, or an HTTP response that still holds its connection (aiohttp's give it
            back once the body has arrived). It is recognised by what it is, never by what it says
            of itself.
        policy: a policy, or a source of policies.

    Raises `NotJudgedError` for anything else, for a connection that is closed, and for a response
    that came in plaintext through a pinned proxy; `PinVerificationError` where a new connection
    would be refused, and `NoVerifiedChainError` if `policy` verifies the host's certificate in
    another way than was done.
    """
    pinned = _find(connection)
    if pinned is None:
        raise NotJudgedError(Refusal("NOT_JUDGED", "unknown host", detail=_what(connection)))
    judge = pinned.judge
    permit = judge.gate.permit if judge is not None else None
    if judge is None or permit is None or judge.gate.state is not State.OPEN:
        raise _not_judged(judge, f"this connection {_state(pinned.state)}")
    if pinned is not connection and (judge.for_proxy or _came_in_plaintext(connection)):
        detail = "this came in plaintext from its origin; what was judged is the connection to the HTTPS proxy"
        raise _not_judged(judge, detail)
    if policy is not None:
        return _judge_again(judge, current_policy(policy))
    return _judge_again(judge, judge.endpoint.policy) if judge.expired else permit


def _find(connection: Any) -> _Pinned | None:
    """The pinned thing behind a writer (`.transport`), a response (`.connection.transport`), or a loop's TLS transport."""
    for candidate in (
        connection,
        _get(connection, "transport"),
        _get(_get(connection, "connection"), "transport"),
    ):
        if _is_pinned(candidate):
            return candidate
        ask = _get(candidate, "get_extra_info")  # uvloop's transports are no asyncio.BaseTransport
        if ask is not None:
            inner = ask("ssl_object")
            if _is_pinned(inner):
                return inner
    return None


def _came_in_plaintext(response: Any) -> bool:
    return _get(_get(response, "url"), "scheme") in ("http", "ws")


def _is_pinned(candidate: object) -> TypeGuard[_Pinned]:
    """By its type: `isinstance` would ask it what its class is."""
    return issubclass(type(candidate), (PinnedTransport, PinnedSSLObject, PinnedSSLSocket))


def _state(state: State) -> str:
    if state is State.REFUSED:
        return "was refused"
    if state is State.CLOSED or state is State.CLOSING:
        return "is closed; ask before closing it, or let observer= hear every Permit"
    return "is not open yet; complete its handshake first"


def _what(connection: object) -> str:
    kind = type(connection).__name__
    if connection is None:
        return (
            "None is no connection of pinio's, or one that is closed: "
            "a response gives it back once its body has arrived"
        )
    if _get(connection, "connection") is None and hasattr(connection, "connection"):
        return (
            f"this {kind} holds no connection: a response gives it back once its body has arrived; "
            "observer= hears of every Permit"
        )
    return f"this {kind} is no connection of pinio's, or one that is closed"


def _not_judged(judge: Judge | None, detail: str) -> NotJudgedError:
    if judge is None:
        return NotJudgedError(Refusal("NOT_JUDGED", "unknown host", detail=detail))
    endpoint = judge.endpoint
    return NotJudgedError(
        Refusal("NOT_JUDGED", endpoint.host, endpoint.port, detail=detail, noted=endpoint.rule)
    )


def _get(holder: Any, name: str) -> Any:
    return getattr(holder, name, None)


def _judge_again(judge: Judge, policy: Policy) -> Permit:
    _, decision = judge.hold_against(policy)
    if isinstance(decision, Refusal):
        raise decision.error()
    return decision
