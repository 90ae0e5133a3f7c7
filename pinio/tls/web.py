"""What the adapters of HTTP libraries share: whom a client may speak to, asked of the policy before a request leaves.

A context judges TLS connections. It never sees a request that uses none, nor which proxy a
connection leads through.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NamedTuple

from pinio.core.decision import Refusal
from pinio.errors import (
    OverrideRefusedError,
    PinVerificationError,
    PlaintextRefusedError,
    PolicyError,
    UnpinnedHostError,
)
from pinio.reporting import notify
from pinio.tls.context.pinned import PinnedSSLContext, create_ssl_context
from pinio.tls.handshake.sessions import SessionCache
from pinio.typing import Observer, PolicyLike

IN_CLEAR: Final = frozenset({"http", "ws"})
OVER_TLS: Final = frozenset({"https", "wss"})


class WebExpectation(NamedTuple):
    """What an HTTP client expects of the origins of its requests and of the proxies on the way there."""

    origins: PinnedSSLContext
    proxies: PinnedSSLContext
    """Another context than that of the origins where proxies have a policy of their own."""

    @classmethod
    def of(
        cls,
        policy: PolicyLike | None,
        ssl: PinnedSSLContext | None,
        proxy_policy: PolicyLike | None,
        observer: Observer | None,
        resumption: bool | SessionCache,
        *,
        alpn: Iterable[str] = (),
    ) -> WebExpectation:
        """From an adapter's arguments. Raises `PolicyError` for those that make no sense.

        `alpn` is what contexts that are made here offer, for a library that does not set it.
        """
        if (policy is None) == (ssl is None):
            raise PolicyError(
                "pass a policy, or ssl= with a context of pinio.create_ssl_context; one of the two"
            )
        if policy is not None:
            origins = create_ssl_context(
                policy, alpn=alpn, observer=observer, resumption=resumption
            )
        elif not isinstance(ssl, PinnedSSLContext):
            raise PolicyError(
                f"ssl= is a context of pinio.create_ssl_context, and no {type(ssl).__name__}"
            )
        elif observer is not None or resumption is not True:
            raise PolicyError("observer= and resumption= go with a policy; a context has its own")
        else:
            origins = ssl
        if proxy_policy is None:
            return cls(origins, origins)
        proxies = create_ssl_context(
            proxy_policy, alpn=alpn, observer=origins.observer, resumption=origins.resumption
        )
        return cls(origins, proxies)

    def check_request(self, scheme: str, host: str, port: int | None = None) -> None:
        """Check where a request goes before anything is sent; the observer hears of a refusal.

        Raises `PlaintextRefusedError` for a pinned host without TLS, `UnpinnedHostError` for a host
        without an entry where the policy refuses such, and `PolicyError` for what is no host. What
        becomes of other schemes is the library's business.
        """
        expectation, observer = self.origins.expectation, self.origins.observer
        if scheme in IN_CLEAR:
            expectation.check_plaintext(host, port, observer=observer)
        elif scheme in OVER_TLS:
            expectation.endpoint(host, port, observer=observer)

    def check_proxy(self, scheme: str, host: str, port: int | None = None) -> None:
        """Check a proxy before it hears anything; the observer hears of a refusal.

        Raises what `expect_proxy` raises.
        """
        try:
            self.expect_proxy(scheme, host, port)
        except PinVerificationError as error:
            notify(self.proxies.observer, error.refusal)
            raise

    def expect_proxy(self, scheme: str, host: str, port: int | None = None) -> None:
        """Ask the policy about a proxy.

        One that is spoken to in TLS needs an entry, as an origin does. One that is spoken to in
        clear (`http`, `socks5` …) is held against `proxy_policy=` alone: the policy of origins
        knows nothing of it.

        Raises `PlaintextRefusedError`, `UnpinnedHostError`, and `PolicyError` for what is no host.
        """
        clear = scheme not in OVER_TLS
        if clear and not self.apart:
            return
        try:
            endpoint = self.proxies.expectation.endpoint(host, port)
            if clear:
                endpoint.check_plaintext()
        except (PlaintextRefusedError, UnpinnedHostError) as error:
            if clear or not self.apart:
                detail = _CLEAR_PROXY if clear else _UNLISTED_PROXY
                raise replace(error.refusal, detail=detail).error() from None
            raise

    @property
    def apart(self) -> bool:
        return self.proxies is not self.origins

    def override_refused(self, host: str, port: int | None, detail: str) -> OverrideRefusedError:
        """The error for a request that brings TLS settings of its own; the observer hears of it.

        Raises `UnpinnedHostError` for a host that is refused anyhow.
        """
        endpoint = self.origins.expectation.endpoint(host, port, observer=self.origins.observer)
        refusal = Refusal(
            "OVERRIDE_REFUSED",
            endpoint.host,
            endpoint.port,
            revision=endpoint.policy.revision,
            detail=detail,
            noted=endpoint.rule,
        )
        notify(self.origins.observer, refusal)
        return OverrideRefusedError(refusal)


_UNLISTED_PROXY: Final = (
    "this is an HTTPS proxy; say what is expected of proxies with proxy_policy="
)
_CLEAR_PROXY: Final = (
    "this is a proxy, and would hear CONNECT and its password in clear; "
    "if that is meant, exempt it in proxy_policy="
)
