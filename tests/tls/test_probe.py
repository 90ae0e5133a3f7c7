"""A look at a server: its keys, and nothing for the server to keep."""

from __future__ import annotations

import datetime as dt
import ssl

import pytest

import pinio
from pinio.errors import PolicyError
from pinio.testing import (
    CA,
    Connection,
    CutRelay,
    RawServer,
    Server,
    hear,
    self_signed,
    silent,
    tls_alert,
    tls_record,
)
from tests.tls.cast import GENUINE, ISSUER, ROOT, end_of
from tests.tls.messages import HANDSHAKE

WEEK = dt.timedelta(days=7)


async def test_a_server_that_verifies(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version, greeting=b"hello", client_ca=None) as server:
        probe = await pinio.probe("localhost", server.port, anchors=ROOT.anchors)
        await end_of(server)
        assert (probe.host, probe.port) == ("localhost", server.port)
        assert probe.version == tls_version.name.replace("TLSv1_", "TLSv1.")
        assert probe.cipher
        assert probe.problem is None
        assert probe.verified is not None
        assert [item.der for item in probe.verified] == [GENUINE.der, ISSUER.der, ROOT.der]
        assert [item.der for item in probe.served] == [GENUINE.der, ISSUER.der]
        assert len(server.connections) == 1
        assert server.application_bytes == b""
        assert server.handshakes_finished == 0, "the last flight stays unsent"


async def test_what_it_shows_can_be_pinned() -> None:
    with Server(GENUINE) as server:
        probe = await pinio.probe("localhost", server.port, anchors=ROOT.anchors)
        assert probe.verified is not None
        for certificate in probe.verified:
            assert certificate.pin in str(probe)
        pins = [certificate.pin for certificate in probe.verified]
        reader, writer = await pinio.open_connection(
            "localhost", server.port, pins=pins, anchors=ROOT.anchors
        )
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()


NOW = dt.datetime.now(dt.UTC)
UNVERIFIABLE = {
    "self-signed": self_signed("localhost"),
    "another CA": CA("another").issue("localhost"),
    "another name": ROOT.issue("other.test"),
    "expired": ROOT.issue("localhost", not_before=NOW - 2 * WEEK, not_after=NOW - WEEK),
    "without a name": self_signed(),
}


@pytest.mark.parametrize("kind", UNVERIFIABLE)
async def test_a_device_that_cannot_be_verified(tls_version: ssl.TLSVersion, kind: str) -> None:
    """The second look, without verification, is as good as the first for a person who compares."""
    device = UNVERIFIABLE[kind]
    with Server(device, tls_version=tls_version) as server:
        probe = await pinio.probe("localhost", server.port, anchors=ROOT.anchors)
        await end_of(server)
        assert probe.problem
        assert probe.verified is None
        assert [item.der for item in probe.served] == list(device.chain)
        assert "NOT VERIFIED" in str(probe)
        assert device.pin in str(probe)
        assert server.application_bytes == b""
        assert len(server.connections) == 2


async def test_the_name_can_be_another(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version) as server:
        probe = await pinio.probe(
            "127.0.0.1", server.port, server_hostname="API.pinned.test", anchors=ROOT.anchors
        )
        assert probe.host == "api.pinned.test"
        assert probe.problem is None
        await server.quiet()
        assert {record.server_name for record in server.connections} == {"api.pinned.test"}


async def test_a_server_that_asks_for_a_client_certificate(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version, client_ca=ROOT) as server:
        probe = await pinio.probe("localhost", server.port, anchors=ROOT.anchors)
        assert probe.served.leaf.der == GENUINE.der


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ssl.SSLError),
        (tls_alert("handshake_failure"), ssl.SSLError),
        (b"", ConnectionError),
    ],
    ids=["not TLS", "alert", "end"],
)
async def test_a_server_that_shows_nothing(words: bytes, error: type[OSError]) -> None:
    with RawServer(hear, words) as server:
        with pytest.raises(error):
            await pinio.probe("localhost", server.port)
        await end_of(server)


async def test_a_server_that_stalls() -> None:
    with RawServer(silent) as server:
        with pytest.raises(TimeoutError):
            await pinio.probe("localhost", server.port, timeout=0.05)
        await end_of(server)


async def test_a_server_that_never_stops_talking() -> None:
    def chatter(connection: Connection) -> None:
        hear(connection)
        while True:
            connection.sendall(tls_record(HANDSHAKE, b""))

    with RawServer(chatter) as server:
        with pytest.raises(OSError, match=r"."):
            await pinio.probe("localhost", server.port)
        await end_of(server)


async def test_an_end_within_the_handshake(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version, handler=silent) as server:
        for after_bytes in (1, 100, 500):
            with CutRelay(server, after_bytes=after_bytes) as relay:
                with pytest.raises(OSError, match="closed the connection"):
                    await pinio.probe("localhost", relay.port, anchors=ROOT.anchors)
                await end_of(relay)


@pytest.mark.parametrize("host", ["", "http://localhost", "127.1", "a b"])
async def test_what_is_no_host(host: str) -> None:
    with pytest.raises(PolicyError):
        await pinio.probe(host)
    with pytest.raises(PolicyError):
        await pinio.probe("localhost", server_hostname=host)
