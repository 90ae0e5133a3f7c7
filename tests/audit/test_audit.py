"""`pinio audit` against real programs, led by a proxy and by a network namespace."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from pinio.audit import namespace
from pinio.audit.run import audit
from pinio.audit.verdict import Verdict
from pinio.testing import CA, Server, http
from tests.cli.conftest import Command

ROOT = CA("a private CA")
LEAF = ROOT.issue("localhost", "127.0.0.1")
NO_NAMESPACE = namespace.missing()
needs_a_namespace = pytest.mark.skipif(NO_NAMESPACE is not None, reason=str(NO_NAMESPACE))
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")

WAYS = ["proxy", pytest.param("namespace", marks=needs_a_namespace)]
UNPINNED = {
    "requests": "import requests; requests.get(URL, timeout=60)",
    "httpx": "import httpx; httpx.get(URL, timeout=60)",
    "aiohttp": (
        "import aiohttp, asyncio\n"
        "async def main():\n"
        "    async with aiohttp.ClientSession(trust_env=True) as session:\n"
        "        async with session.get(URL) as response: await response.read()\n"
        "asyncio.run(main())"
    ),
}
JAVA = """
public class Get {
    public static void main(String[] urls) throws Exception {
        new java.net.URL(urls[0]).openConnection().getInputStream().readAllBytes();
    }
}
"""
POLICY = (
    "import asyncio, pinio\n"
    "pins = pinio.PinSet('sha256/AY1q5+CZmbTEaJJ1E2oe01pMdaD6Kfq5N4mmO9zXmG8=', single='a test')\n"
    "policy = pinio.Policy({'localhost': pins})\n"
)
PINNED = {
    "streams": POLICY + "asyncio.run(pinio.open_connection('localhost', PORT, policy=policy))",
    "requests": POLICY + "from pinio.requests import PinnedSession\nPinnedSession(policy).get(URL)",
    "aiohttp": POLICY
    + (
        "import aiohttp\n"
        "from pinio.aiohttp import PinnedConnector\n"
        "async def main():\n"
        "    async with aiohttp.ClientSession(connector=PinnedConnector(policy)) as session:\n"
        "        await session.get(URL)\n"
        "asyncio.run(main())"
    ),
}


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(LEAF, handler=http(b"genuine")) as server:
        yield server


@pytest.fixture
def cafile(tmp_path: Path) -> str:
    path = tmp_path / "private.pem"
    path.write_text(ROOT.certificate_pem)
    return str(path)


def url(server: Server) -> str:
    return f"https://localhost:{server.port}/"


def python(text: str, server: Server) -> list[str]:
    return [sys.executable, "-c", f"URL, PORT = {url(server)!r}, {server.port}\n{text}"]


@needs_curl
@pytest.mark.parametrize("way", WAYS)
def test_curl(command: Command, server: Server, cafile: str, way: str) -> None:
    def run(*words: str) -> tuple[int, str]:
        result = command("audit", "--led-by", way, "--cafile", cafile, "--", "curl", "-s", *words)
        return result.exit_code, result.stdout

    code, said = run(url(server))
    assert code == 1 and "CAPTURED    localhost: told the interceptor" in said
    assert "NOT PINNED" in said
    assert len(server.requests) == 1, "the genuine server answered, by way of the interceptor"
    code, said = run("--pinnedpubkey", LEAF.pin.replace("sha256/", "sha256//"), url(server))
    assert code == 0 and "PINNED      localhost: refused the interceptor although" in said
    code, said = run("--cacert", cafile, url(server))
    assert code == 2 and "UNTRUSTED   localhost" in said and "UNKNOWN: nothing" in said
    code, said = run(url(server).replace("https:", "http:"))
    assert code == 1 and "PLAINTEXT" in said
    assert len(server.requests) == 1


@needs_curl
@pytest.mark.parametrize("way", WAYS)
def test_a_fall_back_to_plaintext(server: Server, way: Literal["namespace", "proxy"]) -> None:
    pin = shlex.quote("sha256//AY1q5+CZmbTEaJJ1E2oe01pMdaD6Kfq5N4mmO9zXmG8=")
    again = url(server).replace("https:", "http:")
    script = f"curl -s --pinnedpubkey {pin} {url(server)} || curl -s {again}"
    found = audit(["sh", "-c", script], led=way)
    (finding,) = found.findings
    assert finding.verdict is Verdict.DOWNGRADED and found.pinned is False


@pytest.mark.parametrize("library", UNPINNED)
def test_a_library_without_pins(server: Server, cafile: str, library: str) -> None:
    found = audit(python(UNPINNED[library], server), led="proxy", cafile=cafile)
    assert found.status == 0, "the program works, and notices nothing"
    assert [finding.verdict for finding in found.findings] == [Verdict.CAPTURED]


@needs_a_namespace
@pytest.mark.parametrize("library", PINNED)
def test_a_library_with_pins(server: Server, library: str) -> None:
    """pinio reads certifi's list and no variable: in the namespace ours takes its place."""
    found = audit(python(PINNED[library], server), led="namespace")
    assert found.status != 0
    assert [finding.verdict for finding in found.findings] == [Verdict.PINNED]
    assert found.findings[0].received == 0 and server.connections == []


