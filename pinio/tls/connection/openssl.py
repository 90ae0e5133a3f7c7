"""The engine of the module `ssl`: two memory BIOs and a TLS object of an inner context.

Once the handshake is done, `read` and `write` are the bound methods of the C object, so that a
record costs no Python call here.

A memory BIO keeps the largest size that it ever had. So that an idle connection stays small after
bulk traffic, callers feed and drain it in slices of at most `SLICE` bytes.
"""

# pyright: reportIncompatibleVariableOverride=false
# The class narrows the attributes of its base, and sets them once.

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, cast

from pinio.tls.connection.judged import JudgedEngine
from pinio.tls.context.objects import bind
from pinio.tls.handshake import peer
from pinio.tls.handshake.handshake import Handshake


class OpenSSLEngine(JudgedEngine):
    """One connection's TLS object and its two BIOs."""

    __slots__ = ()

    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO
    tls: ssl.SSLObject

    def __init__(self, context: ssl.SSLContext, handshake: Handshake) -> None:
        super().__init__(handshake)
        self.incoming, self.outgoing = incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        # As bytes, since `ssl` has an IDNA codec of its own for text.
        name = self.judge.endpoint.host.encode("ascii")
        session = cast(ssl.SSLSession | None, handshake.session)
        tls = context.wrap_bio(incoming, outgoing, server_hostname=name, session=session)
        bind(tls, handshake, outgoing)
        self.tls = tls
        self._facts = peer.OpenSSLFacts(tls)
        raw = peer.raw(tls)
        self._do_handshake = raw.do_handshake
        read, shutdown = raw.read, raw.shutdown
        if handshake.answers:
            read, shutdown = self._checked(read), self._checked(shutdown)
        self.read, self.shutdown = read, shutdown
        self.write, self.pending = raw.write, raw.pending

    def _checked(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """`step`, within which OpenSSL may answer a request for the client's certificate."""
        check, outgoing = self._handshake.check_answer, self.outgoing

        def checked(*arguments: Any) -> Any:  # without `self`: no cycle
            try:
                return step(*arguments)
            finally:
                check(outgoing)

        return checked
