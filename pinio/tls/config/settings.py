"""What a program or a library may say about TLS beyond trust: frozen, and never looser than pinio's own floor."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pinio.errors import PolicyError

if TYPE_CHECKING:
    from pinio.tls.config.identity import ClientIdentity

    StockContext = ssl.SSLContext
else:
    StockContext = next(kind for kind in ssl.SSLContext.__mro__ if kind.__module__ == "ssl")
    """`ssl`'s own context class, also where somebody put a subclass in its place, as truststore does."""


USE_PYTHON_OBJECTS: Final = "_aiofastnet_force_fallback_ssl"
"""The attribute that makes aiofastnet use Python's TLS objects, where it would take the C context and shake hands by itself."""


def scratch() -> ssl.SSLContext:
    """Return a context to try things on."""
    return StockContext(ssl.PROTOCOL_TLS_CLIENT)


def assign(context: ssl.SSLContext, name: str, value: Any) -> None:
    """Set an attribute of a stock context as its C class does.

    The setters of `ssl.SSLContext` look for themselves under that name, and call each other for
    ever once it names another class.
    """
    getattr(super(StockContext, StockContext), name).__set__(context, value)


CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!eNULL:!PSK:!SRP:!aDSS:@SECLEVEL=2"
"""TLS 1.2 suites: ephemeral key exchange over elliptic curves, signed with a certificate, and AEAD.

With RSA key exchange a replayed genuine chain would prove nothing before the client's final flight;
anonymous and pre-shared key suites come without any certificate. (TLS 1.3 has no such suites but
for pre-shared keys, which nobody can set here.) In finite fields (DHE) the server chooses the
group, of up to 10,000 bits, and the client computes in it for a second before any certificate is
judged.
"""

# SSL_OP_NO_RX_CERTIFICATE_COMPRESSION (OpenSSL 3.2): do not decompress what nobody has
# authenticated. Python has no name for it.
_NO_CERTIFICATE_COMPRESSION: Final = 1 << 33 if ssl.OPENSSL_VERSION_INFO >= (3, 2) else 0

OPTIONS: Final = int(ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION) | _NO_CERTIFICATE_COMPRESSION
"""Set in every inner context."""
# SSL_OP_NO_EXTENDED_MASTER_SECRET, _LEGACY_SERVER_CONNECT, _ALLOW_UNSAFE_LEGACY_RENEGOTIATION;
# Python has no names for them all.
LOOSER_OPTIONS: Final = 1 << 0 | 1 << 2 | 1 << 18
"""Cleared in every inner context: OpenSSL's configuration file may have set them, and an environment variable names that file."""
TIGHTER_OPTIONS: Final = int(ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3 | ssl.OP_NO_TICKET)
"""Options that may be added: none of them accepts what would otherwise be refused."""
FLAGS: Final = int(ssl.VERIFY_X509_TRUSTED_FIRST)
"""Verify flags of every inner context, whatever this Python sets by itself.

Without `X509_STRICT`: it also holds for the trust anchors, and a root of the public list has no key
identifier.
"""
TIGHTER_FLAGS: Final = int(
    ssl.VERIFY_X509_STRICT | ssl.VERIFY_CRL_CHECK_LEAF | ssl.VERIFY_CRL_CHECK_CHAIN
)
"""Verify flags that may be added, likewise."""

FLOOR: Final = ssl.TLSVersion.TLSv1_2


@dataclass(frozen=True, slots=True)
class Settings:
    """TLS settings of one configuration, by value."""

    alpn: tuple[str, ...] = ()
    identities: tuple[ClientIdentity, ...] = ()
    minimum_version: ssl.TLSVersion = FLOOR
    maximum_version: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
    ciphers: str = CIPHERS
    options: int = 0
    """Of `TIGHTER_OPTIONS`, those that were added."""
    verify_flags: int = 0
    """Of `TIGHTER_FLAGS`, those that were added."""
    curve: str | None = None
    post_handshake_auth: bool = False
    keylog_filename: str | None = None
    check_hostname: bool = True
    """What a library reads that asks whether names are checked. They are checked in any case."""

    def apply(self, context: ssl.SSLContext) -> None:
        """Set up an inner context."""
        assign(context, "minimum_version", self.minimum_version)
        assign(context, "maximum_version", self.maximum_version)
        assign(context, "options", int(context.options) & ~LOOSER_OPTIONS | OPTIONS | self.options)
        assign(context, "verify_flags", FLAGS | self.verify_flags)
        context.set_ciphers(self.ciphers)
        if self.alpn:
            context.set_alpn_protocols(list(self.alpn))
        if self.curve is not None:
            context.set_ecdh_curve(self.curve)
        if self.keylog_filename is not None:
            context.keylog_filename = self.keylog_filename
        context.post_handshake_auth = self.post_handshake_auth
        for identity in self.identities:
            identity.load(context)

    def anonymous(self) -> Settings:
        """The same without the client's identity, which goes to pinned hosts only."""
        return replace(self, identities=(), post_handshake_auth=False) if self.identities else self

    def with_identity(self, identity: ClientIdentity) -> Settings:
        """The same with one more identity; it takes the place of what the same files held before."""
        if identity in self.identities:
            return self
        others = tuple(other for other in self.identities if other.files != identity.files)
        return replace(self, identities=(*others, identity))

    def with_renewed(self, old: ClientIdentity, new: ClientIdentity) -> Settings:
        """The same with `new` in the place of `old`: where two fit, OpenSSL takes the later one."""
        return replace(
            self, identities=tuple(new if other == old else other for other in self.identities)
        )

    def tighter_ciphers(self, requested: str) -> tuple[str, bool]:
        """Of the TLS 1.2 suites that `wanted` names, as OpenSSL reads it, those that are in force; and whether it named others.

        Raises `ssl.SSLError` for a string that OpenSSL cannot read, `PolicyError` if nothing is
        left.
        """
        named, allowed = _suites(requested), set(_suites(self.ciphers))
        left = [name for name in named if name in allowed]
        if not left:
            raise PolicyError(
                f"no suite of {requested!r} is one that pinned connections take: ECDHE keys, signed with"
                " a certificate, and AEAD, such as ECDHE+AESGCM"
            )
        return (
            self.ciphers if left == _suites(self.ciphers) else ":".join(left) + ":@SECLEVEL=2"
        ), left != named


@lru_cache(maxsize=64)
def _suites(ciphers: str) -> list[str]:
    """The TLS 1.2 suites that a cipher string names; those of TLS 1.3 are always there."""
    context = scratch()
    context.set_ciphers(ciphers)
    return [
        cipher["name"] for cipher in context.get_ciphers() if not cipher["name"].startswith("TLS_")
    ]
