from __future__ import annotations

import asyncio
import socket
import ssl
import threading

import pytest

from pinio.testing import CA, Connection, Server, speak_first, starttls, vanish
from tests.testing.clients import Withholding, connected, exactly

CA_ROOT = CA()
ISSUER = CA_ROOT.intermediate()
LEAF = ISSUER.issue("localhost")
CLIENT = ISSUER.issue_client("client@pinio.test")


def test_a_record_says_what_the_client_saw(tls_version: ssl.TLSVersion) -> None:
    with Server(LEAF, tls_version=tls_version, alpn=["h2", "http/1.1"]) as server:
        with connected(server, CA_ROOT, alpn=("http/1.1",)) as tls:
            tls.sendall(b"a secret")
            assert exactly(tls, 8) == b"a secret"
            cipher = tls.cipher()
            assert cipher is not None
            seen = (tls.version(), cipher[0], tls.selected_alpn_protocol(), tls.getsockname())
        server.wait_quiet()
    (record,) = server.connections
    assert (record.version, record.cipher, record.alpn, record.peername) == seen
    assert record.handshake_finished
    assert record.application_bytes == b"a secret" == server.application_bytes
    assert record.server_name == "localhost"
    assert record.client_certificate is None
    assert not record.resumed
    assert record.error is None
    assert record.ended.is_set()


def test_no_server_name_is_recorded_when_none_was_sent() -> None:
    leaf = CA_ROOT.issue("127.0.0.1")
    with Server(leaf) as server:
        with connected(server, CA_ROOT, name="127.0.0.1"):
            pass
        server.wait_quiet()
    assert server.connections[0].server_name is None


def test_the_client_certificate_is_the_one_received(tls_version: ssl.TLSVersion) -> None:
    with Server(LEAF, tls_version=tls_version, client_ca=CA_ROOT) as server:
        with connected(server, CA_ROOT, identity=CLIENT) as tls:
            tls.sendall(b"x")
            exactly(tls, 1)
        server.wait_quiet()
    assert server.client_certificates == [CLIENT.der]
    # In TLS 1.2 it crosses the wire in clear, in TLS 1.3 it does not; the raw bytes are kept, so a
    # test can tell.
    assert (CLIENT.der in server.connections[0].handshake_bytes) == (
        tls_version is ssl.TLSVersion.TLSv1_2
    )


def test_a_client_without_a_certificate_is_refused(tls_version: ssl.TLSVersion) -> None:
    with Server(LEAF, tls_version=tls_version, client_ca=CA_ROOT) as server:
        with pytest.raises(ssl.SSLError), connected(server, CA_ROOT) as tls:
            tls.recv(1)
        server.wait_quiet()
    (record,) = server.connections
    assert not record.handshake_finished
    assert server.client_certificates == []
    assert isinstance(record.error, ssl.SSLError)
    assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in str(record.error)


def test_a_client_that_withholds_its_final_flight_has_finished_nothing(
    tls_version: ssl.TLSVersion,
) -> None:
    context = CA_ROOT.client_context(tls_version=tls_version, identity=CLIENT)
    with Server(LEAF, client_ca=CA_ROOT) as server:
        with Withholding(server, context) as client:
            client.up_to_the_final_flight()
        server.wait_quiet()
        (record,) = server.connections
        assert not record.handshake_finished
        assert record.client_certificate is None
        assert CLIENT.der not in record.handshake_bytes
        assert isinstance(record.error, ssl.SSLEOFError)
        with Withholding(server, context) as client:
            client.up_to_the_final_flight()
            client.send()
        server.wait_quiet()
        assert server.handshakes_finished == 1
        assert server.client_certificates == [CLIENT.der]


def test_a_client_that_finishes_and_vanishes_has_finished(tls_version: ssl.TLSVersion) -> None:
    """What the server has still to send must not hide what it has received."""
    with Server(LEAF, tls_version=tls_version) as server:
        for _ in range(20):
            with Withholding(server, CA_ROOT.client_context()) as client:
                client.up_to_the_final_flight()
                client.send()
        server.wait_quiet()
        assert server.handshakes_finished == 20


