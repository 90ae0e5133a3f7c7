"""What rustls verifies and offers for a profile: the configurations of the package `pinio-rustls`.

A configuration is built once for each profile and kept, since sessions are resumed under the one
that they were made with alone, and since it remembers the paths that it has verified.
"""

from __future__ import annotations

import os
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import certifi

from pinio.core import pem
from pinio.core.anchors import Anchors
from pinio.errors import PolicyError
from pinio.tls.config.engine import choose
from pinio.tls.config.identity import ClientIdentity
from pinio.tls.config.profile import Profile
from pinio.tls.config.secret import Secret
from pinio.tls.context.inner import MAX_CONTEXTS, system_file
from pinio.tls.handshake.sessions import forget

if TYPE_CHECKING:
    from pinio_rustls import Config

_KEYS: Final = ("PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY")


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Configuration:
    """A profile, and what rustls made of it. Compared by identity, as a context is."""

    profile: Profile
    config: Config


class _Configurations:
    """The configurations of the profiles in use: bounded, thread-safe, empty after a fork."""

    def __init__(self) -> None:
        self.clear()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.clear)

    def clear(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[Profile, Configuration] = {}

    def ready(self, profile: Profile) -> Configuration | None:
        """The configuration, if it is there already."""
        return self._kept.get(profile)

    def __call__(self, profile: Profile) -> Configuration:
        """Return the configuration of a profile.

        The first call reads and parses the anchors: do not make it on the path of a connection.
        Raises `PolicyError` for what rustls cannot do.
        """
        with self._lock:
            kept = self._kept.get(profile)
            if kept is None:
                kept = Configuration(profile, _build(profile))
                if len(self._kept) >= MAX_CONTEXTS:
                    forget(self._kept.pop(next(iter(self._kept))))
                self._kept[profile] = kept
            return kept


configuration: Final = _Configurations()


def _build(profile: Profile) -> Config:
    settings = profile.settings
    choose("rustls", settings)
    from pinio_rustls import Config

    versions = ssl.TLSVersion
    newest = settings.maximum_version
    may_13 = newest in (versions.MAXIMUM_SUPPORTED, versions.TLSv1_3)
    may_12 = settings.minimum_version != versions.TLSv1_3
    identities = settings.identities
    try:
        return Config(
            None if profile.trust == "leaf-pin" else _anchors(profile.anchors),
            alpn=[name.encode("ascii") for name in settings.alpn],
            identity=_identity(identities[0]) if identities else None,
            tls12=may_12 and not settings.options & ssl.OP_NO_TLSv1_2,
            tls13=may_13 and not settings.options & ssl.OP_NO_TLSv1_3,
        )
    except ValueError as error:
        raise PolicyError(f"engine='rustls': {error}") from error


def _anchors(anchors: Anchors) -> list[bytes]:
    if anchors.origin == "private":
        return [item.der for item in anchors.certificates]
    file = certifi.where() if anchors.origin == "certifi" else system_file()
    if file is None:
        _fail("this system keeps its CAs in no single file; use Anchors.from_file(path)")
    text = pem.decode(Path(file).read_bytes())
    return [block.der() for block in pem.blocks(text) if block.label == pem.CERTIFICATE]


def _identity(identity: ClientIdentity) -> tuple[list[bytes], bytes]:
    """The client's chain and key as DER."""
    certificates, keys = identity.contents[0], identity.contents[-1]
    try:
        chain = _blocks(certificates, pem.CERTIFICATE)
        found = _blocks(keys, *_KEYS) if identity.password is None else []
    except pem.PEMError as error:  # a key that is encrypted has headers
        _fail(f"{identity.files[-1]}: {error}")
    if not found:
        _fail(
            f"{identity.files[-1]}: rustls reads private keys that are not encrypted"
            " (openssl pkey -in FILE writes such a one)"
        )
    return chain, found[0]


def _blocks(content: Secret, *labels: str) -> list[bytes]:
    blocks = pem.blocks(pem.decode(content.value))
    return [block.der() for block in blocks if block.label in labels]


def _fail(message: str) -> NoReturn:
    raise PolicyError(f"engine='rustls': {message}; engine='openssl' does")
