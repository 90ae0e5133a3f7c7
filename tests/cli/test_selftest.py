"""`pinio selftest` says what was looked at, and exits 1 where something was found."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

import pinio
from pinio.tampering import environment, process
from tests.cli.conftest import Command

PIN = f"sha256/{b64encode(sha256(b'pin').digest()).decode()}"
OTHER = f"sha256/{b64encode(sha256(b'other').digest()).decode()}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pins.toml"
    path.write_text(f'version = 1\n[hosts."a.test"]\npins = ["{PIN}"]\nbackup = ["{OTHER}"]\n')
    return path


def test_a_clean_command_exits_0(command: Command, file: Path) -> None:
    digest = pinio.load_policy(file).digest
    result = command("selftest", str(file), "--digest", digest)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("nothing found in ")
    assert result.stdout.endswith(f"live policy\n  digest {digest}\n")


def test_another_digest_exits_1(command: Command, file: Path) -> None:
    result = command("selftest", str(file), "--digest", "sha256:00")
    assert result.exit_code == 1
    assert "policy digest: it is sha256:" in result.stdout


def test_no_policy_exits_2(command: Command, tmp_path: Path) -> None:
    assert command("selftest", str(tmp_path / "none.toml")).exit_code == 2
    assert command("selftest", "--digest", "sha256:00").exit_code == 2


def test_each_detector_tells_its_cost(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in process.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    result = command("selftest", "--hostile-environment")
    assert result.exit_code == 1
    for question in environment.QUESTIONS:
        assert f"  {question.name}: " in result.stdout
    assert result.stdout.count(" ms)") == len(environment.QUESTIONS)
    assert (
        "    PYTHONPATH is set\n    hint: start with python -I, from a clean environment\n"
        in result.stdout
    )
