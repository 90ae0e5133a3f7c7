"""The context that libraries get to hold, and what comes of what they do to it.

Libraries set things on the context they are given: certifi's roots, `verify_mode`, ALPN, ciphers.
Each attribute of `ssl.SSLContext` is in one of the classes below; what a newer Python adds, and
nobody has classified, is refused. What takes effect takes it in the `Settings` from which the inner
contexts are made. The C context of the object itself is never touched: it verifies, checks names,
and trusts nobody, so that a TLS engine that reaches past the Python methods cannot connect to
anybody.
"""

from __future__ import annotations

import logging
import os
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Final, NoReturn, Self, cast

from pinio.errors import PolicyError
from pinio.tls.config.identity import AnyPath, ClientIdentity, Password
from pinio.tls.config.renewal import Renewals
from pinio.tls.config.settings import (
    OPTIONS,
    TIGHTER_FLAGS,
    TIGHTER_OPTIONS,
    USE_PYTHON_OBJECTS,
    Settings,
    StockContext,
    scratch,
)
from pinio.tls.context.objects import PinnedSSLObject, PinnedSSLSocket
from pinio.tls.context.unreadable import UNREADABLE, unreadable

logger = logging.getLogger("pinio")

FORWARDED: Final = frozenset(
    {
        "keylog_filename",
        "load_cert_chain",
        "post_handshake_auth",
        "set_alpn_protocols",
        "set_ecdh_curve",
    }
)
"""Reach the inner contexts, also those that are made later."""
TIGHTEN_ONLY: Final = frozenset(
    {"maximum_version", "minimum_version", "options", "set_ciphers", "verify_flags"}
)
"""Reach the inner contexts as far as they make them stricter; the rest is ignored and recorded."""
IGNORED: Final = frozenset(
    {
        "hostname_checks_common_name", "load_default_certs", "load_verify_locations", "num_tickets",
        "set_default_verify_paths", "set_npn_protocols", "verify_mode",
    }
)  # fmt: skip
"""Accepted, because libraries set them on every connection, and without effect: the policy decides whom to trust."""
SHOWN: Final = frozenset({"check_hostname"})
"""Read as they were set, and without effect. urllib3 sets it to False where it is told another name
to look for, and looks for it only if it reads False; the inner contexts check names in any case."""
REFUSED: Final = frozenset(
    {
        "_host_flags", "_msg_callback", "load_dh_params", "set_psk_client_callback", "set_psk_server_callback",
        "set_servername_callback", "sni_callback", "sslobject_class", "sslsocket_class",
    }
)  # fmt: skip
"""Raise `PolicyError`: for servers, or able to replace what pinio decides."""
READ_ONLY: Final = frozenset(
    {"get_ciphers", "protocol", "security_level", "session_stats", "wrap_bio", "wrap_socket"}
)
"""Change nothing."""
INTERNAL: Final = frozenset(
    {
        "_encode_hostname", "_load_windows_store_certs", "_set_alpn_protocols", "_windows_cert_stores", "_wrap_bio",
        "_wrap_socket",
    }
)  # fmt: skip
"""`ssl`'s own helpers. What they make of the outer context cannot verify anybody."""

CLASSIFIED: Final = (
    FORWARDED | TIGHTEN_ONLY | IGNORED | SHOWN | REFUSED | UNREADABLE | READ_ONLY | INTERNAL
)

# So that of two threads that change a context neither undoes the other's change; and a fork does
# not leave it locked.
_changing: Final = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_changing.acquire,
        after_in_parent=_changing.release,
        after_in_child=_changing.release,
    )


