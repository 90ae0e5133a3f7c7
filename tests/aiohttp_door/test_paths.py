"""Every path that aiohttp has to a pinned host, with the wrong key at its end: nothing arrives, and the error says so.

direct                     client ═══════════════════════► origin
CONNECT through a proxy    client ─── http proxy ════════► origin
TLS in TLS                 client ═══ https proxy ═══════► origin
and each by request, redirect, websocket, another name, another connection of the pool
"""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

import pinio
from pinio.aiohttp import ClientPinError, PinnedConnector
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.testing import ConnectProxy, Interceptor, Server, http
from tests.tls.cast import ABSENT, GENUINE, ISSUER, ROOT, SPARE, Told, end_of

PROXY = ISSUER.issue("localhost", "127.0.0.1")
SECRET = {"Authorization": "Bearer T0PSECRET"}


def expecting(origin: str = GENUINE.pin, **policy: Any) -> Policy:
    """Pins for `localhost`, whatever its port."""
    return Policy({"localhost": PinSet([origin, SPARE], anchors=ROOT.anchors)}, **policy)


PROXIES = Policy({"localhost": PinSet([PROXY.pin, SPARE], anchors=ROOT.anchors)})
PATHS = ["direct", "connect", "tls in tls"]


class Way:
    """A client on one of the paths, and everybody on it."""

    def __init__(self, origin: Server, proxy: ConnectProxy | None) -> None:
        self.origin, self.proxy = origin, proxy
        self.url = f"https://localhost:{origin.port}/secret"

    @property
    def options(self) -> dict[str, Any]:
        if self.proxy is None:
            return {}
        return {"proxy": f"{self.proxy.scheme}://localhost:{self.proxy.port}"}


async def way(stack: AsyncExitStack, path: str, origin: Server) -> Way:
    await stack.enter_async_context(origin)
    proxy = None if path == "direct" else ConnectProxy(PROXY if path == "tls in tls" else None)
    if proxy is not None:
        await stack.enter_async_context(proxy)
    return Way(origin, proxy)


def session(policy: Any, **options: Any) -> aiohttp.ClientSession:
    options.setdefault("proxy_policy", PROXIES)
    return aiohttp.ClientSession(connector=PinnedConnector(policy, **options))


@pytest.mark.parametrize("path", PATHS)
async def test_the_genuine_server_is_reached(path: str, tls_version: ssl.TLSVersion) -> None:
    """The right key: the request arrives, and every connection carries its Permit."""
    told = Told()
    async with AsyncExitStack() as stack:
        there = await way(stack, path, Server(GENUINE, handler=http(b"hello"), tls_version=tls_version))
        async with session(expecting(), observer=told) as client:
            async with client.get(there.url, headers=SECRET, **there.options) as response:
                assert await response.read() == b"hello"
            async with client.get(there.url, **there.options) as response:  # the same connection
                assert await response.read() == b"hello"
        await end_of(there.origin)
    assert [len(record.requests) for record in there.origin.connections] == [2]
    assert told.kinds == ["Permit"] * (2 if path == "tls in tls" else 1)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["get", "post", "ws_connect"])
async def test_an_interceptor_gets_nothing(path: str, method: str, tls_version: ssl.TLSVersion) -> None:
    """A certificate for the same name from the same CA: no byte decrypted, no handshake finished, one error for all."""
    async with AsyncExitStack() as stack:
        there = await way(stack, path, Interceptor(ROOT, "localhost", tls_version=tls_version))
        async with session(expecting()) as client:
            with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
                await getattr(client, method)(there.url.replace("https", "wss") if "ws" in method else there.url,
                                              headers=SECRET, **there.options)  # fmt: skip
        await end_of(there.origin)
        port = there.origin.port
    assert there.origin.application_bytes == b"" and there.origin.handshakes_finished == 0
    error = caught.value
    assert isinstance(error, ClientPinError) and isinstance(error, pinio.PinMismatchError)
    assert error.refusal.host == "localhost" and error.refusal.port == port
    assert type(error.certificate_error) is pinio.PinMismatchError
    assert pinio.find_pin_error(error) is error
    assert "T0PSECRET" not in repr(error) + str(error)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "override",
    [False, ssl.create_default_context(), aiohttp.Fingerprint(b"x" * 32)],
    ids=["False", "context", "Fingerprint"],
)
async def test_a_request_cannot_bring_its_own_tls(path: str, override: Any) -> None:
    """`ssl=` of a request to a pinned host is refused before anything is sent to anybody."""
    async with AsyncExitStack() as stack:
        there = await way(stack, path, Interceptor(ROOT, "localhost"))
        async with session(expecting()) as client:
            with pytest.raises(pinio.PinVerificationError) as caught:
                await client.get(there.url, ssl=override, headers=SECRET, **there.options)
        assert caught.value.refusal.reason == "OVERRIDE_REFUSED" and isinstance(
            caught.value, aiohttp.ClientError
        )
        assert not there.origin.connections and not (there.proxy and there.proxy.connections)


