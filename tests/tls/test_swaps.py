"""A library keeps its connections open; the policy is swapped meanwhile. What no longer holds ends at the next write."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from datetime import UTC, datetime
from typing import Any

import pytest

from pinio.core.decision import Permit, Refusal
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.errors import (
    DeniedKeyError,
    JudgementError,
    NotJudgedError,
    NoVerifiedChainError,
    PinExpiredError,
    PinMismatchError,
    PinVerificationError,
    PolicyError,
    UnpinnedHostError,
    find_pin_error,
)
from pinio.testing import Server
from pinio.tls.context.objects import PinnedSSLSocket
from tests.tls.cast import ABSENT, GENUINE, ISSUER, MISPINNED, ROOT, SPARE, Told, end_of, pinned
from tests.tls.through import SECRET, Swappable, ask, blocking, context_for

STILL_ALLOWED = {
    "the same pins": pinned(),
    "other pins that match": pinned(f"ca:{ISSUER.pin}"),
    "report-only": pinned(ABSENT, mode="report-only"),
}
NO_LONGER = {
    "other pins": (MISPINNED, PinMismatchError),
    "denied": (pinned(policy={"deny": [GENUINE.pin]}), DeniedKeyError),
    "expired": (pinned(expires=datetime(2020, 1, 1, tzinfo=UTC)), PinExpiredError),
    "not listed": (pinned(host="elsewhere.test"), UnpinnedHostError),
    "other anchors": (
        Policy({"localhost": PinSet([GENUINE.pin], backup=[SPARE])}),
        NoVerifiedChainError,
    ),
}
still_allowed = pytest.mark.parametrize("later", STILL_ALLOWED.values(), ids=STILL_ALLOWED)
no_longer = pytest.mark.parametrize(("later", "error"), NO_LONGER.values(), ids=NO_LONGER)


@still_allowed
def test_P5_a_socket_that_is_still_allowed_goes_on(
    later: Policy, tls_version: ssl.TLSVersion
) -> None:
    source, told = Swappable(pinned()), Told()
    with (
        Server(GENUINE, tls_version=tls_version) as server,
        blocking(context_for(source, observer=told), server) as tls,
    ):
        tls.sendall(b"before")
        tls.recv(6)
        source.current = later
        for _ in range(2):
            tls.sendall(b"after")
            assert tls.recv(5) == b"after"
        assert isinstance(tls, PinnedSSLSocket) and tls.permit is not None
        assert tls.permit.revision == later.revision
        assert tls.permit.mode == later.hosts["localhost"].mode, "the Permit is the one of now"
    assert server.application_bytes == b"beforeafterafter"


@no_longer
def test_P5_a_socket_that_is_no_longer_allowed_is_closed(
    later: Policy, error: type[PinVerificationError], tls_version: ssl.TLSVersion
) -> None:
    source, told = Swappable(pinned()), Told()
    context = context_for(source, observer=told)
    with Server(GENUINE, tls_version=tls_version) as server, blocking(context, server) as tls:
        tls.sendall(b"before")
        assert tls.recv(6) == b"before"
        source.current = later
        with pytest.raises(error):
            tls.sendall(SECRET)
        assert tls.fileno() == -1
        for use in (lambda: tls.sendall(SECRET), lambda: tls.recv(1)):
            with pytest.raises((NotJudgedError, OSError)):
                use()
        server.wait_quiet()
        assert server.application_bytes == b"before"
        assert server.connections[0].ended.is_set()
    assert [type(decision) for decision in told] == [Permit, Refusal]


async def open_pair(
    context: ssl.SSLContext, server: Server
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(*server.address, ssl=context, server_hostname="localhost")


@still_allowed
async def test_P5_a_stream_that_is_still_allowed_goes_on(
    later: Policy, tls_version: ssl.TLSVersion
) -> None:
    source = Swappable(pinned())
    with Server(GENUINE, tls_version=tls_version) as server:
        reader, writer = await open_pair(context_for(source), server)
        source.current = later
        writer.write(SECRET)
        assert await reader.readexactly(len(SECRET)) == SECRET
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@no_longer
async def test_P5_a_stream_that_is_no_longer_allowed_ends(
    later: Policy,
    error: type[PinVerificationError],
    tls_version: ssl.TLSVersion,
    caplog: pytest.LogCaptureFixture,
) -> None:
    source, told = Swappable(pinned()), Told()
    with Server(GENUINE, tls_version=tls_version) as server:
        reader, writer = await open_pair(context_for(source, observer=told), server)
        writer.write(b"before")
        assert await reader.readexactly(6) == b"before"
        source.current = later
        writer.write(SECRET)
        with pytest.raises(OSError) as lost:
            await reader.readexactly(1)
        assert isinstance(find_pin_error(lost.value), error)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        await end_of(server)
        assert server.application_bytes == b"before"
    assert [type(decision) for decision in told] == [Permit, Refusal]


def test_a_swap_back_before_the_next_write_is_none(tls_version: ssl.TLSVersion) -> None:
    first = pinned()
    source, told = Swappable(first), Told()
    with (
        Server(GENUINE, tls_version=tls_version) as server,
        blocking(context_for(source, observer=told), server) as tls,
    ):
        source.current = MISPINNED
        source.current = first
        tls.sendall(SECRET)
        assert tls.recv(100) == SECRET


def test_a_connection_without_pins_is_judged_once_there_are_some(
    tls_version: ssl.TLSVersion,
) -> None:
    """Nobody has looked at its keys, so nobody can vouch for them."""
    allowed = Policy(
        {"elsewhere.test": [GENUINE.pin, SPARE]}, unpinned="allow", unpinned_anchors=ROOT.anchors
    )
    source = Swappable(allowed)
    with (
        Server(GENUINE, tls_version=tls_version) as server,
        blocking(context_for(source), server) as tls,
    ):
        tls.sendall(b"before")
        source.current = pinned()
        with pytest.raises(NoVerifiedChainError):
            tls.sendall(SECRET)
        server.wait_quiet()
        assert server.application_bytes == b"before"


def test_a_resumed_connection_is_judged_by_its_evidence(tls_version: ssl.TLSVersion) -> None:
    source = Swappable(pinned())
    context = context_for(source)
    with Server(GENUINE, tls_version=tls_version) as server:
        ask(context, server)
        with blocking(context, server) as tls:
            assert tls.session_reused
            source.current = pinned(f"ca:{ISSUER.pin}")
            tls.sendall(b"still")
            assert isinstance(tls, PinnedSSLSocket) and tls.permit is not None
            assert tls.permit.resumed and str(tls.permit.pin) == f"ca:{ISSUER.pin}"
            source.current = MISPINNED
            with pytest.raises(PinMismatchError):
                tls.sendall(SECRET)
        server.wait_quiet()
        assert server.application_bytes == SECRET + b"still"


class Failing:
    """A source that has had a policy."""

    def __init__(self, current: Policy, error: Exception) -> None:
        self._current = current
        self._error = error
        self.fails = False

    @property
    def current(self) -> Policy:
        if self.fails:
            raise self._error
        return self._current


@pytest.mark.parametrize(
    "error", [PolicyError("the file is too old"), ZeroDivisionError()], ids=["stale", "defect"]
)
def test_P6_a_source_that_fails_ends_the_connection(error: Exception) -> None:
    source: Any = Failing(pinned(), error)
    context = context_for(source)
    with Server(GENUINE) as server, blocking(context, server) as tls:
        source.fails = True
        with pytest.raises(JudgementError) as refused:
            tls.sendall(SECRET)
        assert refused.value.__cause__ is error
        with pytest.raises((NotJudgedError, OSError)):
            tls.sendall(SECRET)
        with pytest.raises(type(error)):
            ask(context, server)
        server.wait_quiet()
        assert server.application_bytes == b""
