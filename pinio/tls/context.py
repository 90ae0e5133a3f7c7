"""One `SSLContext` for any library, which none can get around.

Shape. The object handed out has no trust anchors of its own and cannot verify anybody: a TLS engine that reaches past its Python
methods into the C context fails closed. Its `wrap_bio` and `wrap_socket` look the host up and make the TLS object from a private
inner context, one per frozen configuration, whose objects hold the gate (`pinio.tls.latch`).

Libraries set things on the context they are given. Each attribute of `ssl.SSLContext` is in one of the classes below; what a newer
Python adds, and nobody has classified, is refused. The C context of the outer object is never touched.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final, NoReturn, Self, cast

from pinio.core.anchors import Anchors
from pinio.core.decision import Refusal
from pinio.core.pinset import PinsLike, Trust
from pinio.core.policy import Endpoint
from pinio.errors import PolicyError, ServerNameError
from pinio.reporting import default_observer, tell
from pinio.tls.handshake import Handshake
from pinio.tls.latch import FOREIGN_SESSION, PinnedSSLObject, PinnedSSLSocket, arm
from pinio.tls.profile import Profile, inner_context
from pinio.tls.sessions import SessionCache
from pinio.tls.settings import (
    OPTIONS,
    TIGHTER_FLAGS,
    TIGHTER_OPTIONS,
    AnyPath,
    ClientIdentity,
    Password,
    Settings,
    tighter_ciphers,
)
from pinio.tls.wanted import Wanted
from pinio.typing import Observer, PolicyLike

logger = logging.getLogger("pinio")

FORWARDED: Final = frozenset(
    {"load_cert_chain", "set_alpn_protocols", "set_ecdh_curve", "keylog_filename", "post_handshake_auth"}
)
"""Reach the inner contexts, also those that are made later."""
TIGHTEN_ONLY: Final = frozenset({"minimum_version", "maximum_version", "options", "verify_flags", "set_ciphers"})
"""Reach the inner contexts as far as they make them stricter; the rest is ignored and recorded."""
IGNORED: Final = frozenset(
    {
        "check_hostname", "hostname_checks_common_name", "load_default_certs", "load_verify_locations", "num_tickets",
        "set_default_verify_paths", "set_npn_protocols", "verify_mode",
    }
)  # fmt: skip
"""Accepted, because libraries set them on every connection, and without effect: the policy decides whom to trust."""
REFUSED: Final = frozenset(
    {
        "_host_flags", "_msg_callback", "load_dh_params", "set_psk_client_callback", "set_psk_server_callback", "set_servername_callback",
        "sni_callback", "sslobject_class", "sslsocket_class",
    }
)  # fmt: skip
"""Raise `PolicyError`: for servers, or able to replace what pinio decides."""
READ_ONLY: Final = frozenset(
    {"cert_store_stats", "get_ca_certs", "get_ciphers", "protocol", "security_level", "session_stats", "wrap_bio", "wrap_socket"}
)
"""Change nothing."""
INTERNAL: Final = frozenset(
    {
        "_encode_hostname", "_load_windows_store_certs", "_set_alpn_protocols", "_windows_cert_stores", "_wrap_bio",
        "_wrap_socket",
    }
)  # fmt: skip
"""`ssl`'s own helpers. What they make of the outer context cannot verify anybody."""

CLASSIFIED: Final = FORWARDED | TIGHTEN_ONLY | IGNORED | REFUSED | READ_ONLY | INTERNAL


