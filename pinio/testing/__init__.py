"""Everything that a test of pinning needs, without a mock: certificate authorities, servers and interceptors.

Real keys, real chains, real TLS on loopback sockets; what the server's side saw is kept for the
test to assert on. Needs the extra `testing`; does not need pytest.
"""

from __future__ import annotations

from importlib.util import find_spec

from pinio.extras import how_to_install

if _missing := [name for name in ("cryptography", "trustme") if find_spec(name) is None]:
    raise ModuleNotFoundError(
        f"pinio.testing needs {_missing[0]}; {how_to_install('testing')}", name=_missing[0]
    )

from pinio.testing.authority import CA
from pinio.testing.clock import Clock
from pinio.testing.connection import Connection
from pinio.testing.device import self_signed
from pinio.testing.handlers import Handler, echo, garbage, silent, speak_first, starttls, vanish
from pinio.testing.interceptor import Interceptor
from pinio.testing.leaf import Leaf
from pinio.testing.mitm import Expected, Mitm, Refused
from pinio.testing.peers import CutRelay, DripRelay, RawServer, hear, reset, tls_alert, tls_record
from pinio.testing.proxy import ConnectProxy
from pinio.testing.record import ConnectionRecord, Request
from pinio.testing.responder import http
from pinio.testing.routing import Route, unrouted
from pinio.testing.server import Server
from pinio.testing.site import Site
from pinio.testing.trap import Trap

__all__ = [
    "CA",
    "Clock",
    "ConnectProxy",
    "Connection",
    "ConnectionRecord",
    "CutRelay",
    "DripRelay",
    "Expected",
    "Handler",
    "Interceptor",
    "Leaf",
    "Mitm",
    "RawServer",
    "Refused",
    "Request",
    "Route",
    "Server",
    "Site",
    "Trap",
    "echo",
    "garbage",
    "hear",
    "http",
    "reset",
    "self_signed",
    "silent",
    "speak_first",
    "starttls",
    "tls_alert",
    "tls_record",
    "unrouted",
    "vanish",
]