def test_a_client_that_distrusts_the_server_says_so(tls_version: ssl.TLSVersion) -> None:
    with Server(LEAF, tls_version=tls_version) as server:
        with pytest.raises(ssl.SSLCertVerificationError), connected(server, CA("another")):
            pass
        server.wait_quiet()
    assert not server.connections[0].handshake_finished
    assert "UNKNOWN_CA" in str(server.connections[0].error)


def test_a_greeting_comes_with_the_servers_last_flight(tls_version: ssl.TLSVersion) -> None:
    with Server(LEAF, tls_version=tls_version, greeting=b"220 hello") as server:
        for _ in range(20):
            with Withholding(server, CA_ROOT.client_context()) as client:
                client.up_to_the_final_flight()
                client.send()
                client.receive()  # one segment, and all of it is there
                assert client.step()
                assert client.tls.read(100) == b"220 hello"


def test_speaking_first_needs_no_greeting() -> None:
    with (
        Server(LEAF, handler=speak_first(b"220 hello\r\n")) as server,
        connected(server, CA_ROOT) as tls,
    ):
        assert exactly(tls, 11) == b"220 hello\r\n"
        tls.sendall(b"EHLO")
        assert exactly(tls, 4) == b"EHLO"


def resume(
    server: Server, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> ssl.SSLSession | None:
    with (
        socket.create_connection(server.address) as raw,
        context.wrap_socket(raw, server_hostname="localhost", session=session) as tls,
    ):
        tls.sendall(b"x")
        exactly(tls, 1)  # with TLS 1.3 the ticket comes along
        return tls.session


def test_resumption_is_recorded(tls_version: ssl.TLSVersion) -> None:
    context = CA_ROOT.client_context(tls_version=tls_version, identity=CLIENT)
    with Server(LEAF, client_ca=CA_ROOT) as server:
        session = resume(server, context, None)
        resume(server, context, session)
        server.wait_quiet()
    assert [record.resumed for record in server.connections] == [False, True]
    # A resumed session carries no certificate over the wire.
    assert [record.client_certificate for record in server.connections] == [CLIENT.der, None]


def test_without_tickets_nothing_is_resumed(tls_version: ssl.TLSVersion) -> None:
    context = CA_ROOT.client_context()
    identity = LEAF.server_context(tls_version=tls_version, tickets=False)
    identity.options |= ssl.OP_NO_TICKET
    with Server(identity) as server:
        session = resume(server, context, None)
        assert session is not None
        assert not session.has_ticket


def test_a_renewed_key_is_presented_and_old_sessions_are_still_resumed(
    tls_version: ssl.TLSVersion,
) -> None:
    context = CA_ROOT.client_context(tls_version=tls_version)
    renewed = ISSUER.issue("localhost")
    with Server(LEAF) as server:
        session = resume(server, context, None)
        server.present(renewed)
        with connected(server, CA_ROOT) as tls:
            assert tls.getpeercert(True) == renewed.der
        resume(server, context, session)
        server.wait_quiet()
        assert server.connections[-1].resumed


def test_a_truncated_connection_is_told_from_a_closed_one(tls_version: ssl.TLSVersion) -> None:
    with Server(LEAF, tls_version=tls_version, handler=vanish) as server:
        with (
            socket.create_connection(server.address) as raw,
            CA_ROOT.client_context().wrap_socket(
                raw, server_hostname="localhost", suppress_ragged_eofs=False
            ) as tls,
        ):
            tls.sendall(b"x")
            with pytest.raises(ssl.SSLEOFError):
                tls.recv(1)
            tls.detach()  # and leaves without close_notify itself
        server.wait_quiet()


def test_a_client_that_leaves_without_close_notify_is_recorded_so(
    tls_version: ssl.TLSVersion,
) -> None:
    with Server(LEAF, tls_version=tls_version) as server:
        with (
            socket.create_connection(server.address) as raw,
            CA_ROOT.client_context().wrap_socket(raw, server_hostname="localhost") as tls,
        ):
            tls.sendall(b"x")
            exactly(tls, 1)
        server.wait_quiet()
    assert isinstance(server.connections[0].error, ssl.SSLEOFError)
    assert server.connections[0].application_bytes == b"x"


def test_a_context_of_ones_own(tls_version: ssl.TLSVersion) -> None:
    with (
        Server(LEAF.server_context(tls_version=tls_version)) as server,
        connected(server, CA_ROOT) as tls,
    ):
        assert tls.getpeercert(True) == LEAF.der


def test_contradictions_are_errors() -> None:
    with pytest.raises(ValueError, match="either an identity or plain"):
        Server()
    with pytest.raises(ValueError, match="either an identity or plain"):
        Server(LEAF, plain=True)
    with pytest.raises(ValueError, match="needs an identity"):
        Server(plain=True, starttls=starttls())
    with pytest.raises(ValueError, match="belong to the context"):
        Server(LEAF.server_context(), alpn=["h2"])
    with pytest.raises(ValueError, match="belong to the context"):
        Server(plain=True, client_ca=CA_ROOT)


def test_a_ca_is_no_identity() -> None:
    """What it issues is."""
    with pytest.raises(TypeError, match=r"ca\.issue\(\) makes it, or a context, not a CA"):
        Server(CA_ROOT)  # type: ignore[arg-type]


def test_a_server_that_was_not_entered_has_no_port() -> None:
    with pytest.raises(RuntimeError, match="'async with'"):
        Server(LEAF).url  # noqa: B018 - the property is the test


def test_a_plain_server_records_what_comes_in_clear() -> None:
    with Server(plain=True) as server:
        assert server.url == f"http://127.0.0.1:{server.port}"
        with socket.create_connection(server.address) as raw:
            raw.sendall(b"in clear")
            assert exactly(raw, 8) == b"in clear"
        server.wait_quiet()
        with pytest.raises(ValueError, match="plain"):
            server.present(LEAF)
    assert server.application_bytes == b"in clear"
    assert server.handshakes_finished == 0


def test_ipv6(ipv6: str) -> None:
    leaf = CA_ROOT.issue(ipv6)
    with Server(leaf, host=ipv6) as server, connected(server, CA_ROOT, name=ipv6) as tls:
        assert server.url == f"https://[::1]:{server.port}"
        assert tls.getpeercert(True) == leaf.der


def test_starttls_tells_clear_text_from_what_tls_carried(tls_version: ssl.TLSVersion) -> None:
    dialogue = starttls(b"220 ready\r\n", b"220 go\r\n")
    with Server(LEAF, tls_version=tls_version, starttls=dialogue) as server:
        with socket.create_connection(server.address) as raw:
            assert exactly(raw, 11) == b"220 ready\r\n"
            raw.sendall(b"STARTTLS\r\n")
            assert exactly(raw, 8) == b"220 go\r\n"
            with CA_ROOT.client_context().wrap_socket(raw, server_hostname="localhost") as tls:
                tls.sendall(b"inside")
                assert exactly(tls, 6) == b"inside"
        server.wait_quiet()
    (record,) = server.connections
    assert record.plaintext_bytes == b"STARTTLS\r\n"
    assert record.application_bytes == b"inside"
    assert record.handshake_finished


def test_what_a_handler_raises_reaches_the_test() -> None:
    def broken(connection: Connection) -> None:
        raise LookupError("a mistake in the handler")

    server = Server(LEAF, handler=broken)
    with pytest.raises(LookupError, match="a mistake"), server, connected(server, CA_ROOT) as tls:
        assert tls.recv(1) == b""
    assert isinstance(server.connections[0].error, LookupError)


async def test_async_with_on_this_loop() -> None:
    async with Server(LEAF) as server:
        reader, writer = await asyncio.open_connection(
            *server.address, ssl=CA_ROOT.client_context(), server_hostname="localhost"
        )
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        await server.quiet()
        assert server.application_bytes == b"ping"
        assert not server.connections[0].ended.is_set()
        writer.close()
        await writer.wait_closed()
        await server.quiet()
        assert server.connections[0].ended.is_set()


def test_many_clients_at_once() -> None:
    def client(number: int) -> None:
        with connected(server, CA_ROOT) as tls:
            tls.sendall(b"%04d" % number)
            assert exactly(tls, 4) == b"%04d" % number

    with Server(LEAF) as server:
        threads = [threading.Thread(target=client, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.wait_quiet()
    said = {bytes(record.application_bytes) for record in server.connections}
    assert said == {b"%04d" % number for number in range(50)}
