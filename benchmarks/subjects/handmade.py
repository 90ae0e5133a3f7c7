"""Pinning as people write it today, without a library for it.

Not to be copied: the first is bypassed in several ways.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from collections.abc import Callable
from typing import Any

from benchmarks.subjects.client import StreamClient, Streams
from benchmarks.subjects.unpinned import Unpinned


class Hooked(Unpinned):
    """A context whose `sslobject_class` compares the leaf's fingerprint after the handshake."""

    def make_context(self) -> ssl.SSLContext:
        expected = bytes.fromhex(self.fingerprint)

        class Checked(ssl.SSLObject):
            def do_handshake(self) -> None:
                super().do_handshake()
                leaf = self.getpeercert(binary_form=True)
                if leaf is None or hashlib.sha256(leaf).digest() != expected:
                    raise ssl.SSLCertVerificationError("the certificate is not the expected one")

        context = self.target.context()
        context.sslobject_class = Checked
        return context


class WrongKeyError(Exception):
    """The naive client's own error."""


class Naive(StreamClient):
    """A new context for each connection, and `cryptography` on each certificate after the connection is open.

    The context loads one root; `ssl.create_default_context()` as it is mostly written loads a
    hundred, which takes longer by far.
    """

    refusals = (WrongKeyError,)

    async def open(self) -> Streams:
        reader, writer = await asyncio.open_connection(ssl=self.target.context(), **self.address)
        try:
            self._check(writer.get_extra_info("ssl_object"))
        except WrongKeyError:
            writer.transport.abort()
            raise
        return reader, writer

    async def create(self, factory: Callable[[], asyncio.BaseProtocol]) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(
            factory, ssl=self.target.context(), **self.address
        )
        self._check(transport.get_extra_info("ssl_object"))
        return transport

    def _check(self, tls: ssl.SSLObject) -> None:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
        from cryptography.x509 import load_der_x509_certificate

        for der in _chain(tls):
            key = load_der_x509_certificate(der).public_key()
            digest = hashlib.sha256(
                key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            ).digest()
            if f"sha256/{base64.b64encode(digest).decode()}" in self.pins:
                return
        raise WrongKeyError


def _chain(tls: Any) -> list[bytes]:
    """The verified chain; before Python 3.13 only the leaf has a public accessor."""
    if hasattr(tls, "get_verified_chain"):
        return list(tls.get_verified_chain())
    return [tls.getpeercert(binary_form=True)]
