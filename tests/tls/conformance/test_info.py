"""What a transport tells of itself: extra info, its text, warnings, debugging; and what asyncio may not do with it."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import ssl

import pytest

import pinio
from pinio.core.decision import Permit
from pinio.tls.connection.transport import PinnedTransport
from tests.tls.cast import GENUINE, ROOT
from tests.tls.conformance.diary import Diary
from tests.tls.conformance.puppet import Puppet, close, to_the_end

TLS_KEYS = ("ssl_object", "sslcontext", "peercert", "cipher", "compression")
LOWER_KEYS = ("peername", "sockname", "socket")


async def test_extra_info_knows_what_asyncio_knows(tls_version: ssl.TLSVersion) -> None:
    """The same keys, and for the same connection the same values."""
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect()
        reference, reference_app = await asyncio.get_running_loop().create_connection(
            Diary,
            puppet.server.host,
            puppet.server.port,
            ssl=ROOT.client_context(),
            server_hostname="localhost",
        )
        for key in ("peercert", "compression", "peername"):
            assert transport.get_extra_info(key) == reference.get_extra_info(key)
        for key in (*TLS_KEYS, *LOWER_KEYS):
            assert isinstance(transport.get_extra_info(key), type(reference.get_extra_info(key)))
        assert transport.get_extra_info("cipher")[1] == tls_version.name.replace("_", ".")
        assert (
            ssl.DER_cert_to_PEM_cert(transport.get_extra_info("ssl_object").getpeercert(True))
            in GENUINE.chain_pem
        )
        assert transport.get_extra_info("socket").getpeername() == transport.get_extra_info(
            "peername"
        )
        assert isinstance(transport.get_extra_info("pinio"), Permit)
        for one in (transport, reference):
            assert one.get_extra_info("no such key") is None
            assert one.get_extra_info("no such key", "default") == "default"
            one.abort()
        await app.lost()
        await reference_app.lost()


async def test_extra_info_after_the_end(tls_version: ssl.TLSVersion) -> None:
    """What belongs to TLS stays; what belonged to the socket is gone."""
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect()
        await puppet.does(close)
        await app.lost()
        assert transport.get_extra_info("pinio.eof") == "clean"
        assert transport.get_extra_info("peercert")
        assert transport.get_extra_info("peername") is None
        assert transport.get_extra_info("peername", "gone") == "gone"


async def test_the_text_says_where_it_leads_and_how_it_is() -> None:
    async with Puppet() as puppet:
        transport, app = await puppet.connect()
        assert repr(transport) == f"<PinnedTransport localhost port {puppet.server.port} open>"
        transport.close()
        assert "closing" in repr(transport)
        await puppet.does(to_the_end)
        await puppet.does(close)
        await app.lost()
        assert "closed" in repr(transport)


@pytest.mark.parametrize("end", ["close", "abort"])
async def test_a_transport_that_was_closed_does_not_warn(end: str) -> None:
    async with Puppet() as puppet:
        transport, app = await puppet.connect()
        getattr(transport, end)()
        await puppet.does(to_the_end)
        transport.abort()
        await app.lost()
        del transport, app
        gc.collect()  # a warning is an error here


# Debugging


async def test_debug_mode_changes_nothing(tls_version: ssl.TLSVersion) -> None:
    asyncio.get_running_loop().set_debug(True)
    async with Puppet(tls_version) as puppet:
        transport, app = await puppet.connect()
        await puppet.sends(b"x" * 100_000)
        await app.received(100_000)
        transport.write(b"y" * 100_000)
        await puppet.hears(100_000)
        transport.close()
        await puppet.does(to_the_end)
        await puppet.does(close)
        assert await app.lost() is None


@pytest.mark.parametrize("debug", [False, True])
async def test_debug_mode_logs_what_ended_a_connection(
    debug: bool, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.get_running_loop().set_debug(debug)
    async with Puppet() as puppet:
        with caplog.at_level(logging.DEBUG, "pinio"):
            _, app = await puppet.connect()
            await puppet.does(
                lambda connection: connection.send_raw(b"\x17\x03\x03\x00\x20" + bytes(32))
            )
            assert isinstance(await app.lost(), ssl.SSLError)
    logged = [
        record for record in caplog.records if record.exc_info and record.exc_info[1] is app.error
    ]
    assert len(logged) == debug


# What asyncio may not do with it


async def test_the_loop_refuses_to_send_files_over_it() -> None:
    """asyncio's fallback needs three private names of its transports; the how-to shows what to write instead."""
    async with Puppet() as puppet:
        transport, app = await puppet.connect()
        with pytest.raises((RuntimeError, NotImplementedError)):  # uvloop sends no files at all
            await asyncio.get_running_loop().sendfile(transport, io.BytesIO(b"x" * 1000))
        transport.write(b"still here")
        assert await puppet.hears(10) == b"still here"
        transport.abort()
        await app.lost()


async def test_the_loop_refuses_to_put_tls_over_it() -> None:
    async with Puppet() as puppet:
        transport, app = await puppet.connect()
        with pytest.raises(TypeError, match=r"not supported|expected"):
            await asyncio.get_running_loop().start_tls(
                transport, app, ROOT.client_context(), server_hostname="localhost"
            )
        transport.write(b"still here")
        assert await puppet.hears(10) == b"still here"
        transport.abort()
        await app.lost()


async def test_so_does_a_stream_writer() -> None:
    async with Puppet() as puppet:
        reader, writer = await pinio.open_connection(**puppet.where)
        with pytest.raises(TypeError, match=r"not supported|expected"):
            await writer.start_tls(ROOT.client_context(), server_hostname="localhost")
        writer.write(b"still here")
        assert await puppet.hears(10) == b"still here"
        await puppet.sends(b"and heard")
        assert await reader.readexactly(9) == b"and heard"
        writer.transport.abort()
        await writer.wait_closed()


# Streams


async def test_streams_close_in_good_order(tls_version: ssl.TLSVersion) -> None:
    async with Puppet(tls_version) as puppet:
        reader, writer = await pinio.open_connection(**puppet.where)
        assert isinstance(writer.transport, PinnedTransport)
        writer.write(b"question")
        await writer.drain()
        assert await puppet.hears(8) == b"question"
        await puppet.sends(b"answer")
        await puppet.does(close)
        assert await reader.read() == b"answer"
        assert reader.at_eof()
        writer.close()
        await writer.wait_closed()
        assert writer.is_closing()
