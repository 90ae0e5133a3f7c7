"""A policy out of a file: what is not a good one is an error that names it, and costs a bounded amount."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pinio import Anchors, PinSet, Policy, PolicyError, load_policy
from pinio.core.anchors import MAX_FILE
from pinio.sources import snapshot
from tests.formats.policies import OTHER, PIN, authority
from tests.sources.following import text


def test_a_file_is_read_by_any_kind_of_path(
    path: Path, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(path.parent)
    assert load_policy(path) == load_policy(str(path)) == load_policy("pins.toml") == policy


def test_an_error_names_the_file_as_it_was_named(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text("version = 2")
    monkeypatch.chdir(path.parent)
    with pytest.raises(PolicyError, match=r"^pins\.toml: version = 2: "):
        load_policy("pins.toml")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"version = 1\nrevision = '\xff'", "line 2 is not UTF-8 (byte 24)"),
        ("version = 1".encode("utf-16"), "line 1 is not UTF-8 (byte 0)"),
        (b"\xef\xbb\xbfversion = 1", "byte order mark"),
        (b"version = 1\n\x00", "(at line 2, column 1)"),
        (b"", "version is missing"),
    ],
    ids=["latin-1", "utf-16", "bom", "nul", "empty"],
)
def test_P9_what_is_not_a_policy_is_an_error_that_names_the_file(
    path: Path, data: bytes, message: str
) -> None:
    path.write_bytes(data)
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=r"nowhere\.toml: cannot be read: No such file") as caught:
        load_policy(tmp_path / "nowhere.toml")
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_file_that_may_not_be_read_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # a test that runs as root may read anything
    with pytest.raises(PolicyError, match=r"pins\.toml: cannot be read: Permission denied"):
        load_policy(path)


def test_a_directory_is_no_policy(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="a directory, and not a file"):
        load_policy(tmp_path)


def test_a_link_to_itself_is_no_policy(tmp_path: Path) -> None:
    loop = tmp_path / "loop.toml"
    loop.symlink_to(loop)
    with pytest.raises(PolicyError, match=r"loop\.toml: cannot be read"):
        load_policy(loop)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_P10_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PolicyError, match="a pipe, and not a file"):
        load_policy(tmp_path / "pipe")


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no endless device here")
def test_P10_an_endless_device_is_not_read() -> None:
    with pytest.raises(PolicyError, match="a device, and not a file"):
        load_policy("/dev/zero")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no unix sockets here")
def test_a_socket_is_no_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket may not be long
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        with pytest.raises(PolicyError, match=r"^s: "):
            load_policy("s")


def test_a_path_with_a_nul_is_no_path() -> None:
    with pytest.raises(PolicyError, match=r"^a\\x00b: no path has a NUL"):
        load_policy("a\0b")


def test_the_name_of_a_file_cannot_disturb_the_message(tmp_path: Path) -> None:
    with pytest.raises(PolicyError) as caught:
        load_policy(tmp_path / "a\n\x1b[2Jb")
    assert str(caught.value).isprintable()


def test_P10_a_file_of_100_megabytes_is_refused_unread(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with path.open("ab") as file:
        file.truncate(100_000_000)
    monkeypatch.delattr("builtins.open")  # nothing could be read any more
    with pytest.raises(PolicyError, match="longer than the 96,000,000 bytes that pinio reads"):
        load_policy(path)


def test_P10_a_file_that_grows_while_it_is_read_is_read_up_to_the_limit(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "MAX_POLICY", 2000)
    path.write_text("version = 1\n#" + "x" * 1900)
    assert load_policy(path) == Policy({})
    status = path.stat()

    def as_it_was(_: int) -> os.stat_result:
        return status

    monkeypatch.setattr(os, "fstat", as_it_was)
    path.write_text("version = 1\n#" + "x" * 2000)
    with pytest.raises(PolicyError, match="longer than the 2,000 bytes"):
        load_policy(path)


def _with_anchors(path: Path, name: str) -> None:
    path.write_text(
        f'version = 1\n[hosts."a.example"]\npins = ["{PIN}", "{OTHER}"]\nanchors = "{name}"\n'
    )


@pytest.mark.parametrize("name", ["ca.pem", "./ca.pem", "../{folder}/ca.pem", "{absolute}/ca.pem"])
def test_anchors_are_relative_to_the_file(
    path: Path, name: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    _with_anchors(path, name.format(folder=path.parent.name, absolute=path.parent.as_posix()))
    (path.parent / "ca.pem").write_text(authority(1))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    expected = PinSet([PIN, OTHER], anchors=Anchors.from_pem(authority(1)))
    assert load_policy(path) == Policy({"a.example": expected})


def test_anchors_are_relative_to_where_a_link_leads(
    path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    _with_anchors(path, "ca.pem")
    (path.parent / "ca.pem").write_text(authority(1))
    link = tmp_path_factory.mktemp("elsewhere") / "link.toml"
    link.symlink_to(path)
    assert load_policy(link) == load_policy(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.pem", "nowhere.pem: cannot be read: No such file"),
        ("pins.toml", "pins.toml: no PEM certificate"),
        (".", "a directory, and not a file"),
        ("a\\u0000b", "no path has a NUL"),
        ("long.pem", f"longer than the {MAX_FILE:,} bytes"),
        ("pipe", "a pipe, and not a file"),
    ],
)
def test_P9_anchors_that_cannot_be_had_are_named_with_their_place(
    path: Path, name: str, message: str
) -> None:
    _with_anchors(path, name)
    with (path.parent / "long.pem").open("wb") as file:
        file.truncate(MAX_FILE + 1)
    os.mkfifo(path.parent / "pipe")
    with pytest.raises(PolicyError) as caught:
        load_policy(path)
    assert str(caught.value).startswith(f'{path}: [hosts."a.example"] anchors = "')
    assert message in str(caught.value)


def test_P10_a_policy_names_a_bounded_number_of_files(path: Path) -> None:
    hosts = [
        f'[hosts."h{n}.example"]\npins = ["{PIN}", "{OTHER}"]\nanchors = "{n}.pem"\n'
        for n in range(65)
    ]
    for number in range(65):
        (path.parent / f"{number}.pem").write_text(authority(1))
    path.write_text("version = 1\n" + "".join(hosts[:64]))
    assert len(load_policy(path).hosts) == 64
    path.write_text("version = 1\n" + "".join(hosts))
    with pytest.raises(PolicyError, match="more than 64 files of anchors"):
        load_policy(path)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are not listed here")
def test_P10_no_descriptor_is_left_open(path: Path, policy: Policy) -> None:
    program = f"""
import os, pinio
for target in {[str(path), str(path.parent), "/dev/zero", "/nowhere"]!r} * 3:
    try: pinio.load_policy(target)
    except pinio.PolicyError: pass
    count = len(os.listdir("/proc/self/fd"))
    print(count)
"""
    answer = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert len(set(answer.stdout.split())) == 1


def test_a_policy_that_was_written_is_loaded_as_it_was(path: Path) -> None:
    policy = Policy(
        {"a.example": PinSet([PIN, OTHER], anchors=Anchors.from_pem(authority(2)))}, deny=[PIN]
    )
    path.write_text(text(policy))
    assert load_policy(path) == policy
