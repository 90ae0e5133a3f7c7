"""The same play twice: once over the event loop's own TLS, once over ours, with the same server on the same strings.

A test is a story: what server and application do, step by step. `Stage.same` lets both transports
play it and asks that the application was told the same, in the same order, that the server saw the
same, and that the loop complained of the same. A `Departure` beside the story is where ours differs
on purpose: it says in what, and why.

What is not compared: into how many pieces bytes are cut on their way to the application (a `Diary`
joins them), and the texts of errors.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, cast

import pinio
from pinio.testing import Leaf, starttls
from tests.tls.cast import GENUINE, ROOT
from tests.tls.conformance.diary import Diary, Entry, kind_of
from tests.tls.conformance.puppet import POLICY, Puppet, small, turns

Door: TypeAlias = Literal["create_connection", "start_tls"]
Story: TypeAlias = "Callable[[Act], Awaitable[None]]"
Connect: TypeAlias = (
    "Callable[[Act, Callable[[], Diary], dict[str, Any]], Awaitable[asyncio.Transport]]"
)

DOORS: Final[tuple[Door, ...]] = ("create_connection", "start_tls")
TRUST: Final = ROOT.client_context()


@dataclass
class Record:
    """What came of a story."""

    told: list[Entry] = field(default_factory=list)
    """To the application, by callbacks; over a plain connection from the handshake on."""
    flow: list[str] = field(default_factory=list)
    seen: list[object] = field(default_factory=list)
    """What the story noted by itself: what the server saw, what the transport answered."""
    complaints: list[str] = field(default_factory=list)
    """Exceptions that the loop's handler was told of."""


class Act:
    """One play: a puppet, and whichever transport is on trial."""

    transport: asyncio.Transport
    app: Diary

    def __init__(self, puppet: Puppet, connect: Connect) -> None:
        self.puppet = puppet
        self.port = puppet.server.port
        """Where the client dials; a story may put somebody in between."""
        self.ours = connect in (_our_connection, _our_upgrade)
        self.tls_begins = asyncio.Event()
        """Set when a plain connection is ready for TLS; at once where there is none before."""
        self.record = Record()
        self._connect = connect
        self._before = 0

    def sees(self, fact: object) -> None:
        """Note something that has to be the same."""
        self.record.seen.append(fact)

    async def connect(self, factory: Callable[[], Diary] = Diary, **options: Any) -> None:
        """Open the connection, on both sides; keeps the application even if that fails."""

        def make() -> Diary:
            self.app = factory()
            return self.app

        self.transport = await self._connect(self, make, options)
        small(self.transport)
        await self.puppet.does(lambda connection: None)

    async def fails(self, factory: Callable[[], Diary] = Diary, **options: Any) -> None:
        """Note what the attempt to connect raises."""
        try:
            await self.connect(factory, **options)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - any of them is an answer
            self.sees(("connect", kind_of(error)))
        else:
            self.sees(("connect", "went well"))
        await turns()

    def told_plainly(self) -> None:
        """Forget what the application was told before TLS."""
        self._before = len(self.app.entries)
        self.app.note("TLS")  # so that what comes next is not joined to it
        self.tls_begins.set()

    @property
    def is_open(self) -> bool:
        return hasattr(self, "transport") and "lost" not in self.app.names

    def finish(self) -> Record:
        """What the story has come to; what happens later is no part of it."""
        if hasattr(self, "app"):
            self.record.told = [
                entry for entry in self.app.entries[self._before :] if entry != "TLS"
            ]
            self.record.flow = list(self.app.flow)
        return self.record


@dataclass(frozen=True)
class Departure:
    """Something that ours does otherwise, on purpose: how its record comes from theirs."""

    why: str
    change: Callable[[Record], Record]
    on: Literal["asyncio", "uvloop"] | None = None
    """The loop whose transport is otherwise; None for both."""
    always: bool = True
    """False where theirs is sometimes right, as it happens."""

    def of(self, theirs: Record) -> Record:
        """What ours is to do. A departure that changes nothing has outlived its reason."""
        if self.on not in (None, type(asyncio.get_running_loop()).__module__.partition(".")[0]):
            return theirs
        ours = self.change(theirs)
        assert ours != theirs or not self.always, f"no departure any more: {self.why}"
        return ours


