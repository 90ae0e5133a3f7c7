"""Every way to a pinned host, with the wrong key at its end or without TLS: nothing arrives.

Looked at from the other side: what servers and proxies decrypted, and what was said in clear.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pinio
from pinio.core.decision import Refusal
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.errors import (
    PinMismatchError,
    PinVerificationError,
    PlaintextRefusedError,
    PolicyError,
    UnpinnedHostError,
)
from pinio.testing import ConnectProxy, Interceptor, Server, http
from pinio.testing.listener import Listener
from pinio.tls.handshake.sessions import SessionCache
from tests.adapters.world import PROXY, SECRET, Visit
from tests.interop.peers import SocksProxy
from tests.tls.cast import ABSENT, GENUINE, IDENTITY, ROOT, SPARE, Swapped, Told


def pins(*pins: str, **options: Any) -> PinSet:
    return PinSet([*pins], backup=[SPARE], anchors=ROOT.anchors, **options)


def policy(**options: Any) -> Policy:
    """The genuine key for `localhost`, and the proxy's for `127.0.0.1`."""
    return Policy({"localhost": pins(GENUINE.pin), "127.0.0.1": pins(PROXY.pin)}, **options)


def url_of(server: Server, scheme: str = "https") -> str:
    return f"{scheme}://localhost:{server.port}/"


def redirect(location: str) -> Any:
    return http(status=302, headers=[("Location", location), ("Set-Cookie", f"session={SECRET}")])


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def options(told: Told) -> dict[str, Any]:
    """An observer that remembers, and sessions that no other test knows."""
    return {"observer": told, "resumption": SessionCache()}


@contextlib.contextmanager
def proxied(kind: str, server: Listener) -> Iterator[tuple[str | None, Server | SocksProxy | None]]:
    """A way to a server: the URL of a proxy, and the proxy."""
    if kind == "direct":
        yield None, None
    elif kind == "SOCKS":
        for module in ("socks", "socksio"):
            pytest.importorskip(
                module, reason=f"{module} is not installed: pip install --group interop"
            )
        with SocksProxy(lambda: server.address) as socks:
            yield f"socks5://127.0.0.1:{socks.port}", socks
    else:
        with ConnectProxy(PROXY if kind == "HTTPS" else None, interceptor=server) as proxy:
            yield f"{kind.lower()}://127.0.0.1:{proxy.port}", proxy


each_way = pytest.mark.parametrize("leg", ["direct", "HTTP", "HTTPS", "SOCKS"])


@each_way
def test_a_matching_pin_connects(
    leg: str, visit: Visit, told: Told, options: dict[str, Any], tls_version: ssl.TLSVersion
) -> None:
    with (
        Server(GENUINE, handler=http(), tls_version=tls_version) as server,
        proxied(leg, server) as (proxy, _),
    ):
        assert visit([url_of(server)] * 2, policy(), proxy=proxy, **options) == [b"ok", b"ok"]
        assert SECRET.encode() in server.application_bytes
    assert set(told.kinds) == {"Permit"}


@each_way
def test_P1_an_interceptor_gets_nothing(
    leg: str,
    visit: Visit,
    library_error: type[Exception],
    told: Told,
    options: dict[str, Any],
    tls_version: ssl.TLSVersion,
) -> None:
    with (
        Interceptor(ROOT, "localhost", handler=http(), tls_version=tls_version) as interceptor,
        proxied(leg, interceptor) as (proxy, _),
    ):
        with pytest.raises(PinMismatchError) as caught:
            visit([url_of(interceptor)], policy(), proxy=proxy, **options)
        interceptor.wait_quiet()
        assert interceptor.application_bytes == b""
    assert isinstance(caught.value, library_error)
    assert pinio.find_pin_error(caught.value) is caught.value
    assert told and told[-1] == caught.value.refusal


def test_P1_nor_does_one_in_the_place_of_the_proxy(
    visit: Visit, library_error: type[Exception], told: Told, options: dict[str, Any]
) -> None:
    with (
        Server(GENUINE, handler=http()) as server,
        ConnectProxy(ROOT.issue("127.0.0.1"), interceptor=server) as proxy,
    ):
        for scheme in ("https", "http"):  # a tunnel, and a request to forward
            target = (
                f"{scheme}://{'localhost' if scheme == 'https' else 'open.test'}:{server.port}/"
            )
            with pytest.raises(PinMismatchError) as caught:
                visit(
                    [target],
                    policy(unpinned="allow"),
                    proxy=f"https://127.0.0.1:{proxy.port}",
                    **options,
                )
            assert isinstance(caught.value, library_error)
        proxy.wait_quiet()
        assert proxy.application_bytes == server.application_bytes == b""
    assert {decision.host for decision in told} == {"127.0.0.1"}


