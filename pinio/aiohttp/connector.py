"""`PinnedConnector`: the policy decides about every connection of a session, not the request."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any, Literal, TypeVar

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection

from pinio.aiohttp.alpn import HTTP, offering_http
from pinio.aiohttp.errors import check_host, client_error
from pinio.aiohttp.hooks import HookedConnector
from pinio.aiohttp.pool import LiveConnections, is_for, still_holds
from pinio.core.policy import Endpoint
from pinio.errors import PinVerificationError, PolicyError
from pinio.reporting import notify
from pinio.tls.config.engine import EngineChoice, choose
from pinio.tls.connection.establish import Timeouts
from pinio.tls.connection.transport import PinnedTransport
from pinio.tls.context.pinned import PinnedSSLContext
from pinio.tls.handshake.sessions import SessionCache
from pinio.tls.unexpected import check_options
from pinio.tls.web import WebExpectation
from pinio.typing import Observer, PolicyLike

_OTHER_TLS = frozenset({"fingerprint", "ssl_context", "verify_ssl"})

_T = TypeVar("_T")

_PARAMETERS = signature(aiohttp.TCPConnector).parameters


def _is_default(name: str, value: object) -> bool:
    """Whether an argument says what aiohttp takes without it; such a value may be a marker of aiohttp's own."""
    return name in _PARAMETERS and value is _PARAMETERS[name].default


