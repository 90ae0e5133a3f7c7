"""What was loaded as a client certificate stays loaded, whatever becomes of its files."""

from __future__ import annotations

import copy
import os
import pickle
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as forms

from pinio.errors import ClientCertificateError, PolicyError
from pinio.testing import CA, Leaf
from pinio.tls.config import secret
from pinio.tls.config.identity import MAX_FILE, ClientIdentity
from pinio.tls.config.settings import Settings, scratch
from tests.tls.cast import IDENTITY, ROOT

OTHER = CA("other").issue_client("other@pinio.test")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return IDENTITY.write(tmp_path)


def encrypted(private_key_pem: str, password: bytes, form: str = "PKCS8") -> bytes:
    key = forms.load_pem_private_key(private_key_pem.encode(), None)
    return key.private_bytes(
        forms.Encoding.PEM,
        getattr(forms.PrivateFormat, form),
        forms.BestAvailableEncryption(password),
    )


def test_an_identity_is_told_by_its_content(files: tuple[Path, Path], tmp_path: Path) -> None:
    first = ClientIdentity.read(*files)
    assert first == ClientIdentity.read(*files, password="not compared")
    OTHER.write(tmp_path)
    assert ClientIdentity.read(*files) != first


# What was loaded stays


@pytest.mark.parametrize("change", ["deleted", "replaced", "damaged", "the directory was changed"])
def test_it_can_be_loaded_whatever_becomes_of_the_files(
    change: str, files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    identity = ClientIdentity.read(*(file.name for file in files))
    if change == "deleted":
        for file in files:
            file.unlink()
    elif change == "replaced":
        OTHER.write(tmp_path)
    elif change == "damaged":
        files[1].write_text("not a key")
    else:
        monkeypatch.chdir("/")
    context = scratch()
    identity.load(context)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name here")
def test_a_pipe_is_read_once(files: tuple[Path, Path]) -> None:
    """As a shell hands over what a command writes: `<(command)`."""
    read, write = os.pipe()
    os.write(write, (IDENTITY.private_key_pem + IDENTITY.chain_pem).encode())
    os.close(write)
    identity = ClientIdentity.read(f"/dev/fd/{read}")
    os.close(read)
    for _ in range(2):
        identity.load(scratch())


@pytest.mark.parametrize("fault", ["no memfd", "forbidden", "no /proc"])
def test_without_files_in_memory_one_on_disk_does_and_is_gone(
    fault: str, files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if fault == "no memfd":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    elif fault == "forbidden":

        def refuse(_name: str) -> int:
            raise PermissionError

        monkeypatch.setattr(os, "memfd_create", refuse, raising=False)
    else:
        monkeypatch.setattr(secret, "_ANONYMOUS", "/no/such/folder/{}")
    before = set(tmp_path.iterdir()), descriptors()
    with secret.as_file(secret.Secret(b"content")) as path:
        assert Path(path).read_bytes() == b"content"
        assert Path(path).is_relative_to(tmp_path)
        if os.name == "posix":
            modes = Path(path).stat().st_mode & 0o777, Path(path).parent.stat().st_mode & 0o777
            assert modes == (0o600, 0o700)
    ClientIdentity.read(*files).load(scratch())
    assert (set(tmp_path.iterdir()), descriptors()) == before


def descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir()) if Path("/dev/fd").exists() else 0


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="no files in memory here")
def test_a_file_in_memory_leaves_nothing_open_and_nothing_on_disk(
    files: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    before = descriptors()
    ClientIdentity.read(*files).load(scratch())
    with pytest.raises(ClientCertificateError):
        ClientIdentity.read(files[1])
    assert descriptors() == before


# Passwords


@pytest.mark.parametrize("answer", ["swordfish", b"swordfish", bytearray(b"swordfish")])
@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL"])
def test_a_password_is_asked_once(answer: Any, form: str, files: tuple[Path, Path]) -> None:
    asked: list[str] = []

    def ask() -> Any:
        asked.append("")
        return answer

    files[1].write_bytes(encrypted(IDENTITY.private_key_pem, b"swordfish", form))
    for password in (ask, answer):
        identity = ClientIdentity.read(*files, password)
        for _ in range(3):
            identity.load(scratch())
    assert len(asked) == 1


def test_nobody_is_asked_for_the_password_of_a_key_that_is_not_encrypted(
    files: tuple[Path, Path],
) -> None:
    identity = ClientIdentity.read(*files, pytest.fail)
    identity.load(scratch())


def test_what_a_callback_raises_is_raised(files: tuple[Path, Path]) -> None:
    files[1].write_bytes(encrypted(IDENTITY.private_key_pem, b"swordfish"))

    def ask() -> str:
        raise LookupError("no such secret")

    with pytest.raises(LookupError, match="no such secret"):
        ClientIdentity.read(*files, ask)


@pytest.mark.parametrize("password", [1, lambda: 1], ids=["value", "answer"])
def test_a_password_is_text_or_bytes(password: Any, files: tuple[Path, Path]) -> None:
    files[1].write_bytes(encrypted(IDENTITY.private_key_pem, b"swordfish"))
    with pytest.raises(TypeError, match="password is text"):
        ClientIdentity.read(*files, password)


# Faults


FAULTS: dict[str, tuple[Callable[[Path, Path], tuple[Any, ...]], str]] = {
    "no key": (
        lambda certificate, key: (certificate,),
        r"leaf\.pem: no private key in it .*pass both files: client_cert=\(certificate, key\)",
    ),
    "the key alone": (lambda certificate, key: (key,), r"leaf\.key: no certificate in it"),
    "the other way round": (
        lambda certificate, key: (key, certificate),
        r"leaf\.key: no certificate in it",
    ),
    "certificate twice": (
        lambda certificate, key: (certificate, certificate),
        r"leaf\.pem: no private key in it \('-----BEGIN PRIVATE KEY-----'\)$",
    ),
    "DER": (
        lambda certificate, key: (rewritten(certificate, IDENTITY.der), key),
        r"leaf\.pem: no certificate in it .*DER or PKCS#12, and has to be PEM",
    ),
    "another key": (
        lambda certificate, key: (certificate, rewritten(key, OTHER.private_key_pem)),
        r"leaf\.key: the private key does not belong to the first certificate in .*leaf\.pem",
    ),
    "issuer first": (
        lambda certificate, key: (
            rewritten(certificate, ROOT.certificate_pem + IDENTITY.chain_pem),
            key,
        ),
        r"the client's own certificate comes first",
    ),
    "no password": (
        lambda certificate, key: (certificate, locked(key)),
        r"leaf\.key: the private key is encrypted; pass its password",
    ),
    "wrong password": (
        lambda certificate, key: (certificate, locked(key), "sturgeon"),
        r"leaf\.key: the password does not decrypt the private key",
    ),
    "damaged key": (
        lambda certificate, key: (
            certificate,
            rewritten(key, IDENTITY.private_key_pem.replace("\n", "\n!", 2)),
        ),
        r"leaf\.pem: OpenSSL cannot load the certificate and its key",
    ),
    "cut short": (
        lambda certificate, key: (rewritten(certificate, IDENTITY.chain_pem[:200]), key),
        r"leaf\.pem: OpenSSL cannot load",
    ),
    "empty": (lambda certificate, key: (rewritten(certificate, ""), key), r"no certificate in it"),
    "huge": (
        lambda certificate, key: (certificate, rewritten(key, "\n" * (MAX_FILE + 1))),
        r"leaf\.key: more than 1048576 bytes",
    ),
}


def rewritten(file: Path, content: str | bytes) -> Path:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file


def locked(key: Path) -> Path:
    return rewritten(key, encrypted(IDENTITY.private_key_pem, b"swordfish"))


@pytest.mark.parametrize(("spoil", "message"), FAULTS.values(), ids=FAULTS)
def test_the_error_says_which_file_lacks_what(
    spoil: Callable[[Path, Path], tuple[Any, ...]], message: str, files: tuple[Path, Path]
) -> None:
    with pytest.raises(ClientCertificateError, match=message) as error:
        ClientIdentity.read(*spoil(*files))
    assert isinstance(error.value, PolicyError) and isinstance(error.value, ssl.SSLError)
    again = pickle.loads(pickle.dumps(error.value))
    assert (type(again), str(again)) == (ClientCertificateError, str(error.value))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        ClientIdentity.read(tmp_path / "missing.pem")


# The key is nobody's business


def test_neither_key_nor_password_is_shown_pickled_or_copied(files: tuple[Path, Path]) -> None:
    locked(files[1])
    identity = ClientIdentity.read(*files, "swordfish")
    settings = Settings().with_identity(identity)
    for shown in (repr(identity), str(settings), repr(identity.contents), repr(identity.password)):
        assert "swordfish" not in shown and "BEGIN" not in shown
    for value in (identity, settings, identity.contents[0], identity.password):
        for leak in (pickle.dumps, copy.deepcopy):
            with pytest.raises(TypeError, match="neither pickled nor copied"):
                leak(value)


def test_identities_add_up_and_one_from_the_same_files_takes_the_place_of_the_last(
    tmp_path: Path,
) -> None:
    """A certificate is renewed in place, and loaded again by a program that runs on."""
    ours, others = IDENTITY.write(tmp_path, "ours"), OTHER.write(tmp_path, "others")
    both = with_identities(ours, others)
    assert len(both.identities) == 2
    assert both.with_identity(ClientIdentity.read(*others)) is both
    write_renewed(tmp_path, "ours")
    again = both.with_identity(ClientIdentity.read(*ours))
    assert [identity.files for identity in again.identities] == [others, ours]


def test_a_renewed_identity_stays_where_it_was(tmp_path: Path) -> None:
    """Of two with keys of one type OpenSSL shows the later one."""
    ours, others = IDENTITY.write(tmp_path, "ours"), OTHER.write(tmp_path, "others")
    both = with_identities(ours, others)
    write_renewed(tmp_path, "ours")
    old = both.identities[0]
    renewed = both.with_renewed(old, old.read_again())
    assert [identity.files for identity in renewed.identities] == [ours, others]
    assert renewed != both


def with_identities(*pairs: tuple[Path, Path]) -> Settings:
    settings = Settings()
    for pair in pairs:
        settings = settings.with_identity(ClientIdentity.read(*pair))
    return settings


def write_renewed(directory: Path, name: str) -> Leaf:
    leaf = ROOT.issue_client("renewed@pinio.test")
    leaf.write(directory, name)
    return leaf
