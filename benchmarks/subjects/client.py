"""What every measured client has in common, whatever it is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

from benchmarks.target import ADDRESS, NAME, Target
from pinio import Permit

T = TypeVar("T")
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

REQUEST = f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode()


class Answer(NamedTuple):
    """What came back: the body, in which the server says what it saw of the handshake, and pinio's Permit if there is one."""

    body: bytes
    permit: Permit | None = None


class Client:
    """One client, as its users would use it, against one server."""

    refusals: tuple[type[BaseException], ...] = ()
    """What it raises for a server that it does not accept."""
    pinned: ClassVar[bool] = False
    """Whether it is pinio: each answer then comes with a Permit."""
    host: ClassVar[str] = ADDRESS
    """Whose certificate it expects, and whose pins."""

    def __init__(
        self,
        target: Target,
        *,
        resume: bool = False,
        refuse: bool = False,
        keep_alive: bool = False,
    ) -> None:
        """Make it ready.

        `resume`: use TLS sessions again, where the client can. `refuse`: expect other keys than the
        server has, or trust nobody where the client knows no pins. `keep_alive`: use connections
        again, if it is an HTTP library.
        """
        self.target = target
        self.resume = resume
        self.keep_alive = keep_alive
        self.pins: Sequence[str] = target.identity.wrong_pins if refuse else target.identity.pins
        self.fingerprint = (
            target.identity.wrong_fingerprint if refuse else target.identity.fingerprint
        )
        self.refuse = refuse
        self.prepare()

    def prepare(self) -> None:
        """Make what a program makes once: contexts, policies, pools."""

    def fetch_all(self, count: int, concurrency: int = 1) -> list[Answer]:
        """Fetch the small answer `count` times, each on a new connection unless the client is a pool."""
        raise NotImplementedError

    def refused(self, count: int) -> int:
        """Try to connect `count` times; how often it was refused."""
        raise NotImplementedError

    def close(self) -> None:
        """Release what `prepare` made."""


class BlockingClient(Client):
    """A client without an event loop."""

    def fetch(self) -> Answer:
        """Connect, ask, read, close."""
        raise NotImplementedError

    def fetch_all(self, count: int, concurrency: int = 1) -> list[Answer]:
        if concurrency != 1:
            raise ValueError("a blocking client does one thing at a time")
        return [self.fetch() for _ in range(count)]

    def refused(self, count: int) -> int:
        refusals = 0
        for _ in range(count):
            try:
                self.fetch()
            except self.refusals:
                refusals += 1
        return refusals


class AsyncClient(Client):
    """A client on an event loop of its own."""

    loop_kind: ClassVar[str] = "asyncio"

    def prepare(self) -> None:
        self.runner = asyncio.Runner(loop_factory=new_loop(self.loop_kind))
        self.run(self.set_up())

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run on this client's loop."""
        results: list[T] = []

        async def keep() -> None:
            results.append(await main)

        # Not returned from the task: when a Runner gives SIGINT back, `signal` has the task's
        # result made into text, which for a list of Permits takes as long as a hundredth of the
        # connections that they stand for.
        self.runner.run(keep())
        return results[0]

    async def set_up(self) -> None:
        """What `prepare` makes, where it wants a running loop."""

    async def tear_down(self) -> None:
        """Release what `set_up` made."""

    async def fetch(self) -> Answer:
        """Connect, ask, read, close."""
        raise NotImplementedError

    def fetch_all(self, count: int, concurrency: int = 1) -> list[Answer]:
        return self.run(self._fetch_all(count, concurrency))

    async def _fetch_all(self, count: int, concurrency: int) -> list[Answer]:
        if concurrency == 1:
            return [await self.fetch() for _ in range(count)]
        answers: list[Answer] = []

        async def one_after_the_other() -> None:
            while len(answers) < count:
                answers.append(await self.fetch())

        await asyncio.gather(*(one_after_the_other() for _ in range(concurrency)))
        return answers

    def refused(self, count: int) -> int:
        return self.run(self._refused(count))

    async def _refused(self, count: int) -> int:
        refusals = 0
        for _ in range(count):
            try:
                await self.fetch()
            except self.refusals:
                refusals += 1
        return refusals

    def close(self) -> None:
        self.run(self.tear_down())
        self.runner.close()


class StreamClient(AsyncClient):
    """A client that opens connections for a program's own protocol."""

    host = NAME

    async def open(self) -> Streams:
        """Like `asyncio.open_connection`."""
        raise NotImplementedError

    async def create(self, factory: Callable[[], asyncio.BaseProtocol]) -> asyncio.Transport:
        """Like `loop.create_connection`; the transport alone, since the caller knows its protocol."""
        raise NotImplementedError

    async def fetch(self) -> Answer:
        reader, writer = await self.open()
        permit = writer.get_extra_info("pinio")
        writer.write(REQUEST)
        text = await reader.read()
        writer.close()
        await writer.wait_closed()
        return Answer(text.partition(b"\r\n\r\n")[2], permit)

    @property
    def address(self) -> dict[str, Any]:
        """Where to connect and whose certificate to expect, as the arguments of asyncio's functions."""
        return {"host": ADDRESS, "port": self.target.port, "server_hostname": NAME}


def new_loop(kind: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Make a loop of this kind."""
    if kind == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return asyncio.new_event_loop
