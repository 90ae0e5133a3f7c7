"""Asking an open connection why it is allowed."""

from __future__ import annotations

import time
from typing import Any

from pinio.core.decision import Permit, Refusal
from pinio.core.policy import Policy
from pinio.core.verify import judge
from pinio.errors import NotJudgedError, PolicyError
from pinio.tls.gate import State
from pinio.tls.transport import PinnedTransport
from pinio.typing import PolicyLike


def attest(connection: object, policy: PolicyLike | None = None) -> Permit:
    """Return the `Permit` of an open pinned connection; with `policy`, judge its chain again by that policy, now.

    `connection` is what a door returned: a transport, a `StreamWriter`, or an HTTP response that still holds its connection. It
    is recognised by what it is, never by what it says of itself. Raises `NotJudgedError` for anything else, and for
    connections that are closed; with `policy`, what a new connection would raise.
    """
    transport = _transport(connection)
    if transport is None or transport.state is not State.OPEN:
        detail = f"a {type(connection).__name__} that is no open connection of pinio's"
        raise NotJudgedError(Refusal("NOT_JUDGED", "unknown host", detail=detail))
    permit = transport.permit
    return permit if policy is None else _judge_again(permit, policy)


def _transport(connection: Any) -> PinnedTransport | None:
    """The transport behind a writer (`.transport`) or a response (`.connection.transport`)."""
    for candidate in (
        connection,
        _get(connection, "transport"),
        _get(_get(connection, "connection"), "transport"),
    ):
        if isinstance(candidate, PinnedTransport):
            return candidate
    return None


def _get(holder: Any, name: str) -> Any:
    return getattr(holder, name, None)


def _judge_again(permit: Permit, policy: PolicyLike) -> Permit:
    current = getattr(policy, "current", None)
    if not isinstance(current, Policy):
        raise PolicyError(f"policy= is a Policy or a source of one, not {type(policy).__name__}")
    endpoint = current.endpoint(permit.host, permit.port)
    decision = judge(endpoint, permit.chain, time.time(), permit.evidence_age)
    if isinstance(decision, Refusal):
        raise decision.error()
    return decision