@needs_a_namespace
@needs_node
def test_node_ignores_proxies_and_is_led_all_the_same(server: Server, cafile: str) -> None:
    script = f"fetch('{url(server)}').then(answer => answer.text())"
    found = audit(["node", "-e", script], led="namespace", cafile=cafile)
    assert [finding.verdict for finding in found.findings] == [Verdict.CAPTURED]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.skipif(shutil.which("javac") is None, reason="Java is not installed")
def test_java(
    server: Server, cafile: str, tmp_path: Path, way: Literal["namespace", "proxy"]
) -> None:
    (tmp_path / "Get.java").write_text(JAVA)
    command = ["java", str(tmp_path / "Get.java"), url(server)]
    found = audit(command, led=way, cafile=cafile)
    assert found.status == 0
    assert [finding.verdict for finding in found.findings] == [Verdict.CAPTURED]


@needs_a_namespace
@needs_curl
def test_a_name_that_does_not_exist_is_led_too() -> None:
    found = audit(["curl", "-s", "https://api.example.invalid/"], led="namespace")
    (finding,) = found.findings
    assert (finding.host, finding.verdict) == ("api.example.invalid", Verdict.CAPTURED)


@needs_a_namespace
def test_quic_is_counted_and_stopped() -> None:
    text = "import socket\nsocket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 443))"
    assert audit([sys.executable, "-c", text], led="namespace").quic == 1


@needs_curl
def test_machines_are_told(command: Command, server: Server, cafile: str, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    options = ("--json", "--junit", str(report), "--led-by", "proxy", "--cafile", cafile)
    result = command("audit", *options, "--", "curl", "-s", "-o", "/dev/null", url(server))
    assert result.exit_code == 1
    assert json.loads(result.stdout)["hosts"][0]["verdict"] == "captured"
    assert ET.fromstring(report.read_text()).attrib["failures"] == "1"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nosuchprogram"], "nosuchprogram could not be audited: No such file"),
        ([sys.executable, "-c", ""], "UNKNOWN: nothing that was seen"),
    ],
)
def test_without_an_answer_it_exits_2(command: Command, words: list[str], said: str) -> None:
    result = command("audit", "--led-by", "proxy", "--", *words)
    assert result.exit_code == 2 and said in result.output


def test_a_namespace_that_cannot_be_is_an_error(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = command("audit", "--led-by", "namespace", "--", sys.executable, "-c", "")
    assert result.exit_code == 2 and "namespaces need root" in result.output
    result = command("audit", "--", sys.executable, "-c", "")
    assert "Led by proxy variables (network namespaces need root)" in result.stderr
