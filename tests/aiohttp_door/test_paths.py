"""Who may be reached: the genuine server on every path, hosts without pins, a good address among bad ones."""

from __future__ import annotations

import hashlib
import ssl
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ClientRequest, ConnectionKey

import pinio
from pinio.aiohttp import ClientPinError, PinnedConnector
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.errors import CertificateNotVerifiedError
from pinio.testing import CA, ConnectProxy, Interceptor, Server, http
from tests.aiohttp_door.world import ONE_BY_ONE, PLAIN_PROXY, PROXY, Addresses
from tests.tls.cast import ABSENT, GENUINE, ISSUER, ROOT, SPARE, Told, end_of


def expecting(origin: str = GENUINE.pin, **policy: Any) -> Policy:
    """Pins for `localhost`, whatever its port."""
    return Policy({"localhost": PinSet([origin, SPARE], anchors=ROOT.anchors)}, **policy)


OTHER = ROOT.issue("127.0.0.1", "right.pinned.test", "wrong.pinned.test")
PROXIES = Policy(
    {"localhost": PinSet([PROXY.pin, SPARE], anchors=ROOT.anchors)}, exempt={PLAIN_PROXY: "a test"}
)
PRINT = aiohttp.Fingerprint(hashlib.sha256(GENUINE.der).digest())
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
        host = "localhost" if self.proxy.scheme == "https" else PLAIN_PROXY
        return {"proxy": f"{self.proxy.scheme}://{host}:{self.proxy.port}"}


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
        there = await way(
            stack, path, Server(GENUINE, handler=http(b"hello"), tls_version=tls_version)
        )
        async with session(expecting(), observer=told) as client:
            async with client.get(there.url, **there.options) as response:
                assert await response.read() == b"hello"
            async with client.get(there.url, **there.options) as response:  # the same connection
                assert await response.read() == b"hello"
        await end_of(there.origin)
    assert [len(record.requests) for record in there.origin.connections] == [2]
    assert told.kinds == ["Permit"] * (2 if path == "tls in tls" else 1)


async def test_server_hostname_must_pass_and_so_must_the_url(tls_version: ssl.TLSVersion) -> None:
    """The name that TLS verifies is looked up, and the host of the URL too if it has an entry."""
    policy = Policy(
        {
            "right.pinned.test": PinSet([GENUINE.pin, SPARE], anchors=ROOT.anchors),
            "localhost": PinSet([ABSENT, SPARE], anchors=ROOT.anchors),
        }
    )
    async with (
        Server(GENUINE, handler=http(), tls_version=tls_version) as server,
        session(policy) as client,
    ):
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