class Stage:
    """Plays stories over one door and one version of TLS."""

    def __init__(self, door: Door, tls_version: ssl.TLSVersion) -> None:
        self.door, self.tls_version = door, tls_version

    async def same(
        self, story: Story, *but: Departure, identity: Any = GENUINE, greeting: bytes | None = None
    ) -> None:
        """Both transports play it alike, but for what is said."""
        records = []
        for connect in _CONNECT[self.door]:
            async with Puppet(
                self._version(identity), identity, **self._dialogue(greeting)
            ) as puppet:
                act = Act(puppet, connect)
                records.append(await self._play(act, story))
        theirs, ours = records
        for departure in but:
            theirs = departure.of(theirs)
        assert ours == theirs, f"\nexpected: {theirs}\nours:     {ours}"

    def _version(self, identity: object) -> ssl.TLSVersion | None:
        return self.tls_version if isinstance(identity, Leaf) else None

    def _dialogue(self, greeting: bytes | None) -> dict[str, Any]:
        return {"greeting": greeting, "starttls": starttls() if self.door == "start_tls" else None}

    async def _play(self, act: Act, story: Story) -> Record:
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler()
        loop.set_exception_handler(
            lambda loop, context: act.record.complaints.append(kind_of(context["exception"]))
        )
        try:
            await story(act)
            record = act.finish()
            if act.is_open:
                act.transport.abort()
                await act.app.lost()
            await turns()
        finally:
            loop.set_exception_handler(before)
        return record


# The four ways to a connection


async def _their_connection(
    act: Act, make: Callable[[], Diary], options: dict[str, Any]
) -> asyncio.Transport:
    tls: dict[str, Any] = {"ssl": TRUST, "server_hostname": "localhost"} | options
    act.tls_begins.set()
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(make, act.puppet.server.host, act.port, **tls))[0]


async def _our_connection(
    act: Act, make: Callable[[], Diary], options: dict[str, Any]
) -> asyncio.Transport:
    act.tls_begins.set()
    return (
        await pinio.create_connection(make, **(act.puppet.where | {"port": act.port} | options))
    )[0]


async def _plain(act: Act, make: Callable[[], Diary]) -> asyncio.Transport:
    """A plain connection right after the server's go-ahead."""
    loop = asyncio.get_running_loop()
    plain, app = await loop.create_connection(make, act.puppet.server.host, act.port)
    await app.until(lambda: app.data == b"220 ready\r\n" or "lost" in app.names)
    plain.write(b"STARTTLS\r\n")
    await app.until(lambda: app.data == b"220 ready\r\n220 go ahead\r\n" or "lost" in app.names)
    act.told_plainly()
    return plain


async def _their_upgrade(
    act: Act, make: Callable[[], Diary], options: dict[str, Any]
) -> asyncio.Transport:
    plain = await _plain(act, make)
    tls: dict[str, Any] = {"server_hostname": "localhost"} | options
    loop = asyncio.get_running_loop()
    transport = await loop.start_tls(plain, act.app, tls.pop("ssl", TRUST), **tls)
    act.app.transport = transport
    return cast(asyncio.Transport, transport)


async def _our_upgrade(
    act: Act, make: Callable[[], Diary], options: dict[str, Any]
) -> asyncio.Transport:
    plain = await _plain(act, make)
    tls: dict[str, Any] = {"server_hostname": "localhost", "policy": POLICY} | options
    act.app.transport = transport = await pinio.start_tls(plain, act.app, **tls)
    return transport


_CONNECT: Final = {
    "create_connection": (_their_connection, _our_connection),
    "start_tls": (_their_upgrade, _our_upgrade),
}
