from __future__ import annotations

import socket
import ssl

import pytest

from pinio.testing import (
    CA,
    CutRelay,
    DripRelay,
    Handler,
    RawServer,
    Server,
    garbage,
    hear,
    reset,
    silent,
    tls_alert,
)
from tests.testing.clients import Withholding, connected, exactly

CA_ROOT = CA()
LEAF = CA_ROOT.intermediate().issue("localhost")


@pytest.mark.parametrize(
    ("script", "error", "says"),
    [
        (
            [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
            ssl.SSLError,
            "WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE",
        ),
        ([hear, tls_alert("handshake_failure")], ssl.SSLError, "HANDSHAKE_FAILURE"),
        ([hear, tls_alert(112)], ssl.SSLError, "UNRECOGNIZED_NAME"),
        ([hear], ssl.SSLEOFError, "EOF"),
        ([hear, reset], ConnectionResetError, "reset"),
    ],
    ids=["not TLS", "alert", "numbered alert", "end", "reset"],
)
def test_a_script_is_followed(
    script: list[bytes | Handler], error: type[OSError], says: str
) -> None:
    with RawServer(*script) as server:
        with pytest.raises(error, match=says), connected(server, CA_ROOT):
            pass
        server.wait_quiet()
        (record,) = server.connections
        assert record.ended.is_set()
        assert (record.application_bytes[:1] == b"\x16") == (hear in script), (
            "the ClientHello is kept"
        )


def test_a_stall_lasts_until_the_client_gives_up() -> None:
    with RawServer(silent) as server, socket.create_connection(server.address) as raw:
        raw.settimeout(0.05)
        with pytest.raises(TimeoutError):
            CA_ROOT.client_context().wrap_socket(raw, server_hostname="localhost")
        server.wait_quiet()
        assert server.connections[0].application_bytes.startswith(b"\x16\x03\x01")


def test_a_stall_ends_with_the_server() -> None:
    with RawServer(silent) as server:
        raw = socket.create_connection(server.address)
        server.wait_quiet()
    assert server.connections[0].ended.is_set()
    raw.close()


def test_garbage_beneath_an_established_connection(tls_version: ssl.TLSVersion) -> None:
    with Server(LEAF, tls_version=tls_version, handler=garbage()) as server:
        with pytest.raises(ssl.SSLError), connected(server, CA_ROOT) as tls:
            tls.recv(1)
        server.wait_quiet()
        assert server.handshakes_finished == 1


def handshake(address: tuple[str, int], tls_version: ssl.TLSVersion) -> None:
    context = CA_ROOT.client_context(tls_version=tls_version)
    with (
        socket.create_connection(address, timeout=60) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as tls,
    ):
        tls.sendall(b"x")
        exactly(tls, 1)


def test_a_cut_network_ends_the_connection_at_that_very_byte(tls_version: ssl.TLSVersion) -> None:
    with Server(LEAF) as genuine, DripRelay(genuine, step=65_536) as whole:
        handshake(whole.address, tls_version)
        whole.wait_quiet()
        length = len(whole.connections[0].replies)
        assert length > 1000  # bytes: the certificates alone have as many
        for after_bytes in (0, 1, 5, 100, length // 2, length - 40):
            with CutRelay(genuine, after_bytes=after_bytes) as cut:
                with pytest.raises((OSError, EOFError)):
                    handshake(cut.address, tls_version)
                cut.wait_quiet()
                assert len(cut.connections[0].replies) == after_bytes
        genuine.wait_quiet()
        assert all(record.ended.is_set() for record in genuine.connections)


def test_a_cut_towards_the_server(tls_version: ssl.TLSVersion) -> None:
    with Server(LEAF) as genuine, CutRelay(genuine, after_bytes=50, direction="to_server") as cut:
        with pytest.raises(ssl.SSLEOFError):
            handshake(cut.address, tls_version)
        cut.wait_quiet()
        genuine.wait_quiet()
        assert len(genuine.connections[0].handshake_bytes) == 50
        assert isinstance(genuine.connections[0].error, ssl.SSLEOFError)


def test_a_cut_can_be_a_reset_or_a_silence(tls_version: ssl.TLSVersion) -> None:
    with Server(LEAF) as genuine:
        with (
            CutRelay(genuine, after_bytes=100, ending="reset") as cut,
            pytest.raises(ConnectionResetError),
        ):
            handshake(cut.address, tls_version)
        with CutRelay(genuine, after_bytes=100, ending="stall") as cut:
            with Withholding(cut, CA_ROOT.client_context(tls_version=tls_version)) as client:
                client.step()
                client.send()
                assert len(exactly(client.socket, 100)) == 100
                cut.wait_quiet()
                client.socket.settimeout(0.05)
                with pytest.raises(TimeoutError):
                    client.socket.recv(1)
            assert len(cut.connections[0].replies) == 100


def test_a_limit_that_is_not_reached_changes_nothing(tls_version: ssl.TLSVersion) -> None:
    with Server(LEAF) as genuine, CutRelay(genuine, after_bytes=100_000) as relay:
        handshake(relay.address, tls_version)
        relay.wait_quiet()
        genuine.wait_quiet()
        assert genuine.application_bytes == b"x"


def test_a_dripping_network_carries_everything(tls_version: ssl.TLSVersion) -> None:
    with Server(LEAF) as genuine, DripRelay(genuine) as drip:
        with connected(drip, CA_ROOT, tls_version=tls_version) as tls:
            tls.sendall(b"slow")
            assert exactly(tls, 4) == b"slow"
        drip.wait_quiet()
        genuine.wait_quiet()
        assert genuine.connections[0].error is None
        assert genuine.connections[0].handshake_bytes in drip.connections[0].application_bytes