@pytest.mark.parametrize("leg", ["direct", "HTTP", "SOCKS"])
def test_P5_a_redirect_to_plaintext_is_not_followed(
    leg: str, visit: Visit, library_error: type[Exception], told: Told, options: dict[str, Any]
) -> None:
    with Server(plain=True, handler=http()) as clear:
        with (
            Server(GENUINE, handler=redirect(url_of(clear, "http"))) as server,
            proxied(leg, server) as (proxy, through),
        ):
            with pytest.raises(PlaintextRefusedError) as caught:
                visit([url_of(server)], policy(), proxy=proxy, **options)
            assert len(server.connections) == 1
            if through is not None:
                through.wait_quiet()
                assert len(through.connections) == 1
        assert not clear.connections
    assert isinstance(caught.value, library_error)
    assert [type(decision).__name__ for decision in told] == ["Permit", "Refusal"]
    assert isinstance(told[-1], Refusal) and told[-1].reason == "PLAINTEXT_REFUSED"
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("mode", ["enforce", "report-only"])
def test_P5_nor_is_plaintext_asked_for(
    mode: Any, visit: Visit, told: Told, options: dict[str, Any]
) -> None:
    with Server(plain=True, handler=http()) as clear, ConnectProxy(interceptor=clear) as proxy:
        expected = Policy({"localhost": pins(GENUINE.pin, mode=mode)}, unpinned="allow")
        for through in (None, f"http://127.0.0.1:{proxy.port}"):
            for host in ("localhost", "LOCALHOST", "localhost."):
                url = f"http://{host}:{clear.port}/"
                with pytest.raises(PlaintextRefusedError):
                    visit([url], expected, proxy=through, **options)
        assert not clear.connections and not proxy.connections
    assert len(told) == 6


def test_plaintext_to_others_is_the_policys_to_allow(visit: Visit, options: dict[str, Any]) -> None:
    with Server(plain=True, handler=http()) as clear:
        elsewhere = {"elsewhere.test": pins(GENUINE.pin)}
        allowed = Policy(elsewhere, unpinned="allow")
        exempt = Policy(elsewhere, exempt={"localhost": "a test"})
        for expected in (allowed, exempt):
            assert visit([url_of(clear, "http")], expected, **options) == [b"ok"]
        with pytest.raises(UnpinnedHostError):
            visit([url_of(clear, "http")], Policy(elsewhere), **options)
        assert len(clear.connections) == 2


def test_a_host_that_is_not_listed_is_refused_before_there_is_a_socket(
    visit: Visit, told: Told, options: dict[str, Any]
) -> None:
    with Server(GENUINE, handler=http()) as server, ConnectProxy() as proxy:
        for through in (None, f"http://127.0.0.1:{proxy.port}"):
            with pytest.raises(UnpinnedHostError):
                visit([f"https://other.test:{server.port}/"], policy(), proxy=through, **options)
        assert not server.connections and not proxy.connections
    assert len(told) == 2


def test_a_redirect_to_a_host_that_is_not_listed_is_refused(
    visit: Visit, told: Told, options: dict[str, Any]
) -> None:
    with (
        Server(GENUINE, handler=http()) as other,
        Server(GENUINE, handler=redirect(f"https://other.test:{other.port}/")) as server,
    ):
        with pytest.raises(UnpinnedHostError):
            visit([url_of(server)], policy(), **options)
        assert not other.connections


@pytest.mark.parametrize("host", ["127.1", "a..b"])
def test_a_redirect_to_no_host_is_an_error_of_the_library(
    host: str, visit: Visit, library_error: type[Exception], options: dict[str, Any]
) -> None:
    with Server(GENUINE, handler=redirect(f"https://{host}/{SECRET}")) as server:
        with pytest.raises(library_error) as caught:
            visit([url_of(server)], policy(), **options)
        assert SECRET not in str(caught.value)


