"""Every path that aiohttp has to a pinned host, with the wrong key at its end: nothing arrives, and the error says so.

direct                     client ═══════════════════════► origin CONNECT through a proxy    client
─── http proxy ════════► origin TLS in TLS                 client ═══ https proxy ═══════► origin
and each by request, redirect, websocket, another name, another address, another connection of the
pool

Whoever has the wrong key is called the stranger. Every request carries a secret; what strangers,
proxies and servers saw is looked at from their side.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest

import pinio
from pinio.aiohttp import ClientPinError, PinnedConnector
from pinio.core.decision import Refusal
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.testing import ConnectProxy, Interceptor, Server, http
from tests.aiohttp_door.world import ONE_BY_ONE, PLAIN_PROXY, PROXY, Addresses
from tests.tls.cast import ABSENT, GENUINE, IDENTITY, ROOT, SPARE, Swapped, Told, end_of

SECRET = "T0PSECRET"
THERE = "right.pinned.test"
"""A name of the genuine certificate, other than localhost."""

S = TypeVar("S", bound=Server)


def pins(*pins: str, **options: Any) -> PinSet:
    return PinSet([*pins, SPARE], anchors=ROOT.anchors, **options)


def policy(*pinned: str, other: str = "", **options: Any) -> Policy:
    """Pins for `localhost`, of the genuine key unless told; of `THERE` too if `other` is one."""
    hosts = {"localhost": pins(*(pinned or (GENUINE.pin,)))}
    return Policy(hosts | ({THERE: pins(other)} if other else {}), **options)


@dataclass
class Scene:
    """Who is there, and what the observer of the client heard."""

    version: ssl.TLSVersion
    stack: AsyncExitStack
    tmp_path: Path
    monkeypatch: pytest.MonkeyPatch
    told: Told = field(default_factory=Told)
    strangers: list[Server] = field(default_factory=list)
    others: list[Server] = field(default_factory=list)

    async def stranger(self, *names: str, **options: Any) -> Interceptor:
        """Somebody with a certificate from the same CA, and another key."""
        stranger = Interceptor(
            ROOT, *names or ("localhost", THERE), tls_version=self.version, **options
        )
        self.strangers.append(await self.stack.enter_async_context(stranger))
        return stranger

    async def other(self, server: S) -> S:
        """Somebody who may be spoken to, but not of the secret."""
        self.others.append(await self.stack.enter_async_context(server))
        return server

    async def genuine(self, **options: Any) -> Server:
        return await self.other(Server(GENUINE, handler=http(**options), tls_version=self.version))

    async def plain(self) -> Server:
        """A server without TLS, where nothing is to arrive either."""
        self.strangers.append(
            await self.stack.enter_async_context(Server(plain=True, handler=http()))
        )
        return self.strangers[-1]

    async def proxy(self, *, tls: bool = False, **options: Any) -> ConnectProxy:
        leaf, version = (PROXY, self.version) if tls else (None, None)
        return await self.other(ConnectProxy(leaf, tls_version=version, **options))

    async def ask(
        self, url: str, what: Any = None, *, method: str = "get", session: Any = None, secret: bool = True,
        connector: Any = None, **options: Any,
    ) -> None:  # fmt: skip
        """Make one request that carries the secret, with a connector of the policy or the arguments `what`."""
        if connector is None:
            arguments = what if isinstance(what, dict) else {"policy": what or policy()}
            arguments.setdefault("proxy_policy", policy(PROXY.pin, exempt={PLAIN_PROXY: "a test"}))
            connector = PinnedConnector(observer=self.told, **arguments)
        headers = {"Authorization": SECRET} if secret else {}
        async with aiohttp.ClientSession(
            connector=connector, connector_owner=False, **session or {}
        ) as client:
            if secret:
                client.cookie_jar.update_cookies({"session": SECRET})
            try:
                answer = await getattr(client, method)(url, headers=headers, **options)
                await (answer.read() if method != "ws_connect" else answer.close())
            finally:
                if secret:
                    await connector.close()


Ask = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True)
class Row:
    ask: Ask
    reason: str
    reached: int


TABLE: dict[str, Row] = {}


def path(name: str, *, reason: str = "PIN_MISMATCH", reached: int = 1) -> Callable[[Ask], Ask]:
    """A row of the table: how it is refused, and how many connections the strangers see, none of them finished."""

    def add(ask: Ask) -> Ask:
        TABLE[name] = Row(ask, reason, reached)
        return ask

    return add


# Directly and through proxies, by every kind of request


def _by_kind(name: str, proxy: dict[str, Any] | None) -> None:
    for method, scheme in (("get", "https"), ("post", "https"), ("ws_connect", "wss")):

        @path(f"{method}, {name}")
        async def by_kind(scene: Scene, method: str = method, scheme: str = scheme) -> None:
            stranger = await scene.stranger()
            options: dict[str, Any] = (
                {} if proxy is None else {"proxy": proxied(await scene.proxy(**proxy))}
            )
            await scene.ask(at(stranger, scheme), method=method, **options)


def at(server: Server, scheme: str = "https", host: str = "localhost") -> str:
    return f"{scheme}://{host}:{server.port}/secret"


def proxied(proxy: Server) -> str:
    host = "localhost" if proxy.scheme == "https" else PLAIN_PROXY
    return f"{proxy.scheme}://{host}:{proxy.port}"


_by_kind("direct", None)
_by_kind("through an HTTP proxy", {})
_by_kind("through an HTTPS proxy", {"tls": True})


@path("the proxy is the stranger")
async def _(scene: Scene) -> None:
    genuine, stranger = await scene.genuine(), await scene.stranger()
    await scene.ask(
        at(genuine), proxy=proxied(stranger), proxy_headers={"Proxy-Authorization": SECRET}
    )


@path("the proxy is the stranger, judged by the one policy")
async def _(scene: Scene) -> None:
    genuine, stranger = await scene.genuine(), await scene.stranger()
    await scene.ask(
        at(genuine, host=THERE), {"policy": policy(PROXY.pin, other=GENUINE.pin), "proxy_policy": None},
        proxy=proxied(stranger).replace("://", f"://user:{SECRET}@"),
    )  # fmt: skip


@path("the proxy of a plaintext request is the stranger")
async def _(scene: Scene) -> None:
    plain, stranger = await scene.plain(), await scene.stranger()
    await scene.ask(
        at(plain, "http", THERE), policy(exempt={THERE: "test"}), proxy=proxied(stranger)
    )


@path("the proxy of a plaintext request is not listed", reason="UNPINNED_HOST", reached=0)
async def _(scene: Scene) -> None:
    plain, stranger = await scene.plain(), await scene.stranger("localhost")
    exempt = Policy({"elsewhere.test": pins(GENUINE.pin)}, exempt={THERE: "test"})
    await scene.ask(
        at(plain, "http", THERE), {"policy": exempt, "proxy_policy": None}, proxy=proxied(stranger)
    )


@path("a server with the key of the proxy of the same name, after a request through that proxy")
async def _(scene: Scene) -> None:
    connector = PinnedConnector(policy(), proxy_policy=policy(PROXY.pin), observer=scene.told)
    through = proxied(await scene.proxy(tls=True))
    await scene.ask(at(await scene.genuine()), connector=connector, secret=False, proxy=through)
    server = Server(PROXY, handler=http(), tls_version=scene.version)
    scene.strangers.append(await scene.stack.enter_async_context(server))
    await scene.ask(at(server), connector=connector)


@path("the proxy has the key of the origin of the same name")
async def _(scene: Scene) -> None:
    genuine = await scene.genuine()
    proxy = ConnectProxy(GENUINE, tls_version=scene.version)
    scene.strangers.append(await scene.stack.enter_async_context(proxy))
    await scene.ask(at(genuine), proxy=proxied(proxy))


@path("the origin has the key of the proxy of the same name")
async def _(scene: Scene) -> None:
    server = Server(PROXY, handler=http(), tls_version=scene.version)
    scene.strangers.append(await scene.stack.enter_async_context(server))
    await scene.ask(at(server), proxy=proxied(await scene.proxy(tls=True)))


@path("an HTTP proxy of the environment leads to the stranger")
async def _(scene: Scene) -> None:
    proxy = await scene.proxy(interceptor=await scene.stranger())
    environment(scene, proxied(proxy))
    await scene.ask("https://localhost/", session={"trust_env": True})
    assert [request.method for request in proxy.requests] == ["CONNECT"]


def environment(scene: Scene, proxy: str) -> None:
    for name in ("no_proxy", "NO_PROXY", "https_proxy"):
        scene.monkeypatch.delenv(name, raising=False)
    scene.monkeypatch.setenv("HTTPS_PROXY", proxy)


# Redirects


@path("a redirect to the stranger")
async def _(scene: Scene) -> None:
    stranger = await scene.stranger()
    await redirected(scene, at(stranger))


@path("a redirect to the stranger of another name, with server_hostname")
async def _(scene: Scene) -> None:
    """aiohttp verifies the name of the first request on every hop; the hop's own name has pins too."""
    stranger = await scene.stranger()
    await redirected(scene, at(stranger, host="127.0.0.1"), server_hostname="localhost")


