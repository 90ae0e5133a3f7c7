"""Ends: ours, the peer's, both at once; in good order, cut short, by reset, by timeout; and what flows while they happen."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress

import pytest

import pinio
from pinio.testing import Connection
from pinio.tls.connection.delivery import OVERRUN
from tests.tls.conformance.diary import BufferedDiary, Diary
from tests.tls.conformance.puppet import (
    MUCH,
    Puppet,
    Step,
    close,
    exactly,
    goodbye,
    last_words,
    reset,
    to_the_end,
    truncate,
    turns,
)

GONE = ("lost", "NoneType")


# The application closes


async def test_closing_sends_what_was_written_and_a_close_notify(
    tls_version: ssl.TLSVersion,
) -> None:
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect()
        assert not transport.is_closing()
        transport.write(MUCH)
        transport.close()
        assert transport.is_closing()
        assert app.entries == ["made"]
        assert await puppet.does(to_the_end) == (MUCH, "clean")
        await puppet.does(close)
        assert await app.lost() is None
    assert app.entries == ["made", "eof", GONE]
    assert transport.get_extra_info("pinio.eof") == "clean"


async def test_a_close_right_after_the_handshake(tls_version: ssl.TLSVersion) -> None:
    """Also where the server's session tickets cross it."""
    async with Puppet(tls_version) as puppet:
        transport, app = await pinio.create_connection(Diary, **puppet.where)
        transport.close()
        assert await puppet.does(to_the_end) == (b"", "clean")
        await puppet.does(close)
        assert await app.lost() is None


async def test_a_close_inside_connection_made(tls_version: ssl.TLSVersion) -> None:
    class Brief(Diary):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            assert self.transport is not None
            self.transport.write(b"good day, good night")
            self.transport.close()

    async with Puppet(tls_version) as puppet:
        _, app = await puppet.connect(Brief)
        assert await puppet.does(to_the_end) == (b"good day, good night", "clean")
        await puppet.does(close)
        assert await app.lost() is None


async def test_closing_twice_is_closing_once() -> None:
    async with Puppet() as puppet:
        transport, app = await puppet.connect()
        transport.close()
        transport.close()
        assert await puppet.does(to_the_end) == (b"", "clean")
        await puppet.does(close)
        await app.lost()
        transport.close()
        await turns()
    assert app.entries == ["made", "eof", GONE]


@pytest.mark.parametrize("answer", [goodbye, close, truncate], ids=lambda step: step.__name__)
async def test_any_end_of_the_peer_answers_ours(
    answer: Step[None], tls_version: ssl.TLSVersion
) -> None:
    """A close_notify alone closes TCP, too, and so does the end of TCP alone."""
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect()
        transport.close()
        await puppet.does(to_the_end)
        await puppet.does(answer)
        assert await app.lost() is None
    assert transport.get_extra_info("pinio.eof") == ("ragged" if answer is truncate else "clean")


async def test_a_peer_that_resets_while_we_close(tls_version: ssl.TLSVersion) -> None:
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect()
        transport.close()
        await puppet.does(to_the_end)
        await puppet.does(reset)
        assert isinstance(await app.lost(), ConnectionResetError)
    assert app.names == ["made", "lost"]


@pytest.mark.parametrize("factory", [Diary, BufferedDiary])
async def test_data_that_crosses_our_close_is_dropped(
    factory: Callable[[], Diary], tls_version: ssl.TLSVersion
) -> None:
    """The peer could not know yet. It is no error, as it is none on a plain connection."""
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect(factory)
        transport.close()
        await puppet.sends(b"crossing")
        await puppet.does(to_the_end)
        await puppet.sends(b"too late")
        await puppet.does(close)
        assert await app.lost() is None
    assert app.entries == ["made", "eof", GONE]


async def test_a_close_inside_data_received_drops_the_rest(tls_version: ssl.TLSVersion) -> None:
    class Satisfied(Diary):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            assert self.transport is not None
            self.transport.close()

    async with Puppet(tls_version) as puppet:
        _, app = await puppet.connect(Satisfied)
        await puppet.sends(MUCH[:500_000])
        assert await puppet.does(to_the_end) == (b"", "clean")
        await puppet.does(close)
        assert await app.lost() is None
    assert app.names == ["made", "data", "eof", "lost"]
    assert 0 < len(app.data) <= 16384