class PinnedSSLContext(ssl.SSLContext):
    """An `ssl.SSLContext` that any library takes. Made by `pinio.create_ssl_context`."""

    wanted: Wanted
    """What is expected of peers."""
    observer: Observer
    resumption: bool | SessionCache
    settings: Settings
    """The TLS settings in force."""
    ignored: frozenset[str]
    """What libraries set, or tried to loosen, without effect."""

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(
        self,
        wanted: Wanted,
        *,
        settings: Settings,
        observer: Observer,
        resumption: bool | SessionCache = True,
    ) -> None:
        self._store(
            wanted=wanted,
            settings=settings,
            observer=observer,
            resumption=resumption,
            ignored=frozenset(),
            # aiofastnet takes the C context and shakes hands by itself, unless told to use the Python objects. Without this
            # switch it fails closed, for the C context cannot verify anybody.
            _aiofastnet_force_fallback_ssl=True,
        )

    def _store(self, **values: object) -> None:
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        if not isinstance(getattr(type(self), name, None), property):
            raise PolicyError(f"a pinned context has no {name!r} to set")
        super().__setattr__(name, value)

    # Making TLS objects

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Like `ssl.SSLContext.wrap_bio`; raises `UnpinnedHostError`, `ServerNameError` or `PolicyError` before anything is sent."""
        endpoint, context, handshake = self._prepare(server_side, server_hostname, session)
        tls = context.wrap_bio(incoming, outgoing, server_hostname=endpoint.host, session=handshake.session)
        arm(tls, handshake, outgoing)
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
        """Like `ssl.SSLContext.wrap_socket`; raises what `wrap_bio` does, and what the handshake does if it is done here."""
        endpoint, context, handshake = self._prepare(server_side, server_hostname, session)
        tls = cast(
            PinnedSSLSocket,
            context.wrap_socket(
                sock,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=suppress_ragged_eofs,
                server_hostname=endpoint.host,
                session=handshake.session,
            ),
        )
        arm(tls, handshake, None)
        tls.begin(do_handshake_on_connect)
        return tls

    def _prepare(
        self,
        server_side: bool,
        server_hostname: str | bytes | None,
        session: object,
    ) -> tuple[Endpoint, ssl.SSLContext, Handshake]:
        if server_side:
            raise PolicyError("a pinned context is for clients")
        if session is not None:
            raise PolicyError(FOREIGN_SESSION)
        endpoint = self.wanted.endpoint(self._host(server_hostname), observer=self.observer)
        profile = self.profile(endpoint)
        context = inner_context(profile)
        return endpoint, context, Handshake.prepare(
            endpoint, profile, context, self.observer, self.resumption, self.wanted.source
        )

    def profile(self, endpoint: Endpoint) -> Profile:
        """The profile under which this context connects to an endpoint."""
        return Profile.of(endpoint, self.settings)

    def _host(self, server_hostname: str | bytes | None) -> str:
        """The name to verify: the one given, or the only one that the policy speaks of."""
        if isinstance(server_hostname, bytes):
            server_hostname = server_hostname.decode("ascii", "replace")
        name = server_hostname if server_hostname is not None else self.wanted.only_host
        if not name:
            refusal = Refusal("NO_SERVER_NAME", "unknown host")
            tell(self.observer, refusal)
            raise ServerNameError(refusal)
        return name

    # Forwarded

    def set_alpn_protocols(self, alpn_protocols: Any) -> None:
        self._change(alpn=tuple(alpn_protocols))

    def load_cert_chain(self, certfile: AnyPath, keyfile: AnyPath | None = None, password: Password = None) -> None:
        """Load a client certificate; it is shown to pinned hosts only. Raises what `ssl` raises, now."""
        identity = ClientIdentity(certfile, keyfile, password)
        identity.load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        if identity not in self.settings.identities:
            self._change(identities=(*self.settings.identities, identity))

    def set_ecdh_curve(self, name: str) -> None:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ecdh_curve(name)
        self._change(curve=name)

    def _change(self, **changes: Any) -> None:
        """Other settings are another configuration: with inner contexts, and sessions, of its own."""
        self._store(settings=replace(self.settings, **changes))

    # Tighten only

    def set_ciphers(self, ciphers: str) -> None:
        self._change(ciphers=tighter_ciphers(ciphers))

    def get_ciphers(self) -> Any:
        scratch = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        scratch.set_ciphers(self.settings.ciphers)
        return scratch.get_ciphers()

    def _note_ignored(self, name: str) -> None:
        if name not in self.ignored:
            logger.info("a library set %s on a pinned context; the policy decides that, so it has no effect", name)
            self._store(ignored=self.ignored | {name})


def _setting(name: str) -> property:
    """A property that is kept in the settings as it is."""

    def get(self: PinnedSSLContext) -> Any:
        return getattr(self.settings, name)

    def put(self: PinnedSSLContext, value: Any) -> None:
        self._change(**{name: value})

    return property(get, put)


def _version(name: str, stricter: Callable[[int, int], int]) -> property:
    """A protocol version that moves in one direction."""

    def get(self: PinnedSSLContext) -> ssl.TLSVersion:
        return cast(ssl.TLSVersion, getattr(self.settings, name))

    def put(self: PinnedSSLContext, value: int) -> None:
        wanted, current = _absolute(ssl.TLSVersion(value)), _absolute(get(self))
        if (chosen := stricter(wanted, current)) != wanted:
            self._note_ignored(name)
        if chosen != current:
            self._change(**{name: ssl.TLSVersion(chosen)})

    return property(get, put)


def _absolute(version: ssl.TLSVersion) -> int:
    """`MINIMUM_SUPPORTED` and `MAXIMUM_SUPPORTED` as versions that compare."""
    return {-2: int(ssl.TLSVersion.TLSv1), -1: int(ssl.TLSVersion.TLSv1_3)}.get(int(version), int(version))


def _bits(name: str, kind: Callable[[int], Any], allowed: int, base: int) -> property:
    """A set of bits to which some may be added and from which none is taken."""

    def get(self: PinnedSSLContext) -> Any:
        return kind(base | getattr(self.settings, name))

    def put(self: PinnedSSLContext, value: int) -> None:
        current = int(get(self))
        if (current | int(value)) & ~allowed & ~current or current & ~int(value):
            self._note_ignored(name)
        if (added := int(value) & allowed & ~current):
            self._change(**{name: getattr(self.settings, name) | added})

    return property(get, put)


def _ignored(name: str, answer: Any) -> property:
    """A property that always answers the same, whatever is set."""

    def put(self: PinnedSSLContext, value: object) -> None:
        if value != answer:
            self._note_ignored(name)

    return property(lambda self: answer, put)


def _ignored_method(name: str) -> Callable[..., None]:
    def method(self: PinnedSSLContext, *arguments: Any, **options: Any) -> None:
        self._note_ignored(name)

    method.__name__ = name
    return method


def _refused(name: str, answer: Any = None) -> property:
    def refuse(self: PinnedSSLContext, *arguments: Any) -> NoReturn:
        raise PolicyError(f"{name} cannot be used on a pinned context: it could replace what pinio decides, or is for servers")

    return property((lambda self: answer) if answer is not None else refuse, refuse)


# What the outer C context has, which every client context of this Python has too.
_C_OPTIONS: Final = int(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).options) | OPTIONS
_C_FLAGS: Final = int(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).verify_flags)

_ATTRIBUTES: Final[dict[str, Any]] = {
    "keylog_filename": _setting("keylog_filename"),
    "post_handshake_auth": _setting("post_handshake_auth"),
    "minimum_version": _version("minimum_version", max),
    "maximum_version": _version("maximum_version", min),
    "options": _bits("options", ssl.Options, TIGHTER_OPTIONS, _C_OPTIONS),
    "verify_flags": _bits("verify_flags", ssl.VerifyFlags, TIGHTER_FLAGS, _C_FLAGS),
    "verify_mode": _ignored("verify_mode", ssl.CERT_REQUIRED),
    "check_hostname": _ignored("check_hostname", True),
    "hostname_checks_common_name": _ignored("hostname_checks_common_name", False),
    "num_tickets": _ignored("num_tickets", 2),
    "sslobject_class": _refused("sslobject_class", PinnedSSLObject),
    "sslsocket_class": _refused("sslsocket_class", PinnedSSLSocket),
}


def _classify() -> None:
    """Give every attribute of this Python's `SSLContext` the behaviour of its class; unknown ones are refused."""
    for name in dir(ssl.SSLContext):
        if name in _ATTRIBUTES:
            setattr(PinnedSSLContext, name, _ATTRIBUTES[name])
        elif name in IGNORED:
            setattr(PinnedSSLContext, name, _ignored_method(name))
        elif name in REFUSED or (name not in CLASSIFIED and not name.startswith("__")):
            setattr(PinnedSSLContext, name, _refused(name))


