"""What a TLS object shows as its context is shared by all connections of one configuration: it can be looked at, no more."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import pickle
import ssl

import pytest

from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.errors import NotJudgedError, PolicyError
from pinio.testing import CA, Server
from pinio.tls.config.settings import scratch
from pinio.tls.context.objects import PinnedSSLObject, PinnedSSLSocket
from pinio.tls.context.sealed import LOOKING, MAKING, SealedContext
from pinio.tls.context.unreadable import UNREADABLE
from tests.tls.cast import GENUINE, ROOT, SPARE, end_of, pinned
from tests.tls.through import SECRET, ask, ask_asyncio, blocking, context_for, tcp


def shown() -> ssl.SSLContext:
    """The context of a TLS object, as any library gets to see it."""
    made = context_for(pinned()).wrap_bio(
        ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost"
    )
    return made.context


PUBLIC = sorted(name for name in dir(ssl.SSLContext) if not name.startswith("_"))
METHODS = [name for name in PUBLIC if callable(getattr(ssl.SSLContext, name))]
CHANGING = [
    name
    for name in METHODS
    if name not in LOOKING | MAKING | UNREADABLE and not name.endswith("_class")
]


@pytest.mark.parametrize(
    "name", [*PUBLIC, "__class__", "what nobody knows", "_aiofastnet_force_fallback_ssl"]
)
def test_P5_nothing_can_be_set(name: str) -> None:
    context = shown()
    with pytest.raises(PolicyError, match="shared and cannot be changed"):
        setattr(context, name, None)
    with pytest.raises(PolicyError, match="shared and cannot be changed"):
        delattr(context, name)


@pytest.mark.parametrize("name", sorted(UNREADABLE))
def test_P5_it_tells_nobody_its_trust_anchors(name: str) -> None:
    with pytest.raises(PolicyError, match=rf"{name}.*another TLS engine"):
        getattr(shown(), name)()


@pytest.mark.parametrize("name", [*CHANGING, "_set_alpn_protocols", "_load_windows_store_certs"])
def test_P5_nothing_that_changes_it_can_be_called(name: str) -> None:
    """Whatever a newer Python adds is refused until somebody says that it only looks."""
    assert len(CHANGING) >= 10
    with pytest.raises(PolicyError, match=name):
        getattr(SealedContext, name)(shown())


def test_it_can_be_looked_at() -> None:
    context = shown()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.sslobject_class is PinnedSSLObject and context.sslsocket_class is PinnedSSLSocket
    assert context.get_ciphers() and context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert {name for name in METHODS if name in LOOKING} <= set(dir(scratch()))


def test_it_cannot_be_copied() -> None:
    for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            duplicate(shown())


@pytest.mark.parametrize("door", ["object", "socket"])
def test_P5_a_library_that_loads_its_own_ca_there_widens_nobodys_trust(
    door: str, tls_version: ssl.TLSVersion
) -> None:
    """Hosts without pins would go to whoever holds that CA."""
    stranger = CA("stranger")
    policy = Policy(
        {"elsewhere.test": PinSet([SPARE], single="unused")},
        unpinned="allow",
        unpinned_anchors=ROOT.anchors,
    )
    context = context_for(policy)
    with Server(GENUINE, tls_version=tls_version) as server, blocking(context, server) as tls:
        made = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
        with pytest.raises(PolicyError):
            (made if door == "object" else tls).context.load_verify_locations(
                cadata=stranger.certificate_pem
            )
    with Server(stranger.issue("localhost"), tls_version=tls_version) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)verify failed"):
            ask(context, server)
        server.wait_quiet()
        assert server.application_bytes == b""


async def test_P5_a_loop_that_is_given_it_connects_to_nobody(tls_version: ssl.TLSVersion) -> None:
    """Its TLS objects have no judge."""
    with Server(GENUINE, tls_version=tls_version) as server:
        with pytest.raises(NotJudgedError):
            await ask_asyncio(shown(), server)
        await end_of(server)
        assert server.handshakes_finished == 0
        assert server.application_bytes == b""


async def test_P5_nor_does_aiofastnet() -> None:
    """It would shake hands by itself, but for its switch.

    An object that fails at once it leaves to its own time limit.
    """
    aiofastnet = pytest.importorskip("aiofastnet", reason="aiofastnet is not installed")
    complaints: list[BaseException] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context["exception"]))
    options = {"ssl": shown(), "server_hostname": "localhost", "ssl_handshake_timeout": 0.5}
    with Server(GENUINE) as server:
        with pytest.raises(OSError):
            await aiofastnet.open_connection(loop, *server.address, **options)
        await end_of(server)
        assert server.handshakes_finished == 0
        assert server.application_bytes == b""
    assert [type(complaint) for complaint in complaints] == [NotJudgedError]


def test_P5_nor_does_a_blocking_client(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version) as server:
        with pytest.raises(NotJudgedError), tcp(server) as sock:
            shown().wrap_socket(sock, server_hostname="localhost")
        with (
            tcp(server) as sock,
            contextlib.closing(
                shown().wrap_socket(
                    sock, server_hostname="localhost", do_handshake_on_connect=False
                )
            ) as tls,
        ):
            for use in (tls.do_handshake, lambda: tls.sendall(SECRET), lambda: tls.recv(1)):
                with pytest.raises((NotJudgedError, OSError)):
                    use()
        server.wait_quiet()
        assert server.handshakes_finished == 0
        assert server.application_bytes == b""
