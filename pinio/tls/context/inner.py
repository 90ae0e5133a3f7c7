"""The private TLS contexts that do the work: one for each profile, built here and sealed.

No library is handed one; each TLS object shows the one that it was made from (`context.sealed`).
"""

from __future__ import annotations

import os
import ssl
import threading
from pathlib import Path
from typing import Final

import certifi

from pinio.core.anchors import Anchors, partial_chains
from pinio.errors import PolicyError
from pinio.tls.config.profile import Profile
from pinio.tls.config.settings import assign, scratch
from pinio.tls.context.objects import PinnedSSLObject, PinnedSSLSocket
from pinio.tls.context.sealed import seal
from pinio.tls.handshake.sessions import forget

_SYSTEM_FILES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


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
        """Return the context of a profile.

        The first call reads and parses the anchors, which takes 4 to 25 ms: do not make it on the
        path of a connection.
        """
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


def system_file() -> str | None:
    """Where OpenSSL or the distribution keeps the platform's anchors in one file, if anywhere.

    Environment variables do not change it.
    """
    built_in = ssl.get_default_verify_paths()
    for file in (built_in.openssl_cafile, *_SYSTEM_FILES):
        if file and Path(file).is_file():
            return file
    return None


def _load_system(context: ssl.SSLContext) -> None:
    """Load the platform's anchors, from a file or from a folder of files."""
    file = system_file()
    if file is not None:
        context.load_verify_locations(cafile=file)
        return
    built_in = ssl.get_default_verify_paths()
    if built_in.openssl_capath and Path(built_in.openssl_capath).is_dir():
        context.load_verify_locations(capath=built_in.openssl_capath)
        return
    raise PolicyError(
        "this system has no list of CAs where OpenSSL looks for one; use Anchors.from_file(path)"
    )