_classify()


def create_ssl_context(
    policy: PolicyLike | None = None,
    *,
    pins: PinsLike | None = None,
    trust: Trust | None = None,
    anchors: Anchors | None = None,
    client_cert: AnyPath | tuple[AnyPath, AnyPath] | tuple[AnyPath, AnyPath, Password] | None = None,
    alpn: Iterable[str] | None = None,
    observer: Observer | None = None,
    resumption: bool | SessionCache = True,
) -> PinnedSSLContext:
    """Make an `ssl.SSLContext` that pins whatever library it is given to.

    One of `policy` (or a source of policies) and `pins` says what is expected, as in `create_connection`. `client_cert` is a PEM
    file with certificate and key, or the two files, or these and the key's password; it is shown to pinned hosts only. `alpn`
    lists protocols such as "h2". `observer` hears every decision. `resumption` is False for full handshakes, or a `SessionCache`
    of one's own.

    Builds the contexts of the policy's trust settings at once (milliseconds each), so that no connection waits for them. Raises
    `PolicyError` for arguments that make no sense, `OSError` or `ssl.SSLError` for a certificate that cannot be loaded.
    """
    wanted = Wanted.of(policy, pins, trust, anchors)
    if not isinstance(resumption, bool | SessionCache):
        raise PolicyError("resumption= is True, False or a SessionCache")
    settings = Settings(alpn=tuple(alpn or ()))
    context = PinnedSSLContext(
        wanted,
        settings=settings,
        observer=default_observer if observer is None else observer,
        resumption=resumption,
    )
    if client_cert is not None:
        context.load_cert_chain(*(client_cert if isinstance(client_cert, tuple) else (client_cert,)))
    for endpoint in wanted.samples():
        inner_context(context.profile(endpoint))
    return context
