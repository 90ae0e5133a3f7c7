"""TLS objects stay shut: before the verdict, after a refusal, and by every method that could carry a byte."""

from __future__ import annotations

import io
import select
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from pinio.errors import JudgementError, NotJudgedError, PinMismatchError, PolicyError
from pinio.testing import CA, Interceptor, Server
from pinio.tls.context.objects import PinnedSSLObject, PinnedSSLSocket
from pinio.tls.handshake import peer
from pinio.tls.handshake.gate import State
from tests.tls.cast import GENUINE, IDENTITY, ISSUER, MISPINNED, ROOT, Told, end_of, pinned
from tests.tls.memory import MemoryPeer
from tests.tls.through import SECRET, ask_asyncio, blocking, context_for, inner, tcp, unsealed

OBJECT_METHODS: dict[str, Callable[[Any], object]] = {
    "read": lambda tls: tls.read(1),
    "read into": lambda tls: tls.read(1, bytearray(1)),
    "write": lambda tls: tls.write(SECRET),
    "unwrap": lambda tls: tls.unwrap(),
}
SOCKET_METHODS: dict[str, Callable[[Any], object]] = {
    **OBJECT_METHODS,
    "recv": lambda tls: tls.recv(1),
    "recv peek": lambda tls: tls.recv(1, socket.MSG_PEEK),
    "recv_into": lambda tls: tls.recv_into(bytearray(1)),
    "recvfrom": lambda tls: tls.recvfrom(1),
    "recvfrom_into": lambda tls: tls.recvfrom_into(bytearray(1)),
    "recvmsg": lambda tls: tls.recvmsg(1),
    "recvmsg_into": lambda tls: tls.recvmsg_into([bytearray(1)]),
    "send": lambda tls: tls.send(SECRET),
    "sendall": lambda tls: tls.sendall(SECRET),
    "sendto": lambda tls: tls.sendto(SECRET, ("127.0.0.1", 9)),
    "sendmsg": lambda tls: tls.sendmsg([SECRET]),
    "sendfile": lambda tls: tls.sendfile(io.BytesIO(SECRET)),
    "makefile read": lambda tls: tls.makefile("rb", buffering=0).read(1),
    "makefile write": lambda tls: tls.makefile("wb", buffering=0).write(SECRET),
}
object_method = pytest.mark.parametrize("use", OBJECT_METHODS.values(), ids=OBJECT_METHODS)
socket_method = pytest.mark.parametrize("use", SOCKET_METHODS.values(), ids=SOCKET_METHODS)