@pytest.mark.parametrize("path", ["direct", "connect"])
@pytest.mark.parametrize("method", ["get", "ws_connect"])
@pytest.mark.parametrize("mode", ["enforce", "report-only"])
async def test_plaintext_to_a_pinned_host_is_refused(path: str, method: str, mode: Any) -> None:
    """`http://` and `ws://`, in every mode, before a header is sent."""
    policy = Policy(
        {"localhost": PinSet([GENUINE.pin, SPARE], anchors=ROOT.anchors, mode=mode)}, unpinned="allow"
    )
    async with AsyncExitStack() as stack:
        there = await way(stack, path, Server(plain=True, handler=http()))
        url = f"{'ws' if method == 'ws_connect' else 'http'}://localhost:{there.origin.port}/"
        async with session(policy) as client:
            with pytest.raises(pinio.PinVerificationError) as caught:
                await getattr(client, method)(url, headers=SECRET, **there.options)
        assert caught.value.refusal.reason == "PLAINTEXT_REFUSED" and isinstance(
            caught.value, aiohttp.ClientError
        )
        assert not there.origin.connections and not (there.proxy and there.proxy.connections)


async def test_an_unlisted_host_is_refused_before_it_is_dialled() -> None:
    """Under `unpinned="refuse"`, by https and by http."""
    async with Server(GENUINE, handler=http()) as server, session(expecting()) as client:
        for scheme in ("https", "http"):
            with pytest.raises(pinio.UnpinnedHostError) as caught:
                await client.get(f"{scheme}://127.0.0.1:{server.port}/")
            assert isinstance(caught.value, aiohttp.ClientError)
        assert not server.connections


async def test_redirects_are_judged_by_their_own_host(tls_version: ssl.TLSVersion) -> None:
    """A genuine server sends us to an interceptor, and down to plaintext: both hops end there."""
    async with (
        Interceptor(ROOT, "localhost", tls_version=tls_version) as interceptor,
        Server(plain=True, handler=http()) as plain,
    ):
        for target in (f"https://localhost:{interceptor.port}/", f"http://localhost:{plain.port}/"):
            handler = http(status=307, headers=[("Location", target)])
            async with (
                Server(GENUINE, handler=handler, tls_version=tls_version) as server,
                session(expecting()) as client,
            ):
                with pytest.raises(pinio.PinVerificationError):
                    await client.post(f"https://localhost:{server.port}/", data=b"card=4111", headers=SECRET)
        await end_of(interceptor)
        assert interceptor.application_bytes == b"" and not plain.connections


async def test_server_hostname_must_pass_and_so_must_the_url(tls_version: ssl.TLSVersion) -> None:
    """The name that TLS verifies is looked up, and the host of the URL too if it has an entry."""
    policy = Policy(
        {
            "right.pinned.test": PinSet([GENUINE.pin, SPARE], anchors=ROOT.anchors),
            "localhost": PinSet([ABSENT, SPARE], anchors=ROOT.anchors),
        }
    )
    async with Server(GENUINE, handler=http(), tls_version=tls_version) as server, session(policy) as client:
        async with client.get(
            f"https://127.0.0.1:{server.port}/", server_hostname="right.pinned.test"
        ) as response:
            assert response.status == 200
        for name in ("right.pinned.test", None):
            with pytest.raises(pinio.PinMismatchError):
                await client.get(f"https://localhost:{server.port}/", server_hostname=name)
        with pytest.raises(pinio.UnpinnedHostError):
            await client.get(f"https://127.0.0.1:{server.port}/", server_hostname="other.test")
        await server.quiet()
    assert [len(record.requests) for record in server.connections] == [1, 0, 0]


