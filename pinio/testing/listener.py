"""A listening socket, a thread for each connection, and a way to know that nothing is left to happen."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from functools import partial
from types import TracebackType
from typing import Any, Self

from pinio.testing.activity import Activity, poll
from pinio.testing.connection import Connection
from pinio.testing.quiet import Quiet, in_a_coroutine
from pinio.testing.record import ConnectionRecord

PATIENCE = 60.0
"""Seconds for what takes milliseconds: no machine is too busy for it."""
LAST_WORDS = 5.0
"""Seconds to take in what has arrived, where a handler is busy with something else."""
_GLANCE = 0.01


class Listener(ABC):
    """Accepts connections on a loopback port and runs `serve` for each in a thread of its own.

    Usable with `with` and with `async with`, from any event loop or none: it shares nothing with
    the client but the network. Leaving the block takes in what has arrived, aborts what is still
    open, waits for every thread, and raises what a handler raised.

    What it saw is complete after the block. Inside the block, a test without an event loop needs to
    do nothing: what it reads waits until all that has arrived was taken in. A coroutine awaits
    `quiet()` first.

    Args:
        host: the address to listen on.
        port: the port, or 0 for any free one.
    """

    scheme = "tcp"

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self.host = host
        self._records: list[ConnectionRecord] = []
        self._wanted_port = port
        self._changed = threading.Condition()
        self._live: dict[Connection, threading.Thread] = {}
        self._leaving: set[threading.Thread] = (
            set()
        )  # whose connection has ended, as they are about to
        self._socket: socket.socket | None = None
        self._waker: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._failures: list[Exception] = []
        self._quiets: list[Quiet] = []

    @abstractmethod
    def serve(self, connection: Connection) -> None:
        """Handle one connection, in its thread, until it returns or raises."""

    @property
    def port(self) -> int:
        """The port listened on. Raises RuntimeError unless started."""
        if self._socket is None:
            raise RuntimeError(
                f"{type(self).__name__} is not running: enter it with 'with' or 'async with' first"
            )
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.host, self.port

    @property
    def url(self) -> str:
        """Such as `https://127.0.0.1:40123`."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def connections(self) -> list[ConnectionRecord]:
        """A record of every connection accepted so far, oldest first.

        Raises RuntimeError where `quiet()` was called and not awaited.
        """
        self._look()
        return self._records

    # Starting and ending

    def start(self) -> None:
        """Begin to listen. Raises OSError if the address is taken."""
        self._failures.clear()
        self._socket = self._listen()
        self._socket.setblocking(False)  # a client may be gone again between poll and accept
        self._waker, wake = socket.socketpair()
        name = f"pinio-testing-accept-{self.port}"
        self._acceptor = threading.Thread(
            target=self._accept_all, args=(self._socket, wake), name=name, daemon=True
        )
        self._acceptor.start()

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        return socket.create_server((self.host, self._wanted_port), family=family, backlog=1024)

    def close(self) -> None:
        """Stop listening, end every connection and wait for the threads.

        Does nothing when not running.
        """
        if self._socket is None or self._waker is None or self._acceptor is None:
            return
        self._waker.close()
        deadline = time.monotonic() + PATIENCE
        _join(self._acceptor, deadline)
        self._socket.close()
        self._socket = None
        with self._changed:
            live = dict(self._live)
            for connection in live:
                connection.hang_up()
        for thread in live.values():
            _join(thread, deadline)
        self._see_off()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._take_in()
        self.close()
        forgotten = [quiet for quiet in self._quiets if quiet.forgotten]
        self._quiets.clear()
        if error is not None:
            for quiet in forgotten:
                quiet.dismiss()
        # A test must not pass over what went wrong on the server's side, nor over a wait that never
        # was.
        elif self._failures:
            raise self._failures[0]
        elif forgotten:
            raise forgotten[0].error()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    # Serving

    def _accept_all(self, listening: socket.socket, wake: socket.socket) -> None:
        with wake:
            while wake not in poll((listening, wake)).to_read:
                with (
                    self._changed
                ):  # accepted and recorded in one step, so that wait_quiet() misses nobody
                    try:
                        sock, peername = listening.accept()
                    except (BlockingIOError, ConnectionError):
                        continue
                    self._spawn(sock, ConnectionRecord(peername[:2]))

    def _spawn(self, sock: socket.socket, record: ConnectionRecord) -> None:
        sock.setblocking(True)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock, Activity(self._changed), record)
        name = f"pinio-testing-{self.port}-{len(self._records)}"
        thread = threading.Thread(target=self._run, args=(connection,), name=name, daemon=True)
        self._records.append(record)
        self._leaving = {one for one in self._leaving if one.is_alive()}
        thread.start()
        self._live[connection] = (
            thread  # the thread cannot have ended: that takes the lock, held here
        )

    def _run(self, connection: Connection) -> None:
        try:
            self.serve(connection)
        except OSError as error:  # the peer's doing, or close()'s: a fact to be recorded
            connection.record.error = error
        except Exception as error:  # noqa: BLE001 - raised where the with block ends
            connection.record.error = error
            self._failures.append(error)
        connection.settled = True
        connection.close()
        connection.drain()
        with self._changed:
            connection.release()
            self._leaving.add(self._live.pop(connection))
            connection.record.ended.set()
            self._changed.notify_all()

    # Knowing that nothing is left to happen

    def wait_quiet(self, timeout: float = PATIENCE) -> None:
        """Block until everything that clients have done so far has had its effect on this side.

        That is: nobody waits to be accepted, every handshake has succeeded or failed, all that has
        arrived was read, and every connection that its client has closed has ended, its thread with
        it. Connections that are open and idle are no reason to wait. Afterwards the records say
        what they will say until a client acts again.

        A client with Nagle's algorithm on (asyncio and uvloop switch it off, blocking sockets leave
        it on) may have called `send` and sent nothing yet; that cannot be seen from here.

        Raises:
            TimeoutError: not quiet within `timeout` seconds, for example because a handshake never
                ends.
        """
        with self._changed:
            if not self._changed.wait_for(self._is_quiet, timeout):
                busy = [connection.record for connection in self._live if not connection.quiet]
                raise TimeoutError(
                    f"not quiet after {timeout:g} seconds: {busy or 'nobody accepts'}"
                )
        self._see_off()

    def quiet(self, timeout: float = PATIENCE) -> Coroutine[Any, Any, None]:
        """Do as `wait_quiet` does, while the event loop runs on: `await server.quiet()`.

        Not awaited, it is an error: of what is read from the server next, and of the end of its
        block. Called where no event loop runs, it is `wait_quiet`.
        """
        quiet = Quiet(type(self).__name__, partial(self.wait_quiet, timeout))
        if not in_a_coroutine():
            quiet.block()
        elif self._socket is not None:
            self._quiets.append(quiet)
        return quiet

    def _look(self) -> None:
        """Called before a test reads what this side saw: let it be all that has arrived, where waiting is possible."""
        self._quiets = [quiet for quiet in self._quiets if quiet.forgotten]
        if self._quiets:
            raise self._quiets[0].error()
        if self._socket is not None and not in_a_coroutine():
            self._take_in()

    def _take_in(self) -> None:
        """Wait until no thread has anything left to do for what has arrived; not for ever, since a handler may be busy."""
        deadline = time.monotonic() + LAST_WORDS
        with self._changed:
            if threading.current_thread() in self._live.values():
                return  # a handler that reads what the others saw
            while not self._has_taken_in() and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(
                    min(left, _GLANCE)
                )  # that a peer takes no more bytes notifies nobody

    def _see_off(self) -> None:
        with self._changed:
            leaving = tuple(self._leaving)
        for thread in leaving:  # it has nothing left to do, but may not have had the time for it
            thread.join()

    def _is_quiet(self) -> bool:
        return not self._has_callers() and all(connection.quiet for connection in self._live)

    def _has_taken_in(self) -> bool:
        return not self._has_callers() and all(connection.taken_in for connection in self._live)

    def _has_callers(self) -> bool:
        """Whether a client waits to be accepted."""
        return self._socket is not None and bool(poll((self._socket,), timeout=0).to_read)


def _join(thread: threading.Thread, deadline: float) -> None:
    thread.join(max(0.0, deadline - time.monotonic()))
    if thread.is_alive():
        warnings.warn(
            f"{thread.name} still runs: its handler does not return", ResourceWarning, stacklevel=3
        )