class Pair:
    """A TLS object of a pinned context, and a server, in memory."""

    def __init__(self, policy: Any, tls_version: ssl.TLSVersion, **options: Any) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.context = context_for(policy, **options)
        made = self.context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.tls = cast(PinnedSSLObject, made)
        self.server = MemoryPeer(GENUINE.server_context(tls_version=tls_version))

    def shake_hands(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.incoming.write(self.server.answer(self.outgoing.read()))
            else:
                self.incoming.write(self.server.answer(self.outgoing.read()))
                return


# Objects


@object_method
def test_P5_an_object_lets_nothing_through_before_its_handshake(
    use: Callable[[Any], object], tls_version: ssl.TLSVersion
) -> None:
    """OpenSSL would shake hands by itself, past every hook."""
    pair = Pair(pinned(), tls_version)
    with pytest.raises(NotJudgedError):
        use(pair.tls)
    assert not pair.outgoing.pending, "not even a ClientHello"
    assert pair.tls.state is State.IDLE


@object_method
def test_P5_nor_in_the_middle_of_it(
    use: Callable[[Any], object], tls_version: ssl.TLSVersion
) -> None:
    pair = Pair(pinned(), tls_version)
    with pytest.raises(ssl.SSLWantReadError):
        pair.tls.do_handshake()
    pair.incoming.write(pair.server.answer(pair.outgoing.read()))
    with pytest.raises(NotJudgedError):
        use(pair.tls)
    assert not pair.outgoing.pending
    pair.shake_hands()
    pair.tls.write(SECRET)
    assert pair.server.receive(pair.outgoing.read()) == SECRET


@object_method
def test_P1_nor_after_a_refusal(use: Callable[[Any], object], tls_version: ssl.TLSVersion) -> None:
    pair = Pair(MISPINNED, tls_version)
    with pytest.raises(PinMismatchError):
        pair.shake_hands()
    for again in (use, lambda tls: tls.do_handshake(), use):
        with pytest.raises(NotJudgedError):
            again(pair.tls)
    assert not pair.outgoing.pending
    assert not pair.server.finished
    assert pair.tls.permit is None


@object_method
def test_P1_nor_after_a_handshake_that_openssl_failed(
    use: Callable[[Any], object], tls_version: ssl.TLSVersion
) -> None:
    pair = Pair(pinned(anchors=CA("another").anchors), tls_version)
    with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
        pair.shake_hands()
    with pytest.raises(NotJudgedError):
        use(pair.tls)
    pair.server.incoming.write(pair.outgoing.read())
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        pair.server.tls.do_handshake()


def test_an_open_object_is_as_any_other(tls_version: ssl.TLSVersion) -> None:
    pair = Pair(pinned(), tls_version)
    pair.shake_hands()
    pair.tls.do_handshake()
    assert pair.tls.state is State.OPEN
    assert pair.tls.permit is not None and pair.tls.permit.pinned
    assert pair.tls.write(SECRET) == len(SECRET)
    assert pair.server.receive(pair.outgoing.read()) == SECRET
    pair.incoming.write(pair.server.send(b"answer"))
    buffer = bytearray(6)
    assert pair.tls.read(6, buffer) == 6
    assert bytes(buffer) == b"answer"


def test_a_shutdown_may_take_several_calls_and_ends_writing(tls_version: ssl.TLSVersion) -> None:
    pair = Pair(pinned(), tls_version)
    pair.shake_hands()
    for _ in range(2):
        with pytest.raises(ssl.SSLWantReadError):
            pair.tls.unwrap()
    with pytest.raises(NotJudgedError):
        pair.tls.write(SECRET)
    pair.server.receive(b"")
    pair.server.incoming.write(pair.outgoing.read())
    pair.server.tls.unwrap()
    pair.incoming.write(pair.server.outgoing.read())
    pair.tls.unwrap()


# The client's final flight


async def test_P2_a_refused_peer_gets_no_client_certificate(
    tmp_path: Path, tls_version: ssl.TLSVersion
) -> None:
    told = Told()
    identity = IDENTITY.write(tmp_path)
    context = context_for(pinned(), client_cert=identity, observer=told)
    with Interceptor(ROOT, "localhost", client_ca=ROOT, tls_version=tls_version) as between:
        with pytest.raises(PinMismatchError):
            await ask_asyncio(context, between)
        await end_of(between)
        assert between.client_certificates == []
        assert between.handshakes_finished == 0
        assert IDENTITY.der not in bytes(between.connections[0].handshake_bytes), (
            "TLS 1.2 would show it in clear"
        )
    with Server(GENUINE, client_ca=ROOT, tls_version=tls_version) as server:
        assert await ask_asyncio(context, server) == SECRET
        await end_of(server)
        assert server.client_certificates == [IDENTITY.der]
    assert told.kinds == ["Refusal", "Permit"]


def test_over_a_blocking_socket_the_final_flight_leaves_before_the_verdict(
    tmp_path: Path, tls_version: ssl.TLSVersion
) -> None:
    """What cannot be helped there, as the documentation says: OpenSSL writes to the socket itself. No application byte does."""
    context = context_for(pinned(), client_cert=IDENTITY.write(tmp_path))
    with Interceptor(ROOT, "localhost", client_ca=ROOT, tls_version=tls_version) as between:
        with pytest.raises(PinMismatchError), blocking(context, between):
            pass
        between.wait_quiet()
        assert between.client_certificates == [IDENTITY.der]
        assert between.captured == b""


# Blocking sockets


@socket_method
def test_P5_a_socket_lets_nothing_through_before_its_handshake(
    use: Callable[[Any], object], tls_version: ssl.TLSVersion
) -> None:
    context = context_for(pinned())
    with Server(GENUINE, tls_version=tls_version) as server, tcp(server) as sock:
        with context.wrap_socket(
            sock, server_hostname="localhost", do_handshake_on_connect=False
        ) as tls:
            with pytest.raises(NotJudgedError):
                use(tls)
            tls.do_handshake()
            tls.sendall(b"after")
            tls.recv(5)
        server.wait_quiet()
        assert server.application_bytes == b"after"


@socket_method
def test_P1_a_refused_socket_is_closed_and_sends_nothing_any_more(
    use: Callable[[Any], object], tls_version: ssl.TLSVersion
) -> None:
    """With plain `ssl` a socket whose handshake failed in `connect` sends plaintext from then on."""
    context = context_for(MISPINNED)
    with Server(GENUINE, tls_version=tls_version) as server, tcp(server) as sock:
        tls = context.wrap_socket(sock, server_hostname="localhost", do_handshake_on_connect=False)
        with pytest.raises(PinMismatchError):
            tls.do_handshake()
        assert tls.fileno() == -1
        with pytest.raises((NotJudgedError, OSError)):
            use(tls)
        with pytest.raises(OSError):
            socket.socket.sendall(tls, SECRET)
        server.wait_quiet()
        (record,) = server.connections
        assert record.ended.is_set()
        assert bytes(record.application_bytes) == bytes(record.plaintext_bytes) == b""
        assert isinstance(record.error, ssl.SSLEOFError | ConnectionError)


def test_P1_a_refusal_in_wrap_socket_closes_the_socket(tls_version: ssl.TLSVersion) -> None:
    context = context_for(MISPINNED)
    with Server(GENUINE, tls_version=tls_version) as server, tcp(server) as sock:
        with pytest.raises(PinMismatchError):
            context.wrap_socket(sock, server_hostname="localhost")
        with pytest.raises(OSError):
            sock.sendall(SECRET)
        server.wait_quiet()
        assert server.application_bytes == b""
        assert server.connections[0].ended.is_set()


@pytest.mark.parametrize("other", ["other.pinned.test", None])
def test_P5_the_name_of_a_socket_cannot_be_replaced_before_it_connects(
    other: str | None, tls_version: ssl.TLSVersion
) -> None:
    """`ssl` reads it again in `connect`: another name would be verified than the one whose pins were looked up, or none."""
    context = context_for(pinned(f"ca:{ISSUER.pin}"))
    with Server(ISSUER.issue("other.pinned.test"), tls_version=tls_version) as server:
        with socket.socket() as sock:
            sock.settimeout(60)
            with context.wrap_socket(sock, server_hostname="localhost") as tls:
                with pytest.raises(PolicyError, match="cannot be replaced"):
                    tls.server_hostname = other
                assert tls.server_hostname == "localhost"
                with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)mismatch"):
                    tls.connect(server.address)
        server.wait_quiet()
        assert server.application_bytes == b""


