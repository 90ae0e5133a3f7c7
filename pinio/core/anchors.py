"""Which CAs certificate verification may end in: a value, compared and cached by its content."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from pinio.core import pem
from pinio.core.certificate import Certificate
from pinio.core.der import DERError, fields
from pinio.core.sha256 import sha256
from pinio.errors import PolicyError

Origin = Literal["certifi", "system", "private"]

MAX_FILE: Final = pem.MAX_TEXT
"""Longest file or text of anchors, in bytes. The whole public list is a quarter of a megabyte."""


@dataclass(frozen=True, slots=True)
class Anchors:
    """The trust anchors of PKIX verification (RFC 5280 section 6.1.1).

    `Anchors()` is certifi's list of public CAs and `Anchors.system()` the platform's; both are
    loaded when they are first used. `Anchors.from_file` and `Anchors.from_pem` hold a private list;
    two of them are equal if they hold the same certificates. Raises `PolicyError` for an `origin`
    that there is not.
    """

    origin: Origin = "certifi"
    certificates: tuple[Certificate, ...] = field(default=(), compare=False)
    identity: str = field(default="", init=False)
    """What these anchors are compared and cached by: a digest of the content, or the name of the list."""

    def __post_init__(self) -> None:
        # A copy: contexts are shared by identity, and whoever made a list could add to it.
        held = tuple(self.certificates)
        known = isinstance(self.origin, str) and self.origin in get_args(Origin)
        if not known or (self.origin == "private") != bool(held):
            raise PolicyError(
                "anchors are certifi's, the system's, or at least one certificate of your own"
            )
        if not all(isinstance(item, Certificate) for item in held):
            raise PolicyError(
                "anchors hold certificates; use Anchors.from_file or Anchors.from_pem"
            )
        certificates = tuple(sorted(set(held), key=lambda item: item.der))
        content = b"".join(sha256(item.der) for item in certificates)
        object.__setattr__(self, "certificates", certificates)
        object.__setattr__(self, "identity", sha256(content).hex() if content else self.origin)

    @classmethod
    def system(cls) -> Anchors:
        """The platform's store, as OpenSSL was built to find it.

        Environment variables do not change it.
        """
        return cls("system")

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Anchors:
        """Read PEM certificates now, from a regular file of at most 8 MiB.

        Raises `PolicyError` naming the file for any other.
        """
        try:
            data = _read(path)
        except OSError as error:
            raise PolicyError(
                f"{os.fspath(path)}: the anchors cannot be read: {error.strerror}"
            ) from error
        except ValueError as error:  # a path with a NUL in it
            raise PolicyError(
                f"{os.fspath(path)!a}: the anchors cannot be read: {error}"
            ) from error
        try:
            return cls.from_pem(pem.decode(data))
        except PolicyError as error:
            raise PolicyError(f"{os.fspath(path)}: {error}") from None

    @classmethod
    def from_pem(cls, text: str) -> Anchors:
        """Anchors from PEM text (RFC 7468): certificates, and explanatory text around them.

        Raises `PolicyError` that names the line unless every block is one certificate in strict
        DER, so that no CA is dropped because its text is damaged. A private key, a certificate
        request, or a `TRUSTED CERTIFICATE` with OpenSSL's own trust settings is an error too.
        """
        if not isinstance(text, str):
            raise PolicyError(f"anchors are PEM text, not {type(text).__name__}")
        if len(text) > MAX_FILE:
            raise PolicyError(f"anchors of more than {MAX_FILE} bytes")
        try:
            certificates = tuple(map(_certificate, pem.blocks(text)))
        except pem.PEMError as error:
            raise PolicyError(f"no PEM certificate at {error}") from None
        if not certificates:
            raise PolicyError("no PEM certificate ('-----BEGIN CERTIFICATE-----') in it")
        return cls("private", certificates)

    @property
    def pem(self) -> str:
        """The private list as PEM text."""
        return "".join(pem.encode(item.der) for item in self.certificates)

    def __repr__(self) -> str:
        return (
            f"<Anchors {self.origin} {self.identity[:12]}>"
            if self.certificates
            else f"<Anchors {self.origin}>"
        )


def partial_chains(anchors: Anchors) -> bool:
    """Whether a chain may end in any of these anchors (OpenSSL's `X509_V_FLAG_PARTIAL_CHAIN`).

    It may where none of a private list is self-issued: intermediates alone could not end a chain
    otherwise. Beside a root it would cut each chain at the intermediate, and pins on the root would
    stop matching.
    """
    return anchors.origin == "private" and not any(
        item.self_issued for item in anchors.certificates
    )


def _read(path: str | os.PathLike[str]) -> bytes:
    """A file, one byte beyond the limit at most; nobody waits for a pipe, and no device is read."""
    with open(path, "rb", opener=_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise PolicyError(f"{os.fspath(path)}: the anchors are no regular file")
        return file.read(MAX_FILE + 1)


def _without_waiting(path: str, flags: int) -> int:
    # Opening a pipe waits for its writer, and a terminal could become this process's own.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def _certificate(block: pem.Block) -> Certificate:
    if block.label != pem.CERTIFICATE:
        raise pem.PEMError(block.line, f"'BEGIN {block.label}'{_INSTEAD.get(block.label, '')}")
    der = block.der()
    try:
        fields(der)
    except DERError as error:
        why = f"the certificate is not strict DER (RFC 5280 section 4.1): {error}"
        raise pem.PEMError(block.line, why) from None
    return Certificate.of(der)


_INSTEAD: Final = {
    "TRUSTED CERTIFICATE": (
        " has trust settings of OpenSSL's own, which pinio does not read; "
        "write the certificate alone: openssl x509 -in FILE"
    ),
    "PKCS7": "; write its certificates: openssl pkcs7 -print_certs -in FILE",
}
