"""What a client is told about the server that it measures against."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pinio.testing import CA

KeyKind = Literal["ecdsa", "rsa"]
Version = Literal["1.2", "1.3"]

ADDRESS: Final = "127.0.0.1"
NAME: Final = "localhost"
"""In the certificate, as is the address: raw clients are told both, so that none pays for a resolver."""
BODY: Final = 256
"""Bytes in the answer to a request."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A server's certificate chain (leaf and intermediate) with the root that a client trusts, as files and pins."""

    kind: KeyKind
    chain: str
    key: str
    root: str
    """Paths of PEM files."""
    pins: tuple[str, str]
    """The leaf's, and a backup's."""
    wrong_pins: tuple[str, str]
    """Of keys that the server does not have."""
    fingerprint: str
    """SHA-256 over the leaf certificate, in hexadecimal digits: what libraries without key pins compare."""
    wrong_fingerprint: str
    certificates: tuple[str, ...]
    """Leaf, intermediate and root as hexadecimal DER."""

    @classmethod
    def make(cls, folder: Path, kind: KeyKind) -> Identity:
        """Make keys and certificates anew, below `folder`."""
        root = CA("benchmark root", key_type=kind)
        intermediate = root.intermediate(key_type=kind)
        leaf = intermediate.issue(NAME, ADDRESS, key_type=kind)
        spare, *wrong = (intermediate.issue(NAME) for _ in range(3))
        chain, key = leaf.write(folder, kind)
        root_path = folder / f"{kind}-root.pem"
        root_path.write_text(root.certificate_pem, "ascii")
        ders = (leaf.der, intermediate.der, root.der)
        return cls(
            kind,
            str(chain),
            str(key),
            str(root_path),
            (leaf.pin, spare.pin),
            (wrong[0].pin, wrong[1].pin),
            hashlib.sha256(leaf.der).hexdigest(),
            hashlib.sha256(wrong[0].der).hexdigest(),
            tuple(der.hex() for der in ders),
        )

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Identity:
        """Back from a JSON value, which has lists for tuples."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in data.items()
        }
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Target:
    """One listening server: where it is, which TLS version it speaks, who it is."""

    port: int
    version: Version
    identity: Identity

    def to_json(self) -> dict[str, Any]:
        """As a JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Target:
        """Back from a JSON value."""
        return cls(data["port"], data["version"], Identity.from_json(data["identity"]))

    @property
    def url(self) -> str:
        """Of the small answer."""
        return f"https://{ADDRESS}:{self.port}/"

    def context(self) -> ssl.SSLContext:
        """An unpinned client context that trusts the server's root alone: what every client without one of its own gets."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_verify_locations(self.identity.root)
        return context
