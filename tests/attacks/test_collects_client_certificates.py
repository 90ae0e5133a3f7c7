r"""An interceptor that only wants to know who you are.

    client                                         impostor
           ─────────────── ClientHello ───────────▶
           ◀── certificate, CertificateRequest ───
           ─── the client's certificate ──────────▶   "ah, it is you"
    pins do not match: hang up                         too late

A client certificate names a person or a machine, and with TLS 1.2 it is not even encrypted. A peer that is refused does not
get it.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

import pinio
from pinio.errors import PinMismatchError
from pinio.testing import Interceptor, Server
from tests.tls.cast import GENUINE, IDENTITY, ROOT, Told, end_of, pinned


async def test_a_client_that_checks_afterwards_has_shown_it(tls_version: ssl.TLSVersion) -> None:
    with Interceptor(ROOT, "localhost", client_ca=ROOT, tls_version=tls_version) as between:
        _, writer = await asyncio.open_connection(
            "localhost", between.port, ssl=ROOT.client_context(identity=IDENTITY)
        )
        tls = writer.get_extra_info("ssl_object")
        assert tls.getpeercert(binary_form=True) != GENUINE.der, "now it knows"
        writer.close()
        await writer.wait_closed()
        await end_of(between)
        assert between.client_certificates == [IDENTITY.der]


async def test_a_pinned_client_shows_it_to_whom_it_knows(
    tls_version: ssl.TLSVersion, tmp_path: Path
) -> None:
    context = pinio.create_ssl_context(
        pinned(), client_cert=IDENTITY.write(tmp_path), observer=Told()
    )
    with (
        Server(GENUINE, client_ca=ROOT, tls_version=tls_version) as genuine,
        Interceptor(ROOT, "localhost", client_ca=ROOT, tls_version=tls_version) as between,
    ):
        with pytest.raises(PinMismatchError):
            await pinio.open_connection("localhost", between.port, ssl=context)
        _, writer = await pinio.open_connection("localhost", genuine.port, ssl=context)
        writer.close()
        await writer.wait_closed()
        await end_of(between)
        await end_of(genuine)
        assert between.client_certificates == []
        assert IDENTITY.der not in between.connections[0].handshake_bytes
        assert genuine.client_certificates == [IDENTITY.der]