class OuterContext(StockContext):
    """An `ssl.SSLContext` without trust anchors, whose attributes are views of `Settings`."""

    settings: Settings
    """The TLS settings in force."""
    ignored: frozenset[str]
    """What libraries set, tried to loosen or asked for, without effect."""
    _renewals: Renewals

    def __new__(cls, *_arguments: Any, **_options: Any) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, settings: Settings) -> None:
        # Without its switch aiofastnet fails closed, for the C context cannot verify anybody; with
        # it, it works.
        self._store(
            settings=settings,
            ignored=frozenset[str](),
            _renewals=Renewals(),
            **{USE_PYTHON_OBJECTS: True},
        )

    def _store(self, **values: object) -> None:
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        if not isinstance(getattr(type(self), name, None), property):
            raise PolicyError(f"a pinned context has no {name!r} to set")
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        raise PolicyError(f"a pinned context keeps its {name!r}")

    def _change(self, change: Callable[[Settings], Settings]) -> None:
        """Other settings are another configuration: with inner contexts, and sessions, of its own."""
        with _changing:
            self._store(settings=change(self.settings))

    def _note_ignored(self, name: str) -> None:
        self._tell_once(
            name,
            logging.INFO,
            "a library set %s on a pinned context; what would replace its policy or loosen it has no effect",
        )

    def _tell_once(self, name: str, level: int, message: str) -> None:
        with _changing:
            if name in self.ignored:
                return
            self._store(ignored=self.ignored | {name})
        logger.log(level, message, name)

    # Forwarded. Each is tried on a context that is thrown away, so that a mistake is told to whom
    # made it.

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        protocols = tuple(alpn_protocols)
        if protocols != self.settings.alpn:  # httpcore sets them on every connection
            scratch().set_alpn_protocols(list(protocols))
            self._change(lambda settings: replace(settings, alpn=protocols))

    def load_cert_chain(
        self, certfile: AnyPath, keyfile: AnyPath | None = None, password: Password = None
    ) -> None:
        """Load a client certificate; it is shown to pinned hosts only.

        Args:
            certfile: PEM file with the certificate, and those of its issuers behind it.
            keyfile: PEM file with the private key, if it is not in `certfile`.
            password: of an encrypted key, or a callable that returns it and is called once.

        What is loaded stays in memory, and the files may go. Where they are renewed, later
        connections show the new certificate.

        Raises:
            ClientCertificateError: the files do not hold a certificate and its key.
            OSError: a file cannot be read.
        """
        identity = ClientIdentity.read(certfile, keyfile, password)
        self._change(lambda settings: settings.with_identity(identity))

    def renew_identities(self) -> None:
        """Take what was renewed in the files of the client certificates."""
        for identity in self.settings.identities:
            renewed = self._renewals.of(identity)
            if renewed is not identity:
                self._change(partial(Settings.with_renewed, old=identity, new=renewed))

    def set_ecdh_curve(self, name: str) -> None:
        scratch().set_ecdh_curve(name)
        self._change(lambda settings: replace(settings, curve=name))

    # Tighten only

    def set_ciphers(self, ciphers: str) -> None:
        def change(settings: Settings) -> Settings:
            stricter, left_out = settings.tighter_ciphers(ciphers)
            ignored.append(left_out)
            return replace(settings, ciphers=stricter)

        ignored: list[bool] = []
        self._change(change)
        if any(ignored):
            self._note_ignored("set_ciphers")

    def get_ciphers(self) -> Any:
        context = scratch()
        context.set_ciphers(self.settings.ciphers)
        return context.get_ciphers()


def _setting(name: str) -> property:
    """A property that is kept in the settings as it is, once `ssl` takes it."""

    def put(self: OuterContext, value: Any) -> None:
        setattr(scratch(), name, value)
        self._change(lambda settings: replace(settings, **{name: value}))

    return property(lambda self: getattr(self.settings, name), put)


def _version(name: str, stricter: Callable[[int, int], int]) -> property:
    """A protocol version that moves in one direction."""

    def put(self: OuterContext, value: int) -> None:
        def change(settings: Settings) -> Settings:
            current = _absolute(getattr(settings, name))
            changes: dict[str, Any] = (
                {name: expectation} if stricter(current, _absolute(expectation)) != current else {}
            )
            return replace(settings, **changes)

        expectation = ssl.TLSVersion(value)
        self._change(change)
        if _absolute(expectation) != _absolute(getattr(self.settings, name)):
            self._note_ignored(name)

    return property(lambda self: cast(ssl.TLSVersion, getattr(self.settings, name)), put)


