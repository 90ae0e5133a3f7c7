"""`PinnedAdapter`: the policy decides about every connection of a session, not the request."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NoReturn

from requests import PreparedRequest, Response
from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidURL
from urllib3.poolmanager import PoolManager
from urllib3.util import parse_url

from pinio.errors import PolicyError
from pinio.reporting import listening
from pinio.requests.errors import check_host, request_error
from pinio.requests.pools import TLS_ARGUMENTS, pool_manager, proxy_manager
from pinio.tls.context.pinned import PinnedSSLContext
from pinio.tls.handshake.sessions import SessionCache
from pinio.tls.unexpected import check_options
from pinio.tls.web import WebExpectation
from pinio.typing import Observer, PolicyLike


class PinnedAdapter(HTTPAdapter):
    """A transport adapter of `requests` whose connections are pinned: direct, tunnelled and to proxies.

    Mount it on `https://` *and* on `http://`, or a redirect leads around it; `PinnedSession` does.

    Args:
        policy: what is expected of origins, or a source of policies.
        ssl: a `PinnedSSLContext` in place of `policy`, for other TLS settings (client certificate,
            versions). It brings its own observer and sessions.
        proxy_policy: what is expected of proxies. It judges an HTTPS proxy in place of `policy`,
            and refuses a proxy in clear that it pins or does not list. Without it an HTTPS proxy is
            judged by its own entry in `policy`, and a proxy in clear needs none.
        observer: hears every decision.
        resumption: False for full handshakes, or a `SessionCache` of one's own.
        options: every other argument of `requests.adapters.HTTPAdapter`.

    Raises `PolicyError` for arguments that make no sense. Requests raise `RequestPinError` where a
    peer or the request itself is refused.
    """

    def __init__(
        self,
        policy: PolicyLike | None = None,
        *,
        ssl: PinnedSSLContext | None = None,
        proxy_policy: PolicyLike | None = None,
        observer: Observer | None = None,
        resumption: bool | SessionCache = True,
        **options: Any,
    ) -> None:
        check_options(PinnedAdapter, options, HTTPAdapter, ())
        self._expected = WebExpectation.of(policy, ssl, proxy_policy, observer, resumption)
        super().__init__(**options)

    # Which pools there are

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any
    ) -> None:
        _refuse_tls(pool_kwargs)
        # The attributes that HTTPAdapter keeps in its own, for proxies.
        self._pool_connections, self._pool_maxsize, self._pool_block = connections, maxsize, block
        self.poolmanager = pool_manager(
            self._expected, num_pools=connections, maxsize=maxsize, block=block, **pool_kwargs
        )

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> PoolManager:
        _refuse_tls(proxy_kwargs)
        url = parse_url(proxy)
        self._expected.check_proxy(url.scheme or "", url.host or "", url.port)
        manager: PoolManager | None = self.proxy_manager.get(proxy)
        if manager is None:
            manager = self.proxy_manager[proxy] = proxy_manager(
                self._expected,
                proxy,
                self.proxy_headers(proxy),
                num_pools=self._pool_connections,
                maxsize=self._pool_maxsize,
                block=self._pool_block,
                **proxy_kwargs,
            )
        return manager

    def cert_verify(self, conn: Any, url: str, verify: object, cert: object) -> None:
        """Leave the pool alone: requests would name CA files to it."""

    # Which requests go out

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str | None = True,
        cert: Any = None,
        proxies: dict[str, str] | None = None,
    ) -> Response:
        with listening() as heard:
            try:
                self._admit(request, verify, cert)
                return super().send(
                    request, stream=stream, timeout=timeout, verify=True, cert=None, proxies=proxies
                )
            except Exception as error:
                if heard.refusal is None:
                    raise
                raise request_error(heard.refusal.error(), request) from error

    def _admit(self, request: PreparedRequest, verify: object, cert: object) -> None:
        """Refuse what its pools are not told of; they check where a request goes."""
        try:
            parts = parse_url(request.url or "")  # as its pools read it
            host, port = parts.host or "", parts.port
        except ValueError as error:
            raise InvalidURL(error, request=request) from error
        check_host(host, request)
        override = _override(verify, cert)
        if override is not None:
            raise self._expected.override_refused(host, port, override)

    def __getstate__(self) -> NoReturn:
        raise PolicyError(
            "a pinned adapter cannot be pickled; make one in the process that uses it, from the policy"
        )


def _override(verify: object, cert: object) -> str | None:
    """What a request says about TLS on its own, in words."""
    if cert:
        return "cert= of a request or session; see client_cert= of pinio.create_ssl_context"
    if verify is True or verify is None or str(verify) in _of_the_environment():
        return None
    return f"verify={verify if verify is False else '...'} of a request or session"


def _of_the_environment() -> set[str]:
    """The CA files that requests puts in the place of `verify=True`; the policy names its own."""
    return {
        os.environ[name] for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE") if name in os.environ
    }


def _refuse_tls(options: Mapping[str, object]) -> None:
    if other := TLS_ARGUMENTS & options.keys():
        raise PolicyError(
            f"{', '.join(sorted(other))}: the policy decides whom to trust; see pinio.create_ssl_context"
        )