class PinnedConnector(HookedConnector):
    """An `aiohttp.TCPConnector` whose TLS connections are pinned, on every path that aiohttp has.

    Args:
        policy: what is expected of origins, or a source of policies; after a swap, idle connections
            that no longer hold are closed before they are used again.
        ssl: a `PinnedSSLContext` in place of `policy`, for other TLS settings (client certificate,
            ALPN, versions). If it has no ALPN, connections offer `http/1.1`, as those of aiohttp
            do. True means nothing.
        proxy_policy: what is expected of proxies. It judges HTTPS proxies in place of `policy`, and
            refuses an `http://` proxy that it pins or does not list. Without it, an HTTPS proxy is
            judged by its own entry in `policy`, and an `http://` proxy needs no entry.
        observer: hears every decision.
        resumption: False for full handshakes, or a `SessionCache` of one's own.
        retire: "idle": as above; "all": close connections in use as well, as soon as the swap is
            noticed. For the latter the source must have `subscribe`, as `FileSource` has, and what
            that returns must end the subscription whenever and in whatever thread it is called. The
            connector ends it when it is closed, or when nobody holds it any more.
        engine: who does the TLS: "openssl", "rustls" (the package `pinio-rustls`), or "auto", which
            is rustls where it is installed and can do what is asked.
        options: every other argument of `aiohttp.TCPConnector`.

    Raises `PolicyError` for arguments that make no sense. Requests raise `ClientPinError` where a
    peer or the request itself is refused.
    """

    def __init__(
        self,
        policy: PolicyLike | None = None,
        *,
        ssl: PinnedSSLContext | Literal[True] | None = None,
        proxy_policy: PolicyLike | None = None,
        observer: Observer | None = None,
        resumption: bool | SessionCache = True,
        retire: Literal["idle", "all"] = "idle",
        engine: EngineChoice = "openssl",
        **options: Any,
    ) -> None:
        options = {name: value for name, value in options.items() if not _is_default(name, value)}
        check_options(PinnedConnector, options, aiohttp.TCPConnector, _OTHER_TLS)
        if retire not in ("idle", "all"):
            raise PolicyError(f'retire is "idle" or "all", not {retire!r}')
        given = None if ssl is True else ssl
        expected = WebExpectation.of(policy, given, proxy_policy, observer, resumption, alpn=HTTP)
        self._expected = expected
        self._context = expected.origins if given is None else offering_http(given)
        self._proxy_context = expected.proxies if expected.apart else self._context
        self.engine = engine
        for context in (self._context, self._proxy_context):
            choose(engine, context.settings)  # says now what that engine cannot do
        self.timeouts = Timeouts.of(None, options.get("ssl_shutdown_timeout") or None)
        super().__init__(
            ssl=self._context, **options
        )  # for an aiohttp that would not ask `context_of`
        self._live = self._following() if retire == "all" else None

    def _following(self) -> LiveConnections:
        """The connections in use, which hear of swaps of either policy."""
        contexts = (self._context, self._proxy_context)
        own, proxies = (
            getattr(context.expectation.source, "subscribe", None) for context in contexts
        )
        if own is None:
            raise PolicyError('retire="all" needs a source that tells of swaps, such as FileSource')
        live = LiveConnections(self._loop)
        live.follow(own)
        if proxies is not None and self._expected.apart:
            live.follow(proxies)
        return live

    async def close(self, *arguments: Any, **options: Any) -> None:
        if self._live is not None:
            self._live.stop()
        await super().close(*arguments, **options)

    # Which policy, and whether it lets the request decide

    def context_of(self, req: ClientRequest, *, proxy: bool) -> PinnedSSLContext | None:
        context = self._proxy_context if proxy else self._context
        if req.ssl is True:
            return context
        endpoint = self._endpoint(req, proxy=proxy)
        return context if endpoint.needs_chain or proxy else None

    def opened(self, transport: PinnedTransport) -> None:
        if self._live is not None:
            self._live.add(transport)

    def _endpoint(self, req: ClientRequest, *, proxy: bool = False) -> Endpoint:
        """What the policy says about the host of a request, and about the name that TLS verifies."""
        host = req.url.raw_host or ""
        name = host if proxy else (req.server_hostname or host)
        expectation = (self._proxy_context if proxy else self._context).expectation
        return expectation.endpoint(name, req.url.port, url_host=host)

    # The documented door

    async def connect(
        self, req: ClientRequest, traces: Any, timeout: aiohttp.ClientTimeout
    ) -> Connection:
        endpoint = self._admit(req)
        while True:
            connection = await super().connect(req, traces, timeout)
            transport = connection.transport
            if still_holds(transport) and (endpoint is None or is_for(endpoint.host, transport)):
                break
            connection.close()  # opened under a policy that has been swapped since, or for another name
        judged = req.is_ssl() and isinstance(transport, PinnedTransport)
        if transport is not None and (not judged or req.proxy is not None):
            try:
                self._admit(req, judged=judged)
            except aiohttp.ClientError:
                connection.close()
                raise
        return connection

    def _admit(self, req: ClientRequest, *, judged: bool = True) -> Endpoint | None:
        """Refuse what can be refused before anything is sent, and tell the observer; what is asked of TLS, if that is spoken.

        `judged` says whether the connection will be, or was, judged by its key; asked again of one
        that was not, since the policy may have been swapped while the request waited for its turn.
        """
        try:
            return self._telling(req, partial(self._check, judged=judged))
        except PolicyError:
            check_host(req.url.raw_host or "")
            raise

    def _telling(self, req: ClientRequest, check: Callable[[ClientRequest], _T]) -> _T:
        """Do a check; the observer hears of a refusal, and the request gets aiohttp's form of it."""
        try:
            return check(req)
        except PinVerificationError as error:
            notify(self._context.observer, error.refusal)
            raise client_error(req.connection_key, error) from error

    def _admit_proxy_of(self, req: ClientRequest) -> None:
        """Check the proxy of a request once more, since the policy may have been swapped while it was dialled."""
        self._telling(req, self._check_proxy)

    def _check(self, req: ClientRequest, *, judged: bool) -> Endpoint | None:
        self._check_proxy(req)
        if not req.is_ssl():
            self._context.expectation.check_plaintext(req.url.raw_host or "", req.url.port)
            return None
        endpoint = self._endpoint(req)
        if endpoint.needs_chain:
            if req.ssl is not True:
                raise endpoint.policy.refusal("OVERRIDE_REFUSED", endpoint).error()
            if not judged:
                raise endpoint.policy.refusal("NOT_JUDGED", endpoint).error()
        return endpoint

    def _check_proxy(self, req: ClientRequest) -> None:
        """Check what is known of the proxy before it is dialled; a plaintext one against `proxy_policy=` alone."""
        if req.proxy is None:
            return
        self._expected.expect_proxy(req.proxy.scheme, req.proxy.raw_host or "", req.proxy.port)
