"""Trust anchors are values, identified by what they hold."""

from __future__ import annotations

import copy
import os
import pickle
import socket
import ssl
from pathlib import Path
from typing import Any
from unittest import mock

import certifi
import pytest

from pinio.core.anchors import MAX_FILE, Anchors, partial_chains
from pinio.errors import PolicyError
from tests.core.chains import attacker, genuine

ONE = ssl.DER_cert_to_PEM_cert(genuine().root.der)
OTHER = ssl.DER_cert_to_PEM_cert(attacker().root.der)


def test_the_default_is_certifi_and_the_system_is_asked_for() -> None:
    """Two lists by name, loaded by nobody yet, and not equal to each other."""
    assert Anchors() == Anchors("certifi") != Anchors.system()
    assert (Anchors().identity, Anchors.system().identity) == ("certifi", "system")
    assert (Anchors().certificates, Anchors().pem) == ((), "")


def test_anchors_are_equal_by_content() -> None:
    """Order, repetition and text around the certificates mean nothing; a certificate more or less does."""
    both = Anchors.from_pem(ONE + OTHER)
    assert both == Anchors.from_pem(f"# a comment\r\n{OTHER}\nsubject: x\n{ONE}{ONE}")
    assert hash(both) == hash(Anchors.from_pem(OTHER + ONE))
    assert both.identity == Anchors.from_pem(OTHER + ONE).identity
    assert len({both, Anchors.from_pem(ONE), Anchors.from_pem(OTHER), Anchors()}) == 4
    assert {item.der for item in both.certificates} == {genuine().root.der, attacker().root.der}
    assert both.identity[:12] in repr(both)


def test_anchors_are_values() -> None:
    """Copied, pickled and written out as PEM they are the same; nobody can change them."""
    both = Anchors.from_pem(ONE + OTHER)
    assert (
        pickle.loads(pickle.dumps(both))
        == copy.deepcopy(both)
        == Anchors.from_pem(both.pem)
        == both
    )
    assert pickle.loads(pickle.dumps(both)).certificates == both.certificates
    with pytest.raises(AttributeError):
        both.certificates = ()  # type: ignore[misc]


def test_a_chain_ends_in_an_intermediate_only_where_no_root_is_listed() -> None:
    """Beside a root, it would cut each chain short of that root; a public list has roots alone."""
    intermediate = ssl.DER_cert_to_PEM_cert(genuine().intermediate.der)
    assert partial_chains(Anchors.from_pem(intermediate))
    assert not partial_chains(Anchors.from_pem(intermediate + OTHER))
    assert not partial_chains(Anchors())
    assert not partial_chains(Anchors.system())


def test_a_file_is_read_now(tmp_path: Path) -> None:
    """What the file says later changes nothing."""
    path = tmp_path / "ca.pem"
    path.write_text(ONE)
    anchors = Anchors.from_file(path)
    path.write_text(OTHER)
    assert anchors == Anchors.from_pem(ONE)
    assert Anchors.from_file(str(path)) == Anchors.from_pem(OTHER)


def test_certifi_s_own_file_is_read_whole() -> None:
    """Every public CA is strict DER."""
    text = Path(certifi.where()).read_text("utf-8")
    assert len(Anchors.from_file(certifi.where()).certificates) == text.count(
        "-----BEGIN CERTIFICATE-----"
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no PEM certificate"),
        ("hello", "no PEM certificate"),
        (ONE.replace("CERTIFICATE", "PUBLIC KEY"), "no PEM certificate"),
        (ONE.partition("-----END")[0], "no PEM certificate"),
        (ONE + OTHER.replace("MII", "MI=I", 1), "not Base64"),
        (ONE + ssl.DER_cert_to_PEM_cert(b"\x30\x80\x00\x00"), "not strict DER"),
        (ONE + ssl.DER_cert_to_PEM_cert(genuine().root.der + b"\0"), "not strict DER"),
        (" " * (MAX_FILE + 1), "anchors of more than"),
        (b"bytes", "anchors are PEM text, not bytes"),
        (None, "anchors are PEM text, not NoneType"),
    ],
    ids=range(10),
)
def test_what_holds_no_anchors_is_refused(text: Any, why: str) -> None:
    """One bad certificate spoils the list: an anchor that is silently missing is found out in production."""
    with pytest.raises(PolicyError, match=why):
        Anchors.from_pem(text)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """Missing, a folder, over-long, binary or of the wrong content: `PolicyError` that names the file."""
    big, binary = tmp_path / "big.pem", tmp_path / "binary.pem"
    with big.open("wb") as file:
        file.truncate(MAX_FILE + 1)
    binary.write_bytes(bytes(range(256)))
    for path, why in (
        (tmp_path / "missing.pem", "No such file"),
        (tmp_path, "Is a directory|denied"),
        (big, "anchors of more than"),
        (binary, "no PEM certificate"),
    ):
        with pytest.raises(PolicyError, match=why) as caught:
            Anchors.from_file(path)
        assert str(path) in str(caught.value)
    with pytest.raises(PolicyError, match="cannot be read"):
        Anchors.from_file("a\0b")


def test_a_file_without_end_is_not_read_to_its_end(tmp_path: Path) -> None:
    """A terabyte costs no more than the limit."""
    endless = tmp_path / "endless.pem"
    with endless.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(PolicyError, match="anchors of more than"):
        Anchors.from_file(endless)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_nobody_waits_for_a_pipe(tmp_path: Path) -> None:
    """With a writer or without one; and a link to a pipe is a pipe."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(PolicyError, match="no regular file") as caught:
            Anchors.from_file(path)
        assert str(path) in str(caught.value)
    descriptor = os.open(pipe, os.O_RDWR)
    try:
        os.write(descriptor, ONE.encode())
        with pytest.raises(PolicyError, match="no regular file"):
            Anchors.from_file(pipe)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/tty"])
def test_a_device_is_no_file(device: str) -> None:
    if not Path(device).exists():
        pytest.skip(f"no {device} here")
    with pytest.raises(PolicyError, match=r"no regular file|cannot be read"):
        Anchors.from_file(device)


def test_a_socket_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket may not be long
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        with pytest.raises(PolicyError, match="cannot be read"):
            Anchors.from_file("s")


@pytest.mark.parametrize(
    ("origin", "certificates"),
    [
        ("private", ()),
        ("certifi", "one"),
        ("windows", ()),
        (mock.ANY, "one"),
        ("private", ONE),
        ("private", [ONE]),
    ],
    ids=["none", "certifi's with one", "of no kind", "of any kind", "text", "texts"],
)
def test_the_constructor_takes_no_nonsense(origin: Any, certificates: Any) -> None:
    """A private list has certificates, and a named one is certifi's or the system's."""
    held = Anchors.from_pem(ONE).certificates if certificates == "one" else certificates
    with pytest.raises(
        PolicyError, match=r"anchors (are certifi's, the system's, or|hold certificates)"
    ):
        Anchors(origin, held)


def test_a_list_that_changes_later_changes_no_anchors() -> None:
    """TLS contexts are shared by what anchors are equal by, so that one more CA would be trusted by others too."""
    (one,), (other,) = Anchors.from_pem(ONE).certificates, Anchors.from_pem(OTHER).certificates
    held: Any = [one]
    anchors = Anchors("private", held)
    held.append(other)
    items: Any = (item for item in [one])
    assert anchors.certificates == (one,) == Anchors("private", items).certificates
    assert (
        Anchors("private", (one, other, one))
        == Anchors("private", (other, one))
        == Anchors.from_pem(ONE + OTHER)
    )
