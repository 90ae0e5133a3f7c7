"""`pinio diff` fails a pipeline where a new policy lowers protection."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from tests.cli.conftest import Command

PIN, SPARE, OTHER = (
    f"sha256/{b64encode(sha256(name).digest()).decode()}" for name in (b"pin", b"spare", b"other")
)


def _policy(path: Path, **hosts: list[str]) -> str:
    entries = (f'[hosts."{host}.example"]\npins = {pins}\n' for host, pins in hosts.items())
    path.write_text("version = 1\n" + "".join(entries).replace("'", '"'), "utf-8")
    return str(path)


@pytest.fixture
def old(tmp_path: Path) -> str:
    return _policy(tmp_path / "old.toml", a=[PIN, SPARE])


def test_the_same_policy_is_no_change(command: Command, old: str) -> None:
    result = command("diff", old, old)
    assert (result.exit_code, result.stdout) == (0, "no host is treated otherwise\n")


@pytest.mark.parametrize(("arguments", "code"), [((), 1), (("--allow-looser",), 0)])
def test_an_added_pin_is_looser(
    command: Command, old: str, tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    new = _policy(tmp_path / "new.toml", a=[PIN, SPARE, OTHER])
    result = command("diff", old, new, *arguments)
    assert result.exit_code == code
    assert "looser:" in result.stdout and OTHER in result.stdout


def test_a_removed_pin_is_tighter(command: Command, old: str, tmp_path: Path) -> None:
    new = _policy(tmp_path / "new.toml", a=[PIN])
    result = command("diff", old, new)
    assert result.exit_code == 0
    assert "tighter" in result.stdout and SPARE in result.stdout


def test_patterns_gained_and_lost_are_named(command: Command, old: str, tmp_path: Path) -> None:
    result = command("diff", old, _policy(tmp_path / "new.toml", b=[PIN, SPARE]))
    assert result.exit_code == 1
    assert "gained: b.example\nlost: a.example\n" in result.stdout


def test_a_file_that_is_no_policy_is_no_answer(command: Command, old: str, tmp_path: Path) -> None:
    result = command("diff", old, str(tmp_path / "missing.toml"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "missing.toml" in result.stderr
