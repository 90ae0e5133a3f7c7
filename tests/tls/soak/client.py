"""The server of a soak, in a process of its own; and one connection to it, from its beginning to its end, as its fate has it."""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pinio
from pinio.tls.connection.transport import PinnedTransport
from tests.tls.cast import ABSENT, GENUINE, pinned
from tests.tls.soak.schedule import Fate

MUCH: Final = bytes(300_000)
TIMEOUT: Final = 0.3
"""Seconds for a handshake or a shutdown that the server does not answer."""

POLICIES: Final = {
    "genuine": pinned(GENUINE.pin),
    "nobody": pinned(ABSENT),
    "untrusted": pinned(GENUINE.pin, anchors=pinio.testing.CA().anchors),
}


ROOT: Final = Path(__file__).parents[3]


@asynccontextmanager
async def peer(tmp_path: Path) -> AsyncIterator[tuple[dict[str, int], list[int]]]:
    """The server's ports; and, once it has ended, the numbers of the clients whose bytes it heard."""
    identity = tmp_path / "identity.pem"
    identity.write_text(GENUINE.private_key_pem + GENUINE.chain_pem)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.tls.soak.peer", str(identity),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT, limit=1 << 24,
    )  # fmt: skip
    assert process.stdout is not None and process.stdin is not None
    heard: list[int] = []
    try:
        yield json.loads(await process.stdout.readline()), heard
    finally:
        process.stdin.close()
        heard += json.loads(await process.stdout.readline())
        await process.wait()


class App(asyncio.Protocol):
    """Counts, and knows when it is over."""

    def __init__(self) -> None:
        self.made = self.count = self.ends = 0
        self.arrived = asyncio.Event()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.made += 1

    def data_received(self, data: bytes) -> None:
        self.count += len(data)
        self.arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ends += 1
        self.lost.set_result(exc)
        self.arrived.set()


class Client:
    """Knows the way to the server; lives fates."""

    def __init__(self, ports: Mapping[str, int], sessions: pinio.SessionCache) -> None:
        self.ports = ports
        self.sessions = sessions

    async def live(self, fate: Fate) -> str:
        """What came of it: "opened", "refused", "failed" or "cancelled"."""
        app = App()
        attempt = asyncio.ensure_future(self._connect(fate, app))
        if fate.cancelled is not None:
            for _ in range(fate.cancelled):
                await asyncio.sleep(0)
            attempt.cancel()
        try:
            transport = await attempt
        except pinio.PinMismatchError:
            return self._checked("refused", fate, app)
        except (OSError, ssl.SSLError):
            return self._checked("failed", fate, app)
        except asyncio.CancelledError:
            return self._checked("cancelled", fate, app)
        await self._use(fate, transport, app)
        assert app.ends == 1
        return "opened"

    def _checked(self, outcome: str, fate: Fate, app: App) -> str:
        """Of a connection that was not to be, nobody was told; of one that was plain before, both its beginning and its end."""
        if fate.server != "STARTTLS":
            assert (app.made, app.ends) in ((0, 0), (1, 1)), f"{fate}: {app.made} {app.ends}"
            assert outcome == "cancelled" or app.made == 0
        else:
            assert app.made == app.ends or outcome == "cancelled"
        assert app.count <= 16
        return outcome

    async def _connect(self, fate: Fate, app: App) -> PinnedTransport:
        port = self.ports[fate.server]
        options: dict[str, Any] = {
            "policy": POLICIES[fate.pins],
            "server_hostname": "localhost",
            "resumption": self.sessions if fate.resumption else False,
            "observer": lambda decision: None,
            "ssl_handshake_timeout": TIMEOUT if "silent" in fate.server else 60.0,
            "ssl_shutdown_timeout": TIMEOUT if fate.wish == "deaf" else 60.0,
        }
        if fate.server != "STARTTLS":
            return (await pinio.create_connection(lambda: app, "127.0.0.1", port, **options))[0]
        plain, _ = await asyncio.get_running_loop().create_connection(
            lambda: app, "127.0.0.1", port
        )
        try:
            plain.write(b"STARTTLS\r\n")
            await app.arrived.wait()
            return await pinio.start_tls(plain, app, **options)
        except BaseException:
            plain.abort()
            raise

    async def _use(self, fate: Fate, transport: PinnedTransport, app: App) -> None:
        """Say what is wished for, and end as it is to end."""
        transport.write(f"{fate.number} {fate.wish}\n".encode())
        if "write much" in fate.end:
            transport.write(MUCH)
        if "pause" in fate.end:
            transport.pause_reading()
        if fate.end == "wait" and fate.wish not in ("echo", "deaf"):
            await app.lost  # the server ends
        elif "wait" in fate.end and fate.wish == "echo":
            app.arrived.clear()
            transport.write(b"hear me")
            await app.arrived.wait()
        if "abort" in fate.end:
            transport.abort()
        else:
            transport.close()
        await app.lost
        with suppress(OSError):
            app.lost.result()
