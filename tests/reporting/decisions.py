"""Decisions about real connections, for observers to hear."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pinio
from pinio import Permit, Policy, Refusal
from pinio.errors import PinVerificationError
from pinio.testing import Server
from tests.tls.cast import ABSENT, GENUINE, MISPINNED, Told, pinned
from tests.tls.through import ask


def decided(policy: Policy) -> Permit | Refusal:
    """What a connection under `policy` is told about."""
    told = Told()
    context = pinio.create_ssl_context(policy, observer=told, resumption=False)
    with Server(GENUINE) as server, contextlib.suppress(PinVerificationError):
        ask(context, server, "localhost")
    (decision,) = told
    return decision


MATCH = decided(pinned(expires=datetime(2100, 1, 1, tzinfo=UTC)))
REFUSAL = decided(MISPINNED)
WAIVED = decided(pinned(ABSENT, mode="report-only"))
UNLISTED = Refusal("UNPINNED_HOST", "other.example")