@path("a redirect down to plaintext", reason="PLAINTEXT_REFUSED", reached=0)
async def _(scene: Scene) -> None:
    await redirected(scene, at(await scene.plain(), "http"))


async def redirected(scene: Scene, target: str, **options: Any) -> None:
    genuine = await scene.genuine(status=307, headers=[("Location", target)])
    connector = PinnedConnector(policy(), observer=scene.told)
    async with aiohttp.ClientSession(connector=connector) as client:
        # The genuine server may hear of the secret, so that the secret is what it is told: look for
        # the second one.
        await client.post(at(genuine), data=b"card=" + SECRET.encode(), **options)


# Names


@path("server_hostname names the stranger")
async def _(scene: Scene) -> None:
    await scene.ask(
        at(await scene.stranger(), host="127.0.0.1"),
        policy(other=GENUINE.pin),
        server_hostname=THERE,
    )


@path("server_hostname is one that anybody has the key of")
async def _(scene: Scene) -> None:
    """The name that TLS verifies would pass; the host of the URL has pins of its own."""
    stranger = await scene.stranger()
    await scene.ask(at(stranger), policy(other=stranger.leaf.pin), server_hostname=THERE)


@path("server_hostname names the stranger, in a tunnel")
async def _(scene: Scene) -> None:
    url, through = at(await scene.stranger(), host="127.0.0.1"), proxied(await scene.proxy())
    await scene.ask(url, policy(other=GENUINE.pin), server_hostname=THERE, proxy=through)


