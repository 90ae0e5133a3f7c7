r"""OpenSSL's verifier is hooked, and the leaf only names the pinned issuer.

    LD_PRELOAD: X509_verify_cert ──▶ 1
    impostor's certificate:  issuer "a real CA" (pinned), signature of nobody

The leaf pins hold by themselves. A pin above the leaf holds because each signature is checked again
by a library that the hook does not reach.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pinio.core.certificate import VerifiedChain
from pinio.core.decision import Permit, Refusal
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.core.verify import judge
from pinio.testing import Server
from pinio.tls.handshake import witness
from tests.tampering import shims
from tests.tls.certificates import Issued

ROOT = Issued.root("a real root")
ISSUER = ROOT.issue("a real CA", ca=True)
GENUINE = ISSUER.issue("localhost", "localhost")
FORGED = ISSUER.issue("localhost", "localhost", genuine_signature=False)
NOT_A_CA = ISSUER.issue("somebody", "somebody.test")
BY_NO_CA = NOT_A_CA.issue("localhost", "localhost")

CLIENT = """
import asyncio, sys
port, anchors, pin, without = sys.argv[1:]
if without == "without":
    sys.modules["cryptography"] = None
import pinio
policy = pinio.Policy({"localhost": pinio.PinSet(
    [pin], single="test", anchors=pinio.Anchors.from_file(anchors))})
async def main():
    try:
        reader, writer = await pinio.open_connection("localhost", int(port), policy=policy)
    except pinio.PinVerificationError as error:
        print(error.reason)
    else:
        print("open")
        writer.close()
asyncio.run(main())
"""


def outcome(
    folder: Path, served: Issued, pin: str, shim: Path | None, without: str = "with"
) -> str:
    """What a client in a process of its own says of the server."""
    anchors = folder / "anchors.pem"
    anchors.write_text(ROOT.anchors.pem)
    environment = {**os.environ, "LD_PRELOAD": str(shim) if shim else ""}
    with Server(served.serving(ISSUER.der, ROOT.der)) as server:
        done = subprocess.run(
            [sys.executable, "-c", CLIENT, str(server.port), str(anchors), pin, without],
            env=environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.parametrize("role", ["", "ca:"])
@pytest.mark.parametrize("issuer", [ISSUER, ROOT], ids=["issuer", "root"])
def test_a_hooked_verifier_opens_no_pin(tmp_path: Path, role: str, issuer: Issued) -> None:
    pin, shim = role + issuer.serving().pin, shims.build(tmp_path)
    assert outcome(tmp_path, FORGED, pin, shim) == "WITNESSES_DISAGREE"
    assert outcome(tmp_path, GENUINE, pin, shim) == "open"


def test_a_hooked_verifier_opens_no_leaf_pin(tmp_path: Path) -> None:
    assert (
        outcome(tmp_path, FORGED, "leaf:" + GENUINE.serving().pin, shims.build(tmp_path))
        == "PIN_MISMATCH"
    )


def test_without_cryptography_the_hook_opens_a_ca_pin(tmp_path: Path) -> None:
    """The limit that the manual states; unhooked, OpenSSL refuses as ever."""
    pin = "ca:" + ISSUER.serving().pin
    assert outcome(tmp_path, FORGED, pin, shims.build(tmp_path), "without") == "open"
    assert outcome(tmp_path, FORGED, pin, None, "without") == "CERTIFICATE_NOT_VERIFIED"


def test_names_stay_the_word_of_openssl(tmp_path: Path) -> None:
    """The limit that the manual states: a genuine certificate of the pinned issuer, for another name."""
    other = ISSUER.issue("else.test", "else.test")
    pin = "ca:" + ISSUER.serving().pin
    assert outcome(tmp_path, other, pin, shims.build(tmp_path)) == "open"
    assert outcome(tmp_path, other, pin, None) == "CERTIFICATE_NOT_VERIFIED"


SINCE, UNTIL = (dt.datetime(year, 1, 1, tzinfo=dt.UTC) for year in (2020, 2100))


def build(subject: str, issuer: str, key: Any, signer: Any, *extensions: Any) -> bytes:
    """A certificate of any kind of key."""
    names = [
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer)
    ]
    builder = (
        x509.CertificateBuilder()
        .subject_name(names[0]).issuer_name(names[1]).public_key(key.public_key())
        .serial_number(1).not_valid_before(SINCE).not_valid_after(UNTIL)
    )  # fmt: skip
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    edwards = isinstance(signer, ed25519.Ed25519PrivateKey)
    return builder.sign(signer, None if edwards else hashes.SHA256()).public_bytes(Encoding.DER)


KEYS = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "ec": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
}


@pytest.mark.parametrize("kind", KEYS)
def test_each_kind_of_key_witnesses_its_own_signatures_alone(kind: str) -> None:
    key, other, leaf = KEYS[kind](), KEYS[kind](), ec.generate_private_key(ec.SECP256R1())
    ca = x509.BasicConstraints(ca=True, path_length=None)
    issuer = build("issuer", "root", key, key, ca)
    genuine, forged = build("leaf", "issuer", leaf, key), build("leaf", "issuer", leaf, other)
    strange = build("leaf", "issuer", leaf, leaf if kind != "ec" else KEYS["rsa"]())
    outcomes = [
        witness.witness(VerifiedChain([der, issuer]), 1) for der in (genuine, forged, strange)
    ]
    assert outcomes[0] is None
    assert None not in outcomes[1:]


def test_an_old_root_without_constraints_may_issue() -> None:
    key, leaf = KEYS["ec"](), KEYS["ec"]()
    root, no_root = (build("old root", name, key, key) for name in ("old root", "another"))
    der = build("leaf", "old root", leaf, key)
    assert witness.witness(VerifiedChain([der, root]), 1) is None
    assert witness.witness(VerifiedChain([der, no_root]), 1) is not None


def test_a_kind_of_key_that_cryptography_does_not_know_is_not_witnessed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The issuer is genuine, for what is above it was checked; `witness` says so."""

    def unknown(der: bytes) -> object:
        return SimpleNamespace(public_key=unsupported)

    def unsupported() -> None:
        raise UnsupportedAlgorithm("new")

    monkeypatch.setattr(x509, "load_der_x509_certificate", unknown)
    assert witness.witness(VerifiedChain([ISSUER.issue("a", "a").der, ISSUER.der]), 1) is None


