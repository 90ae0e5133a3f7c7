"""Other people's clients, each a row: how it is handed a pinned context, and whom it talks to."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.errors import PinVerificationError, find_pin_error
from pinio.testing import ConnectProxy, Handler, Server, http
from pinio.tls.context.pinned import create_ssl_context
from pinio.tls.handshake.sessions import SessionCache
from tests.interop.peers import (
    AFTER_CONNECT,
    AFTER_SOCKS,
    IN_CLEAR,
    INJECTIONS,
    Injector,
    SocksProxy,
)
from tests.tls.cast import GENUINE, ROOT, SPARE, Told

Way = Literal["direct", "CONNECT proxy", "HTTPS proxy", "SOCKS5 proxy", "STARTTLS", "WebSocket"]
Injected = Literal["refused", "dropped", "read"]
"""What became of plaintext that was injected before TLS: the connection was refused; the client went on
without having seen it; the client took it for something that the server said under TLS.
"""
Client = Callable[[ssl.SSLContext, "Site"], object]
AnyClient = TypeVar("AnyClient", bound=Client)

PATIENCE: Final = 60.0
"""Seconds for whatever a library sets itself a limit to: some give up after two, which a busy machine may need."""


@dataclass
class Site:
    """Where a client is sent: a server, and the proxy on the way to it."""

    server: Server | Injector
    proxy: ConnectProxy | SocksProxy | Injector | None = None

    @property
    def host(self) -> str:
        return "localhost"

    @property
    def port(self) -> int:
        return self.server.port

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/"

    @property
    def proxy_url(self) -> str | None:
        """Such as `http://127.0.0.1:3128`."""
        return None if self.proxy is None else self.proxy.url


@dataclass(frozen=True)
class Row:
    """One client, one way to its server."""

    library: str
    """The distribution, with what tells its clients apart."""
    way: Way
    door: Literal["BIO", "socket"]
    client: Client
    modules: tuple[str, ...]
    """What it imports."""
    kind: Literal["sync", "asyncio", "trio"]
    handler: Handler = field(default_factory=http, compare=False)

    @property
    def name(self) -> str:
        return f"{self.library}, {self.way}"


ROWS: list[Row] = []


def row(
    library: str,
    door: Literal["BIO", "socket"],
    *modules: str,
    kind: Literal["sync", "asyncio", "trio"],
    ways: tuple[Way, ...] = ("direct",),
    handler: Handler | None = None,
) -> Callable[[AnyClient], AnyClient]:
    """Enter a client into the matrix, once for each way."""

    def enter(client: AnyClient) -> AnyClient:
        ROWS.extend(
            Row(library, way, door, client, modules, kind, handler or http()) for way in ways
        )
        return client

    return enter


@dataclass(frozen=True)
class Outcome:
    """What came of one run of a client."""

    error: BaseException | None
    application_bytes: bytes
    """What the server decrypted."""
    handshakes_finished: int
    decisions: list[str]

    @property
    def pin_error(self) -> PinVerificationError | None:
        found = find_pin_error(self.error)
        return found if isinstance(found, PinVerificationError) else None


def run(
    entry: Row,
    *,
    between: Literal["server", "proxy"] | None = None,
    tls_version: ssl.TLSVersion | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> Outcome:
    """Let a client talk to the genuine server, or to a man in the middle whom the CA vouches for.

    `between` says where that man stands, and whose side the outcome is seen from.
    """
    told = Told()
    context = create_ssl_context(POLICY, observer=told, resumption=SessionCache())
    error: BaseException | None = None
    with site(entry, between, tls_version) as there:
        try:
            drive(entry, context, there, loop_factory)
        except Exception as raised:  # noqa: BLE001 - whatever the library makes of it is the result
            error = raised
        met = there.proxy if between == "proxy" else there.server
        assert isinstance(met, Server)
        met.wait_quiet()
    return Outcome(error, met.application_bytes, met.handshakes_finished, told.kinds)


def run_injected(
    entry: Row,
    *,
    tls_version: ssl.TLSVersion | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> Injected:
    """Let a client talk to the genuine server while somebody in between injects plaintext before TLS."""
    context = create_ssl_context(POLICY, observer=Told(), resumption=SessionCache())
    with site(entry, None, tls_version) as there:
        server, failed = there.server, False
        assert isinstance(server, Server)
        with _injector(entry, there) as between:
            through = Site(between) if there.proxy is None else Site(server, between)
            try:
                drive(entry, context, through, loop_factory)
            except Exception:  # noqa: BLE001 - which one it is depends on the library
                failed = True
        server.wait_quiet()  # some libraries forget a connection that failed; it ends with the relay
        if not failed:
            return "dropped"
        return "read" if server.application_bytes else "refused"


def _injector(entry: Row, there: Site) -> Injector:
    if there.proxy is None:
        return Injector(there.server, INJECTIONS[entry.handler])
    return Injector(there.proxy, AFTER_SOCKS if entry.way == "SOCKS5 proxy" else AFTER_CONNECT)


def injectable(entry: Row) -> bool:
    """Whether something is said in clear before TLS, so that somebody could add to it."""
    return entry.way in {"STARTTLS", "CONNECT proxy", "SOCKS5 proxy"}


POLICY = Policy(
    {
        name: PinSet([GENUINE.pin], backup=[SPARE], anchors=ROOT.anchors)
        for name in ("localhost", "127.0.0.1")  # the server, and proxies that are spoken to in TLS
    }
)


IMPOSTOR = ROOT.issue("localhost", "127.0.0.1")


@contextlib.contextmanager
def site(
    entry: Row, between: Literal["server", "proxy"] | None, tls_version: ssl.TLSVersion | None
) -> Iterator[Site]:
    leaf = IMPOSTOR if between == "server" else GENUINE
    starttls = IN_CLEAR.get(entry.handler)
    with Server(leaf, handler=entry.handler, tls_version=tls_version, starttls=starttls) as server:
        if entry.way in {"CONNECT proxy", "HTTPS proxy"}:
            proxy_leaf = IMPOSTOR if between == "proxy" else GENUINE
            with ConnectProxy(proxy_leaf if entry.way == "HTTPS proxy" else None) as proxy:
                yield Site(server, proxy)
        elif entry.way == "SOCKS5 proxy":
            with SocksProxy(lambda: server.address) as proxy_of_tcp:
                yield Site(server, proxy_of_tcp)
        else:
            yield Site(server)


def drive(
    entry: Row,
    context: ssl.SSLContext,
    there: Site,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None,
) -> None:
    if entry.kind == "sync":
        entry.client(context, there)
    elif entry.kind == "trio":
        import trio

        client: Any = entry.client
        trio.run(client, context, there)
    else:
        main: Any = entry.client
        coroutine: Coroutine[Any, Any, None] = main(context, there)
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(coroutine)
