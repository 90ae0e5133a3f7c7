"""Every example in the documentation runs, and does what the page says.

How a page is read:

- ```` ```python ```` blocks run in order, in one namespace for each page, on one event loop.
  `await` stands at the top level, as in `python -m asyncio`, where a reader can paste them.
- ```` ```output ```` is what was printed since the last one. `...` stands for anything on its line.
- ```` ```text ```` is what pinio logged since the last one, which a program without logging shows
  on standard error.
- ```` ```console ```` blocks hold commands after `$` and what they say. `pinio` is run; other
  commands are for the reader. A backslash at the end of a line goes on with the next.
- A block with `title="FILE"` is that file, in the directory in which the page runs.
- Other languages are for the eye.

Names resolve to the servers of `tests.docs.world`; nothing in pinio is replaced.
"""

from __future__ import annotations

import ast
import asyncio
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from click.testing import CliRunner

from pinio.cli.group import pinio
from pinio.reporting import LogObserver
from tests.docs.pages import PAGES, Block, blocks
from tests.docs.world import world


@pytest.fixture
def in_the_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(
        "pinio.reporting.default_observer", LogObserver()
    )  # which has told of nothing yet
    monkeypatch.setenv("PINIO_POLICY_PASSPHRASE", "correct horse battery staple")
    with world(monkeypatch, tmp_path):
        yield


NEEDS = {"docs/howto/http3.md": "niquests"}
"""Pages whose library has an environment of its own, which .ci/run makes."""


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("in_the_world")
def test_the_page_runs(
    page: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    if page in NEEDS:
        pytest.importorskip(
            NEEDS[page], reason=f"{NEEDS[page]} has an environment of its own: .ci/run"
        )
    namespace: dict[str, Any] = {"__name__": "__main__"}
    with asyncio.Runner() as runner:
        for block in blocks(page):
            if block.title is not None:
                Path(block.title).write_text(block.text, "utf-8")
            elif block.language == "python":
                run_python(block, page, namespace, runner)
            elif block.language == "output":
                check_output(capsys.readouterr().out, block.text, f"{page}, line {block.line}")
            elif block.language == "text":
                logged = [
                    record.getMessage() for record in caplog.records if record.name == "pinio"
                ]
                check_output("\n".join(logged), block.text, f"{page}, line {block.line}")
                caplog.clear()
            elif block.language == "console":
                run_commands(block, page)


def run_python(block: Block, page: str, namespace: dict[str, Any], runner: asyncio.Runner) -> None:
    # Blank lines before it, so that a traceback names the page's own line.
    source = "\n" * (block.line - 1) + block.text
    code = compile(source, page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    result = execute(code, namespace)
    if asyncio.iscoroutine(result):
        runner.run(result)


def execute(code: CodeType, namespace: dict[str, Any]) -> object:
    return eval(code, namespace)


def run_commands(block: Block, page: str) -> None:
    for command, _, expected in (
        part.partition("\n")
        for part in block.text.replace("\\\n", " ").removeprefix("$ ").split("\n$ ")
    ):
        program, *arguments = shlex.split(command)
        if program == "pinio":
            result = CliRunner().invoke(pinio, arguments, prog_name="pinio")
            assert result.exception is None or isinstance(result.exception, SystemExit), (
                result.output
            )
            check_output(result.output, expected, f"{page}, line {block.line}: {command}")


def check_output(printed: str, expected: str, where: str) -> None:
    for there, here in zip(
        printed.strip().splitlines(), expected.strip().splitlines(), strict=False
    ):
        assert re.fullmatch(".*".join(map(re.escape, here.split("..."))), there), (
            f"{where}: the page says {here!r}"
        )
    assert len(printed.strip().splitlines()) == len(expected.strip().splitlines()), (
        f"{where}: it printed {printed}"
    )


def test_there_are_pages() -> None:
    assert "README.md" in PAGES
    assert sum(block.language == "python" for page in PAGES for block in blocks(page)) >= 10


@pytest.mark.parametrize("wrong", ["", "one\n", "one\ntwo\nthree\n", "one\nTWO\n", "one\nt.o\n"])
def test_an_output_that_differs_is_noticed(wrong: str) -> None:
    check_output("one\ntwo\n", "one\nt...\n", "here")
    with pytest.raises(AssertionError):
        check_output("one\ntwo\n", wrong, "here")