@pytest.mark.parametrize("by", ["connect", "connect_ex"])
def test_a_socket_may_be_wrapped_before_it_is_connected(
    by: str, tls_version: ssl.TLSVersion
) -> None:
    with Server(GENUINE, tls_version=tls_version) as server:
        with socket.socket() as sock:
            sock.settimeout(60)
            with context_for(pinned()).wrap_socket(sock, server_hostname="localhost") as tls:
                with pytest.raises(NotJudgedError):
                    tls.sendall(b"too early")
                getattr(tls, by)(server.address)
                tls.sendall(SECRET)
                assert tls.recv(100) == SECRET
        with socket.socket() as sock:
            sock.settimeout(60)
            tls = context_for(MISPINNED).wrap_socket(sock, server_hostname="localhost")
            with pytest.raises(PinMismatchError):
                getattr(tls, by)(server.address)
            with pytest.raises(OSError):
                tls.sendall(b"in plaintext")
            assert tls.fileno() == -1
        server.wait_quiet()
        assert server.application_bytes == SECRET
        assert all(not record.plaintext_bytes for record in server.connections)


def test_after_a_chain_that_openssl_refuses_nothing_is_sent_in_clear(
    tls_version: ssl.TLSVersion,
) -> None:
    context = context_for(pinned(anchors=CA("another").anchors))
    with Server(GENUINE, tls_version=tls_version) as server, socket.socket() as sock:
        sock.settimeout(60)
        with context.wrap_socket(sock, server_hostname="localhost") as tls:
            with pytest.raises(ssl.SSLCertVerificationError, match="verify failed"):
                tls.connect(server.address)
            for use in (
                lambda: tls.sendall(SECRET),
                lambda: tls.recv(1),
                lambda: tls.makefile("wb", 0).write(SECRET),
            ):
                with pytest.raises(NotJudgedError):
                    use()
        server.wait_quiet()
        assert server.application_bytes == b""
        assert SECRET not in bytes(server.connections[0].handshake_bytes)


