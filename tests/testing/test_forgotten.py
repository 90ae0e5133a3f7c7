"""A test that forgets to wait for a server fails, or waits all the same: it never passes by luck."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from pinio.testing import CA, Connection, Interceptor, Server, http, silent
from tests.conftest import Run
from tests.testing.clients import Withholding, connected, exactly

CA_ROOT = CA()
LEAF = CA_ROOT.issue("localhost")
SECRET = b"GET / HTTP/1.1\r\nAuthorization: Bearer secret\r\n\r\n"

# Where there is an event loop


async def test_leaving_the_block_after_a_wait_that_never_was() -> None:
    """In `async with` and in `with`; the error says what to write."""
    with pytest.raises(
        RuntimeError, match=r"Interceptor\.quiet\(\) was called and not awaited.*'await'"
    ):
        async with Interceptor(CA_ROOT, "localhost") as interceptor:
            interceptor.quiet()  # type: ignore[unused-coroutine]
    with pytest.raises(RuntimeError, match=r"Server\.quiet\(\) was called"), Server(LEAF) as server:
        server.quiet()  # type: ignore[unused-coroutine]


LOOKS: list[Callable[[Interceptor], object]] = [
    lambda interceptor: interceptor.captured,
    lambda interceptor: interceptor.captured_replies,
    lambda interceptor: interceptor.handshakes_finished,
    lambda interceptor: interceptor.client_certificates,
    lambda interceptor: interceptor.application_bytes,
    lambda interceptor: interceptor.requests,
    lambda interceptor: interceptor.connections,
]


@pytest.mark.parametrize("look", LOOKS, ids=range(len(LOOKS)))
async def test_looking_before_the_wait_that_was_asked_for(
    look: Callable[[Interceptor], object],
) -> None:
    """What is read may not be all: it is not told, until somebody has waited."""
    async with Interceptor(CA_ROOT, "localhost") as interceptor:
        quiet = interceptor.quiet()
        with pytest.raises(RuntimeError, match="not awaited"):
            look(interceptor)
        await quiet
        assert not look(interceptor)


async def test_it_is_not_true() -> None:
    """`assert server.quiet()` is no assertion, and none that passes."""
    async with Server(LEAF) as server:
        with pytest.raises(RuntimeError, match="not awaited"):
            assert server.quiet()  # type: ignore[truthy-bool]
        server._quiets.clear()


USES: list[Callable[[Coroutine[Any, Any, None]], Any]] = [
    lambda quiet: quiet,
    asyncio.ensure_future,
    asyncio.create_task,
    asyncio.gather,
    lambda quiet: asyncio.wait_for(quiet, 60),
    asyncio.shield,
]


@pytest.mark.parametrize("use", USES, ids=range(len(USES)))
async def test_it_can_be_awaited_in_every_way(
    use: Callable[[Coroutine[Any, Any, None]], Any],
) -> None:
    async with Server(LEAF, handler=silent) as server:
        with connected(server, CA_ROOT) as tls:
            tls.sendall(b"x")
            await use(server.quiet())
            assert server.application_bytes == b"x"


async def test_a_wait_takes_its_limit_and_can_be_cancelled() -> None:
    async with Server(LEAF) as server:
        with Withholding(server, CA_ROOT.client_context()) as client:
            await asyncio.to_thread(client.up_to_the_final_flight)
            with pytest.raises(TimeoutError, match="handshake_finished=False"):
                await server.quiet(timeout=0.05)
            task = asyncio.ensure_future(server.quiet(timeout=0.2))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_an_error_of_the_test_is_not_hidden() -> None:
    async def forgetful() -> None:
        async with Server(LEAF) as server:
            server.quiet()  # type: ignore[unused-coroutine]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await forgetful()


async def test_after_the_block_nothing_is_left_to_wait_for() -> None:
    """But a coroutine that nobody awaits is a mistake all the same."""
    async with Server(LEAF) as server:
        pass
    await server.quiet()
    with pytest.warns(RuntimeWarning, match="not awaited"):
        del [server.quiet()][0]


# Where there is none


def test_quiet_blocks() -> None:
    """In a plain test `quiet()` is `wait_quiet()`, and awaited later it has nothing left to do."""
    waits = []
    with Server(LEAF, handler=silent) as server, connected(server, CA_ROOT) as tls:
        for count in range(1, 101):
            tls.sendall(b"x")
            waits.append(server.quiet())
            assert bytes(server._records[0].application_bytes) == b"x" * count
    asyncio.run(waits[-1])
    with Server(LEAF) as server, Withholding(server, CA_ROOT.client_context()) as client:
        client.up_to_the_final_flight()
        with pytest.raises(TimeoutError, match="handshake_finished=False"):
            server.quiet(timeout=0.05)  # type: ignore[unused-coroutine]


@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "through an interceptor"])
def test_looking_waits(proxied: bool, tls_version: ssl.TLSVersion) -> None:
    """What was sent before is there, without any call to wait."""
    with (
        Server(LEAF, handler=http(), tls_version=tls_version) as genuine,
        Interceptor(
            CA_ROOT, "localhost", upstream=(*genuine.address, CA_ROOT), tls_version=tls_version
        ) as on,
    ):
        server = on if proxied else genuine
        for count in range(1, 31):
            with connected(server, CA_ROOT) as tls:
                tls.sendall(SECRET)
                assert server.application_bytes == SECRET * count
                assert len(server.connections) == server.handshakes_finished == count
                assert len(genuine.requests) == count
                exactly(tls, 40)


@pytest.mark.parametrize("where", ["in the block", "after it"])
def test_a_client_that_leaks_and_leaves_is_always_found_out(where: str) -> None:
    """Its Finished, the secret and its end are there at once; neither the look nor the end of the block is too early."""
    context = CA_ROOT.client_context(tls_version=ssl.TLSVersion.TLSv1_3)
    for _ in range(100):
        with Interceptor(CA_ROOT, "localhost") as interceptor:
            with Withholding(interceptor, context) as client:
                client.up_to_the_final_flight()
                client.tls.do_handshake()
                client.tls.write(SECRET)
                client.send()
            if where == "in the block":
                assert interceptor.captured == SECRET
        assert interceptor.captured == SECRET and interceptor.handshakes_finished == 1


def test_looking_does_not_wait_for_what_may_never_come() -> None:
    """A handshake that stalls and a connection that idles have nothing more to show."""
    with Server(LEAF) as server, Withholding(server, CA_ROOT.client_context()) as client:
        client.up_to_the_final_flight()
        with connected(server, CA_ROOT):
            assert [record.handshake_finished for record in server.connections] == [False, True]


def test_a_handler_may_look() -> None:
    """It does not wait for itself."""
    seen: list[int] = []

    def handler(connection: Connection) -> None:
        seen.append(len(server.connections))

    with Server(plain=True, handler=handler) as server:
        socket.create_connection(server.address).close()
    assert seen == [1]


def test_a_handler_that_is_busy_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that it takes in later are seen later."""
    monkeypatch.setattr("pinio.testing.listener.LAST_WORDS", 0.05)
    proceed = threading.Event()

    def busy(connection: Connection) -> None:
        connection.recv()
        proceed.wait()

    with (
        Server(plain=True, handler=busy) as server,
        socket.create_connection(server.address) as client,
    ):
        client.sendall(b"x")
        server.connections[0]
        proceed.set()


def test_a_server_in_another_thread_than_its_client(run: Run) -> None:
    """A plain test may run a loop of its own for an asynchronous client."""

    async def client(port: int) -> None:
        context = CA_ROOT.client_context()
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=context, server_hostname="localhost"
        )
        writer.write(SECRET)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    with Interceptor(CA_ROOT, "localhost", handler=silent) as interceptor:
        run(client(interceptor.port))
        assert interceptor.captured == SECRET
