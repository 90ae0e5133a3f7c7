"""Two implementations of SHA-256, of which neither a patched `hashlib` nor OpenSSL is the only one."""

from __future__ import annotations

import hashlib
import runpy
import sys

import pytest

from pinio.core import sha256
from pinio.core.certificate import Certificate
from tests.core.forge import Forged, some_spki


def test_the_built_in_implementation_is_there() -> None:
    """A tripwire: the module's name is private, and changed with 3.12."""
    name = "_sha2" if sys.version_info >= (3, 12) else "_sha256"
    assert sha256.INDEPENDENT
    assert sha256._first is sys.modules[name].sha256
    # FIPS 180-4, the example of one block.
    assert sha256.sha256(b"abc").hex() == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_a_replaced_hashlib_changes_no_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = Forged(spki=some_spki(77))
    genuine = hashlib.sha256(certificate.spki).digest()
    monkeypatch.setattr(hashlib, "sha256", hashlib.sha384)
    monkeypatch.setattr(hashlib, "new", None)
    assert Certificate(certificate.der).spki_sha256 == genuine
    assert Certificate(certificate.der).digest("cert", "sha256") is not None


@pytest.mark.parametrize("which", ["_first", "_second"])
def test_a_replaced_implementation_is_noticed(monkeypatch: pytest.MonkeyPatch, which: str) -> None:
    monkeypatch.setattr(sha256, which, hashlib.sha3_256)
    with pytest.raises(sha256.HashesDisagreeError):
        Certificate(Forged(spki=some_spki(78)).der)


def test_a_python_without_it_has_one_implementation(monkeypatch: pytest.MonkeyPatch) -> None:
    """It works all the same, and says so."""
    for name in ("_sha2", "_sha256"):
        monkeypatch.setitem(sys.modules, name, None)
    module = runpy.run_path(sha256.__file__)
    assert not module["INDEPENDENT"]
    assert module["sha256"](b"abc") == sha256.sha256(b"abc")
