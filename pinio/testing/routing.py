"""Leads connections of this process to servers of a test, and restores everything at the end.

While at least one route exists, name resolution and `connect` of Python's sockets are replaced:
those of the module `socket`, which asyncio, trio and blocking libraries use, and those of uvloop.
A routed name resolves to a stand-in address on loopback, which nothing else uses. Code that
resolves or connects by other means (c-ares, libcurl, a child process, a proxy) is not led; its
connection to a stand-in address is refused.
"""

from __future__ import annotations

import errno
import functools
import itertools
import os
import socket
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self, cast

from pinio.core.host import canonical_host, ip_address
from pinio.errors import PolicyError

Address = tuple[str, int]
AddrInfo = tuple[int, int, int, str, Address]

_lock = threading.RLock()
_routes: list[Route] = []
_stand_ins: dict[str, str] = {}
_numbers = itertools.count(1)
_undo: list[Callable[[], None]] = []
_thread = threading.local()


class Route:
    """Leads connections for one host to `target` from its creation until `close()`.

    The latest route wins; a route for the exact port precedes one for every port.

    Args:
        host: a host name or an IP address.
        port: the port that the client connects to; `None` for every port.
        target: where the connection goes instead.

    Raises:
        PolicyError: `host` is no host name.
    """

    def __init__(self, host: str, port: int | None, target: Address) -> None:
        self.host = canonical_host(host)
        self.port = port
        self.target = target
        with _lock:
            if not _routes:
                _install()
            if ip_address(self.host) is None and self.host not in _stand_ins:
                _stand_ins[self.host] = _next_stand_in()
            _routes.append(self)

    def __repr__(self) -> str:
        return f"<Route {self.host}:{self.port or '*'} to {self.target[0]}:{self.target[1]}>"

    def close(self) -> None:
        """End the route. Does nothing the second time."""
        with _lock:
            if self not in _routes:
                return
            _routes.remove(self)
            if not any(route.host == self.host for route in _routes):
                _stand_ins.pop(self.host, None)
            if not _routes:
                while _undo:
                    _undo.pop()()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@contextmanager
def unrouted() -> Generator[None]:
    """Connect to real addresses within the block, in this thread: servers of a test do."""
    before = getattr(_thread, "unrouted", False)
    _thread.unrouted = True
    try:
        yield
    finally:
        _thread.unrouted = before


def _next_stand_in() -> str:
    number = next(_numbers)
    return f"127.88.{number // 250 % 250}.{number % 250 + 1}"


def _find(host: str, port: int) -> Address | None:
    found = [route for route in _routes if route.host == host and route.port in (port, None)]
    found.sort(key=lambda route: route.port is not None)
    return found[-1].target if found else None


def _name(host: object) -> str | None:
    """The routed host that a resolver's argument or a connected address means."""
    if isinstance(host, bytes | bytearray):
        host = bytes(host).decode("ascii", "replace")
    if not isinstance(host, str) or getattr(_thread, "unrouted", False):
        return None
    with _lock:
        for name, stand_in in _stand_ins.items():
            if host == stand_in:
                return name
        try:
            name = canonical_host(host)
        except PolicyError:
            return None
        return name if any(route.host == name for route in _routes) else None


def _led(host: object = None, port: object = None) -> Address | None:
    """Where a connection goes; `None` if it is not led. Raises `ConnectionRefusedError`."""
    name = _name(host)
    if name is None or not isinstance(port, int):
        return None
    with _lock:
        target = _find(name, port)
    if target is not None:
        return target
    if name == "localhost":
        return "127.0.0.1", port
    if ip_address(name) is not None:
        return None
    raise ConnectionRefusedError(
        errno.ECONNREFUSED, f"{os.strerror(errno.ECONNREFUSED)}: no route for {name}:{port}"
    )


def _replace(owner: Any, name: str, value: object) -> None:
    """Set an attribute of a module or a class, and note how to restore it."""
    own = cast("dict[str, Any]", owner.__dict__)
    restore = functools.partial(setattr, owner, name, own[name]) if name in own else None
    _undo.append(restore or functools.partial(delattr, owner, name))
    setattr(owner, name, value)


def _install() -> None:
    _replace(socket.socket, "connect", _connecting(socket.socket.connect))
    _replace(socket.socket, "connect_ex", _connecting(socket.socket.connect_ex))
    resolve = socket.getaddrinfo

    def getaddrinfo(
        host: Any,
        port: Any,
        family: int = 0,
        type: int = 0,  # noqa: A002 - its name in `socket`
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        with _lock:
            stand_in = _stand_ins.get(_name(host) or "")
        if stand_in is None:
            return resolve(host, port, family, type, proto, flags)
        if family not in (0, socket.AF_INET):
            raise socket.gaierror(socket.EAI_NONAME, f"{host} is routed, and has no such address")
        return _addresses(stand_in, port, type, proto)

    resolve_one = socket.gethostbyname

    def gethostbyname(hostname: Any) -> str:
        with _lock:
            stand_in = _stand_ins.get(_name(hostname) or "")
        return resolve_one(hostname) if stand_in is None else stand_in

    _replace(socket, "getaddrinfo", getaddrinfo)
    _replace(socket, "gethostbyname", gethostbyname)
    if "uvloop" in sys.modules:
        _install_uvloop(sys.modules["uvloop"].Loop, getaddrinfo)


def _addresses(stand_in: str, port: object, kind: int, proto: int) -> list[AddrInfo]:
    """What a resolver answers for a stand-in address."""
    if isinstance(port, str | bytes):
        name = port if isinstance(port, str) else port.decode("ascii")
        port = int(name) if name.isdigit() else socket.getservbyname(name)
    address = stand_in, port if isinstance(port, int) else 0
    kinds = ((socket.SOCK_STREAM, socket.IPPROTO_TCP), (socket.SOCK_DGRAM, socket.IPPROTO_UDP))
    return [
        (socket.AF_INET, each, number, "", address)
        for each, number in kinds
        if kind in (0, each) and proto in (0, number)
    ]


def _connecting(connect: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: socket.socket, address: Any, /) -> Any:
        internet = self.family in (socket.AF_INET, socket.AF_INET6)
        target = None
        if internet and self.type & socket.SOCK_STREAM and isinstance(address, tuple):
            target = _led(*cast("tuple[object, ...]", address)[:2])
        if target is not None:
            mapped = self.family == socket.AF_INET6 and ":" not in target[0]
            address = (f"::ffff:{target[0]}" if mapped else target[0], target[1])
        return connect(self, address)

    return method


def _install_uvloop(loop: Any, getaddrinfo: Callable[..., Any]) -> None:
    """Replace what uvloop does natively: to resolve, and to connect by name."""
    theirs, connect = loop.getaddrinfo, loop.create_connection

    async def resolve(self: Any, host: Any, port: Any, **options: int) -> Any:
        if _name(host) is None:
            return await theirs(self, host, port, **options)
        return getaddrinfo(host, port, **options)

    async def create_connection(
        self: Any, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        target = _led(host, port)
        if target is not None:
            if options.get("ssl") and options.get("server_hostname") is None:
                options["server_hostname"] = host
            host, port = target
        return await connect(self, protocol_factory, host, port, **options)

    _replace(loop, "getaddrinfo", resolve)
    _replace(loop, "create_connection", create_connection)
