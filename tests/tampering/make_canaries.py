"""Write the certificates of the self-test: `python tests/tampering/make_canaries.py`.

Their keys are public, in every copy of pinio; no program trusts them, but the self-test for the
length of a handshake in memory. They are valid for a hundred years, so that a self-test never fails
by its date.
"""

from __future__ import annotations

import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

ROOT_OF_TREE = Path(__file__).parents[2]
FOLDER = ROOT_OF_TREE / "pinio" / "tampering" / "canary"
HOST = "canary.pinio.test"


def main() -> None:
    sys.path.insert(0, str(ROOT_OF_TREE))
    from tests.tls.certificates import Issued

    def write(name: str, leaf: Issued, *above: Issued) -> None:
        key = leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = [item.certificate.public_bytes(Encoding.PEM) for item in (leaf, *above)]
        (FOLDER / f"{name}.pem").write_bytes(b"".join([key, *chain]))

    root = Issued.root("pinio canary root")
    issuer = root.issue("pinio canary CA", ca=True)
    stranger = Issued.root("pinio canary stranger")
    (FOLDER / "root.pem").write_bytes(root.certificate.public_bytes(Encoding.PEM))
    write("good", issuer.issue(HOST, HOST), issuer)
    write("other_name", issuer.issue("else.pinio.test", "else.pinio.test"), issuer)
    write("untrusted", stranger.issue(HOST, HOST), stranger)
    write("forged", issuer.issue(HOST, HOST, genuine_signature=False), issuer)


if __name__ == "__main__":
    main()