def test_a_connection_that_nobody_takes_leaves_the_socket_shut(reserved_port: int) -> None:
    with socket.socket() as sock:
        sock.settimeout(60)
        with context_for(pinned()).wrap_socket(sock, server_hostname="localhost") as tls:
            with pytest.raises(ConnectionRefusedError):
                tls.connect(("127.0.0.1", reserved_port))
            with pytest.raises(NotJudgedError):
                tls.sendall(SECRET)


def test_an_open_socket_is_as_any_other(tls_version: ssl.TLSVersion, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"from a file")
    with (
        Server(GENUINE, tls_version=tls_version) as server,
        blocking(context_for(pinned()), server) as tls,
    ):
        tls.sendall(b"one")
        assert tls.recv(3) == b"one"
        assert tls.send(b"two") == 3
        buffer = bytearray(3)
        assert tls.recv_into(buffer) == 3
        with file.open("rb") as opened:
            assert tls.sendfile(opened) == 11
        with tls.makefile("rwb") as stream:
            assert stream.read(11) == b"from a file"
            stream.write(b"three")
            stream.flush()
            assert stream.read(5) == b"three"
        assert isinstance(tls, PinnedSSLSocket) and tls.permit is not None
        plain = tls.unwrap()
        with pytest.raises((NotJudgedError, ValueError)):
            plain.sendall(b"in clear")
        server.wait_quiet()
        assert server.application_bytes == b"onetwofrom a filethree"


def test_after_a_shutdown_nothing_goes_out_in_clear(tls_version: ssl.TLSVersion) -> None:
    """`ssl` forgets its TLS object there, and would write past it."""
    with (
        Server(GENUINE, tls_version=tls_version) as server,
        blocking(context_for(pinned()), server) as tls,
    ):
        tls.sendall(SECRET)
        tls.recv(100)
        tls.shutdown(socket.SHUT_RD)
        for use in (lambda: tls.sendall(b"in clear"), lambda: tls.recv(1)):
            with pytest.raises(NotJudgedError):
                use()
    assert server.application_bytes == SECRET


def test_a_refused_socket_has_nothing_to_detach(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version) as server, tcp(server) as sock:
        tls = context_for(MISPINNED).wrap_socket(
            sock, server_hostname="localhost", do_handshake_on_connect=False
        )
        with pytest.raises(PinMismatchError):
            tls.do_handshake()
        assert tls.detach() == -1


# Non-blocking sockets


def handshake_without_blocking(tls: ssl.SSLSocket) -> None:
    """As an event loop of one's own does it."""
    for _ in range(1000):
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            assert select.select([tls], [], [], 60)[0]
        except ssl.SSLWantWriteError:
            assert select.select([], [tls], [], 10)[1]
        else:
            return
    raise AssertionError("the handshake never ends")


def test_a_non_blocking_socket_is_judged(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version) as server, tcp(server) as sock:
        sock.setblocking(False)
        with context_for(pinned()).wrap_socket(
            sock, server_hostname="localhost", do_handshake_on_connect=False
        ) as tls:
            with pytest.raises(NotJudgedError):
                tls.send(SECRET)
            handshake_without_blocking(tls)
            assert tls.send(SECRET) == len(SECRET)
            while True:
                try:
                    assert tls.recv(100) == SECRET
                    break
                except ssl.SSLWantReadError:
                    assert select.select([tls], [], [], 60)[0]


