"""From a host and a port to a TCP connection: the loop's own way, or the race of RFC 8305 where it is asked for.

uvloop has no such race, and asyncio keeps the errors of single addresses since 3.12 only; here both
have both. Without a race the loop dials by itself: on uvloop that spares a dozen system calls for
each connection.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias, cast

import aiohappyeyeballs

from pinio.core.host import canonical_host, ip_address

AddrInfo: TypeAlias = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]


class Dialling(NamedTuple):
    """How to reach an address: the arguments of `loop.create_connection` of the same names."""

    local_addr: tuple[str, int] | None = None
    family: int = 0
    proto: int = 0
    flags: int = 0
    happy_eyeballs_delay: float | None = None
    interleave: int | None = None
    all_errors: bool = False


@lru_cache(maxsize=1024)
def dialled(host: str) -> str:
    """What is resolved: the canonical name, or the address as it was given, whose zone matters here."""
    return host.strip("[]") if ip_address(host) else canonical_host(host)


async def dial(
    loop: asyncio.AbstractEventLoop,
    factory: Callable[[], asyncio.BaseProtocol],
    host: str,
    port: int,
    how: Dialling,
) -> None:
    """Connect, and give the connection to the protocol that `factory` makes.

    Raises as `race` does.
    """
    if how.happy_eyeballs_delay is not None or how.interleave is not None or how.all_errors:
        await loop.create_connection(factory, sock=await race(loop, host, port, how))
    else:
        await loop.create_connection(
            factory,
            host,
            port,
            family=how.family,
            proto=how.proto,
            flags=how.flags,
            local_addr=how.local_addr,
        )


async def race(
    loop: asyncio.AbstractEventLoop, host: str, port: int, how: Dialling
) -> socket.socket:
    """A connected socket.

    Raises `OSError`, or with `all_errors` an `ExceptionGroup` of one for each address that was
    tried.
    """
    addresses = await _resolve(loop, host, port, how)
    local = None
    if how.local_addr is not None:
        local = await _resolve(loop, *how.local_addr, how)
    recorder = _Recorder(loop) if how.all_errors else loop
    try:
        return await aiohappyeyeballs.start_connection(
            cast(Any, addresses),
            local_addr_infos=cast(Any, local),
            happy_eyeballs_delay=how.happy_eyeballs_delay,
            interleave=how.interleave,
            loop=cast(asyncio.AbstractEventLoop, recorder),
        )
    except OSError as error:
        if isinstance(recorder, _Recorder):
            raise ExceptionGroup("create_connection failed", recorder.errors or [error]) from None
        raise


async def _resolve(
    loop: asyncio.AbstractEventLoop, host: str, port: int, how: Dialling
) -> list[AddrInfo]:
    """Addresses of a host; an address as it stands needs no resolver, and no thread to run it in."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        if how.family in (0, family) and "%" not in host:
            sockaddr = (host, port) if address.version == 4 else (host, port, 0, 0)
            return [(family, socket.SOCK_STREAM, how.proto, "", sockaddr)]
    found = await loop.getaddrinfo(
        host, port, family=how.family, type=socket.SOCK_STREAM, proto=how.proto, flags=how.flags
    )
    if not found:
        raise OSError(f"getaddrinfo({host!r}) returned an empty list")
    return cast("list[AddrInfo]", found)


class _Recorder:
    """Stands in for the loop, to keep each address's own error."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.errors: list[OSError] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        try:
            await self._loop.sock_connect(sock, address)
        except OSError as error:
            self.errors.append(error)
            raise
