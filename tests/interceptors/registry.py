"""Which interceptors there are."""

from __future__ import annotations

from tests.interceptors import emulated, mitmproxy, others, programs, transparent
from tests.interceptors.base import Interceptor

INTERCEPTORS: dict[str, type[Interceptor]] = {
    kind.name: kind
    for kind in (
        mitmproxy.Regular,
        mitmproxy.Reverse,
        mitmproxy.Socks,
        mitmproxy.Sniffing,
        mitmproxy.Upstream,
        transparent.TransparentMitmproxy,
        programs.Sslsplit,
        transparent.TransparentSslsplit,
        programs.Squid,
        others.Mockttp,
        others.MockttpSocks,
        others.HttpMitmProxy,
        others.ProxyPy,
        programs.Stunnel,
        programs.Socat,
        programs.Haproxy,
        programs.Nghttpx,
        emulated.Burp,
        emulated.Zap,
    )
}
"""By name."""
