"""A client certificate and its key, as they were when the program loaded them.

A context that makes connections is built when it is first needed, and built again after a setting,
a swapped policy, a fork, or when it gave way to others. So the files are read once, and each of
these contexts gets what was read. `pinio.tls.config.renewal` looks whether the files hold something
new.
"""

from __future__ import annotations

import hashlib
import os
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from pinio.errors import ClientCertificateError
from pinio.tls.config.secret import Secret, as_file
from pinio.tls.config.settings import scratch

PasswordText: TypeAlias = str | bytes | bytearray
Password: TypeAlias = PasswordText | Callable[[], PasswordText] | None
AnyPath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]
ClientCert: TypeAlias = AnyPath | tuple[AnyPath, AnyPath] | tuple[AnyPath, AnyPath, Password]
"""A PEM file with certificate and key, or one of each, or these and the key's password."""

MAX_FILE: Final = 1 << 20
"""Longest file of a client certificate or a key, in bytes."""

_CERTIFICATE: Final = re.compile(rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----")
_KEY: Final = re.compile(rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----")
_ENCRYPTED: Final = re.compile(rb"-----BEGIN ENCRYPTED PRIVATE KEY-----|Proc-Type: *4, *ENCRYPTED")


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """A client certificate and its key, by content. Made by `read`."""

    files: tuple[Path, ...]
    """The certificate's, and the key's if it has one of its own; absolute paths."""
    digest: str
    """Of what the files held."""
    contents: tuple[Secret, ...] = field(repr=False, compare=False)
    """Of each file."""
    password: Secret | None = field(repr=False, compare=False)
    """What the key is decrypted with; None of a key that is not encrypted."""

    @classmethod
    def read(
        cls, certfile: AnyPath, keyfile: AnyPath | None = None, password: Password = None
    ) -> ClientIdentity:
        """Read the files, and try whether they hold an identity.

        Args:
            certfile: PEM file with the certificate, and those of its issuers behind it.
            keyfile: PEM file with the private key, if it is not in `certfile`.
            password: of an encrypted key, or a callable that returns it. It is called once, and
                only if the key is encrypted.

        Raises:
            ClientCertificateError: the files do not hold a certificate and its key.
            OSError: a file cannot be read.
        """
        # Absolute, since a program may change its directory before the files are looked at again.
        given = (certfile,) if keyfile is None else (certfile, keyfile)
        files = tuple(Path(os.fsdecode(file)).absolute() for file in given)
        contents = tuple(map(_read, files))
        return _tried(cls(files, _digest(contents), contents, None), password)

    def read_again(self) -> ClientIdentity:
        """Return what the same files hold by now: the identity itself if it is the same.

        Raises what `read` does, also if a key needs another password.
        """
        contents = tuple(map(_read, self.files))
        digest = _digest(contents)
        if digest == self.digest:
            return self
        return _tried(ClientIdentity(self.files, digest, contents, None), self.password)

    def load(self, context: ssl.SSLContext, ask: Callable[[], bytes] | None = None) -> None:
        """Load into a context; `ask` returns the password, if it is not known yet."""
        known = None if self.password is None else self.password.reveal
        with as_file(self.contents[0]) as certfile, as_file(self.contents[-1]) as keyfile:
            context.load_cert_chain(certfile, keyfile, ask or known)


def _tried(identity: ClientIdentity, password: Password | Secret) -> ClientIdentity:
    """Return an identity that OpenSSL takes, with the password that its key needs."""
    ask = _Ask(password, identity.files[-1])
    try:
        identity.load(scratch(), ask)
    except ssl.SSLError as error:
        if isinstance(error, ClientCertificateError):
            raise
        raise ClientCertificateError(_fault(identity, error)) from error
    return ClientIdentity(identity.files, identity.digest, identity.contents, ask.answer)


class _Ask:
    """Answers OpenSSL's question for a password, and remembers the answer."""

    def __init__(self, password: Password | Secret, keyfile: Path) -> None:
        self._callback = password if callable(password) else None
        self._keyfile = keyfile
        self.answer = None if password is None or callable(password) else _secret(password)

    def __call__(self) -> bytes:
        if self.answer is None and self._callback is None:
            # OpenSSL would ask at the terminal, which a service does not have.
            raise ClientCertificateError(
                f"{self._keyfile}: the private key is encrypted; pass its password:"
                " client_cert=(certificate, key, password)"
            )
        if self.answer is None and self._callback is not None:
            self.answer = _secret(self._callback())
        assert self.answer is not None  # noqa: S101  # one of the two has set it
        return self.answer.value


def _secret(password: object) -> Secret:
    if isinstance(password, Secret):
        return password
    if isinstance(password, str):
        return Secret(password.encode())
    if isinstance(password, bytes | bytearray):
        return Secret(bytes(password))
    raise TypeError(
        f"a password is text, bytes or a callable that returns one, not {type(password).__name__}"
    )


def _fault(identity: ClientIdentity, error: ssl.SSLError) -> str:
    """What is wrong with the files, where OpenSSL says no more than "PEM lib"."""
    certfile, keyfile = identity.files[0], identity.files[-1]
    certificate, key = identity.contents[0], identity.contents[-1]
    if not _CERTIFICATE.search(certificate.value):
        return (
            f"{certfile}: no certificate in it ('-----BEGIN CERTIFICATE-----'){_form(certificate)}"
        )
    if not _KEY.search(key.value):
        both = (
            "" if len(identity.files) == 2 else "; pass both files: client_cert=(certificate, key)"
        )
        return f"{keyfile}: no private key in it ('-----BEGIN PRIVATE KEY-----'){_form(key)}{both}"
    if error.reason == "KEY_VALUES_MISMATCH":
        return (
            f"{keyfile}: the private key does not belong to the first certificate in {certfile};"
            " the client's own certificate comes first, those of its issuers behind it"
        )
    if _ENCRYPTED.search(key.value):
        return f"{keyfile}: the password does not decrypt the private key ({error.reason})"
    return f"{certfile}: OpenSSL cannot load the certificate and its key ({error.reason})"


def _form(content: Secret) -> str:
    """A hint for files that are not PEM text: DER and PKCS#12 begin with an ASN.1 SEQUENCE."""
    return "; it is DER or PKCS#12, and has to be PEM" if content.value.startswith(b"0") else ""


def _read(file: Path) -> Secret:
    with file.open("rb") as opened:
        content = Secret(opened.read(MAX_FILE + 1))
    if len(content.value) > MAX_FILE:
        raise ClientCertificateError(f"{file}: more than {MAX_FILE} bytes")
    return content


def _digest(contents: tuple[Secret, ...]) -> str:
    parts = (hashlib.sha256(content.value).digest() for content in contents)
    return hashlib.sha256(b"".join(parts)).hexdigest()