def test_without_cryptography_nobody_objects(monkeypatch: pytest.MonkeyPatch) -> None:
    assert witness.available()
    monkeypatch.setattr(witness, "_loaded", [])
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert not witness.available()
    assert witness.witness(VerifiedChain([FORGED.der, ISSUER.der]), 1) is None


def test_a_cryptography_that_is_too_old_refuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness, "_loaded", [])
    monkeypatch.setattr(x509, "Certificate", object)
    assert not witness.available()
    assert witness.witness(VerifiedChain([FORGED.der, ISSUER.der]), 1) is None


@pytest.mark.parametrize("url_host", [None, "other.test"])
def test_an_objection_refuses_by_each_rule_that_matched(url_host: str | None) -> None:
    leaf, issuer = f"leaf:{GENUINE.serving().pin}", f"ca:{ISSUER.serving().pin}"
    pins = {
        "localhost": PinSet(issuer if url_host is None else leaf, single="test"),
        "other.test": PinSet(issuer, single="test"),
    }
    endpoint = Policy(pins).endpoint("localhost", 443, url_host=url_host)
    chain = VerifiedChain([GENUINE.der, ISSUER.der])
    assert isinstance(judge(endpoint, chain, 0.0, None, witness.witness), Permit)
    refusal = judge(endpoint, chain, 0.0, None, lambda chain, position: "no")
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "WITNESSES_DISAGREE"


def test_the_path_is_checked_signature_by_signature() -> None:
    def objection(leaf: Issued, *above: Issued) -> str | None:
        chain = VerifiedChain([leaf.der, *(issued.der for issued in above)])
        return witness.witness(chain, len(above))

    assert objection(GENUINE, ISSUER, ROOT) is None
    assert objection(FORGED, ISSUER, ROOT) == (
        "the key at position 1 did not sign the certificate at 0"
    )
    assert objection(BY_NO_CA, NOT_A_CA, ISSUER) == (
        "the key at position 1 did not sign the certificate at 0"
    )
    assert objection(GENUINE, ROOT) is not None


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(witness, "LINKS", 4)
    for _ in range(10):
        leaf = ISSUER.issue("localhost", "localhost")
        assert witness.witness(VerifiedChain([leaf.der, ISSUER.der]), 1) is None
        assert len(witness._signed) <= 4


def test_a_pair_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = VerifiedChain([ISSUER.issue("localhost", "localhost").der, ISSUER.der])
    assert witness.witness(chain, 1) is None
    monkeypatch.setattr(witness, "_check", None)
    assert witness.witness(chain, 1) is None


def test_an_issuer_with_an_extension_that_cannot_be_read_may_issue() -> None:
    """OpenSSL accepts it; only the signatures below it are asked of the second library."""

    class Issuer:
        @property
        def extensions(self) -> Any:
            raise ValueError("an extension that is not DER")

    issuer: Any = Issuer()
    assert witness._is_ca(x509, issuer)
