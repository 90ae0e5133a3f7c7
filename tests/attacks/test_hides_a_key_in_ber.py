r"""A certificate in which two parsers find two keys.

    TBSCertificate
      version              A0 80 02 01 02 00 00          length "indefinite": BER, which DER forbids
      serialNumber         02 ..
      signature            30 80 <algorithm> <THE PINNED KEY> 00 00       its parameters are the pinned key
      issuer, validity, subject
      subjectPublicKeyInfo <the attacker's key>
      ...

OpenSSL reads BER: it verifies the certificate and TLS uses the attacker's key. A walker that steps from length to length takes
80 for zero, comes out three fields too early, and reports the pinned key.
"""

from __future__ import annotations

import ssl

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

import pinio
from pinio.core.certificate import Certificate
from pinio.errors import PinMismatchError, WitnessError
from pinio.testing import Leaf, Server
from pinio.tls.handshake import witness
from tests.core.forge import indefinite, tlv
from tests.core.lax import lax_walk
from tests.tls.cast import GENUINE, App, Told, end_of, pinned
from tests.tls.certificates import Issued, public_key_info, served
from tests.tls.memory import MemoryPeer, shake_hands

TRUSTED = Issued.root("trusted")
PINNED_KEY = public_key_info(GENUINE.der)
ECDSA_WITH_SHA256 = bytes.fromhex("06082a8648ce3d040302")


def impostor() -> tuple[Leaf, bytes]:
    """The certificate as a server presents it, and its bytes."""
    template = TRUSTED.issue("localhost", "localhost")
    algorithm = ECDSA_WITH_SHA256 + PINNED_KEY
    tbs = tlv(
        0x30,
        indefinite(0xA0, b"\x02\x01\x02"),
        tlv(0x02, b"\x07"),
        indefinite(0x30, algorithm),
        TRUSTED.certificate.subject.public_bytes(),
        tlv(0x30, tlv(0x17, b"200101000000Z"), tlv(0x17, b"491231235959Z")),
        template.certificate.subject.public_bytes(),
        public_key_info(template.der),
        tlv(
            0xA3,
            tlv(
                0x30,
                tlv(0x30, b"\x06\x03\x55\x1d\x11", tlv(0x04, tlv(0x30, tlv(0x82, b"localhost")))),
            ),
        ),
    )
    signature = TRUSTED.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    certificate = tlv(0x30, tbs, tlv(0x30, algorithm), tlv(0x03, b"\x00", signature))
    return served(template.key, certificate), certificate


LEAF, CERTIFICATE = impostor()


def test_openssl_uses_one_key_and_a_lax_walker_finds_the_other() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=TRUSTED.anchors.pem)
    client = MemoryPeer(context, server_hostname="localhost")
    shake_hands(client, MemoryPeer(LEAF.server_context()))
    assert client.tls.getpeercert(binary_form=True) == CERTIFICATE
    assert lax_walk(CERTIFICATE) == PINNED_KEY


def test_the_strict_walk_finds_none() -> None:
    certificate = Certificate.of(CERTIFICATE)
    assert certificate.spki is None
    assert certificate.spki_sha256 is None


@pytest.mark.parametrize("pin", [GENUINE.pin, f"leaf:{GENUINE.pin}"])
async def test_a_certificate_that_is_not_der_matches_nothing(
    tls_version: ssl.TLSVersion, pin: str
) -> None:
    with Server(LEAF, tls_version=tls_version) as server:
        for policy in (pinned(pin, anchors=TRUSTED.anchors), pinned(pin, trust="leaf-pin")):
            with pytest.raises(PinMismatchError, match="not strict DER"):
                await pinio.create_connection(
                    App, "localhost", server.port, policy=policy, observer=Told()
                )
        await end_of(server)
        assert server.application_bytes == b""
        assert server.handshakes_finished == 0


async def test_its_ca_can_be_pinned_where_nothing_else_reads_it(
    tls_version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key of the CA is where it says; without `cryptography` OpenSSL's word that it signed is taken."""
    monkeypatch.setattr(witness, "_loaded", [None])
    ca = TRUSTED.serving().pin
    with Server(LEAF, tls_version=tls_version) as server:
        policy = pinned(f"ca:{ca}", anchors=TRUSTED.anchors)
        transport, _ = await pinio.create_connection(App, "localhost", server.port, policy=policy)
        assert transport.get_extra_info("pinio").position == 1
        transport.abort()


async def test_a_leaf_that_no_second_library_reads_is_refused(tls_version: ssl.TLSVersion) -> None:
    """A signature that cannot be checked again is none, or a hooked verifier would serve BER."""
    with Server(LEAF, tls_version=tls_version) as server:
        policy = pinned(f"ca:{TRUSTED.serving().pin}", anchors=TRUSTED.anchors)
        with pytest.raises(WitnessError, match="did not sign"):
            await pinio.create_connection(
                App, "localhost", server.port, policy=policy, observer=Told()
            )
        await end_of(server)
        assert server.application_bytes == b""
