"""An interceptor's verdict on a client: refused by its pins, or why that is not proven."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
import requests
import trio
import urllib3

import pinio
from pinio.requests import PinnedSession
from pinio.testing import CA, Interceptor, Mitm, Server, echo
from tests.conftest import Run

HOST = "api.example.com"
ROOT = CA("root")
GENUINE = ROOT.issue(HOST)
POLICY = pinio.Policy(
    {HOST: pinio.PinSet(GENUINE.pin, single="a test", anchors=ROOT.anchors)}, revision="shipped"
)


@pytest.fixture
def mitm() -> Iterator[Mitm]:
    with Mitm(ROOT) as mitm:
        yield mitm


async def ask(policy: pinio.Policy = POLICY, host: str = HOST) -> None:
    _, writer = await pinio.open_connection(host, 443, policy=policy)
    writer.write(b"secret")
    writer.close()
    await writer.wait_closed()


def get(policy: pinio.Policy = POLICY, url: str = f"https://{HOST}/") -> None:
    with PinnedSession(policy) as session:
        session.trust_env = False
        session.get(url, timeout=60)


async def ask_trio() -> None:
    context = pinio.create_ssl_context(POLICY)
    stream = await trio.open_ssl_over_tcp_stream(HOST, 443, ssl_context=context)
    async with stream:
        await stream.send_all(b"secret")


def get_unpinned(path: Path, url: str = f"https://{HOST}/") -> None:
    path.write_text(ROOT.certificate_pem)
    requests.get(url, verify=str(path), timeout=60)


def test_a_pinned_client_is_refused_by_its_pin(
    mitm: Mitm, run: Run, tls_version: ssl.TLSVersion
) -> None:
    async def main() -> None:
        async with mitm.expect_refusal(by="pin") as expected:
            await ask()
        assert isinstance(expected.error, pinio.PinMismatchError)
        assert expected.refused is not None and not expected.refused.handshake_finished

    mitm.route(HOST, tls_version=tls_version)
    run(main())


def test_blocking_and_trio_clients_are_judged_too(mitm: Mitm) -> None:
    mitm.route(HOST)
    with mitm.expect_refusal():
        get()
    with mitm.expect_refusal():
        trio.run(ask_trio)


def test_a_client_without_pins_is_caught(mitm: Mitm, tmp_path: Path) -> None:
    mitm.route(HOST)
    get_unpinned(tmp_path / "ca.pem")
    with pytest.raises(AssertionError, match=r"told the interceptor .* it does not pin"):
        mitm.assert_refused()


def test_a_client_that_verifies_nothing_is_caught(mitm: Mitm) -> None:
    mitm.route(HOST)
    with pytest.warns(urllib3.exceptions.InsecureRequestWarning):
        requests.get(f"https://{HOST}/", verify=False, timeout=60)
    with pytest.raises(AssertionError, match="it does not pin"):
        mitm.assert_refused()


def test_a_client_that_never_connected_proves_nothing(mitm: Mitm) -> None:
    mitm.route(HOST)
    with pytest.raises(AssertionError, match=f"never connected to {HOST}"):
        mitm.assert_refused(OSError())


@pytest.mark.parametrize("url", [f"http://{HOST}/", f"http://{HOST}:443/", f"http://{HOST}:8080/"])
def test_a_client_that_retries_in_clear_is_caught(mitm: Mitm, url: str) -> None:
    mitm.route(HOST)
    try:
        get()
    except OSError as error:
        requests.get(url, timeout=60)
        with pytest.raises(AssertionError, match="bytes in clear"):
            mitm.assert_refused(error)


def test_a_client_that_falls_back_after_the_assertion_is_caught_at_the_end(tmp_path: Path) -> None:
    mitm = Mitm(ROOT)
    mitm.route(HOST)
    with mitm.expect_refusal():
        get()
    get_unpinned(tmp_path / "ca.pem")
    with pytest.raises(AssertionError, match="it does not pin"):
        mitm.close()
    assert "connect" not in vars(socket.socket)


def test_a_client_that_distrusts_the_ca_proves_nothing(mitm: Mitm) -> None:
    mitm.route(HOST)
    distrusts = r"stopped by certificate verification.*, not by its"
    with pytest.raises(AssertionError, match=distrusts), mitm.expect_refusal(by="pin"):
        get(CA().rebase(POLICY))
    with mitm.expect_refusal(by="certificate"):
        get(CA().rebase(POLICY))


def test_an_alert_tells_of_a_client_that_says_nothing(mitm: Mitm) -> None:
    mitm.route(HOST)
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"https://{HOST}/", timeout=60)
    with pytest.raises(AssertionError, match="stopped by certificate verification"):
        mitm.assert_refused()


def test_another_name_proves_nothing(mitm: Mitm) -> None:
    with pytest.raises(AssertionError, match="could not be intercepted"):
        mitm.route(HOST, leaf=ROOT.issue("other.example.com"))


def test_the_wrong_name_is_told_from_the_key(mitm: Mitm) -> None:
    mitm.route("other.example.com")
    context = ROOT.client_context()
    with (
        pytest.raises(AssertionError, match="stopped by the name"),
        mitm.expect_refusal(),
        socket.create_connection(("other.example.com", 443)) as sock,
        context.wrap_socket(sock, server_hostname=HOST),
    ):
        pass


def test_a_timeout_proves_nothing(mitm: Mitm) -> None:
    mitm.route(HOST)
    with pytest.raises(OSError):
        get()
    with pytest.raises(AssertionError, match="stopped by a timeout"):
        mitm.assert_refused(TimeoutError())


def test_a_client_that_swallows_its_error_gives_no_reason(mitm: Mitm) -> None:
    mitm.route(HOST)

    def client() -> None:
        with suppress(OSError):
            get()

    nothing = "raised nothing that this assertion was given"
    with pytest.raises(AssertionError, match=nothing), mitm.expect_refusal():
        client()


def test_a_refusal_of_another_host_proves_nothing(mitm: Mitm, run: Run) -> None:
    mitm.route(HOST)
    other = pinio.Policy({"localhost": POLICY.hosts[HOST]})
    refused = pytest.raises(pinio.PinMismatchError)
    with Interceptor(ROOT, "localhost") as elsewhere, refused as caught:
        run(pinio.open_connection("localhost", elsewhere.port, policy=other))
    with pytest.raises(AssertionError, match="never connected"):
        mitm.assert_refused(caught.value)
    with pytest.raises(OSError):
        get()
    with pytest.raises(AssertionError, match="refused localhost, which is not routed"):
        mitm.assert_refused(caught.value)


def test_pins_of_other_libraries_are_known(mitm: Mitm, run: Run) -> None:
    trap = mitm.route(HOST)

    async def by_aiohttp() -> None:
        async with aiohttp.ClientSession() as session:
            try:
                await session.get(f"https://{HOST}/", ssl=aiohttp.Fingerprint(b"x" * 32))
            finally:
                await trap.quiet()  # aiohttp leaves its transport to close by itself

    with mitm.expect_refusal() as expected:
        run(by_aiohttp())
    assert expected.refused is not None and expected.refused.handshake_finished
    pool = urllib3.PoolManager(assert_fingerprint="ab" * 32, cert_reqs="CERT_NONE")
    with mitm.expect_refusal(), pool:
        pool.request("GET", f"https://{HOST}/", retries=False)


def test_an_error_of_ones_own_can_be_named(tmp_path: Path) -> None:
    class WrongKeyError(Exception):
        pass

    def client() -> None:
        context = ROOT.client_context()
        with (
            socket.create_connection((HOST, 443)) as sock,
            context.wrap_socket(sock, server_hostname=HOST),
        ):
            raise WrongKeyError

    with Mitm(ROOT) as mitm:
        mitm.route(HOST)
        with pytest.raises(AssertionError, match="something unknown"), mitm.expect_refusal():
            client()
    with Mitm(ROOT, pin_errors=(WrongKeyError,)) as mitm:
        mitm.route(HOST)
        with mitm.expect_refusal():
            client()


def test_a_client_certificate_is_seen(mitm: Mitm, tmp_path: Path) -> None:
    mitm.route(HOST, client_ca=ROOT, tls_version=ssl.TLSVersion.TLSv1_3)
    identity = ROOT.issue_client().write(tmp_path)
    context = pinio.create_ssl_context(POLICY, client_cert=identity)

    async def main() -> None:
        with mitm.expect_refusal() as expected:
            await pinio.open_connection(HOST, 443, ssl=context)
        assert expected.refused is not None and not expected.refused.client_certificate

    asyncio.run(main())


def test_a_host_without_a_way_to_it_stops_the_control_client(mitm: Mitm) -> None:
    other = Mitm(CA("another"))
    with pytest.raises(AssertionError, match="control client without pins could not be"):
        other.route(HOST, leaf=GENUINE)
    other.close()


def test_a_local_server_stays_reachable(mitm: Mitm) -> None:
    with Server(plain=True, handler=echo) as local:
        mitm.route("127.0.0.1", 443)
        with socket.create_connection(local.address) as sock:
            sock.sendall(b"hello")
            assert sock.recv(5) == b"hello"


def test_interrupts_pass(mitm: Mitm) -> None:
    mitm.route(HOST)
    with pytest.raises(KeyboardInterrupt), mitm.expect_refusal():
        raise KeyboardInterrupt
