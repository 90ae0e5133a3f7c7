"""What it costs to read a session: how often that is done."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from pinio.core.evidence import MAX_AGE
from pinio.testing import Server
from pinio.tls.context.objects import PinnedSSLObject
from pinio.tls.handshake.sessions import PATIENCE, SessionCache
from tests.tls.cast import GENUINE, end_of, pinned
from tests.tls.visits import Clock, resumed, visit


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Each reading of a session's copy, by anybody."""
    reads: list[object] = []
    inherited: Any = PinnedSSLObject.session

    def read(tls: ssl.SSLObject) -> object:
        session = inherited.fget(tls)
        reads.append(session)
        return session

    monkeypatch.setattr(PinnedSSLObject, "session", property(read, inherited.fset))
    return reads


async def test_a_session_is_read_once_for_each_full_handshake_where_reading_it_leaks(
    tls_version: ssl.TLSVersion, tickets_last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = count_reads(monkeypatch)
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version) as server:
        for _ in range(5):
            await visit(server, pinned(), cache)
        await end_of(server)
    assert resumed(server) == [False] + [True] * 4
    assert len(reads) >= 5 or tickets_last or tls_version is ssl.TLSVersion.TLSv1_2
    assert len(reads) <= 3 or not (tickets_last or tls_version is ssl.TLSVersion.TLSv1_2)


async def test_a_server_that_gives_no_ticket_is_asked_no_more_for_an_hour(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking is what costs; and what leaks, on some Pythons."""
    reads = count_reads(monkeypatch)
    cache = SessionCache()
    context = GENUINE.server_context(tls_version=ssl.TLSVersion.TLSv1_3)
    context.num_tickets = 0
    async with Server(context) as server:

        async def visits(count: int) -> int:
            before = len(reads)
            for _ in range(count):
                assert not (await visit(server, pinned(), cache)).resumed
            return len(reads) - before

        assert await visits(2 * PATIENCE) == PATIENCE
        assert await visits(2) == 0
        clock.tick(MAX_AGE)
        assert await visits(2) == 1
    assert len(cache) == 0
