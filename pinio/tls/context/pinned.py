"""One `SSLContext` for any library, which none can get around.

Its `wrap_bio` and `wrap_socket` look the host up and make the TLS object from a private inner
context, one per frozen configuration (`pinio.tls.config.profile`), whose objects hold the gate
(`pinio.tls.context.objects`). What else is done to it: `pinio.tls.context.outer`.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, Unpack, cast, overload

from pinio.core.anchors import Anchors
from pinio.core.decision import Refusal
from pinio.core.pinset import PinsLike, Trust
from pinio.core.policy import Endpoint
from pinio.errors import PolicyError, ServerNameError
from pinio.reporting import notify, observer_or_default
from pinio.tls.config.expectation import Expectation
from pinio.tls.config.identity import ClientCert
from pinio.tls.config.profile import Profile
from pinio.tls.config.settings import Settings
from pinio.tls.context.inner import inner_context
from pinio.tls.context.objects import FOREIGN_SESSION, PinnedSSLSocket, bind
from pinio.tls.context.outer import OuterContext
from pinio.tls.handshake.handshake import Handshake
from pinio.tls.handshake.judge import Judge
from pinio.tls.handshake.sessions import SessionCache
from pinio.tls.unexpected import advised
from pinio.typing import Observer, PolicyLike

if TYPE_CHECKING:
    from pinio.tls.signatures import ContextOptions

FOR_CLIENTS: Final = (
    "a pinned context is for clients: it says which keys a server has to show; make another one for a"
    " server, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), and load its certificate with load_cert_chain"
)


class PinnedSSLContext(OuterContext):
    """An `ssl.SSLContext` that any library takes. Made by `pinio.create_ssl_context`."""

    expectation: Expectation
    """What is expected of peers."""
    observer: Observer
    resumption: bool | SessionCache

    def __init__(
        self,
        expectation: Expectation,
        *,
        settings: Settings,
        observer: Observer,
        resumption: bool | SessionCache = True,
    ) -> None:
        super().__init__(settings)
        self._store(expectation=expectation, observer=observer, resumption=resumption)

    # Making TLS objects

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """As `ssl` does; raises `UnpinnedHostError`, `ServerNameError` or `PolicyError` at once."""
        endpoint, context, handshake = self._prepare(server_side, server_hostname, session)
        tls = context.wrap_bio(
            incoming,
            outgoing,
            server_hostname=endpoint.host,
            session=cast(ssl.SSLSession | None, handshake.session),
        )
        bind(tls, handshake, outgoing)
        return tls

    def wrap_socket(
        self,
        sock: Any,
        server_side: bool = False,
        do_handshake_on_connect: bool = True,
        suppress_ragged_eofs: bool = True,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        """As `ssl` does; raises what `wrap_bio` does, and what a handshake done here does."""
        endpoint, context, handshake = self._prepare(server_side, server_hostname, session)
        tls = cast(
            PinnedSSLSocket,
            context.wrap_socket(
                sock,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=suppress_ragged_eofs,
                server_hostname=endpoint.host,
                session=cast(ssl.SSLSession | None, handshake.session),
            ),
        )
        try:
            bind(tls, handshake, None)
            tls.begin(do_handshake_on_connect)
        except BaseException:
            tls.close()  # the caller's socket was taken over, so nobody else could
            raise
        return tls

    def _prepare(
        self,
        server_side: bool,
        server_hostname: str | bytes | None,
        session: object,
    ) -> tuple[Endpoint, ssl.SSLContext, Handshake]:
        if server_side:
            # asyncio tells nobody of what is raised here for a client that it accepted.
            self._tell_once("server_side", logging.ERROR, f"%s: {FOR_CLIENTS}")
            raise PolicyError(FOR_CLIENTS)
        if session is not None:
            raise PolicyError(FOREIGN_SESSION)
        endpoint = self.expectation.endpoint(self._host(server_hostname), observer=self.observer)
        profile = self.profile(endpoint)
        context = inner_context(profile)
        handshake = Handshake.prepare(
            endpoint,
            profile,
            context,
            observer=self.observer,
            resumption=self.resumption,
            source=self.expectation.source,
            watched=False,  # a library that gives up says nothing
        )
        return endpoint, context, handshake

    def profile(self, endpoint: Endpoint) -> Profile:
        """The profile under which this context connects to an endpoint, from now on."""
        if endpoint.rule.pin_set is not None:  # no other host is shown a client certificate
            self.renew_identities()
        return Profile.of(endpoint, self.settings)

    def _host(self, server_hostname: str | bytes | None) -> str:
        """The name to verify: the one given, or the only one that the policy speaks of."""
        if isinstance(server_hostname, bytes):
            server_hostname = server_hostname.decode("ascii", "replace")
        name = server_hostname if server_hostname is not None else self.expectation.only_host
        if not name:
            refusal = Refusal("NO_SERVER_NAME", "unknown host")
            notify(self.observer, refusal)
            raise ServerNameError(refusal)
        return name


def like(judge: Judge, sessions: SessionCache | None) -> PinnedSSLContext:
    """Make a context with the policy, or source, and the TLS settings of a judged connection."""
    return PinnedSSLContext(
        Expectation(judge.endpoint.policy if judge.source is None else judge.source),
        settings=judge.profile.settings,
        observer=judge.observer,
        resumption=False if sessions is None else sessions,
    )


@overload
def create_ssl_context(
    policy: PolicyLike,
    *,
    pins: None = None,
    trust: None = None,
    anchors: None = None,
    **options: Unpack[ContextOptions],
) -> PinnedSSLContext: ...
@overload
def create_ssl_context(
    policy: None = None,
    *,
    pins: PinsLike,
    trust: Trust | None = None,
    anchors: Anchors | None = None,
    **options: Unpack[ContextOptions],
) -> PinnedSSLContext: ...
@advised
def create_ssl_context(
    policy: PolicyLike | None = None,
    *,
    pins: PinsLike | None = None,
    trust: Trust | None = None,
    anchors: Anchors | None = None,
    client_cert: ClientCert | None = None,
    alpn: Iterable[str] | None = None,
    observer: Observer | None = None,
    resumption: bool | SessionCache = True,
) -> PinnedSSLContext:
    """Make an `ssl.SSLContext` that pins whatever library it is given to.

    One of `policy` (or a source of policies) and `pins` says what is expected, as in
    `create_connection`. `client_cert` is a PEM file with certificate and key, or the two files, or
    these and the key's password; it is shown to pinned hosts only. `alpn` lists protocols such as
    "h2". `observer` hears every decision. `resumption` is False for full handshakes, or a
    `SessionCache` of one's own.

    Builds the contexts of the policy's trust settings at once (milliseconds each), so that no
    connection waits for them. Raises `PolicyError` for arguments that make no sense,
    `ClientCertificateError` (a `PolicyError` too) for files that do not hold a certificate and its
    key, `OSError` for a file that cannot be read.
    """
    expectation = Expectation.of(policy, pins, trust, anchors)
    if not isinstance(resumption, bool | SessionCache):
        raise PolicyError("resumption= is True, False or a SessionCache")
    protocols = _protocols(alpn)
    files: Any = client_cert if isinstance(client_cert, tuple) else (client_cert,)
    if not 1 <= len(files) <= 3:
        raise PolicyError(
            "client_cert= is a file, or a tuple of certificate, key and perhaps its password"
        )
    context = PinnedSSLContext(
        expectation,
        settings=Settings(),
        observer=observer_or_default(observer),
        resumption=resumption,
    )
    if protocols:
        context.set_alpn_protocols(protocols)
    if client_cert is not None:
        context.load_cert_chain(*files)
    for endpoint in expectation.samples():
        inner_context(context.profile(endpoint))
    return context


def _protocols(alpn: Iterable[str] | None) -> list[str]:
    """ALPN names. Raises `PolicyError` for what `ssl` would refuse with less of a reason."""
    if alpn is None:
        return []
    names = list(alpn) if isinstance(alpn, Iterable) and not isinstance(alpn, str) else [None]
    if not all(
        isinstance(name, str) and name.isascii() and 1 <= len(name) <= 255 for name in names
    ):
        raise PolicyError(f'alpn= is a list of protocols, such as ["h2", "http/1.1"], not {alpn!r}')
    return cast("list[str]", names)
