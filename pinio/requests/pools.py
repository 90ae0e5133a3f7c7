"""Pools of urllib3 that know one context: the pinned one, whatever asks for a connection.

How an adapter gets at its pool differs from one requests to the next (2.32.0 to 2.32.2 hand over a
context of their own), but every way leads through the manager's `connection_from_host`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import urllib3
from requests.exceptions import InvalidSchema
from requests.utils import get_auth_from_url
from urllib3.poolmanager import PoolManager, ProxyManager

from pinio.tls.web import WebExpectation

if TYPE_CHECKING:
    from urllib3.connectionpool import HTTPConnectionPool

TLS_ARGUMENTS: Final = frozenset(
    {
        "ca_cert_data",
        "ca_cert_dir",
        "ca_certs",
        "cert_data",
        "cert_file",
        "cert_reqs",
        "key_data",
        "key_file",
        "key_password",
        "proxy_ssl_context",
        "server_hostname",
        "ssl_backend",
        "ssl_context",
        "ssl_maximum_version",
        "ssl_minimum_version",
        "ssl_version",
        "use_forwarding_for_https",
    }
)
"""What urllib3 can be told about whom to trust; the last one would leave TLS to origins to a proxy.

`assert_hostname` and `assert_fingerprint` are not among them: they demand more, and hold beside the
pins.
"""


_FUTURE: Final = getattr(urllib3, "HttpVersion", None)
"""urllib3-future takes the place of urllib3 wherever it is installed, and speaks HTTP/3 if a server offers it."""


def _without_quic(disabled: Iterable[object]) -> dict[str, Any]:
    """Arguments that keep urllib3-future on TCP; none for urllib3.

    QUIC has a TLS engine of its own, whose connections no policy judges. The CAs are none: where
    they are named, urllib3-future does not ask the context for them, and with these QUIC trusts
    nobody.
    """
    if _FUTURE is None:
        return {}
    return {"disabled_svn": {*disabled, _FUTURE.h3}, "ca_cert_data": "the policy names the CAs"}


class _Pinned(PoolManager):
    """Checks where a pool leads to, and gives it the pinned context, which is part of its key."""

    expected: WebExpectation

    def connection_from_host(
        self,
        host: str | None,
        port: int | None = None,
        scheme: str | None = "http",
        pool_kwargs: dict[str, Any] | None = None,
    ) -> HTTPConnectionPool:
        scheme = (scheme or "http").lower()
        self.expected.check_request(scheme, host or "", port)
        # Without TLS to the origin, what TLS there is leads to a proxy that forwards requests.
        context = self.expected.origins if scheme == "https" else self.expected.proxies
        others = {
            name: value for name, value in (pool_kwargs or {}).items() if name not in TLS_ARGUMENTS
        }
        others |= _without_quic(self.connection_pool_kw.get("disabled_svn") or ())
        return super().connection_from_host(
            host, port, scheme, pool_kwargs={**others, "ssl_context": context}
        )


class _ProxyPools(_Pinned, ProxyManager):
    """Tunnels, and requests that an HTTP or HTTPS proxy forwards."""


def pool_manager(expected: WebExpectation, **options: Any) -> PoolManager:
    """The pools of direct connections."""
    return _expecting(expected, _Pinned(ssl_context=expected.origins, **options))


def proxy_manager(
    expected: WebExpectation, proxy: str, headers: dict[str, str], **options: Any
) -> PoolManager:
    """The pools of connections through one proxy.

    Raises `InvalidSchema` for SOCKS without PySocks.
    """
    if not proxy.lower().startswith("socks"):
        return _expecting(
            expected,
            _ProxyPools(
                proxy,
                proxy_headers=headers,
                ssl_context=expected.origins,
                proxy_ssl_context=expected.proxies,
                **options,
            ),
        )
    username, password = get_auth_from_url(proxy)
    pools = _socks_pools()(
        proxy, username=username, password=password, ssl_context=expected.origins, **options
    )
    return _expecting(expected, pools)


def _expecting(expected: WebExpectation, pools: _Pinned) -> PoolManager:
    pools.expected = expected
    return pools


@cache
def _socks_pools() -> Callable[..., _Pinned]:
    try:
        from urllib3.contrib.socks import SOCKSProxyManager
    except ImportError as error:
        raise InvalidSchema("a SOCKS proxy needs PySocks: pip install 'requests[socks]'") from error

    class SocksPools(_Pinned, SOCKSProxyManager):
        """Connections through a SOCKS proxy."""

    return SocksPools
