"""`pinio check` reads what a program would read, and exits as a pipeline wants it."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

import pinio
from tests.cli.conftest import Command

PIN, SPARE, OTHER = (
    f"sha256/{b64encode(sha256(name).digest()).decode()}" for name in (b"pin", b"spare", b"other")
)

POLICY = f"""
version  = 1
revision = "2026-11-02#7"
deny     = ["{OTHER}"]

[hosts."api.example.com"]
pins    = ["{PIN}"]
backup  = ["{SPARE}"]
expires = 2099-06-30T00:00:00Z

[exempt]
"status.example.com" = "served by somebody else"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pins.toml"
    path.write_text(POLICY, "utf-8")
    return path


def test_a_policy_is_told_in_full(command: Command, file: Path) -> None:
    result = command("check", str(file))
    heading, *lines = result.stdout.splitlines()
    assert (result.exit_code, result.stderr) == (0, "")
    assert heading.endswith("pins.toml: a valid policy, revision 2026-11-02#7")
    assert lines == [
        "  api.example.com  (enforce, trust pkix, until 2099-06-30T00:00:00Z)",
        f"      {PIN}",
        f"      {SPARE}  backup",
        "  status.example.com  exempt: served by somebody else",
        f"  denied: {OTHER}",
        "  every other host is refused",
        f"  digest {pinio.load_policy(file).digest}",
    ]


def test_a_file_far_away_keeps_its_name(command: Command, file: Path, tmp_path: Path) -> None:
    far = tmp_path / ("deep/" * 40) / "an \x1b odd name.toml"
    far.parent.mkdir(parents=True)
    far.write_text(POLICY, "utf-8")
    assert "deep/an \\x1b odd name.toml: a valid policy" in command("check", str(far)).stdout


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("version = 1\n[hosts", "TOML"),
        ("version = 2\n", "version"),
        ('version = 1\n[hosts."a.example"]\npins = ["sha256/short"]\n', "sha256/short"),
        (f'version = 1\n[hosts."a.example"]\npinz = ["{PIN}"]\n', "pinz"),
    ],
)
def test_a_bad_file_exits_2_and_says_where(
    command: Command, file: Path, text: str, why: str
) -> None:
    file.write_text(text, "utf-8")
    result = command("check", str(file), "--host", "a.example")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("pinio: ")
    assert str(file) in result.stderr
    assert why in result.stderr


def test_a_missing_file_exits_2(command: Command, tmp_path: Path) -> None:
    result = command("check", str(tmp_path / "none.toml"))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "none.toml" in result.stderr


def test_what_is_fragile_is_a_warning(command: Command, file: Path) -> None:
    file.write_text(f'version = 1\n[hosts."a.example"]\npins = ["{PIN}"]\n', "utf-8")
    result = command("check", str(file))
    assert result.exit_code == 0
    assert result.stderr.startswith(f'warning: {file}: [hosts."a.example"]: one pin and no backup')


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("", "connections are refused"),
        ('on_expiry = "report"', "every key is let through"),
        ('mode = "report-only"', "every key is let through"),
    ],
)
def test_what_is_over_is_a_warning(command: Command, file: Path, more: str, says: str) -> None:
    file.write_text(
        POLICY.replace("2099-06-30T00:00:00Z", f"2020-06-30T00:00:00Z\n{more}"), "utf-8"
    )
    result = command("check", str(file))
    assert result.exit_code == 0
    assert result.stderr == f"warning: api.example.com: its pins have expired; {says}\n"


@pytest.mark.parametrize(
    ("host", "code", "answer"),
    [
        ("API.example.com.", 0, "api.example.com: pattern api.example.com: "),
        (
            "status.example.com",
            0,
            "status.example.com: pattern status.example.com: exempt (served by somebody else)",
        ),
        ("example.com", 1, "example.com: no pattern applies; hosts without pins are refused"),
    ],
)
def test_a_host_is_explained(
    command: Command, file: Path, host: str, code: int, answer: str
) -> None:
    result = command("check", str(file), "--host", host)
    assert result.exit_code == code
    assert f"\n{answer}" in result.stdout


@pytest.mark.parametrize(
    ("url", "code", "answer"),
    [
        (
            "https://api.example.com/v1",
            0,
            "https://api.example.com/v1: may be fetched, by pattern api.example.com",
        ),
        (
            "https://status.example.com/",
            0,
            "https://status.example.com/: may be fetched, by pattern status.example.com",
        ),
        ("http://api.example.com/v1", 1, "http://api.example.com/v1: refused"),
        ("https://example.com/", 1, "https://example.com/: refused"),
    ],
)
def test_a_url_is_held_against_the_policy(
    command: Command, file: Path, url: str, code: int, answer: str
) -> None:
    result = command("check", str(file), "--url", url)
    assert result.exit_code == code
    assert f"\n{answer}\n" in result.stdout


def test_one_refusal_among_many_counts(command: Command, file: Path) -> None:
    hosts = ["--host", "api.example.com", "--host", "example.com", "--host", "status.example.com"]
    result = command("check", str(file), *hosts)
    assert result.exit_code == 1
    assert "status.example.com: pattern" in result.stdout, "those after it are answered too"


@pytest.mark.parametrize(
    "question",
    [("--host", "a b"), ("--host", ""), ("--url", "ftp://api.example.com/"), ("--url", "x")],
)
def test_a_question_without_an_answer_exits_2(
    command: Command, file: Path, question: tuple[str, str]
) -> None:
    result = command("check", str(file), *question)
    assert result.exit_code == 2
    assert result.stderr.startswith("pinio: ")