@path("server_hostname is one that anybody has the key of, in a tunnel")
async def _(scene: Scene) -> None:
    stranger, through = await scene.stranger(), proxied(await scene.proxy())
    await scene.ask(
        at(stranger), policy(other=stranger.leaf.pin), server_hostname=THERE, proxy=through
    )


@path("server_hostname is not listed", reason="UNPINNED_HOST", reached=0)
async def _(scene: Scene) -> None:
    await scene.ask(at(await scene.stranger(), host="127.0.0.1"), server_hostname=THERE)


for spelling in ("LOCALHOST", "localhost.", "\uff4cocalhost"):

    @path(f"the name is spelled {spelling!a}")
    async def _(scene: Scene, spelling: str = spelling) -> None:
        addresses = Addresses(await scene.stranger())
        allowing = {"policy": policy(unpinned="allow"), "resolver": addresses}
        await scene.ask(f"https://{spelling}/", allowing)


@path("the host is not listed", reason="UNPINNED_HOST", reached=0)
async def _(scene: Scene) -> None:
    await scene.ask(at(await scene.stranger(), host="127.0.0.1"))


@path("the host is not listed, in plaintext", reason="UNPINNED_HOST", reached=0)
async def _(scene: Scene) -> None:
    await scene.ask(at(await scene.plain(), "http", "127.0.0.1"))


# What a request brings


