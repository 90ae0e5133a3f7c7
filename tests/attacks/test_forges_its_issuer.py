r"""A certificate that only says who issued it.

    impostor's certificate:   subject   localhost
                              issuer    the pinned CA            a claim
                              signature of nobody                which nobody checks
    OpenSSL, told not to verify:  chain = impostor ∙ pinned CA ∙ root

Where certificates are not verified (`trust="leaf-pin"`, for devices), OpenSSL still builds a "verified" chain, by names. A CA pin
would match in it. So nothing above the leaf is looked at there, and a pin with the role `ca` is an error.
"""

from __future__ import annotations

import ssl

import pytest

import pinio
from pinio.core.pinset import PinSet
from pinio.errors import CertificateNotVerifiedError, PinMismatchError, PolicyError
from pinio.testing import Server
from pinio.tls.handshake import peer
from tests.tls.cast import SPARE, App, Told, end_of, pinned
from tests.tls.certificates import Issued
from tests.tls.memory import MemoryPeer, shake_hands

ROOT = Issued.root("a real root")
ISSUER = ROOT.issue("a real CA", ca=True)
IMPOSTOR = ISSUER.issue("localhost", "localhost", genuine_signature=False).serving(
    ISSUER.der, ROOT.der
)
PINS = [ISSUER.serving().pin, ROOT.serving().pin]


def test_unverified_the_forged_chain_looks_complete() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = MemoryPeer(context, server_hostname="localhost")
    shake_hands(client, MemoryPeer(IMPOSTOR.server_context()))
    assert peer.verified_chain(client.tls) == [IMPOSTOR.der, ISSUER.der, ROOT.der]


@pytest.mark.parametrize("pin", PINS, ids=["issuer", "root"])
async def test_only_its_own_key_counts(tls_version: ssl.TLSVersion, pin: str) -> None:
    with Server(IMPOSTOR, tls_version=tls_version) as server:
        with pytest.raises(PinMismatchError) as error:
            await pinio.create_connection(
                App, "localhost", server.port, policy=pinned(pin, trust="leaf-pin"), observer=Told()
            )
        assert error.value.refusal.chain is not None
        assert len(error.value.refusal.chain) == 1, (
            "what nobody verified is not shown as verified either"
        )
        await end_of(server)
        assert server.application_bytes == b""
        assert server.handshakes_finished == 0


async def test_where_certificates_are_verified_it_does_not_get_as_far(
    tls_version: ssl.TLSVersion,
) -> None:
    with Server(IMPOSTOR, tls_version=tls_version) as server:
        with pytest.raises(CertificateNotVerifiedError):
            await pinio.create_connection(
                App,
                "localhost",
                server.port,
                policy=pinned(*PINS, anchors=ROOT.anchors),
                observer=Told(),
            )
        await end_of(server)
        assert server.handshakes_finished == 0


def test_nobody_can_ask_for_it() -> None:
    with pytest.raises(PolicyError, match="proves nothing"):
        PinSet([f"ca:{PINS[0]}"], backup=[SPARE], trust="leaf-pin")
