"""What leaves when, sessions, and what a hostile peer can do."""

from __future__ import annotations

import random
import ssl

import pytest
from pinio_rustls import Config, Connection, TLSFailure

from tests.authority import INTERMEDIATE, LEAF, ROOT, VERSIONS, Server, connect, issue

each_version = pytest.mark.parametrize("version", VERSIONS)
CONFIG = Config([ROOT.der])


@each_version
def test_the_path_is_known_before_the_last_flight_is_taken(version: str) -> None:
    me = issue("me", ROOT, ca=False)
    config = Config([ROOT.der], identity=([me.der], me.key_der))
    server = Server(LEAF, INTERMEDIATE, version=version, asks=ROOT)
    connection = Connection(config, "server.test")
    connection.feed(server.answer(connection.take()))
    assert connection.verified_chain == [LEAF.der, INTERMEDIATE.der, ROOT.der]
    assert connection.wants_write  # with the client's certificate
    assert not server.done
    server.answer(connection.take())
    assert server.done and server.tls.getpeercert(binary_form=True) == me.der


@each_version
def test_without_anchors_the_leaf_alone_is_handed_out(version: str) -> None:
    own = issue("device", ca=False)
    connection = connect(Config(None), Server(own, issue("padding"), version=version), "192.0.2.7")
    assert connection.verified_chain == [own.der]


def headers(flight: bytes) -> set[int]:
    """The places of the headers of records."""
    found: set[int] = set()
    at = 0
    while at < len(flight):
        found |= set(range(at, at + 5))
        at += 5 + int.from_bytes(flight[at + 3 : at + 5], "big")
    return found


def test_a_changed_byte_of_the_server_never_ends_in_a_handshake() -> None:
    """Under TLS 1.2 the flight with certificate and signature is in clear."""
    for config in (CONFIG, Config(None)):
        server = Server(LEAF, INTERMEDIATE, version="1.2")
        connection = Connection(config, "server.test")
        flight = server.answer(connection.take())
        for at in range(5, len(flight) - 5, 7):
            connection = Connection(config, "server.test")
            server.begin()
            flight = server.answer(connection.take())
            changed = bytearray(flight)
            if at in headers(flight):
                continue  # the version in a record's header is covered by nothing (RFC 5246 section 6.2.1)
            changed[at] ^= 0x01
            try:
                connection.feed(changed)
                # What one side missed, a Finished shows.
                connection.feed(server.answer(connection.take()))
            except (TLSFailure, ssl.SSLError):
                pass
            assert connection.is_handshaking and not server.done


@each_version
def test_a_session_is_resumed_by_its_own_configuration_alone(version: str) -> None:
    server = Server(LEAF, INTERMEDIATE, version=version)
    first = connect(CONFIG, server)
    first.feed(server.say(b"x"))
    session = first.take_session()
    assert session is not None and session.single_use is (version == "1.3")
    again = connect(CONFIG, server, session=session)
    assert again.resumed and again.verified_chain is None and again.leaf == LEAF.der
    assert session.used is (version == "1.3")
    other = connect(CONFIG, server)
    other.feed(server.say(b"x"))
    assert not connect(Config([ROOT.der]), server, session=other.take_session()).resumed


@each_version
@pytest.mark.parametrize("size", [1, 100, 16384, 16385, 1_000_000])
def test_bytes_pass_both_ways_whole(version: str, size: int) -> None:
    server = Server(LEAF, INTERMEDIATE, version=version)
    connection = connect(CONFIG, server)
    data = random.Random(size).randbytes(size)
    connection.write(data)
    server.incoming.write(connection.take())
    received = b""
    while len(received) < size:
        received += server.tls.read(65536)
    assert received == data
    server.tls.write(data)
    connection.feed(server.outgoing.read())
    room = bytearray(70_000)
    back = b""
    while count := connection.read_into(room):
        back += room[:count]
    assert back == data and connection.waiting == 0


@each_version
def test_the_end_is_seen_once_the_bytes_before_it_were_read(version: str) -> None:
    server = Server(LEAF, INTERMEDIATE, version=version)
    connection = connect(CONFIG, server)
    server.tls.write(b"last words")
    with pytest.raises(OSError):
        server.tls.unwrap()
    connection.feed(server.outgoing.read())
    assert connection.read(100) == b"last words"
    assert connection.read(100) == b"" and connection.peer_closed
    connection.close_notify()
    server.incoming.write(connection.take())
    server.tls.unwrap()


def test_nothing_is_written_before_the_handshake_is_done() -> None:
    connection = Connection(CONFIG, "server.test")
    with pytest.raises(TLSFailure, match="not done"):
        connection.write(b"secret")


@each_version
@pytest.mark.parametrize("seed", range(20))
def test_noise_at_any_moment_is_an_error_and_nothing_worse(version: str, seed: int) -> None:
    noise = random.Random(seed)
    server = Server(LEAF, INTERMEDIATE, version=version)
    connection = connect(CONFIG, server) if seed % 2 else Connection(CONFIG, "server.test")
    kind = noise.choice([20, 21, 22, 23, 24, 0, 255])
    length = noise.choice([0, 1, 4, 100, 16384, 16640, 65535])
    record = bytes([kind, 3, 3]) + length.to_bytes(2, "big") + noise.randbytes(length)
    held = 0
    try:
        for _ in range(200):
            connection.feed(record)
            held = max(held, connection.waiting)
    except TLSFailure:
        with pytest.raises(TLSFailure):
            connection.feed(record)
    assert held < 2 * len(record) + 16384
    connection.take()


@pytest.mark.parametrize("name", ["", "a b", "[::1]", "x" * 300])
def test_a_name_that_is_none_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match="server name"):
        Connection(CONFIG, name)


def test_buffers_of_any_kind_are_read_and_only_writable_ones_are_filled() -> None:
    server = Server(LEAF, INTERMEDIATE)
    connection = connect(CONFIG, server)
    for data in (b"abc", bytearray(b"abc"), memoryview(b"abc"), memoryview(b"")):
        connection.write(data)
    with pytest.raises((TypeError, BufferError, ValueError)):
        connection.write(memoryview(b"abcdef")[::2])
    with pytest.raises((TypeError, BufferError, ValueError)):
        connection.read_into(b"read only")
    with pytest.raises((TypeError, BufferError, ValueError)):
        connection.feed("text")  # type: ignore[arg-type]