@pytest.mark.parametrize("spelling", ["LOCALHOST", "localhost.", "\uff4cocalhost"])
async def test_no_spelling_of_a_host_misses_its_pins(spelling: str) -> None:
    """Case, a trailing dot, fullwidth letters: the same host, the same pins."""
    async with Interceptor(ROOT, "localhost") as interceptor:
        resolver = Resolver(("127.0.0.1", interceptor.port))
        async with session(expecting(unpinned="allow"), resolver=resolver) as client:
            with pytest.raises(pinio.PinMismatchError):
                await client.get(f"https://{spelling}/")
        await end_of(interceptor)
        assert interceptor.application_bytes == b""


# Proxies


@pytest.mark.parametrize("own_policy", [True, False])
async def test_an_https_proxy_is_judged_before_it_hears_of_anything(
    own_policy: bool, tls_version: ssl.TLSVersion
) -> None:
    """Its own pins decide, before CONNECT and before the credentials; an interceptor in its place gets nothing."""
    entry = {"localhost": PinSet([PROXY.pin, SPARE], anchors=ROOT.anchors)}
    origin_only = {"127.0.0.1": PinSet([GENUINE.pin, SPARE], anchors=ROOT.anchors)}
    async with (
        Server(GENUINE, handler=http()) as server,
        Interceptor(ROOT, "localhost", tls_version=tls_version) as proxy,
    ):
        policy = Policy(origin_only) if own_policy else Policy(origin_only | entry)
        async with session(policy, proxy_policy=Policy(entry) if own_policy else None) as client:
            with pytest.raises(pinio.PinMismatchError) as caught:
                await client.get(
                    f"https://127.0.0.1:{server.port}/",
                    proxy=f"https://localhost:{proxy.port}",
                    proxy_headers={"Proxy-Authorization": "Basic dXNlcjpwYXNzd29yZA=="},
                )
        assert caught.value.refusal.host == "localhost"
        await end_of(proxy)
        assert proxy.application_bytes == b"" and not server.connections


async def test_origin_and_proxy_of_one_name_have_pins_of_their_own() -> None:
    """The origin's pins never apply to the proxy, nor the other way round, though both are called localhost."""
    async with Server(GENUINE, handler=http()) as server, ConnectProxy(PROXY) as proxy:
        where: dict[str, Any] = {
            "url": f"https://localhost:{server.port}/",
            "proxy": f"https://localhost:{proxy.port}",
        }
        async with session(expecting()) as client, client.get(**where) as response:
            assert response.status == 200
        async with session(expecting(PROXY.pin)) as client:
            with pytest.raises(pinio.PinMismatchError):
                await client.get(**where)
        async with session(expecting(), proxy_policy=expecting(GENUINE.pin)) as client:
            with pytest.raises(pinio.PinMismatchError):
                await client.get(**where)
        await end_of(server)
    assert [len(record.requests) for record in server.connections] == [1, 0]
    assert [len(record.requests) for record in proxy.connections] == [1, 1, 0]


async def test_an_unlisted_https_proxy_is_refused_with_a_hint() -> None:
    """The error names `proxy_policy=`."""
    policy = Policy({"127.0.0.1": PinSet([GENUINE.pin, SPARE], anchors=ROOT.anchors)})
    async with Server(GENUINE, handler=http()) as server, ConnectProxy(PROXY) as proxy:
        async with session(policy, proxy_policy=None) as client:
            with pytest.raises(pinio.UnpinnedHostError, match="proxy_policy="):
                await client.get(f"https://127.0.0.1:{server.port}/", proxy=f"https://localhost:{proxy.port}")
        assert not proxy.connections and not server.connections


