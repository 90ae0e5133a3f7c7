"""What a test server saw, connection by connection."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

RECORD_LIMIT = 16 * 1024 * 1024


@dataclass(frozen=True)
class Request:
    """One HTTP request as it arrived.

    Attributes:
        method: such as `GET`.
        target: the request target, for example `/path?query`.
        headers: names as sent and values, in the order of arrival.
        body: complete, with any chunked encoding removed.
    """

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The first value of header `name`, in whichever case it was sent."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(eq=False)
class ConnectionRecord:
    """What the server's side of one connection saw.

    Filled in by the connection's thread, for tests to read.

    Attributes:
        peername: the client's address and port.
        handshake_finished: the server has *received and verified the client's Finished message*.
        handshake_bytes: everything that came off the wire before that, as it came, in clear or not.
        client_certificate: the certificate (DER) that the client sent and proved in this handshake.
            A resumed session brings none.
        application_bytes: what the client sent through TLS (or in clear, on a plain server),
            decrypted; at most the first 16 MiB of it.
        replies: what a relay (an interceptor with an upstream, a bad network) passed back to the
            client; at most the first 16 MiB of it.
        plaintext_bytes: what the client sent in clear before STARTTLS.
        server_name: the name asked for (SNI).
        version: `"TLSv1.3"` or `"TLSv1.2"`.
        cipher: OpenSSL's name of the cipher suite.
        alpn: the application protocol agreed on.
        resumed: whether the session was resumed.
        error: how the handshake or the connection failed; `None` after an orderly close.
        requests: what the HTTP handler was asked.
        ended: set when nothing more will happen on this connection.
    """

    peername: tuple[str, int] = ("", 0)
    handshake_finished: bool = False
    handshake_bytes: bytearray = field(default_factory=bytearray, repr=False)
    client_certificate: bytes | None = field(default=None, repr=False)
    application_bytes: bytearray = field(default_factory=bytearray)
    replies: bytearray = field(default_factory=bytearray)
    plaintext_bytes: bytearray = field(default_factory=bytearray)
    server_name: str | None = None
    version: str | None = None
    cipher: str | None = None
    alpn: str | None = None
    resumed: bool = False
    error: Exception | None = None
    requests: list[Request] = field(default_factory=list[Request])
    ended: threading.Event = field(default_factory=threading.Event, repr=False)


def append_bounded(buffer: bytearray, data: bytes) -> None:
    """Appends `data` as far as `RECORD_LIMIT` allows."""
    buffer += data[: max(0, RECORD_LIMIT - len(buffer))]
