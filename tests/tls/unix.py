"""A Unix socket in front of a server of the kit, as a local proxy has one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from tests.tls.through import Addressed


@contextlib.asynccontextmanager
async def unix_socket(server: Addressed) -> AsyncIterator[Path]:
    """Where a socket is that leads to the server. It ends when every client has closed."""
    # The path of a Unix socket may have a hundred bytes, and pytest's directories are longer.
    with tempfile.TemporaryDirectory(prefix="pinio") as folder, contextlib.ExitStack() as stack:
        path = Path(folder) / "s"
        stack.enter_context(leading_to(server, path))
        try:
            yield path
        finally:
            await asyncio.to_thread(stack.close)  # clients close on this loop


@contextlib.contextmanager
def leading_to(server: Addressed, path: Path) -> Iterator[None]:
    """A Unix socket at `path`. Every byte is passed on to the server, in threads, and every end."""
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:  # at the end
                return
            with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
                stack.callback(client.close)
                onward = socket.create_connection(server.address, timeout=60)
                onward.settimeout(None)
                onward.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                stack.pop_all()
                threads.append(threading.Thread(target=_relay, args=(client, onward), daemon=True))
                threads[-1].start()

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(64)
        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            acceptor.join(60)
            for thread in threads:
                thread.join(60)
                assert not thread.is_alive(), "a client is still connected"


def _relay(client: socket.socket, onward: socket.socket) -> None:
    with client, onward:
        back = threading.Thread(target=_pass_on, args=(onward, client), daemon=True)
        back.start()
        _pass_on(client, onward)
        back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for sock, how in ((target, socket.SHUT_WR), (source, socket.SHUT_RD)):
        with contextlib.suppress(OSError):
            sock.shutdown(how)
