"""The command as a process, with and without the libraries that it needs."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from pinio.cli.group import pinio
from pinio.extras import how_to_install
from tests.cli.conftest import Command


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


def test_the_module_is_the_command() -> None:
    answer = python("-m", "pinio", "--help")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.startswith("Usage: pinio ")


def test_it_says_which_version_it_is() -> None:
    answer = python("-m", "pinio", "--version")
    assert answer.stdout == f"pinio {version('pinio')}\n"


@pytest.mark.parametrize(
    ("library", "verb"),
    [("click", "pins"), ("rich", "pins"), ("trustme", "demo"), ("cryptography", "demo")],
)
def test_a_missing_library_is_named_with_the_remedy(library: str, verb: str) -> None:
    program = f"""
import sys
sys.modules[{library!r}] = None  # as if it were not installed
sys.argv = ["pinio", {verb!r}]
from pinio.cli import main
main()
"""
    answer = python("-c", program)
    assert answer.returncode == 2
    assert answer.stderr == f"pinio: this command needs {library}; {how_to_install('cli')}\n"


def test_a_defect_of_our_own_is_no_missing_library() -> None:
    program = (
        'import sys; sys.modules["pinio.cli.group"] = None; from pinio.cli import main; main()'
    )
    answer = python("-c", program)
    assert answer.returncode == 1
    assert "ModuleNotFoundError" in answer.stderr


def test_a_terminal_that_knows_few_letters_ends_nothing(tmp_path: Path) -> None:
    file = tmp_path / "pins.toml"
    file.write_text('version = 1\n[exempt]\n"a.example" = "na\u00efve"\n', "utf-8")
    answer = python("-m", "pinio", "check", str(file), PYTHONIOENCODING="ascii")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "exempt: na\\xefve\n" in answer.stdout


def test_every_verb_is_listed_and_says_what_it_does(command: Command) -> None:
    listed = command("--help").output
    for verb in ("audit", "check", "demo", "pins"):
        assert f"\n  {verb} " in listed
        assert "Exits 0 if" in command(verb, "--help").output


def test_wrong_usage_exits_2(command: Command) -> None:
    for arguments in (("nonsense",), ("pins",), ("pins", "--nonsense"), ("check",)):
        assert command(*arguments).exit_code == 2


def test_an_unknown_verb_imports_nothing() -> None:
    assert pinio.get_command(pinio.make_context("pinio", ["pins"]), "os") is None
