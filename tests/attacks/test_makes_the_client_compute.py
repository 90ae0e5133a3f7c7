r"""A peer that chooses a huge group for the key exchange.

    client                                            impostor
           ── ClientHello: ..., DHE suites ─────────▶
           ◀── ServerHello, Certificate, ────────────
               ServerKeyExchange: a prime of 8192 bits       RFC 5246 section 7.4.3
    client: one modular exponentiation, twice: an event loop stands still meanwhile

In finite fields the server chooses the group, up to 10,000 bits in OpenSSL, and the client computes in
it before any certificate is judged. pinio offers elliptic curves only.
"""

from __future__ import annotations

import asyncio
import base64
import math
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import pinio
from pinio.core.policy import Policy
from pinio.errors import PinVerificationError
from pinio.testing import Server
from tests.tls.cast import ISSUER, ROOT, SPARE, Told, end_of, pinned
from tests.tls.memory import MemoryPeer, shake_hands
from tests.tls.through import ask, ask_asyncio, context_for

BY_RSA = ISSUER.issue("localhost", key_type="rsa")


def ffdhe8192() -> bytes:
    """The largest group of RFC 7919, appendix A.5, as PEM."""
    e, term = 0, 1 << 8062 + 64
    for divisor in range(1, 2000):
        e += term
        term //= divisor
    p = (1 << 8192) - (1 << 8128) + ((e >> 64) + 10965728 << 64) - 1
    assert p.bit_length() == 8192 and math.gcd(p, 2 * 3 * 5 * 7 * 11 * 13) == 1
    prime = p.to_bytes(1025, "big")  # a leading zero, since an INTEGER has a sign
    generator = b"\x02\x01\x02"
    integer = b"\x02\x82" + len(prime).to_bytes(2, "big") + prime
    sequence = b"\x30\x82" + len(integer + generator).to_bytes(2, "big") + integer + generator
    body = base64.encodebytes(sequence)
    return b"-----BEGIN DH PARAMETERS-----\n" + body + b"-----END DH PARAMETERS-----\n"  # PKCS #3


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("group") / "dh.pem"
    file.write_bytes(ffdhe8192())
    return file


@pytest.fixture
def impostor(group: Path) -> ssl.SSLContext:
    """A server that speaks nothing but DHE."""
    context = BY_RSA.server_context(
        tls_version=ssl.TLSVersion.TLSv1_2, ciphers="DHE+AESGCM:DHE+CHACHA20:@SECLEVEL=0"
    )
    context.load_dh_params(str(group))
    return context


def test_a_client_that_offers_it_computes(impostor: ssl.SSLContext) -> None:
    context = ROOT.client_context(tls_version=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ECDHE+AESGCM:DHE+AESGCM")
    client = MemoryPeer(context, server_hostname="localhost")
    shake_hands(client, MemoryPeer(impostor))
    cipher = client.tls.cipher()
    assert cipher is not None and cipher[0].startswith("DHE-RSA-")


async def by_open_connection(policy: Policy, server: Server) -> None:
    await pinio.open_connection("localhost", server.port, policy=policy, observer=Told())


async def by_loop(policy: Policy, server: Server) -> None:
    await ask_asyncio(context_for(policy), server)


async def by_socket(policy: Policy, server: Server) -> None:
    await asyncio.to_thread(ask, context_for(policy), server)


POLICIES = {
    "enforce": pinned(BY_RSA.pin),
    "report-only": pinned(BY_RSA.pin, mode="report-only"),
    "leaf-pin": pinned(BY_RSA.pin, trust="leaf-pin"),
    "no pins": Policy(
        {"other.test": [BY_RSA.pin, SPARE]}, unpinned="allow", unpinned_anchors=ROOT.anchors
    ),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("door", [by_open_connection, by_loop, by_socket])
async def test_a_pinned_client_has_no_suite_in_common(
    door: Callable[[Policy, Server], Awaitable[None]], policy: str, impostor: ssl.SSLContext
) -> None:
    with Server(impostor) as server:
        with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure") as error:
            await door(POLICIES[policy], server)
        assert not isinstance(error.value, PinVerificationError)
        await end_of(server)
        assert server.handshakes_finished == 0


@pytest.mark.parametrize("suites", ["DHE", "DHE+AESGCM", "DHE-RSA-CHACHA20-POLY1305:kDHE"])
def test_no_setting_brings_it_back(suites: str) -> None:
    context = context_for(pinned())
    with pytest.raises(pinio.PolicyError, match="ECDHE"):
        context.set_ciphers(suites)
    context.set_ciphers(f"ECDHE+AESGCM:{suites}")
    names = [suite["name"] for suite in context.get_ciphers()]
    assert not [name for name in names if name.startswith(("DHE-", "DH-"))]
