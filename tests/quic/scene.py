"""A genuine server that offers HTTP/3, and a man in the middle who answers there; what became of a client."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.testing import Server, http
from pinio.tls.context.pinned import create_ssl_context
from pinio.tls.handshake.sessions import SessionCache
from tests.quic.clients import SECRET, Row, Site, run
from tests.quic.interceptor import QuicInterceptor
from tests.tls.cast import GENUINE, ROOT, SPARE, Told

POLICY = Policy({"localhost": PinSet([GENUINE.pin], backup=[SPARE], anchors=ROOT.anchors)})
IMPOSTOR = ROOT.issue("localhost")


@dataclass(frozen=True)
class Outcome:
    """What came of one client."""

    error: BaseException | None
    answered: int
    """How many requests, each with the secret, arrived over TCP."""
    quic_bytes: int
    """How much arrived at the UDP port of the man in the middle."""
    quic_requests: list[dict[bytes, bytes]]
    """What he decrypted of it."""
    decisions: list[str]


def outcome(
    entry: Row,
    directory: Path,
    loop: Callable[[], asyncio.AbstractEventLoop] | None,
    *,
    context: ssl.SSLContext | None = None,
    tls_version: ssl.TLSVersion | None = None,
    known: bool = False,
    between: bool = False,
) -> Outcome:
    """Run a client, by default with a pinned context.

    `known` says that it has been told of HTTP/3 beforehand, `between` that a man in the middle
    answers on TCP, too.
    """
    told = Told()
    context = context or create_ssl_context(POLICY, observer=told, resumption=SessionCache())
    ca = directory / "ca.pem"
    ca.write_text(ROOT.certificate_pem)
    leaf = IMPOSTOR if between else GENUINE
    error: BaseException | None = None
    with (
        QuicInterceptor(IMPOSTOR, directory) as quic,
        Server(
            leaf,
            handler=http(headers=[("Alt-Svc", f'h3=":{quic.port}"; ma=86400')]),
            tls_version=tls_version,
        ) as server,
    ):
        cache = {("localhost", server.port): ("localhost", quic.port)} if known else None
        try:
            run(
                entry.client,
                context,
                Site(f"https://localhost:{server.port}/", str(ca), cache),
                loop,
            )
        except Exception as raised:  # noqa: BLE001 - each library has its own
            error = raised
        answered = server.application_bytes.count(SECRET.encode())
    return Outcome(error, answered, quic.datagrams, quic.requests, told.kinds)
