"""A session from a time when the policy was another: looser, not there, of another way to verify, or swapped just now.

It was allowed then. Whether it may be resumed is asked of the policy as it is now.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

import pinio
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.errors import PinMismatchError
from pinio.testing import Server, self_signed
from pinio.tls.handshake.sessions import SessionCache
from tests.tls.cast import ABSENT, GENUINE, ROOT, SPARE, Swapped, Told, end_of, pinned
from tests.tls.visits import OTHER_KEY, Clock, meanwhile, resumed, visit


async def test_sessions_of_unpinned_hosts_are_not_kept(tls_version: ssl.TLSVersion) -> None:
    """Nobody judged the host when the ticket came; when it is pinned, a full handshake decides."""
    cache = SessionCache()
    open_policy = Policy(
        {"example.com": PinSet([SPARE, ABSENT])}, unpinned="allow", unpinned_anchors=ROOT.anchors
    )
    async with Server(GENUINE, tls_version=tls_version) as server:
        assert not (await visit(server, open_policy, cache)).pinned
        assert len(cache) == 0
        assert (await visit(server, pinned(), cache)).pinned
        await end_of(server)
    assert resumed(server) == [False, False]


async def test_a_session_made_under_a_looser_policy_is_not_offered(
    tls_version: ssl.TLSVersion,
) -> None:
    """Report-only let the first connection through with a wrong key; enforcing refuses it, and no session helps."""
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version) as server:
        assert (await visit(server, pinned(ABSENT, mode="report-only"), cache)).report is not None
        assert len(cache) == 0, "no pin vouched for it"
        with pytest.raises(PinMismatchError):
            await visit(server, pinned(ABSENT), cache)
        await end_of(server)
    assert [record.application_bytes for record in server.connections] == [b"ping", b""]


@pytest.mark.parametrize("change", ["other pin", "denied", "expired", "leaf-pin"])
async def test_a_tightened_policy_ends_resumption(
    change: str, tls_version: ssl.TLSVersion, clock: Clock
) -> None:
    """A session whose evidence does not satisfy the policy in force now is never offered."""
    changed = {
        "other pin": pinned(ABSENT),
        "denied": pinned(policy={"deny": [GENUINE.pin]}),
        "expired": pinned(expires=datetime.fromtimestamp(clock.wall - 1, UTC)),
        "leaf-pin": pinned(trust="leaf-pin"),
    }[change]
    cache = SessionCache()
    async with Server(GENUINE, tls_version=tls_version) as server:
        await visit(server, pinned(), cache)
        told = Told()
        if change == "leaf-pin":
            assert not (await visit(server, changed, cache)).resumed
        else:
            with pytest.raises(pinio.PinVerificationError):
                await visit(server, changed, cache, observer=told)
            assert [decision.resumed for decision in told] == [False]
        await end_of(server)
    assert not any(resumed(server))


async def test_a_devices_session_says_nothing_where_certificates_are_verified(
    tls_version: ssl.TLSVersion,
) -> None:
    """Under `leaf-pin` nobody verified name, dates or issuer, and a session made there must not stand in for that."""
    device = self_signed("localhost")
    cache = SessionCache()
    async with Server(device, tls_version=tls_version) as server:
        for _ in range(2):
            await visit(server, pinned(device.pin, trust="leaf-pin"), cache)
        told = Told()
        with pytest.raises(ssl.SSLCertVerificationError, match=r"self.signed"):
            await visit(server, pinned(device.pin), cache, observer=told)
        await end_of(server)
    assert resumed(server) == [False, True]
    assert told.kinds == ["Refusal"] and server.connections[-1].application_bytes == b""


async def test_what_was_waived_after_an_offer_leaves_nothing(
    tls_version: ssl.TLSVersion, tickets_last: bool, reserved_port: int
) -> None:
    """The server takes another key and forgets its tickets.

    The old session's evidence is not that of the new one.
    """
    cache = SessionCache()
    policy = pinned(mode="report-only")
    async with Server(GENUINE, tls_version=tls_version, port=reserved_port) as server:
        await visit(server, policy, cache)
    (before,) = cache._kept.values()
    async with Server(OTHER_KEY, tls_version=tls_version, port=reserved_port) as server:
        for _ in range(2):
            permit = await visit(server, policy, cache)
            assert permit.report is not None
            assert not permit.resumed
        await end_of(server)
    assert resumed(server) == [False, False]
    assert all(kept == before for kept in cache._kept.values())
    assert len(cache) == (tickets_last or tls_version is ssl.TLSVersion.TLSv1_2), (
        "or it was used up"
    )


async def test_a_swap_during_the_handshake_does_not_change_its_policy(
    tls_version: ssl.TLSVersion,
) -> None:
    """The policy is read once per connection; the next one is judged by the new policy."""
    cache = SessionCache()
    source = Swapped(pinned())

    def swap(_: object) -> None:
        source.current = pinned(ABSENT)

    async with Server(GENUINE, tls_version=tls_version) as server:
        await visit(server, source, cache)
        assert (await visit(server, source, cache, observer=swap)).resumed
        with pytest.raises(PinMismatchError):
            await visit(server, source, cache)
        await end_of(server)
    assert resumed(server)[:2] == [False, True]


async def test_a_swap_while_a_hello_is_on_its_way(tls_version: ssl.TLSVersion) -> None:
    """A raw door's connection is judged by the policy that it was asked under; the next one is by the new policy, and in full."""
    cache = SessionCache()
    source = Swapped(pinned())
    swaps: list[Policy] = []

    async def event() -> None:
        if swaps:
            source.current = swaps.pop()

    async with Server(GENUINE, tls_version=tls_version) as server, meanwhile(server, event) as port:
        there: Any = SimpleNamespace(port=port)
        await visit(there, source, cache)
        swaps.append(pinned(ABSENT))
        assert (await visit(there, source, cache)).resumed
        assert not swaps, "the policy was swapped"
        with pytest.raises(PinMismatchError) as refused:
            await visit(there, source, cache, observer=Told())
        await end_of(server)
    assert not refused.value.refusal.resumed
    assert resumed(server) == [False, True]
    assert [record.application_bytes for record in server.connections] == [b"ping", b"ping", b""]


async def test_a_swap_while_a_librarys_hello_is_on_its_way(tls_version: ssl.TLSVersion) -> None:
    """There the connection is a library's, and its first write is judged by the policy of that moment: nothing is sent."""
    source = Swapped(pinned())
    told = Told()
    context = pinio.create_ssl_context(source, observer=told, resumption=SessionCache())
    swaps: list[Policy] = []

    async def event() -> None:
        if swaps:
            source.current = swaps.pop()

    async with Server(GENUINE, tls_version=tls_version) as server, meanwhile(server, event) as port:
        for swap in (None, pinned(ABSENT)):
            swaps[:] = [swap] if swap else []
            reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
            writer.write(b"ping")
            if swap is None:
                assert await reader.readexactly(4) == b"ping"
            else:
                with pytest.raises(OSError) as lost:
                    await reader.readexactly(4)
                assert isinstance(pinio.find_pin_error(lost.value), PinMismatchError)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        await end_of(server)
    assert [(type(decision).__name__, decision.resumed) for decision in told] == [
        ("Permit", False),
        ("Permit", True),
        ("Refusal", True),
    ]
    assert [record.application_bytes for record in server.connections] == [b"ping", b""]
