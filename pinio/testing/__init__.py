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
from pinio.testing.connection import Connection
from pinio.testing.device import self_signed
from pinio.testing.handlers import Handler, echo, garbage, silent, speak_first, starttls, vanish
from pinio.testing.interceptor import Interceptor
from pinio.testing.leaf import Leaf
from pinio.testing.peers import CutRelay, DripRelay, RawServer, hear, reset, tls_alert, tls_record
from pinio.testing.proxy import ConnectProxy
from pinio.testing.record import ConnectionRecord, Request
from pinio.testing.responder import http
from pinio.testing.server import Server

__all__ = [
    "CA",
    "ConnectProxy",
    "Connection",
    "ConnectionRecord",
    "CutRelay",
    "DripRelay",
    "Handler",
    "Interceptor",
    "Leaf",
    "RawServer",
    "Request",
    "Server",
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
    "vanish",
]