async def test_a_close_during_a_pause(tls_version: ssl.TLSVersion) -> None:
    """What waits for resume_reading is dropped, and the close_notify behind it is found."""

    class Overwhelmed(Diary):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            assert self.transport is not None
            self.transport.pause_reading()

    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect(Overwhelmed)
        await puppet.sends(MUCH[:200_000])
        await puppet.does(goodbye)
        await app.received(1)
        transport.close()
        assert await puppet.does(to_the_end) == (b"", "clean")
        assert await app.lost() is None
    assert app.names == ["made", "data", "eof", "lost"]
    assert 0 < len(app.data) <= 16384


async def test_a_peer_that_never_stops_is_cut_off(tls_version: ssl.TLSVersion) -> None:
    """Long before the shutdown timeout: it costs neither the time nor the decryption of whatever it has to say."""

    def forever(connection: Connection) -> int:
        sent = 0
        try:
            while True:
                connection.sendall(MUCH[:65536])
                sent += 65536
        except OSError:
            return sent

    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect()
        transport.write(b"enough")
        assert await puppet.hears(6) == b"enough"
        transport.close()
        assert await puppet.does(forever) > OVERRUN
        assert await app.lost() is None
    assert app.entries == ["made", GONE]


# The peer closes


@pytest.mark.parametrize("factory", [Diary, BufferedDiary])
@pytest.mark.parametrize(
    ("ending", "how"), [(close, "clean"), (goodbye, "clean"), (truncate, "ragged")]
)
async def test_the_peer_closes(
    factory: Callable[[], Diary], ending: Step[None], how: str, tls_version: ssl.TLSVersion
) -> None:
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect(factory)
        await puppet.sends(b"that is all")
        await puppet.does(ending)
        assert await app.lost() is None
        # It is told so in good order, whatever its own manners are.
        assert await puppet.does(to_the_end) == (b"", "clean")
    assert app.entries == ["made", b"that is all", "eof", GONE]
    assert transport.is_closing()
    assert transport.get_extra_info("pinio.eof") == how


@pytest.mark.parametrize(
    "factory", [Diary, BufferedDiary, lambda: BufferedDiary(3)], ids=["copied", "buffered", "of 3"]
)
async def test_data_and_end_in_one_segment(
    factory: Callable[[], Diary], tls_version: ssl.TLSVersion
) -> None:
    async with Puppet(tls_version) as puppet:
        _, app = await puppet.connect(factory)
        await puppet.does(last_words(b"the last words"))
        assert await app.lost() is None
    assert app.entries == ["made", b"the last words", "eof", GONE]


@pytest.mark.parametrize("ending", [goodbye, close, truncate], ids=lambda step: step.__name__)
async def test_the_application_may_have_last_words_too(
    ending: Step[None], tls_version: ssl.TLSVersion
) -> None:
    """A peer that has closed its half still reads: what eof_received() writes reaches it before our close_notify."""

    class Polite(Diary):
        def eof_received(self) -> None:
            super().eof_received()
            assert self.transport is not None
            self.transport.write(MUCH)

    async with Puppet(tls_version) as puppet:
        _, app = await puppet.connect(Polite)
        await puppet.does(ending)
        assert await puppet.does(to_the_end) == (MUCH, "clean")
        assert await app.lost() is None


async def test_what_was_written_before_the_peers_end_still_arrives(
    tls_version: ssl.TLSVersion,
) -> None:
    """A remote shutdown does not cut short what is on its way there."""
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect()
        transport.write(MUCH)
        await puppet.does(close)
        assert await puppet.does(to_the_end) == (MUCH, "clean")
        assert await app.lost() is None


@pytest.mark.parametrize("answer", [True, False, None])
async def test_the_answer_of_eof_received_does_not_keep_tls_open(
    answer: bool | None, caplog: pytest.LogCaptureFixture
) -> None:
    class Stubborn(Diary):
        def eof_received(self) -> bool | None:
            super().eof_received()
            return answer

    async with Puppet() as puppet:
        _, app = await puppet.connect(Stubborn)
        await puppet.does(close)
        assert await app.lost() is None
    warned = [record for record in caplog.records if "eof_received" in record.getMessage()]
    assert len(warned) == (answer is True)