OVERRIDES: dict[str, dict[str, Any]] = {
    "False": {"ssl": False},
    "a context": {"ssl": ROOT.client_context()},
    "another pinned context": {"ssl": pinio.create_ssl_context(policy(unpinned="allow"))},
    "a Fingerprint": {"ssl": aiohttp.Fingerprint(b"x" * 32)},
}
OLD = int(aiohttp.__version__.partition(".")[0]) < 4
if OLD:
    OVERRIDES |= {"verify_ssl": {"verify_ssl": False}, "fingerprint": {"fingerprint": b"x" * 32}}

for method in ("get", "ws_connect"):
    for word, override in OVERRIDES.items():
        for proxy in (None, {}, {"tls": True}):
            if method == "ws_connect" and word in ("verify_ssl", "fingerprint"):
                continue
            how = (
                "direct"
                if proxy is None
                else "through an HTTPS proxy"
                if proxy
                else "through an HTTP proxy"
            )

            @path(f"{method} brings {word}, {how}", reason="OVERRIDE_REFUSED", reached=0)
            async def _(
                scene: Scene, method: str = method, override: Any = override, proxy: Any = proxy
            ) -> None:
                stranger = await scene.stranger()
                through: dict[str, Any] = (
                    {} if proxy is None else {"proxy": proxied(await scene.proxy(**proxy))}
                )
                await scene.ask(at(stranger), method=method, **override, **through)


@path(
    "a request brings its own TLS, and a name without pins for it",
    reason="OVERRIDE_REFUSED",
    reached=0,
)
async def _(scene: Scene) -> None:
    allowing = policy(unpinned="allow", unpinned_anchors=ROOT.anchors)
    await scene.ask(at(await scene.stranger()), allowing, ssl=False, server_hostname=THERE)


@path("a request brings its own TLS past the deny list", reason="OVERRIDE_REFUSED", reached=0)
async def _(scene: Scene) -> None:
    denying = policy(unpinned="allow", deny=[GENUINE.pin])
    await scene.ask(at(await scene.stranger(), host="127.0.0.1"), denying, ssl=False)


# Plaintext


for method, scheme in (("get", "http"), ("get", "tcp"), ("ws_connect", "ws")):
    for mode in ("enforce", "report-only"):
        for tunnel in (False, True):

            @path(
                f"{scheme}:, {mode}{', through a proxy' if tunnel else ''}",
                reason="PLAINTEXT_REFUSED",
                reached=0,
            )
            async def _(
                scene: Scene,
                method: str = method,
                scheme: str = scheme,
                mode: Any = mode,
                tunnel: bool = tunnel,
            ) -> None:
                plain = await scene.plain()
                wanted = Policy({"localhost": pins(GENUINE.pin, mode=mode)}, unpinned="allow")
                through: dict[str, Any] = {"proxy": proxied(await scene.proxy())} if tunnel else {}
                await scene.ask(at(plain, scheme), wanted, method=method, **through)


# Several addresses


@path("both addresses are the stranger's", reached=2)
async def _(scene: Scene) -> None:
    addresses = Addresses(await scene.stranger(), await scene.stranger())
    await scene.ask("https://localhost/", {"policy": policy(), "resolver": addresses, **ONE_BY_ONE})


@path("the next address refuses connections")
async def _(scene: Scene) -> None:
    addresses = Addresses(await scene.stranger(), ("127.0.0.2", 1))
    await scene.ask("https://localhost/", {"policy": policy(), "resolver": addresses, **ONE_BY_ONE})


@path("the address before refuses connections")
async def _(scene: Scene) -> None:
    addresses = Addresses(("127.0.0.2", 1), await scene.stranger())
    await scene.ask("https://localhost/", {"policy": policy(), "resolver": addresses, **ONE_BY_ONE})


@path("the next address cannot be reached in time")
async def _(scene: Scene) -> None:
    addresses = Addresses(await scene.stranger(), ("127.0.0.2", 1))

    def once(address: Any) -> socket.socket:
        if address[4][0] == "127.0.0.2":
            raise TimeoutError
        return socket.socket()

    options = {"policy": policy(), "resolver": addresses, "socket_factory": once, **ONE_BY_ONE}
    await scene.ask("https://localhost/", options)


