"""The tutorial's ten commands, as a reader types them: processes, files, and Python's own web server."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

from tests.docs.pages import blocks

PAGE = "docs/howto/fleet.md"


def free_port() -> str:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return str(server.getsockname()[1])


class Shell:
    """Types commands; those with "&" stay until the test is over."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack
        self.environment = os.environ | {"PYTHONUNBUFFERED": "1"}
        self.running: list[subprocess.Popen[str]] = []
        self.typed = 0

    def type(self, line: str) -> None:
        words = shlex.split(line.removesuffix("&"))
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            self.environment[name] = value
            return
        self.typed += 1
        programs = {"pinio": [sys.executable, "-m", "pinio"], "python": [sys.executable]}
        command = programs[words[0]] + words[1:]
        if line.endswith("&"):
            process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
            self.stack.callback(self._end, process)
            self.running.append(process)
            if "http.server" in words:
                assert "Serving HTTP" in self.read(process)
        else:
            subprocess.run(command, cwd=self.folder, env=self.environment, check=True)

    def read(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "it ended"
        return line

    @staticmethod
    def _end(process: subprocess.Popen[str]) -> None:
        process.terminate()
        process.communicate()


def commands(port: str) -> list[str]:
    lines = [
        line.removeprefix("$ ").replace("8000", port)
        for block in blocks(PAGE)
        if block.language == "console"
        for line in block.text.replace("\\\n", " ").splitlines()
        if line.startswith("$ ")
    ]
    assert sum(not line.startswith("export") for line in lines) == 10
    return lines


def test_ten_commands_lead_from_nothing_to_a_rotation(tmp_path: Path) -> None:
    port = free_port()
    for block in blocks(PAGE):
        if block.title is not None:
            (tmp_path / block.title).write_text(block.text.replace("8000", port), "utf-8")
    with ExitStack() as stack:
        shell = Shell(tmp_path, stack)
        for line in commands(port):
            if "rotate-keys" in line:
                for client in shell.running[1:]:
                    assert "2026-11-27 signed until" in shell.read(client)
            shell.type(line)
        followed(shell)


def followed(shell: Shell) -> None:
    """Both clients have taken the new root, and take what its keys sign."""
    server, *clients = shell.running
    assert len(clients) == 2
    asked = 0
    while asked < 2:
        line = shell.read(server)
        asked += "GET /metadata/2.root.json" in line and " 200 " in line
    for client in clients:
        while not shell.read(client).endswith(" ok\n"):
            pass
    file = shell.folder / "policy.toml"
    file.write_text(file.read_text().replace("2026-11-27", "second"))
    for key in ("2", "3"):
        shell.type(f"pinio policy sign pins policy.toml --key keys/targets-{key}.pem --yes")
    shell.type("pinio policy publish pins --key keys/online.pem")
    for client in clients:
        while "second signed until" not in (line := shell.read(client)):
            assert "2026-11-27" in line