def test_P1_a_refused_non_blocking_socket_ends_and_keeps_its_number(
    tls_version: ssl.TLSVersion,
) -> None:
    """Its owner's selector has that number registered, and the next socket would get it."""
    with Server(GENUINE, tls_version=tls_version) as server, tcp(server) as sock:
        sock.setblocking(False)
        with context_for(MISPINNED).wrap_socket(
            sock, server_hostname="localhost", do_handshake_on_connect=False
        ) as tls:
            with pytest.raises(PinMismatchError):
                handshake_without_blocking(tls)
            assert tls.fileno() >= 0
            with pytest.raises(NotJudgedError):
                tls.send(SECRET)
            with pytest.raises(OSError):
                socket.socket.send(tls, SECRET)
            server.wait_quiet()
            assert server.application_bytes == b""
            assert server.connections[0].ended.is_set()


def test_a_non_blocking_socket_cannot_shake_hands_at_once() -> None:
    """As `ssl` says, which closes the socket too."""
    with Server(GENUINE) as server, tcp(server) as sock:
        sock.setblocking(False)
        with pytest.raises(ValueError, match="non-blocking"):
            context_for(pinned()).wrap_socket(sock, server_hostname="localhost")


# Classes from elsewhere


class Foreign(ssl.SSLObject):
    """What somebody else would like to have made."""


class ForeignSocket(ssl.SSLSocket):
    """Likewise."""


def test_a_foreign_class_gets_no_connection() -> None:
    context = context_for(pinned(), alpn=["made for this test"])
    private = unsealed(inner(context))
    private.sslobject_class, private.sslsocket_class = Foreign, ForeignSocket
    with pytest.raises(JudgementError, match="Foreign has no latch"):
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    with Server(GENUINE) as server, tcp(server) as sock:
        with pytest.raises(JudgementError, match="ForeignSocket has no latch"):
            context.wrap_socket(sock, server_hostname="localhost")
        server.wait_quiet()
        assert not server.connections[0].handshake_bytes
    private.sslobject_class, private.sslsocket_class = PinnedSSLObject, PinnedSSLSocket
    told = context.observer
    assert isinstance(told, Told)
    assert told.kinds == ["Refusal", "Refusal"]


def test_every_method_of_ssl_that_carries_bytes_is_behind_the_latch() -> None:
    """A method that a newer Python adds is noticed here."""
    harmless = {
        "accept", "bind", "cipher", "close", "compression", "connect", "connect_ex", "detach", "dup", "family", "fileno",
        "get_channel_binding", "get_inheritable", "get_unverified_chain", "get_verified_chain", "getblocking",
        "getpeercert", "getpeername", "getsockname", "getsockopt", "gettimeout", "listen", "makefile", "pending", "proto",
        "selected_alpn_protocol", "selected_npn_protocol", "server_hostname", "server_side", "session_reused",
        "set_inheritable", "setblocking", "setsockopt", "settimeout", "shared_ciphers", "timeout", "type",
        "verify_client_post_handshake", "version", "group", "client_sigalg", "server_sigalg",
    }  # fmt: skip
    for stock, ours in ((ssl.SSLObject, PinnedSSLObject), (ssl.SSLSocket, PinnedSSLSocket)):
        inherited = {name for name in dir(stock) if not name.startswith("_")} - harmless
        assert {name for name in inherited if getattr(ours, name) is getattr(stock, name)} <= {
            "sendmsg_afalg"
        }


def test_a_raw_core_goes_around_the_latch_and_is_for_pinio_alone(
    tls_version: ssl.TLSVersion,
) -> None:
    """What the documentation says of `_sslobj`: code inside the process can do anything."""
    pair = Pair(MISPINNED, tls_version)
    with pytest.raises(ssl.SSLWantReadError):
        peer.raw(pair.tls).do_handshake()
    assert pair.outgoing.pending
