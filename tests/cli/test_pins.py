"""`pinio pins` shows what a server shows, and never says more than it knows."""

from __future__ import annotations

import re
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pinio.core.pin import Pin
from pinio.core.wording import escape
from pinio.testing import CA, Leaf, RawServer, Server, hear, reset, self_signed, tls_alert
from tests.cli.conftest import Command


@pytest.fixture(scope="module")
def ca() -> CA:
    return CA("a private root")


@pytest.fixture(scope="module")
def issuer(ca: CA) -> CA:
    return ca.intermediate("a private issuer")


@pytest.fixture(scope="module")
def leaf(issuer: CA) -> Leaf:
    return issuer.issue("127.0.0.1", "localhost")


@pytest.fixture
def cafile(ca: CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    path.write_text(ca.certificate_pem, "ascii")
    return str(path)


def where(server: Server | RawServer) -> str:
    return f"127.0.0.1:{server.port}"


def test_a_verified_chain_leaf_first(
    command: Command, ca: CA, issuer: CA, leaf: Leaf, cafile: str
) -> None:
    with Server(leaf) as server:
        result = command("pins", where(server), "--cafile", cafile)
        port = server.port
    heading, *lines = result.stdout.splitlines()
    assert (result.exit_code, result.stderr) == (0, "")
    assert heading.startswith(f"127.0.0.1 port {port}, TLSv1.3, TLS_")
    assert lines == [
        "  verified chain:",
        f"    {leaf.pin}  leaf  CN=127.0.0.1",
        f"    {issuer.pin}  ca    OU=a private issuer",
        f"    {ca.pin}  ca    OU=a private root",
    ]


def test_what_it_prints_can_be_pasted(command: Command, leaf: Leaf, cafile: str) -> None:
    with Server(leaf) as server:
        result = command("pins", where(server), "--cafile", cafile)
    printed = [line.split()[0] for line in result.stdout.splitlines() if "sha256/" in line]
    assert len(printed) == 3
    assert [str(Pin.parse(text)) for text in printed] == printed


def test_no_application_byte_is_sent(command: Command, leaf: Leaf, cafile: str) -> None:
    with Server(leaf) as server:
        command("pins", where(server), "--cafile", cafile)
        server.wait_quiet()
        assert len(server.connections) == 1
        assert (server.application_bytes, server.handshakes_finished) == (b"", 0)


def test_what_nobody_vouches_for_says_so_and_exits_1(command: Command) -> None:
    device = self_signed("printer.local")
    with Server(device) as server:
        result = command("pins", where(server))
        again = command("pins", where(server), "--unverified")
    assert result.exit_code == 1
    assert "  NOT VERIFIED: self-signed certificate\n  served chain:\n" in result.stdout
    assert f"    {device.pin}  leaf  CN=printer.local\n" in result.stdout
    assert result.stderr.startswith(
        "NOT VERIFIED. Anybody between you and 127.0.0.1 could have sent this chain."
    )
    assert (again.exit_code, again.output) == (0, result.output)


def test_another_hosts_certificate_is_not_verified(
    command: Command, issuer: CA, cafile: str
) -> None:
    with Server(issuer.issue("elsewhere.example")) as server:
        result = command("pins", where(server), "--cafile", cafile)
    assert result.exit_code == 1
    assert "NOT VERIFIED" in result.stdout


@pytest.mark.parametrize("flag", [(), ("--unverified",)])
def test_nobody_there_exits_2(command: Command, flag: tuple[str, ...], reserved_port: int) -> None:
    result = command("pins", f"127.0.0.1:{reserved_port}", *flag)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"pinio: 127.0.0.1 port {reserved_port}: Connection refused\n"


@pytest.mark.parametrize("flag", [(), ("--unverified",)])
def test_a_server_without_tls_exits_2(command: Command, flag: tuple[str, ...]) -> None:
    with (
        RawServer(lambda connection: connection.sendall(b"220 no TLS here\r\n")) as plain,
        RawServer(hear, tls_alert("handshake_failure")) as alerting,
        RawServer(reset) as rude,
        RawServer(hear) as short,
    ):
        answers = {
            plain: r"TLS failed: wrong version number; what answers there may not speak TLS: .*",
            alerting: r"TLS failed: .*handshake failure; .*TLS 1\.3.*",
            rude: r"Connection reset by peer",
            short: r"the server closed the connection during the TLS handshake",
        }
        for server, words in answers.items():
            result = command("pins", where(server), *flag)
            assert (result.exit_code, result.stdout) == (2, "")
            assert re.fullmatch(
                rf"pinio: 127\.0\.0\.1 port {server.port}: {words}\n", result.stderr
            )


def test_a_name_that_does_not_resolve_exits_2(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_arguments: object, **_options: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    result = command("pins", "nowhere.example")
    assert (result.exit_code, result.stderr) == (
        2,
        "pinio: nowhere.example port 443: Name or service not known\n",
    )


@pytest.mark.parametrize(
    "target",
    [
        "",
        "host:",
        "host:http",
        "host:0",
        "host:65536",
        "host:٣",
        "https://host/",
        "a b",
        "*.example.com",
        "host:999999999",
        "pinned.test[::1]:443",
        "[::1]pinned.test:443",
        "user@host:443",
        "[::1",
        "ho%73t",
    ],
)
def test_what_is_no_host_exits_2(command: Command, target: str) -> None:
    result = command("pins", target)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr


@pytest.mark.parametrize("content", [None, "nothing of the kind\n"])
def test_a_bad_file_of_cas_exits_2(command: Command, tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content, "ascii")
    result = command("pins", "127.0.0.1:9", "--cafile", str(path))
    assert result.exit_code == 2
    assert str(path) in result.stderr


def test_what_the_server_wrote_is_escaped(command: Command) -> None:
    name = "x\x1b[2J\nsha256/forged"
    with Server(named(name)) as server:
        result = command("pins", where(server), "--unverified")
    assert f"CN={escape(name)}\n" in result.stdout
    assert "\x1b" not in result.output
    assert "\nsha256/forged" not in result.output


def named(common_name: str) -> Leaf:
    """A certificate whose subject no tool would write."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(
        subject, subject, key.public_key(), 1, now - timedelta(1), now + timedelta(1)
    )
    pem = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Leaf(private.decode("ascii"), pem.decode("ascii"))


def test_ipv6_takes_brackets_before_a_port(
    command: Command, issuer: CA, cafile: str, ipv6: str
) -> None:
    with Server(issuer.issue(ipv6), host=ipv6) as server:
        port = server.port
        result = command("pins", f"[{ipv6}]:{port}", "--cafile", cafile)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"::1 port {port}, ")