async def test_a_proxy_of_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network's proxy, found by `trust_env`, that inspects TLS: it hears CONNECT, the interceptor behind it nothing."""
    async with Interceptor(ROOT, "localhost") as interceptor, ConnectProxy(interceptor=interceptor) as proxy:
        for name in ("no_proxy", "NO_PROXY", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://localhost:{proxy.port}")
        async with aiohttp.ClientSession(connector=PinnedConnector(expecting()), trust_env=True) as client:
            with pytest.raises(pinio.PinMismatchError):
                await client.get("https://localhost/", headers=SECRET)
        await end_of(interceptor)
        assert [request.method for request in proxy.requests] == ["CONNECT"]
        assert interceptor.application_bytes == b"" and interceptor.handshakes_finished == 0


# Hosts without pins


async def test_hosts_without_pins_behave_as_in_aiohttp() -> None:
    """Under `unpinned="allow"`: certificate verification by our anchors, and the request's own `ssl=` where it brings one."""
    policy = expecting(unpinned="allow", unpinned_anchors=ROOT.anchors)
    stranger = ISSUER.issue("127.0.0.1")
    async with Server(stranger, handler=http()) as server, session(policy) as client:
        url = f"https://127.0.0.1:{server.port}/"
        print_of = aiohttp.Fingerprint(__import__("hashlib").sha256(stranger.der).digest())
        for own in (True, False, ROOT.client_context(), print_of):
            async with client.get(url, ssl=own) as response:
                assert response.status == 200
        with pytest.raises(aiohttp.ServerFingerprintMismatch):
            await client.get(url, ssl=aiohttp.Fingerprint(b"x" * 32))
    async with Server(stranger, handler=http()) as server, session(expecting(unpinned="allow")) as client:
        with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
            await client.get(f"https://127.0.0.1:{server.port}/")
        assert not isinstance(caught.value, ClientPinError)


async def test_a_denied_key_is_refused_at_hosts_without_pins_too() -> None:
    """The deny list wins over everything; and so a request may not bring its own TLS past it."""
    policy = expecting(unpinned="allow", unpinned_anchors=ROOT.anchors, deny=[GENUINE.pin])
    async with Server(GENUINE, handler=http()) as server, session(policy) as client:
        url = f"https://127.0.0.1:{server.port}/"
        for own, reason in ((True, "DENIED_KEY"), (False, "OVERRIDE_REFUSED")):
            with pytest.raises(pinio.PinVerificationError) as caught:
                await client.get(url, ssl=own)
            assert caught.value.refusal.reason == reason
        await end_of(server)
    assert server.application_bytes == b""


# Several addresses


class Resolver(aiohttp.abc.AbstractResolver):
    """Says that a name lives at these addresses, in this order."""

    def __init__(self, *addresses: tuple[str, int]) -> None:
        self._addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
        return [
            {"hostname": host, "host": address, "port": port, "family": 2, "proto": 6, "flags": 0}
            for address, port in self._addresses
        ]

    async def close(self) -> None:
        pass


async def test_a_refusal_is_not_masked_by_the_next_address() -> None:
    """The first address is an interceptor, the second refuses connections: the error is the refusal."""
    async with Interceptor(ROOT, "localhost") as interceptor:
        resolver = Resolver(("127.0.0.1", interceptor.port), ("127.0.0.2", 1))
        async with session(expecting(), resolver=resolver) as client:
            with pytest.raises(pinio.PinMismatchError):
                await client.get("https://localhost/", headers=SECRET)
        await end_of(interceptor)
        assert interceptor.application_bytes == b"" and len(interceptor.connections) == 1


async def test_a_good_second_address_may_win() -> None:
    """An interceptor at one address does not take the service down; the observer hears of it all the same."""
    told = Told()
    async with Interceptor(ROOT, "localhost") as interceptor, Server(GENUINE, handler=http()) as server:
        resolver = Resolver(("127.0.0.1", interceptor.port), ("127.0.0.1", server.port))
        async with (
            session(expecting(), resolver=resolver, observer=told) as client,
            client.get("https://localhost/", headers=SECRET) as response,
        ):
            assert response.status == 200
        await end_of(interceptor)
        assert interceptor.application_bytes == b""
    assert told.kinds == ["Refusal", "Permit"]