def test_a_connection_of_the_pool_is_judged_again_after_a_swap(
    visit: Visit, library_error: type[Exception], told: Told, options: dict[str, Any]
) -> None:
    with Server(GENUINE, handler=http()) as server:
        source = Swapped(policy())

        def urls() -> Iterator[str]:
            yield url_of(server)
            source.swap(Policy({"localhost": pins(ABSENT)}))
            yield url_of(server)

        with pytest.raises(PinMismatchError) as caught:
            visit(urls(), source, **options)
        server.wait_quiet()
        assert bytes(server.application_bytes).count(b"GET ") == 1
    assert isinstance(caught.value, library_error)


# Proxies with a policy of their own


PROXIES = Policy({"127.0.0.1": pins(PROXY.pin)})


def test_proxies_can_have_a_policy_of_their_own(visit: Visit, options: dict[str, Any]) -> None:
    origins = Policy({"localhost": pins(GENUINE.pin)})
    with Server(GENUINE, handler=http()) as server, proxied("HTTPS", server) as (proxy, _):
        assert visit([url_of(server)], origins, proxy=proxy, proxy_policy=PROXIES, **options)
        with pytest.raises(UnpinnedHostError, match="proxy_policy="):
            visit([url_of(server)], origins, proxy=proxy, **options)
        other = Policy({"127.0.0.1": pins(GENUINE.pin)})
        with pytest.raises(PinMismatchError):
            visit([url_of(server)], origins, proxy=proxy, proxy_policy=other, **options)


@pytest.mark.parametrize("leg", ["HTTP", "SOCKS"])
def test_P5_a_pinned_proxy_is_not_spoken_to_in_clear(
    leg: str, visit: Visit, library_error: type[Exception], told: Told, options: dict[str, Any]
) -> None:
    """Named by `http://`, it would hear where the client goes, and its own password."""
    with Server(GENUINE, handler=http()) as server, proxied(leg, server) as (proxy, through):
        assert through is not None and proxy is not None
        with pytest.raises(PlaintextRefusedError) as caught:
            visit(
                [url_of(server)],
                policy(),
                proxy=proxy.replace("//", "//user:T0PSECRET@"),
                proxy_policy=PROXIES,
                **options,
            )
        assert not through.connections and not server.connections
    assert isinstance(caught.value, library_error)
    assert [decision.host for decision in told] == ["127.0.0.1"]
    assert SECRET not in str(caught.value)


# What is refused is told apart from what was refused before


def test_a_failure_in_the_middle_of_an_earlier_refusal_is_its_own(
    visit: Visit, library_error: type[Exception], reserved_port: int, options: dict[str, Any]
) -> None:
    def visits() -> None:
        try:
            visit([f"http://localhost:{reserved_port}/"], policy(), **options)
        except PlaintextRefusedError:
            visit([f"https://localhost:{reserved_port}/"], policy(), **options)

    with pytest.raises(library_error) as caught:
        visits()
    assert not isinstance(caught.value, PinVerificationError)


# Arguments


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"policy": policy(), "ssl": pinio.create_ssl_context(policy())},
        {"ssl": ssl.create_default_context()},
        {"ssl": pinio.create_ssl_context(policy()), "observer": Told()},
        {"ssl": pinio.create_ssl_context(policy()), "resumption": False},
        {"policy": "pins.toml"},
        {"policy": policy(), "proxy_policy": "pins.toml"},
        {"policy": policy(), "observer": 1},
    ],
)
def test_arguments_that_make_no_sense(wrong: dict[str, Any], visit: Visit) -> None:
    with pytest.raises(PolicyError):
        visit([], **wrong)


def test_a_context_brings_its_settings(visit: Visit, told: Told, tmp_path: Path) -> None:
    certificate = tmp_path / "client.pem"
    certificate.write_text(IDENTITY.private_key_pem + IDENTITY.chain_pem)
    context = pinio.create_ssl_context(
        policy(), client_cert=str(certificate), observer=told, resumption=SessionCache()
    )
    with Server(GENUINE, handler=http(), client_ca=ROOT) as server:
        assert visit([url_of(server)], ssl=context) == [b"ok"]
        assert server.connections[0].client_certificate == IDENTITY.der
    assert told.kinds == ["Permit"]
