r"""The attack that pinning is there for.

    client ──────────── "localhost"? ───────────▶ interceptor ─────────▶ genuine server
           ◀── certificate for localhost, ──────
               by a CA that the client trusts
           ─────── "password: swordfish" ───────▶   (reads it)  ────────▶

The CA was forced, broken into, or put into the trust store by an employer, a virus scanner, a court. Verification has nothing
against the certificate; only the key is another.
"""

from __future__ import annotations

import asyncio
import ssl

import pytest

import pinio
from pinio.errors import PinMismatchError
from pinio.testing import Interceptor, Server
from tests.tls.cast import GENUINE, ISSUER, ROOT, Told, end_of, pinned

SECRET = b"password: swordfish"


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    writer.write(SECRET)
    answer = await reader.readexactly(len(SECRET))
    writer.close()
    await writer.wait_closed()
    return answer


async def test_a_client_without_pins_notices_nothing(tls_version: ssl.TLSVersion) -> None:
    with (
        Server(GENUINE) as genuine,
        Interceptor(
            ROOT, "localhost", upstream=(*genuine.address, ROOT), tls_version=tls_version
        ) as between,
    ):
        streams = await asyncio.open_connection(
            "localhost", between.port, ssl=ROOT.client_context()
        )
        assert await talk(*streams) == SECRET
        await end_of(between)
        assert between.captured == SECRET


@pytest.mark.parametrize("pin", [GENUINE.pin, f"ca:{ISSUER.pin}"], ids=["leaf", "intermediate"])
async def test_a_client_with_pins_tells_it_nothing(tls_version: ssl.TLSVersion, pin: str) -> None:
    with (
        Server(GENUINE) as genuine,
        Interceptor(
            ROOT, "localhost", upstream=(*genuine.address, ROOT), tls_version=tls_version
        ) as between,
    ):
        with pytest.raises(PinMismatchError) as error:
            await pinio.open_connection(
                "localhost", between.port, policy=pinned(pin), observer=Told()
            )
        assert between.leaf.pin in str(error.value), "which key it was, for whoever reads the log"
        await end_of(between)
        assert between.captured == b""
        assert between.handshakes_finished == 0
        assert genuine.connections == []
        streams = await pinio.open_connection("localhost", genuine.port, policy=pinned(pin))
        assert await talk(*streams) == SECRET