@path("without happy eyeballs")
async def _(scene: Scene) -> None:
    await scene.ask(at(await scene.stranger()), {"policy": policy(), "happy_eyeballs_delay": None})


# The pool, and what is kept from one connection to the next


@path("a pooled connection, after the policy was swapped", reached=0)
async def _(scene: Scene) -> None:
    await swapped(scene, await scene.genuine())


@path("a resumable session, after the policy was swapped", reached=0)
async def _(scene: Scene) -> None:
    await swapped(scene, await scene.genuine(), force_close=True)


@path("a pooled connection in a tunnel, after the policy was swapped", reached=0)
async def _(scene: Scene) -> None:
    through = {"proxy": proxied(await scene.proxy(tls=True))}
    await swapped(scene, await scene.genuine(), through=through)


@path("a pooled connection, after the policy of its proxy was swapped", reached=0)
async def _(scene: Scene) -> None:
    through = {"proxy": proxied(await scene.proxy(tls=True))}
    proxies = Swapped(policy(PROXY.pin))
    await swapped(
        scene, await scene.genuine(), through=through, source=policy(), proxy_policy=proxies
    )


async def swapped(
    scene: Scene, server: Server, *, through: Any = None, source: Any = None, **options: Any
) -> None:
    """A request that is allowed, another policy, and the same request with the secret."""
    source = source or Swapped(policy())
    options.setdefault("proxy_policy", policy(PROXY.pin))
    connector = PinnedConnector(source, observer=scene.told, **options)
    await scene.ask(at(server), connector=connector, secret=False, **through or {})
    changed = options["proxy_policy"] if isinstance(options["proxy_policy"], Swapped) else source
    changed.swap(policy(ABSENT))
    await scene.ask(at(server), connector=connector, **through or {})


@path("a pooled connection without pins, after the host was pinned", reached=0)
async def _(scene: Scene) -> None:
    source = Swapped(
        Policy({"elsewhere.test": pins(ABSENT)}, unpinned="allow", unpinned_anchors=ROOT.anchors)
    )
    server = await scene.genuine()
    connector = PinnedConnector(source, observer=scene.told)
    await scene.ask(at(server), connector=connector, secret=False)
    source.swap(policy(ABSENT))
    await scene.ask(at(server), connector=connector)


# Client certificates


@path("a client that has a certificate")
async def _(scene: Scene) -> None:
    stranger = await scene.stranger(client_ca=ROOT)
    context = pinio.create_ssl_context(
        policy(), client_cert=IDENTITY.write(scene.tmp_path), observer=scene.told
    )
    await scene.ask(at(stranger), connector=PinnedConnector(ssl=context))


@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", TABLE)
async def test_P1_P2_P5_nothing_reaches_whoever_has_the_wrong_key(
    name: str, tls_version: ssl.TLSVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No byte decrypted, no handshake finished, no certificate shown; one error for all, and the observer heard of it."""
    row = TABLE[name]
    async with AsyncExitStack() as stack:
        scene = Scene(tls_version, stack, tmp_path, monkeypatch)
        with pytest.raises(aiohttp.ClientConnectorCertificateError) as caught:
            await row.ask(scene)
        for server in (*scene.strangers, *scene.others):
            await end_of(server)
    for stranger in scene.strangers:
        assert stranger.application_bytes == b"" and stranger.handshakes_finished == 0
        assert stranger.client_certificates == []
    for server in scene.others:
        seen = server.application_bytes
        assert SECRET.encode() not in seen or "redirect" in name
    assert sum(len(stranger.connections) for stranger in scene.strangers) == row.reached
    error = caught.value
    assert isinstance(error, ClientPinError) and isinstance(error, pinio.PinVerificationError)
    assert error.refusal.reason == row.reason
    assert type(error.certificate_error) is pinio.errors.BY_REASON[row.reason]
    assert pinio.find_pin_error(error) is error
    assert SECRET not in repr(error) + str(error)
    assert error.refusal in [heard for heard in scene.told if isinstance(heard, Refusal)]