def _absolute(version: ssl.TLSVersion) -> int:
    """`MINIMUM_SUPPORTED` and `MAXIMUM_SUPPORTED` as versions that compare."""
    return {-2: int(ssl.TLSVersion.TLSv1), -1: int(ssl.TLSVersion.TLSv1_3)}.get(
        int(version), int(version)
    )


def _bits(name: str, kind: Callable[[int], Any], allowed: int, base: int) -> property:
    """A set of bits to which some may be added and from which none is taken."""

    def get(self: OuterContext) -> Any:
        return kind(base | getattr(self.settings, name))

    def put(self: OuterContext, value: int) -> None:
        added = int(value) & allowed & ~base
        self._change(lambda settings: replace(settings, **{name: getattr(settings, name) | added}))
        if int(get(self)) != int(value):
            self._note_ignored(name)

    return property(get, put)


def _ignored(name: str, answer: Any) -> property:
    """A property that always answers the same, whatever is set."""

    def put(self: OuterContext, value: object) -> None:
        if value != answer:
            self._note_ignored(name)

    return property(lambda self: answer, put)


def _shown(name: str) -> property:
    """A switch that is kept in the settings, and changes nothing but what is read."""

    def put(self: OuterContext, value: object) -> None:
        if not value:
            self._note_ignored(name)
        change: dict[str, Any] = {name: bool(value)}
        self._change(lambda settings: replace(settings, **change))

    return property(lambda self: getattr(self.settings, name), put)


def _ignored_method(name: str) -> Callable[..., None]:
    def method(self: OuterContext, *_arguments: Any, **_options: Any) -> None:
        self._note_ignored(name)

    method.__name__ = name
    return method


def _refused(name: str, answer: Any = None) -> property:
    def refuse(_context: OuterContext, *_arguments: Any) -> NoReturn:
        raise PolicyError(
            f"{name} cannot be used on a pinned context: it could replace what pinio decides, or is for servers"
        )

    return property((lambda self: answer) if answer is not None else refuse, refuse)


# What the outer C context has, which every client context of this Python has too.
_C_OPTIONS: Final = int(scratch().options) | OPTIONS
_C_FLAGS: Final = int(scratch().verify_flags)

_PROPERTIES: Final = {
    "keylog_filename": _setting("keylog_filename"),
    "post_handshake_auth": _setting("post_handshake_auth"),
    "minimum_version": _version("minimum_version", max),
    "maximum_version": _version("maximum_version", min),
    "options": _bits("options", ssl.Options, TIGHTER_OPTIONS, _C_OPTIONS),
    "verify_flags": _bits("verify_flags", ssl.VerifyFlags, TIGHTER_FLAGS, _C_FLAGS),
    "verify_mode": _ignored("verify_mode", ssl.CERT_REQUIRED),
    "check_hostname": _shown("check_hostname"),
    "hostname_checks_common_name": _ignored("hostname_checks_common_name", False),
    "num_tickets": _ignored("num_tickets", 2),
    "sslobject_class": _refused("sslobject_class", PinnedSSLObject),
    "sslsocket_class": _refused("sslsocket_class", PinnedSSLSocket),
}


def classify(kind: type, names: Iterable[str]) -> None:
    """Give each of `ssl.SSLContext`'s attributes the behaviour of its class; those of no class are refused."""
    for name in names:
        if name in _PROPERTIES:
            setattr(kind, name, _PROPERTIES[name])
        elif name in IGNORED:
            setattr(kind, name, _ignored_method(name))
        elif name in UNREADABLE:
            setattr(kind, name, unreadable(name))
        elif name in REFUSED or (name not in CLASSIFIED and not name.startswith("__")):
            setattr(kind, name, _refused(name))


classify(OuterContext, dir(StockContext))
