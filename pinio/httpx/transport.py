"""Transports: the policy decides about every connection of a client, not the request.

A client shows its transport each request of a chain of redirects, so that what is checked here is
checked on every hop.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypedDict, Unpack

import httpx

from pinio.core.host import canonical_host
from pinio.errors import PolicyError
from pinio.httpx.errors import check_host, transport_error
from pinio.reporting import listening
from pinio.tls.context.pinned import PinnedSSLContext
from pinio.tls.handshake.sessions import SessionCache
from pinio.tls.unexpected import check_options
from pinio.tls.web import WebExpectation
from pinio.typing import Observer, PolicyLike


class TransportOptions(TypedDict, total=False):
    """The arguments of httpx's transports that say nothing about TLS."""

    http1: bool
    http2: bool
    limits: httpx.Limits
    proxy: httpx.Proxy | httpx.URL | str | None
    uds: str | None
    local_address: str | None
    retries: int
    socket_options: Iterable[Any] | None


class _Pinned:
    """What the transports for threads and for event loops share."""

    _expected: WebExpectation
    _proxy: httpx.Proxy | None

    def _prepare(self, expected: WebExpectation, options: Mapping[str, Any]) -> dict[str, Any]:
        """Keep what is expected; return the arguments of httpx's own transport, pinned."""
        check_options(type(self), options, httpx.HTTPTransport, _OTHER_TLS)
        self._expected, self._proxy = _proxy(options.get("proxy"), expected)
        return {**options, "verify": expected.origins, "proxy": self._proxy, "trust_env": False}

    @contextmanager
    def _admitted(self, request: httpx.Request) -> Generator[None]:
        """Refuse what can be refused before anything is sent; make every refusal httpx's error too."""
        with listening() as heard:
            try:
                self._check(request)
                yield
            except Exception as error:
                if heard.refusal is None:
                    raise
                raise transport_error(heard.refusal.error()) from error

    def _check(self, request: httpx.Request) -> None:
        scheme, host, port = _place(request.url)
        if self._proxy is not None:
            proxy = _place(self._proxy.url)
            self._expected.check_proxy(*proxy)
            if scheme == "wss" and proxy[0].startswith("socks"):
                scheme = "ws"  # httpcore makes no TLS of it there
        check_host(host)
        self._expected.check_request(scheme, host, port)
        self._check_name(request, host, port)
        self._check_target(request)

    def _check_name(self, request: httpx.Request, host: str, port: int | None) -> None:
        """Refuse another name for TLS to verify than the URL's.

        httpcore's pool goes by the URL alone: a request would ride on a connection that was judged
        by another name than its own. And an HTTPS proxy would be verified by that name, too.
        """
        name = _text(request.extensions.get("sni_hostname"))
        if not name:
            return
        if canonical_host(name) != canonical_host(host):
            detail = "the extension sni_hostname names another host than the URL"
            raise self._expected.override_refused(host, port, detail)
        request.extensions = {
            key: value for key, value in request.extensions.items() if key != "sni_hostname"
        }

    def _check_target(self, request: httpx.Request) -> None:
        """Check a whole URL that stands in for the request's path, which asks a proxy for that URL."""
        target = _text(request.extensions.get("target"))
        if _ABSOLUTE.match(target):
            place = _place(httpx.URL(target))
            check_host(place[1])
            self._expected.check_request(*place)


class PinnedHTTPTransport(_Pinned, httpx.HTTPTransport):
    """An `httpx.HTTPTransport` whose connections are pinned: direct, tunnelled and to proxies.

    Args:
        policy: what is expected of origins, or a source of policies.
        ssl: a `PinnedSSLContext` in place of `policy`, for other TLS settings (client certificate,
            versions). It brings its own observer and sessions.
        proxy_policy: what is expected of proxies. It judges an HTTPS proxy in place of `policy`,
            and refuses a proxy in clear that it pins or does not list. Without it an HTTPS proxy is
            judged by its own entry in `policy`, and a proxy in clear needs none.
        observer: hears every decision.
        resumption: False for full handshakes, or a `SessionCache` of one's own.
        options: every other argument of `httpx.HTTPTransport` but those that say whom to trust.

    Raises `PolicyError` for arguments that make no sense. Requests raise `TransportPinError` where
    a peer or the request itself is refused.
    """

    def __init__(
        self,
        policy: PolicyLike | None = None,
        *,
        ssl: PinnedSSLContext | None = None,
        proxy_policy: PolicyLike | None = None,
        observer: Observer | None = None,
        resumption: bool | SessionCache = True,
        **options: Unpack[TransportOptions],
    ) -> None:
        expected = WebExpectation.of(policy, ssl, proxy_policy, observer, resumption)
        super().__init__(**self._prepare(expected, options))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        with self._admitted(request):
            return super().handle_request(request)


class AsyncPinnedHTTPTransport(_Pinned, httpx.AsyncHTTPTransport):
    """An `httpx.AsyncHTTPTransport` whose connections are pinned, on asyncio and on trio.

    Takes what `PinnedHTTPTransport` takes, and raises what it raises.
    """

    def __init__(
        self,
        policy: PolicyLike | None = None,
        *,
        ssl: PinnedSSLContext | None = None,
        proxy_policy: PolicyLike | None = None,
        observer: Observer | None = None,
        resumption: bool | SessionCache = True,
        **options: Unpack[TransportOptions],
    ) -> None:
        expected = WebExpectation.of(policy, ssl, proxy_policy, observer, resumption)
        super().__init__(**self._prepare(expected, options))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with self._admitted(request):
            return await super().handle_async_request(request)


_OTHER_TLS: Final = frozenset({"cert", "trust_env", "verify"})
_ABSOLUTE: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)  # RFC 3986 section 3


def _place(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.raw_host.decode("ascii"), url.port


def _text(value: object) -> str:
    """An extension of a request, which may be text or bytes."""
    return value.decode("latin-1") if isinstance(value, bytes) else str(value or "")


def _proxy(
    given: httpx.Proxy | httpx.URL | str | None, expected: WebExpectation
) -> tuple[WebExpectation, httpx.Proxy | None]:
    """The proxy with the context that judges it, which httpx would not give it by itself."""
    if given is None:
        return expected, None
    # Of a `Proxy` a copy, for it is the caller's.
    proxy = copy.copy(given) if isinstance(given, httpx.Proxy) else httpx.Proxy(given)
    if proxy.ssl_context is not None:
        if not isinstance(proxy.ssl_context, PinnedSSLContext):
            raise PolicyError(
                "the ssl_context of a proxy is one of pinio.create_ssl_context; "
                "or leave it out, and say what is expected of the proxy with proxy_policy="
            )
        expected = expected._replace(proxies=proxy.ssl_context)
    proxy.ssl_context = expected.proxies if proxy.url.scheme == "https" else None
    return expected, proxy
