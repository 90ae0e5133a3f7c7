"""Event loops, mail, databases and brokers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from typing import TYPE_CHECKING, Any, cast

import pinio
from pinio.testing import echo
from tests.interop.http_clients import aiohttp_connector
from tests.interop.matrix import PATIENCE, Site, row
from tests.interop.peers import (
    ftp,
    imap,
    kafka,
    nats,
    nats_after_tls,
    pop3,
    postgres,
    postgres_after_tls,
    redis,
    smtp,
    smtp_with_greeting,
)

if TYPE_CHECKING:
    from pinio.tls.context.pinned import PinnedSSLContext

SECRET = b"the password is swordfish"


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        writer.write(SECRET)
        assert await reader.readexactly(len(SECRET)) == SECRET
    finally:
        await _close(writer)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


# asyncio (each of these rows runs on uvloop too)


@row("asyncio, `open_connection`", "BIO", kind="asyncio", handler=echo)
async def asyncio_streams(context: ssl.SSLContext, site: Site) -> None:
    await _exchange(*await asyncio.open_connection(site.host, site.port, ssl=context))


@row("asyncio, `StreamWriter.start_tls`", "BIO", kind="asyncio", ways=("STARTTLS",), handler=smtp)
async def asyncio_start_tls(context: ssl.SSLContext, site: Site) -> None:
    reader, writer = await asyncio.open_connection(site.host, site.port)
    try:
        await reader.readline()
        writer.write(b"EHLO client.test\r\n")
        await reader.readuntil(b"250 STARTTLS\r\n")
        writer.write(b"STARTTLS\r\n")
        await reader.readline()
        await writer.start_tls(context, server_hostname="localhost")
        writer.write(b"MAIL FROM:<secret>\r\n")
        assert (await reader.readline()).startswith(b"250")
    finally:
        await _close(writer)


@row("asyncio, `loop.start_tls`", "BIO", kind="asyncio", ways=("STARTTLS",), handler=postgres)
async def asyncio_loop_start_tls(context: ssl.SSLContext, site: Site) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    plain, _ = await loop.create_connection(lambda: protocol, site.host, site.port)
    try:
        plain.write(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")  # SSLRequest
        assert await reader.readexactly(1) == b"S"
        transport = await loop.start_tls(plain, protocol, context, server_hostname="localhost")
    except BaseException:
        plain.abort()
        raise
    assert transport is not None
    transport.write(b"\x00\x00\x00\x09\x00\x03\x00\x00\x00")  # StartupMessage
    assert await reader.readexactly(1) == b"R"
    transport.abort()


@row("pinio, `upgrade(ssl=)`", "BIO", kind="asyncio", ways=("STARTTLS",), handler=smtp)
async def pinio_upgrade(context: ssl.SSLContext, site: Site) -> None:
    """The pinned way to do it, with the context of the other rows."""
    reader, writer = await asyncio.open_connection(site.host, site.port)
    await reader.readline()
    writer.write(b"EHLO client.test\r\n")
    await reader.readuntil(b"250 STARTTLS\r\n")
    writer.write(b"STARTTLS\r\n")
    await reader.readline()
    reader, writer = await pinio.upgrade(
        reader, writer, ssl=cast("PinnedSSLContext", context), server_hostname="localhost"
    )
    try:
        writer.write(b"MAIL FROM:<secret>\r\n")
        assert (await reader.readline()).startswith(b"250")
    finally:
        await _close(writer)


@row("aiofastnet, `open_connection`", "BIO", "aiofastnet", kind="asyncio", handler=echo)
async def aiofastnet_streams(context: ssl.SSLContext, site: Site) -> None:
    import aiofastnet

    loop = asyncio.get_running_loop()
    await _exchange(*await aiofastnet.open_connection(loop, site.host, site.port, ssl=context))


@row("aiofastnet, `patch_loop`", "BIO", "aiofastnet", kind="asyncio", handler=echo)
async def aiofastnet_loop(context: ssl.SSLContext, site: Site) -> None:
    import aiofastnet

    aiofastnet.patch_loop()
    await asyncio_streams(context, site)


@row("aiohttp on aiofastnet", "BIO", "aiohttp", "aiofastnet", kind="asyncio")
async def aiofastnet_aiohttp(context: ssl.SSLContext, site: Site) -> None:
    import aiofastnet

    aiofastnet.patch_loop()
    await aiohttp_connector(context, site)


@row("anyio on asyncio", "BIO", "anyio", kind="asyncio", handler=echo)
async def anyio_asyncio(context: ssl.SSLContext, site: Site) -> None:
    await _anyio(context, site)


@row("anyio on trio", "BIO", "anyio", "trio", kind="trio", handler=echo)
async def anyio_trio(context: ssl.SSLContext, site: Site) -> None:
    await _anyio(context, site)


async def _anyio(context: ssl.SSLContext, site: Site) -> None:
    import anyio

    async with await anyio.connect_tcp(
        site.host, site.port, ssl_context=context, tls_hostname="localhost"
    ) as stream:
        await stream.send(SECRET)
        assert await stream.receive() == SECRET


@row("trio", "BIO", "trio", kind="trio", handler=echo)
async def trio_stream(context: ssl.SSLContext, site: Site) -> None:
    import trio

    async with await trio.open_ssl_over_tcp_stream(
        site.host, site.port, ssl_context=context
    ) as stream:
        await stream.send_all(SECRET)
        assert await stream.receive_some() == SECRET


# Mail


@row("smtplib", "socket", kind="sync", ways=("STARTTLS",), handler=smtp)
def smtplib_starttls(context: ssl.SSLContext, site: Site) -> None:
    import smtplib

    with smtplib.SMTP(site.host, site.port, local_hostname="client.test") as client:
        client.starttls(context=context)
        assert client.mail("secret")[0] == 250


@row("imaplib", "socket", kind="sync", ways=("STARTTLS",), handler=imap)
def imaplib_starttls(context: ssl.SSLContext, site: Site) -> None:
    import imaplib

    client = imaplib.IMAP4(site.host, site.port)
    client.starttls(context)
    assert client.login("user", "secret")[0] == "OK"
    client.logout()


@row("poplib", "socket", kind="sync", ways=("STARTTLS",), handler=pop3)
def poplib_stls(context: ssl.SSLContext, site: Site) -> None:
    import poplib

    client = poplib.POP3(site.host, site.port)
    client.stls(context)
    assert client.pass_("secret").startswith(b"+OK")
    client.quit()


@row("ftplib", "socket", kind="sync", ways=("STARTTLS",), handler=ftp)
def ftplib_auth(context: ssl.SSLContext, site: Site) -> None:
    import ftplib

    with contextlib.closing(ftplib.FTP_TLS(context=context)) as client:
        client.connect(site.host, site.port)
        assert client.login("user", "secret").startswith("230")


@row("aiosmtplib", "BIO", "aiosmtplib", kind="asyncio", ways=("STARTTLS",), handler=smtp)
async def aiosmtplib_starttls(context: ssl.SSLContext, site: Site) -> None:
    import aiosmtplib

    client = aiosmtplib.SMTP(
        hostname=site.host, port=site.port, tls_context=context, start_tls=True
    )
    async with client:
        assert (await client.mail("secret")).code == 250


@row("aiosmtplib", "BIO", "aiosmtplib", kind="asyncio", handler=smtp_with_greeting)
async def aiosmtplib_tls(context: ssl.SSLContext, site: Site) -> None:
    import aiosmtplib

    client = aiosmtplib.SMTP(hostname=site.host, port=site.port, tls_context=context, use_tls=True)
    async with client:
        assert (await client.mail("secret")).code == 250


# Databases and brokers, whose servers are played: the upgrade, and as much as it takes to be
# connected


@row("asyncpg", "BIO", "asyncpg", kind="asyncio", ways=("STARTTLS",), handler=postgres)
async def asyncpg_connect(context: ssl.SSLContext, site: Site) -> None:
    await _asyncpg(context, site)


@row("asyncpg, `direct_tls`", "BIO", "asyncpg", kind="asyncio", handler=postgres_after_tls)
async def asyncpg_direct(context: ssl.SSLContext, site: Site) -> None:
    await _asyncpg(context, site, direct_tls=True)


async def _asyncpg(context: ssl.SSLContext, site: Site, **options: Any) -> None:
    import asyncpg

    connection = await asyncpg.connect(
        host=site.host,
        port=site.port,
        user="user",
        password="secret",
        database="test",
        ssl=context,
        **options,
    )
    connection.terminate()


@row("redis", "socket", "redis", kind="sync", handler=redis)
def redis_sync(context: ssl.SSLContext, site: Site) -> None:
    from redis.connection import SSLConnection

    class PinnedConnection(SSLConnection):
        def _wrap_socket_with_ssl(self, sock: Any) -> Any:
            return context.wrap_socket(sock, server_hostname=self.host)

    ping(PinnedConnection, site)


def ping(connection_class: Any, site: Site) -> None:
    from redis import Redis
    from redis.backoff import NoBackoff
    from redis.connection import ConnectionPool
    from redis.retry import Retry

    pool = ConnectionPool(
        connection_class=connection_class,
        host=site.host,
        port=site.port,
        ssl_ca_certs=os.devnull,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=Retry(NoBackoff(), 0),
    )
    with Redis(connection_pool=pool) as client:
        assert client.ping()
    pool.disconnect()


@row("redis.asyncio", "BIO", "redis", kind="asyncio", handler=redis)
async def redis_asyncio(context: ssl.SSLContext, site: Site) -> None:
    from redis.asyncio import SSLConnection

    class PinnedConnection(SSLConnection):
        def _connection_arguments(self) -> dict[str, Any]:
            return {"host": self.host, "port": self.port, "ssl": context}

    await ping_asyncio(PinnedConnection, site)


async def ping_asyncio(connection_class: Any, site: Site) -> None:
    from redis.asyncio import ConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    pool = ConnectionPool(
        connection_class=connection_class,
        host=site.host,
        port=site.port,
        ssl_ca_certs=os.devnull,
        socket_timeout=PATIENCE,
        socket_connect_timeout=PATIENCE,
        retry=Retry(NoBackoff(), 0),
    )
    async with Redis(connection_pool=pool) as client:
        assert await client.ping()
    await pool.disconnect()


@row("nats-py, `tls_handshake_first`", "BIO", "nats", kind="asyncio", handler=nats_after_tls)
async def nats_tls_first(context: ssl.SSLContext, site: Site) -> None:
    await _nats(context, site, tls_handshake_first=True)


@row("nats-py", "BIO", "nats", kind="asyncio", ways=("STARTTLS",), handler=nats)
async def nats_py(context: ssl.SSLContext, site: Site) -> None:
    await _nats(context, site)


async def _nats(context: ssl.SSLContext, site: Site, **options: Any) -> None:
    import nats

    async def keep_quiet(error: Exception) -> None:
        """The error is raised as well."""

    client = await nats.connect(
        f"tls://localhost:{site.port}",
        tls=context,
        tls_hostname="localhost",
        user="user",
        password="secret",
        allow_reconnect=False,
        max_reconnect_attempts=0,
        connect_timeout=PATIENCE,
        error_cb=keep_quiet,
        **options,
    )
    await client.close()


@row("aiokafka", "BIO", "aiokafka", kind="asyncio", handler=kafka)
async def aiokafka_producer(context: ssl.SSLContext, site: Site) -> None:
    from aiokafka import AIOKafkaProducer

    producer = AIOKafkaProducer(
        bootstrap_servers=f"{site.host}:{site.port}", security_protocol="SSL", ssl_context=context
    )
    async with producer:
        pass
