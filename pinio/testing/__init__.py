"""Everything that a test of pinning needs, without a mock: certificate authorities, servers and interceptors.

Real keys, real chains, real TLS on loopback sockets; what the server's side saw is kept for the test to
assert on. Needs the extra ``testing``; does not need pytest.
"""

from __future__ import annotations

from pinio.testing.authority import CA, self_signed
from pinio.testing.handlers import Handler, echo, garbage, silent, speak_first, starttls, vanish
from pinio.testing.leaf import Leaf
from pinio.testing.listener import Connection
from pinio.testing.record import ConnectionRecord, Request
from pinio.testing.responder import http
from pinio.testing.server import Server

__all__ = [
    "CA",
    "Connection",
    "ConnectionRecord",
    "Handler",
    "Leaf",
    "Request",
    "Server",
    "echo",
    "garbage",
    "http",
    "self_signed",
    "silent",
    "speak_first",
    "starttls",
    "vanish",
]
