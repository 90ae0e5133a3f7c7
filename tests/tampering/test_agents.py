"""Frida and gdb, each attached to a child of ours: what they open, and what notices it.

Frida's hook of `X509_verify_cert` is the universal script's; gdb's call of `PyRun_SimpleString` is
code of Python's own. A row is skipped where its tool is missing or may not attach.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pinio.testing import Server
from tests.tampering.test_witness import FORGED, GENUINE, ISSUER, ROOT

CHILD = """
import asyncio, json, sys
import pinio
from pinio.tampering import TamperingError, process
port, anchors, *pins = sys.argv[1:]
anchors = pinio.Anchors.from_file(anchors)
async def connect(pin):
    policy = pinio.Policy({"localhost": pinio.PinSet([pin], single="test", anchors=anchors)})
    try:
        _, writer = await pinio.open_connection(
            "localhost", int(port), policy=policy, resumption=False)
    except pinio.PinVerificationError as error:
        return error.reason
    writer.close()
    return "open"
async def main():
    outcomes = [await connect(pin) for pin in pins]
    try:
        await pinio.selftest()
        found = []
    except TamperingError as error:
        found = sorted({finding.check for finding in error.findings})
    signs = [len(list(look())) for look in (process.text, process.agents, process.tracer)]
    print(json.dumps([outcomes, found, signs]), flush=True)
print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main())
"""

HOOK = """
const crypto = Process.enumerateModules().find(m => m.name.startsWith("libcrypto"));
const setError = new NativeFunction(
    crypto.getExportByName("X509_STORE_CTX_set_error"), "void", ["pointer", "int"]);
Interceptor.attach(crypto.getExportByName("X509_verify_cert"), {
    onEnter(args) { this.store = args[0]; },
    onLeave(answer) { setError(this.store, 0); answer.replace(1); },
});
"""

PATCH = (
    "import pinio.core.verify as v; from pinio.core.verdict import Match; "
    "v.verify = lambda p, r, c, n: Match(r, r.pin_set.pins[0], 0, False)"
)


@contextmanager
def child(folder: Path, port: int, *pins: str) -> Iterator[subprocess.Popen[str]]:
    """A client that waits for a line before it connects."""
    anchors = folder / "anchors.pem"
    anchors.write_text(ROOT.anchors.pem)
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(port), str(anchors), *pins],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            process.kill()


def answer(process: subprocess.Popen[str]) -> Any:
    """Let it connect; what it saw."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def test_fridas_hook_of_the_verifier_opens_no_pin_and_is_noticed(tmp_path: Path) -> None:
    frida = pytest.importorskip("frida", reason="needs frida")
    pins = [f"{role}{ISSUER.serving().pin}" for role in ("", "ca:")]
    pins.append("leaf:" + GENUINE.serving().pin)
    with Server(FORGED.serving(ISSUER.der, ROOT.der)) as server:
        with child(tmp_path, server.port, *pins) as process:
            try:
                script = frida.attach(process.pid).create_script(HOOK)
                script.load()
            except Exception as error:  # noqa: BLE001  # of a dozen kinds
                pytest.skip(f"frida cannot attach or hook here: {error}")
            outcomes, found, (changed, agents, tracers) = answer(process)
        assert server.application_bytes == b""
    assert outcomes == ["WITNESSES_DISAGREE", "WITNESSES_DISAGREE", "PIN_MISMATCH"]
    assert found == ["forged issuer", "untrusted chain", "wrong name"]
    assert changed
    assert agents
    assert not tracers


def test_gdbs_python_opens_a_pin_and_is_noticed(tmp_path: Path) -> None:
    gdb = shutil.which("gdb")
    if gdb is None:
        pytest.skip("needs gdb")
    with (
        Server(GENUINE.serving(ISSUER.der, ROOT.der)) as server,
        child(tmp_path, server.port, FORGED.serving().pin) as process,
    ):
        attached = subprocess.run(
            [
                gdb, "-batch", "-nx", "-p", str(process.pid),
                "-ex", "set $state = ((int (*)(void))PyGILState_Ensure)()",
                "-ex", f'print ((int (*)(const char *))PyRun_SimpleString)("{PATCH}")',
                "-ex", "call ((void (*)(int))PyGILState_Release)($state)",
            ],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        if "$1 = 0" not in attached.stdout:
            pytest.skip(f"gdb cannot attach or call here: {attached.stderr[-300:]}")
        outcomes, found, _ = answer(process)
    assert outcomes == ["open"]
    assert {"references", "wrong key"} <= set(found)
