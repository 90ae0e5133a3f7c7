"""The doors' arguments, for type checkers: exactly one of `policy`, `pins` and `ssl`, and each with what goes with it.

What is not to be given may be None, so that a program can hand on what it was given. `ssl=True`
means nothing, for code that was written for asyncio.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Literal, Required, TypedDict

from pinio.core.anchors import Anchors
from pinio.core.pinset import PinsLike, Trust
from pinio.tls.config.engine import EngineChoice
from pinio.tls.config.identity import ClientCert
from pinio.tls.context.pinned import PinnedSSLContext
from pinio.tls.handshake.sessions import SessionCache
from pinio.typing import Observer, PolicyLike


class ContextOptions(TypedDict, total=False):
    """What `create_ssl_context` takes beside what it expects of peers."""

    client_cert: ClientCert | None
    alpn: Iterable[str] | None
    observer: Observer | None
    resumption: bool | SessionCache


class _Any(TypedDict, total=False):
    """What every door takes."""

    observer: Observer | None
    resumption: bool | SessionCache
    engine: EngineChoice
    ssl_handshake_timeout: float | None
    ssl_shutdown_timeout: float | None


class _Dial(_Any, total=False):
    """What the doors take that dial: asyncio's arguments of the same names."""

    family: int
    proto: int
    flags: int
    sock: socket.socket | None
    local_addr: tuple[str, int] | None
    server_hostname: str | None
    happy_eyeballs_delay: float | None
    interleave: int | None
    all_errors: bool


class _Unix(_Any, total=False):
    """What the doors take that dial a Unix socket: asyncio's arguments of the same names."""

    sock: socket.socket | None
    server_hostname: Required[str]


class _Upgrade(_Any, total=False):
    """What the doors take that begin TLS on a connection."""

    server_hostname: Required[str]
    port: int | None


# What is expected of the peer, in each of the three ways to say it.


class _ByPolicy(TypedDict, total=False):
    policy: Required[PolicyLike]
    pins: None
    trust: None
    anchors: None
    ssl: Literal[True] | None


class _ByPins(TypedDict, total=False):
    pins: Required[PinsLike]
    trust: Trust | None
    anchors: Anchors | None
    policy: None
    ssl: Literal[True] | None


class _ByContext(TypedDict, total=False):
    ssl: Required[PinnedSSLContext]
    policy: None
    pins: None
    trust: None
    anchors: None


class DialByPolicy(_Dial, _ByPolicy, total=False):
    """`policy=` to dial."""


class DialByPins(_Dial, _ByPins, total=False):
    """`pins=` to dial."""


class DialByContext(_Dial, _ByContext, total=False):
    """`ssl=` to dial."""


class UnixByPolicy(_Unix, _ByPolicy, total=False):
    """`policy=` to dial a Unix socket."""


class UnixByPins(_Unix, _ByPins, total=False):
    """`pins=` to dial a Unix socket."""


class UnixByContext(_Unix, _ByContext, total=False):
    """`ssl=` to dial a Unix socket."""


class UpgradeByPolicy(_Upgrade, _ByPolicy, total=False):
    """`policy=` to begin TLS."""


class UpgradeByPins(_Upgrade, _ByPins, total=False):
    """`pins=` to begin TLS."""


class UpgradeByContext(_Upgrade, _ByContext, total=False):
    """`ssl=` to begin TLS."""
