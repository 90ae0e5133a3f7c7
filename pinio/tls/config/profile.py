"""The private TLS contexts that do the work: one per frozen configuration, built here, reached by nobody else.

A profile fixes everything that decides what a handshake proves: how certificates are verified, which CAs count, which key
exchanges are possible. It is the same on every Python version, so that an upgrade never changes the verified chain.
"""

from __future__ import annotations

import os
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import certifi

from pinio.core.anchors import Anchors, partial_chains
from pinio.core.pinset import Trust
from pinio.core.policy import Endpoint
from pinio.errors import PolicyError
from pinio.tls.config.settings import Settings, assign, scratch
from pinio.tls.context.objects import PinnedSSLObject, PinnedSSLSocket
from pinio.tls.context.sealed import seal
from pinio.tls.handshake.peer import checks_names, verifies
from pinio.tls.handshake.sessions import forget

_SYSTEM_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


_CERTIFI: Final = Anchors()
DEFAULT_SETTINGS: Final = Settings()


@dataclass(frozen=True, slots=True)
class Profile:
    """One TLS configuration, by value."""

    trust: Trust = "pkix"
    anchors: Anchors = _CERTIFI
    settings: Settings = DEFAULT_SETTINGS

    @classmethod
    def of(cls, endpoint: Endpoint, settings: Settings = DEFAULT_SETTINGS) -> Profile:
        """The profile under which this endpoint's certificate is verified."""
        anchors = _CERTIFI if endpoint.trust == "leaf-pin" else endpoint.anchors
        return cls(
            endpoint.trust, anchors, settings if endpoint.rule.pin_set is not None else settings.anonymous()
        )

    @property
    def identity(self) -> str:
        """Which certificates this profile would verify, as text: what evidence is tied to."""
        return f"{self.trust}:{self.anchors.identity}"

    def holds_for(self, tls: ssl.SSLObject | ssl.SSLSocket) -> bool:
        """Whether the context of this object still verifies as the profile says."""
        context = tls.context
        if self.trust == "leaf-pin":
            return not verifies(context)
        return verifies(context) and checks_names(context)


def _build(profile: Profile) -> ssl.SSLContext:
    context = scratch()
    context.sslobject_class = PinnedSSLObject
    context.sslsocket_class = PinnedSSLSocket
    context.hostname_checks_common_name = False
    profile.settings.apply(context)
    if profile.trust == "leaf-pin":
        context.check_hostname = False
        assign(context, "verify_mode", ssl.CERT_NONE)
    else:
        _load(context, profile.anchors)
    return context


class _InnerContexts:
    """The contexts of the profiles in use: bounded, thread-safe, empty after a fork."""

    def __init__(self) -> None:
        self.clear()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.clear)

    def clear(self) -> None:
        self._lock = threading.Lock()
        self._contexts: dict[Profile, ssl.SSLContext] = {}

    def ready(self, profile: Profile) -> ssl.SSLContext | None:
        """The context, if it is there already."""
        return self._contexts.get(profile)

    def __call__(self, profile: Profile) -> ssl.SSLContext:
        """The context; the first call reads and parses the anchors (4 to 25 ms), so not on the connection path."""
        with self._lock:
            context = self._contexts.get(profile)
            if context is None:
                context = seal(_build(profile), check_hostname=profile.settings.check_hostname)
                if len(self._contexts) >= MAX_CONTEXTS:
                    forget(self._contexts.pop(next(iter(self._contexts))))
                self._contexts[profile] = context
            return context


MAX_CONTEXTS: Final = 64
"""Profiles whose contexts are kept; each with public anchors takes about a megabyte."""

inner_context: Final = _InnerContexts()


def _load(context: ssl.SSLContext, anchors: Anchors) -> None:
    if anchors.origin == "certifi":
        context.load_verify_locations(cafile=certifi.where())
    elif anchors.origin == "system":
        _load_system(context)
    else:
        context.load_verify_locations(cadata=b"".join(item.der for item in anchors.certificates))
    if partial_chains(anchors):
        assign(context, "verify_flags", int(context.verify_flags) | ssl.VERIFY_X509_PARTIAL_CHAIN)


def _load_system(context: ssl.SSLContext) -> None:
    """The platform's anchors from where OpenSSL or the distribution keeps them; environment variables are not asked."""
    built_in = ssl.get_default_verify_paths()
    for file in (built_in.openssl_cafile, *_SYSTEM_FILES):
        if file and Path(file).is_file():
            context.load_verify_locations(cafile=file)
            return
    if built_in.openssl_capath and Path(built_in.openssl_capath).is_dir():
        context.load_verify_locations(capath=built_in.openssl_capath)
        return
    raise PolicyError(
        "this system has no list of CAs where OpenSSL looks for one; use Anchors.from_file(path)"
    )
