r"""A customer of the same CA.

    pinned:     ca:BIG-CA  for bank.test
    impostor:   a genuine certificate of BIG-CA, for impostor.test

A pin on a CA says who may vouch, and not for whom. Clients that pinned a CA and forgot about the name were open to everybody who
could buy a certificate there. So the name is verified beside the pin, and without a name there is no connection.
"""

from __future__ import annotations

import asyncio
import socket
import ssl

import pytest

import pinio
from pinio.errors import CertificateNotVerifiedError, PolicyError
from pinio.testing import Server, silent
from tests.tls.cast import ISSUER, ROOT, App, Told, end_of, pinned

IMPOSTOR = ISSUER.issue("impostor.test")
POLICY = pinned(f"ca:{ISSUER.pin}")


async def test_without_a_look_at_the_name_any_customer_will_do(tls_version: ssl.TLSVersion) -> None:
    """Before Python 3.14 it was enough to give asyncio an empty name."""
    context = ROOT.client_context()
    context.check_hostname = False
    with Server(IMPOSTOR, tls_version=tls_version, handler=silent) as server:
        _, writer = await asyncio.open_connection("localhost", server.port, ssl=context)
        writer.write(b"password: swordfish")
        writer.close()
        await writer.wait_closed()
        await end_of(server)
        assert server.application_bytes == b"password: swordfish"


@pytest.mark.parametrize("mode", ["enforce", "report-only"])
async def test_the_name_is_verified_beside_the_pin(tls_version: ssl.TLSVersion, mode: str) -> None:
    with Server(IMPOSTOR, tls_version=tls_version) as server:
        with pytest.raises(CertificateNotVerifiedError, match=r"is for impostor\.test"):
            await pinio.create_connection(
                App,
                "localhost",
                server.port,
                policy=pinned(f"ca:{ISSUER.pin}", mode=mode),
                observer=Told(),
            )
        await end_of(server)
        assert server.application_bytes == b""
        assert server.handshakes_finished == 0


async def test_there_is_no_way_to_leave_it_out() -> None:
    with Server(IMPOSTOR) as server:
        with pytest.raises(PolicyError, match="server_hostname is empty"):
            await pinio.open_connection("localhost", server.port, policy=POLICY, server_hostname="")
        with socket.socket() as sock, pytest.raises(PolicyError, match="server_hostname"):
            await pinio.open_connection(sock=sock, policy=POLICY)
        await end_of(server)
        assert server.connections == []
