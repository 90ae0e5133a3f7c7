"""The pytest plugin: its fixtures, and the battery against clients with pins and without."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HOST = "api.example.com"

CLIENTS = """
import contextlib, warnings
import aiohttp, pytest, requests, trio
import pinio
from pinio.aiohttp import PinnedConnector
from pinio.requests import PinnedSession

SHIPPED = "sha256/AY1q5+CZmbTEaJJ1E2oe01pMdaD6Kfq5N4mmO9zXmG8="
HOST, OTHER = "api.example.com", "sha256/a7O7/28IdzsHO4YZNeZ6wNoyS7NOoJDcGJPVY4Ho69o="
battery = pytest.mark.pinio_battery(HOST)

@pytest.fixture
def policy(pinio_ca, pinio_server):
    shipped = pinio.Policy({HOST: pinio.PinSet(SHIPPED, single="a test")})
    return pinio_ca.rebase(shipped, {HOST: pinio_server.pin})

def get(policy, url="https://api.example.com/"):
    with PinnedSession(policy) as session:
        session.trust_env = False
        session.get(url, timeout=60)

@battery
async def test_asyncio(policy):
    async with aiohttp.ClientSession(connector=PinnedConnector(policy)) as session:
        async with session.get(f"https://{HOST}/") as response:
            await response.read()

class TestOfAClass:
    @battery
    @pytest.mark.parametrize("argument", [1])
    def test_blocking(self, policy, argument):
        get(policy)

@battery
def test_trio(policy):
    async def main():
        context = pinio.create_ssl_context(policy)
        async with await trio.open_ssl_over_tcp_stream(HOST, 443, ssl_context=context) as stream:
            await stream.send_all(b"GET / HTTP/1.1\\r\\n\\r\\n")
            await stream.receive_some(1)
    trio.run(main)

@battery
def test_without_pins(pinio_ca, tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text(pinio_ca.certificate_pem)
    requests.get(f"https://{HOST}/", verify=str(path), timeout=60)

@battery
def test_verify_false():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        requests.get(f"https://{HOST}/", verify=False, timeout=60)

@battery
def test_never_connects():
    pass

@battery
def test_retries_in_clear(policy):
    try:
        get(policy)
    except OSError:
        with contextlib.suppress(OSError):
            requests.get(f"http://{HOST}/", timeout=60)

@pytest.mark.pinio_battery(HOST, without=["genuine", "renewed"])
def test_pins_another_key(policy):
    get(policy.replace(hosts={HOST: policy.hosts[HOST].replace(pins=OTHER)}))
"""

ATTACKS = (
    "interceptor, TLS 1.3",
    "interceptor, TLS 1.2",
    "interceptor, RSA key",
    "genuine chain appended",
)


def run(path: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    (path / "test_clients.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
    ini = ("-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function")
    return subprocess.run(
        [*command, *ini, "--rootdir", str(path), "-c", "/dev/null", str(path)],
        capture_output=True,
        text=True,
        cwd=path,
        check=False,
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """What the battery printed: by test, by case."""
    result = run(tmp_path_factory.mktemp("clients"), CLIENTS, "-W", "error")
    _, _, printed = result.stdout.partition("= pinio battery =")
    told: dict[str, dict[str, str]] = {}
    cases: dict[str, str] = {}
    for line in printed.splitlines()[1:]:
        if line.startswith("test_clients.py"):
            cases = told[line.split("::")[-1]] = {}
        elif line.startswith("  "):
            outcome, _, rest = line.strip().partition("  ")
            case, _, text = rest.partition(": ")
            cases[case] = f"{outcome} {text}"
    assert len(told) == 8, result.stdout
    return told


@pytest.mark.parametrize("client", ["test_asyncio", "test_blocking", "test_trio"])
def test_a_client_that_pins_holds(told: dict[str, dict[str, str]], client: str) -> None:
    cases = told[client]
    assert len(cases) == 11
    assert all(text.startswith("held ") for text in cases.values())
    finished = "handshake finished" if client == "test_blocking" else "handshake not finished"
    assert all(f"refused by pin; 0 application bytes, {finished}" in cases[a] for a in ATTACKS)


def test_a_client_without_pins_falls(told: dict[str, dict[str, str]]) -> None:
    cases = told["test_without_pins"]
    fell = {case for case, text in cases.items() if text.startswith("FELL")}
    assert fell == {*ATTACKS, "redirect to http"}
    assert all("it does not pin" in cases[attack] for attack in ATTACKS)


def test_a_client_that_verifies_nothing_falls(told: dict[str, dict[str, str]]) -> None:
    cases = told["test_verify_false"]
    held = {case for case, text in cases.items() if text.startswith("held")}
    assert held == {"genuine", "renewed", "TLS is reset"}


def test_a_client_that_never_connects_falls(told: dict[str, dict[str, str]]) -> None:
    cases = told["test_never_connects"]
    assert len(cases) == 11 and all(text.startswith("FELL") for text in cases.values())


def test_a_client_that_retries_in_clear_falls(told: dict[str, dict[str, str]]) -> None:
    cases = told["test_retries_in_clear"]
    assert all(cases[attack].startswith("FELL") for attack in (*ATTACKS, "TLS is reset"))
    assert "in clear" in cases[ATTACKS[0]]


def test_a_client_that_pins_another_key_holds_and_proves_little(
    told: dict[str, dict[str, str]],
) -> None:
    cases = told["test_pins_another_key"]
    assert set(ATTACKS) <= cases.keys() and "genuine" not in cases
    assert cases["redirect to http"].startswith("FELL"), "it never told the genuine server a thing"


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ("pinio_battery", "missing 1 required positional argument"),
        ("pinio_battery('x.test', without='no such')", "has no case 'no such'; it has: genuine"),
    ],
)
def test_a_marker_that_makes_no_sense_is_explained(marker: str, said: str, tmp_path: Path) -> None:
    text = f"import pytest\n@pytest.mark.{marker}\ndef test(): pass\n"
    result = run(tmp_path, text, "-p", "no:randomly")
    assert result.returncode != 0
    assert said in result.stdout


def test_the_plugin_is_light_and_says_nothing_where_it_is_not_used(tmp_path: Path) -> None:
    text = """
import sys
def test(request):
    assert request.config.pluginmanager.hasplugin("pinio.pytest_plugin") or \\
        request.config.pluginmanager.hasplugin("pinio")
    loaded = {name for name in sys.modules if name.startswith(("pinio", "cryptography", "trustme"))}
    assert loaded <= {"pinio", "pinio.pytest_plugin"}, loaded
"""
    result = run(tmp_path, text, "-p", "no:asyncio", "-p", "no:hypothesispytest")
    assert result.returncode == 0, result.stdout
    assert "battery" not in result.stdout


def test_without_the_extra_the_fixtures_say_what_is_missing(tmp_path: Path) -> None:
    text = """
import sys
sys.modules["trustme"] = None
def test_fixture(pinio_ca): pass
def test_other(): pass
"""
    result = run(tmp_path, text)
    assert "1 passed, 1 error" in result.stdout
    assert "pinio.testing needs" in result.stdout and "testing" in result.stdout
