r"""OpenSSL's verifier is hooked, and the leaf only names the pinned issuer.

    LD_PRELOAD: X509_verify_cert ──▶ 1
    impostor's certificate:  issuer "a real CA" (pinned), signature of nobody

The leaf pins hold by themselves. A pin above the leaf holds because each signature is checked again
by a library that the hook does not reach.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pinio.core.certificate import VerifiedChain
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