@pytest.mark.parametrize("end", ["close", "abort"])
@pytest.mark.parametrize("ending", [close, truncate], ids=lambda step: step.__name__)
async def test_an_end_inside_eof_received(
    end: str, ending: Step[None], tls_version: ssl.TLSVersion
) -> None:
    class Hasty(Diary):
        def eof_received(self) -> None:
            super().eof_received()
            getattr(self.transport, end)()

    async with Puppet(tls_version) as puppet:
        _, app = await puppet.connect(Hasty)
        await puppet.does(ending)
        assert await app.lost() is None
    assert app.entries == ["made", "eof", GONE]


async def test_the_peer_resets(tls_version: ssl.TLSVersion) -> None:
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect()
        await puppet.sends(b"suddenly")
        await app.received(8)
        await puppet.does(reset)
        assert isinstance(await app.lost(), ConnectionResetError)
    assert app.entries == ["made", b"suddenly", ("lost", "ConnectionResetError")]
    assert transport.get_extra_info("pinio.eof") is None
    assert transport.is_closing()


async def test_both_close_at_once(tls_version: ssl.TLSVersion) -> None:
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect()
        await puppet.does(close)
        transport.close()
        assert await puppet.does(to_the_end) == (b"", "clean")
        assert await app.lost() is None
    assert app.entries == ["made", "eof", GONE]


# By force


@pytest.mark.parametrize("before", ["open", "paused", "closing", "with much to send"])
async def test_an_abort_ends_it_at_once(before: str, tls_version: ssl.TLSVersion) -> None:
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect()
        if before == "paused":
            transport.pause_reading()
        elif before == "closing":
            transport.close()
        elif before == "with much to send":
            transport.write(MUCH)
        transport.abort()
        transport.abort()
        assert transport.is_closing()
        assert app.entries == ["made"]
        assert await app.lost() is None
        received, how = await puppet.does(to_the_end)
        assert len(received) < len(MUCH)
        assert how != "clean" or before == "closing"
    assert app.entries == ["made", GONE]


async def test_an_abort_inside_data_received(tls_version: ssl.TLSVersion) -> None:
    class Shocked(Diary):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            assert self.transport is not None
            self.transport.abort()

    async with Puppet(tls_version) as puppet:
        _, app = await puppet.connect(Shocked)
        with suppress(ConnectionError):
            await puppet.sends(MUCH[:300_000])
        assert await app.lost() is None
    assert app.names == ["made", "data", "lost"]
    assert 0 < len(app.data) <= 16384


# Timeouts


async def test_a_peer_that_does_not_answer_a_close(tls_version: ssl.TLSVersion) -> None:
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect(ssl_shutdown_timeout=0.05)
        transport.close()
        assert isinstance(await app.lost(), TimeoutError)
        assert await puppet.does(to_the_end) == (b"", "clean")
    assert app.entries == ["made", ("lost", "TimeoutError")]


async def test_a_peer_that_does_not_read_on(tls_version: ssl.TLSVersion) -> None:
    """The timeout bounds the flush, too; also where the peer's close_notify is there already."""
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect(ssl_shutdown_timeout=0.05)
        transport.write(MUCH)
        await puppet.does(goodbye)
        assert isinstance(await app.lost(), TimeoutError)
    assert app.entries == ["made", "eof", ("lost", "TimeoutError")]


async def test_the_timeout_does_not_outlive_the_connection(tls_version: ssl.TLSVersion) -> None:
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect()
        protocol = transport._protocol
        assert protocol is not None
        transport.close()
        timer = protocol._timer
        assert timer is not None and not timer.cancelled()
        await puppet.does(to_the_end)
        await puppet.does(close)
        assert await app.lost() is None
        assert timer.cancelled() and protocol._timer is None
    assert app.entries == ["made", "eof", GONE]


@pytest.mark.parametrize("option", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
@pytest.mark.parametrize("value", [0, -1.5, float("nan")])
async def test_a_timeout_is_positive(option: str, value: float) -> None:
    async with Puppet() as puppet:
        with pytest.raises(ValueError, match=option):
            await puppet.connect(**{option: value})
        assert puppet.server.connections == []


# Half-closed


async def test_a_peer_that_closed_its_half_in_good_order_hears_the_rest(
    tls_version: ssl.TLSVersion,
) -> None:
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect()
        transport.pause_reading()  # so that its end is not noticed yet
        await puppet.does(close)
        transport.write(b"half a conversation")
        assert await puppet.does(exactly(19)) == b"half a conversation"
        transport.resume_reading()
        assert await app.lost() is None
        assert await puppet.does(to_the_end) == (b"", "clean")
    assert app.entries == ["made", "eof", GONE]