@pytest.mark.parametrize("asked_first", ["right.pinned.test", None])
async def test_a_connection_of_another_name_is_not_used(
    asked_first: str | None, tls_version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool of aiohttp before 3.14.1 looks at the URL's host alone, and whoever serves that has not shown the other's key."""
    key = vars(ClientRequest)["connection_key"]
    if "server_hostname" in ConnectionKey._fields:
        monkeypatch.setattr(
            ClientRequest,
            "connection_key",
            property(lambda req: key.__get__(req)._replace(server_hostname=None)),
        )
    policy = Policy(
        {
            "right.pinned.test": PinSet([OTHER.pin, SPARE], anchors=ROOT.anchors),
            "wrong.pinned.test": PinSet([ABSENT, SPARE], anchors=ROOT.anchors),
        },
        unpinned="allow",
        unpinned_anchors=ROOT.anchors,
    )
    async with (
        Server(OTHER, handler=http(), tls_version=tls_version) as server,
        session(policy) as client,
    ):
        url = f"https://127.0.0.1:{server.port}/"
        for _ in range(2):
            async with client.get(url, server_hostname=asked_first) as response:
                assert await response.read()
        with pytest.raises(pinio.PinMismatchError):
            await client.get(url, server_hostname="wrong.pinned.test")
        async with client.get(url, server_hostname=asked_first) as response:
            assert await response.read()
        await server.quiet()
    assert [len(record.requests) for record in server.connections] == [2, 0, 1]


# Proxies


@pytest.mark.parametrize("path", ["connect", "tls in tls"])
async def test_what_a_resolver_asks_is_no_business_of_the_proxys(
    path: str, tls_version: ssl.TLSVersion
) -> None:
    """A resolver that asks over HTTPS does so while a tunnel is made, and its server is not the proxy."""

    class Asking(Addresses):
        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[Any]:
            with pytest.raises(pinio.PinMismatchError):
                await client.get(
                    f"https://127.0.0.1:{between.port}/dns-query", headers={"key": "swordfish"}
                )
            return await super().resolve(host, port, family)

    pins = PinSet([GENUINE.pin, SPARE], anchors=ROOT.anchors)
    policy = Policy({"localhost": pins, "127.0.0.1": pins})
    anybody = expecting(PROXY.pin, unpinned="allow", unpinned_anchors=ROOT.anchors)
    async with AsyncExitStack() as stack:
        between = await stack.enter_async_context(
            Interceptor(ROOT, "127.0.0.1", handler=http(), tls_version=tls_version)
        )
        there = await way(stack, path, Server(GENUINE, handler=http(), tls_version=tls_version))
        assert there.proxy is not None
        resolver = Asking(there.proxy)
        name = "localhost" if path == "tls in tls" else "plain.test"
        async with (
            session(policy, proxy_policy=anybody, resolver=resolver) as client,
            client.get(
                there.url, proxy=f"{there.proxy.scheme}://{name}:{there.proxy.port}"
            ) as response,
        ):
            assert response.status == 200
        await end_of(between)
    assert resolver.asked == 1
    assert between.handshakes_finished == 0 and between.captured == b""


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


@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_an_unlisted_https_proxy_is_refused_with_a_hint(scheme: str) -> None:
    """The error names `proxy_policy=`, unless that is what does not list the proxy."""
    policy = Policy(
        {"127.0.0.1": PinSet([GENUINE.pin, SPARE], anchors=ROOT.anchors)},
        exempt={"plain.test": "test"},
    )
    url = f"{scheme}://{'127.0.0.1' if scheme == 'https' else 'plain.test'}:1/"
    async with ConnectProxy(PROXY) as proxy:
        for proxies, hint in ((None, True), (policy, False)):
            async with session(policy, proxy_policy=proxies) as client:
                with pytest.raises(pinio.UnpinnedHostError) as caught:
                    await client.get(url, proxy=f"https://localhost:{proxy.port}")
            assert ("proxy_policy=" in str(caught.value)) is hint
        assert not proxy.connections


# Hosts without pins


async def test_hosts_without_pins_behave_as_in_aiohttp() -> None:
    """Under `unpinned="allow"`: certificate verification by our anchors, and the request's own `ssl=` where it brings one."""
    policy = expecting(unpinned="allow", unpinned_anchors=ROOT.anchors)
    stranger = ISSUER.issue("127.0.0.1")
    async with Server(stranger, handler=http()) as server, session(policy) as client:
        url = f"https://127.0.0.1:{server.port}/"
        print_of = aiohttp.Fingerprint(hashlib.sha256(stranger.der).digest())
        for own in (True, False, ROOT.client_context(), print_of):
            async with client.get(url, ssl=own) as response:
                assert response.status == 200
        with pytest.raises(aiohttp.ServerFingerprintMismatch):
            await client.get(url, ssl=aiohttp.Fingerprint(b"x" * 32))
    async with (
        Server(stranger, handler=http()) as server,
        session(expecting(unpinned="allow")) as client,
    ):
        with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
            await client.get(f"https://127.0.0.1:{server.port}/")
        assert isinstance(caught.value, CertificateNotVerifiedError)


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


@pytest.mark.parametrize("own", [True, False], ids=["own TLS", "ours"])
async def test_an_http_proxy_needs_no_entry(own: bool) -> None:
    """Without `proxy_policy=` nothing is expected of it, whatever TLS an exempt host is asked with."""
    policy = Policy(
        {"elsewhere.test": [ABSENT, SPARE]},
        exempt={"127.0.0.1": "test"},
        unpinned_anchors=ROOT.anchors,
    )
    async with (
        Server(GENUINE, handler=http()) as server,
        ConnectProxy() as proxy,
        session(policy, proxy_policy=None) as client,
    ):
        through = f"http://localhost:{proxy.port}"
        async with client.get(
            f"https://127.0.0.1:{server.port}/",
            proxy=through,
            ssl=ROOT.client_context() if own else True,
        ) as response:
            assert response.status == 200


ANYBODYS = CA("anybody's")
ANYBODY = ANYBODYS.issue("localhost")


@pytest.mark.parametrize("scheme", ["https", "http"])
@pytest.mark.parametrize(
    "own",
    [
        False,
        ANYBODYS.client_context(),
        aiohttp.Fingerprint(hashlib.sha256(ANYBODY.der).digest()),
        pinio.create_ssl_context(pins=[ANYBODY.pin, SPARE], trust="leaf-pin"),
    ],
    ids=["False", "context", "Fingerprint", "pinned context"],
)
async def test_a_request_decides_nothing_about_an_https_proxy(
    own: Any, scheme: str, tls_version: ssl.TLSVersion
) -> None:
    """Its `ssl=` is for an origin without pins; the proxy's certificate is verified all the same, also without pins."""
    allowing = Policy(
        {"elsewhere.test": [ABSENT, SPARE]}, unpinned="allow", unpinned_anchors=ROOT.anchors
    )
    async with (
        Server(GENUINE, handler=http()) as server,
        ConnectProxy(ANYBODY, tls_version=tls_version) as proxy,
    ):
        through = f"https://localhost:{proxy.port}"
        async with session(allowing, proxy_policy=None) as client:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await client.get(f"{scheme}://127.0.0.1:{server.port}/", proxy=through, ssl=own)
        await end_of(proxy)
        assert proxy.application_bytes == b"" and proxy.handshakes_finished == 0
        assert not server.connections


async def test_the_policy_of_proxies_says_who_vouches_for_them(tls_version: ssl.TLSVersion) -> None:
    """A proxy of a private CA, without pins, and an origin with TLS of the request's own."""
    allowing = Policy(
        {"elsewhere.test": [ABSENT, SPARE]}, unpinned="allow", unpinned_anchors=ROOT.anchors
    )
    proxies = allowing.replace(unpinned_anchors=ANYBODYS.anchors)
    async with (
        Server(GENUINE, handler=http(), tls_version=tls_version) as server,
        ConnectProxy(ANYBODY, tls_version=tls_version) as proxy,
    ):
        async with (
            session(allowing, proxy_policy=proxies) as client,
            client.get(
                f"https://127.0.0.1:{server.port}/",
                proxy=f"https://localhost:{proxy.port}",
                ssl=ROOT.client_context(),
            ) as response,
        ):
            assert response.status == 200
        await end_of(proxy)


@pytest.mark.parametrize(
    "own", [False, ROOT.client_context(), PRINT], ids=["False", "context", "Fingerprint"]
)
async def test_a_request_brings_its_own_tls_through_an_https_proxy(
    own: Any, tls_version: ssl.TLSVersion
) -> None:
    """To an origin without pins, as in aiohttp; the proxy is judged by its pins."""
    allowing = Policy(
        {"elsewhere.test": [ABSENT, SPARE]}, unpinned="allow", unpinned_anchors=ROOT.anchors
    )
    async with (
        Server(GENUINE, handler=http(), tls_version=tls_version) as server,
        ConnectProxy(PROXY, tls_version=tls_version) as proxy,
        Interceptor(ROOT, "localhost", tls_version=tls_version) as interceptor,
    ):
        url, told = f"https://127.0.0.1:{server.port}/", Told()
        async with session(allowing, observer=told) as client:
            async with client.get(
                url, proxy=f"https://localhost:{proxy.port}", ssl=own
            ) as response:
                assert response.status == 200
            with pytest.raises(pinio.PinMismatchError) as caught:
                await client.get(url, proxy=f"https://localhost:{interceptor.port}", ssl=own)
        await end_of(interceptor)
        assert isinstance(caught.value, ClientPinError) and told.kinds == ["Permit", "Refusal"]
        assert interceptor.application_bytes == b"" and interceptor.handshakes_finished == 0


# Several addresses


@pytest.mark.parametrize(
    "before", [["stranger"], ["nobody", "stranger"], ["stranger", "stranger"], ["stranger::1"]]
)
async def test_a_good_address_may_win(
    before: list[str], tls_version: ssl.TLSVersion, request: pytest.FixtureRequest
) -> None:
    """An interceptor at one address does not take the service down, is asked once, and the observer hears of it all the same.

    The last case: one address of each family, where aiohttp gives up both when the first one fails.
    """
    told = Told()
    if "stranger::1" in before:
        request.getfixturevalue("ipv6")
    async with AsyncExitStack() as stack:
        strangers = []
        addresses: list[Server | tuple[str, int]] = []
        for who in before:
            if who == "nobody":
                addresses.append(("127.0.0.2", 1))
                continue
            host = who.removeprefix("stranger") or "127.0.0.1"
            stranger = Interceptor(ROOT, "localhost", host=host, tls_version=tls_version)
            strangers.append(await stack.enter_async_context(stranger))
            addresses.append(stranger)
        server = await stack.enter_async_context(
            Server(GENUINE, handler=http(), tls_version=tls_version)
        )
        resolver = Addresses(*addresses, server)
        async with (
            session(expecting(), resolver=resolver, observer=told, **ONE_BY_ONE) as client,
            client.get("https://localhost/") as response,
        ):
            assert response.status == 200
        for stranger in strangers:
            await end_of(stranger)
    assert told.kinds == ["Refusal"] * len(strangers) + ["Permit"]
    for stranger in strangers:
        assert stranger.application_bytes == b"" and len(stranger.connections) == 1


async def test_a_host_with_an_emoji_for_a_name() -> None:
    """IDNA 2008 refuses to encode it, yet hosts have such A-labels: pinned and dialled as they stand."""
    told = Told()
    leaf = ROOT.issue("*.pinned.test")  # the test's CA cannot write the name itself
    policy = Policy({"xn--ls8h.pinned.test": PinSet([leaf.pin, SPARE], anchors=ROOT.anchors)})
    async with (
        Server(leaf, handler=http()) as server,
        session(policy, resolver=Addresses(server), observer=told) as client,
        client.get("https://xn--ls8h.pinned.test/") as response,
    ):
        assert response.status == 200
    assert told.kinds == ["Permit"] and told[0].host == "xn--ls8h.pinned.test"
