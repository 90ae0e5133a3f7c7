"""Clients without an event loop."""

from __future__ import annotations

import io
import socket
import ssl
from typing import Any

from benchmarks.subjects.client import REQUEST, Answer, BlockingClient
from benchmarks.subjects.http import CLOSE
from benchmarks.subjects.pinned import Decisions, context_for
from benchmarks.target import ADDRESS, NAME


class Floor(BlockingClient):
    """An `SSLObject`, two BIOs and a blocking socket: no loop, no protocol, no check. Nothing in Python costs less."""

    refusals = (ssl.SSLError,)

    def prepare(self) -> None:
        self._context = (
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if self.refuse else self.target.context()
        )
        self._session: ssl.SSLSession | None = None

    def fetch(self) -> Answer:
        connection = self.connect()
        try:
            connection.send(REQUEST)
            text = b"".join(iter(connection.receive, b""))
            if self.resume:
                self._session = connection.tls.session
        finally:
            connection.socket.close()
        return Answer(text.partition(b"\r\n\r\n")[2])

    def connect(self) -> Bare:
        """A connection after its handshake."""
        return Bare(self.target.port, self._context, self._session)


class Bare:
    """One connection of `Floor`."""

    def __init__(
        self, port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=NAME, session=session
        )
        self.socket = socket.create_connection((ADDRESS, port))
        try:
            self._shake()
        except BaseException:
            self.socket.close()
            raise

    def _shake(self) -> None:
        while True:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self.socket.sendall(self._outgoing.read())
                self._incoming.write(self.socket.recv(65536))
            else:
                self.socket.sendall(self._outgoing.read())
                return

    def send(self, data: bytes) -> None:
        """Encrypt and send."""
        self.tls.write(data)
        self.socket.sendall(self._outgoing.read())

    def receive(self) -> bytes:
        """The next plaintext; empty at the end."""
        while True:
            try:
                return self.tls.read(65536)
            except ssl.SSLWantReadError:
                data = self.socket.recv(65536)
                if not data:
                    return b""
                self._incoming.write(data)
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""


class Curl(BlockingClient):
    """libcurl by way of pycurl with `PINNEDPUBLICKEY`: one handle, as its manual advises, a new connection for each transfer."""

    def prepare(self) -> None:
        import pycurl  # type: ignore[import-untyped,unused-ignore]

        self.refusals = (pycurl.error,)
        self._handle = handle = pycurl.Curl()
        handle.setopt(pycurl.URL, f"https://{NAME}:{self.target.port}/")
        handle.setopt(pycurl.RESOLVE, [f"{NAME}:{self.target.port}:{ADDRESS}"])
        handle.setopt(pycurl.CAINFO, self.target.identity.root)
        handle.setopt(
            pycurl.PINNEDPUBLICKEY, ";".join(pin.replace("/", "//", 1) for pin in self.pins)
        )
        handle.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        handle.setopt(pycurl.HTTPHEADER, ["Connection: close"])
        handle.setopt(pycurl.SSL_SESSIONID_CACHE, int(self.resume))
        # Newer OpenSSL offers a post-quantum key share by default, which the others' older one does
        # not know.
        if hasattr(pycurl, "SSL_EC_CURVES"):
            handle.setopt(pycurl.SSL_EC_CURVES, "X25519:P-256:P-384")

    def fetch(self) -> Answer:
        import pycurl

        body = io.BytesIO()
        self._handle.setopt(pycurl.WRITEDATA, body)
        self._handle.perform()
        return Answer(body.getvalue())

    def close(self) -> None:
        self._handle.close()


class Urllib3(BlockingClient):
    """urllib3 with `assert_fingerprint`."""

    def prepare(self) -> None:
        import urllib3

        self.refusals = (urllib3.exceptions.SSLError,)
        self._pool = urllib3.HTTPSConnectionPool(
            ADDRESS,
            self.target.port,
            ca_certs=self.target.identity.root,
            retries=False,
            **self.check(),
        )

    def check(self) -> dict[str, Any]:
        """What says which key is expected."""
        return {"assert_fingerprint": self.fingerprint}

    def fetch(self) -> Answer:
        return Answer(self._pool.request("GET", "/", headers=CLOSE).data)

    def close(self) -> None:
        self._pool.close()


class Urllib3Pinned(Urllib3):
    """urllib3 with `pinio.create_ssl_context`."""

    pinned = True

    def check(self) -> dict[str, Any]:
        self.decisions = Decisions()
        return {"ssl_context": context_for(self, self.decisions)}

    def fetch(self) -> Answer:
        return super().fetch()._replace(permit=self.decisions.take())


class Requests(BlockingClient):
    """A `requests.Session` with one root in `verify`."""

    def prepare(self) -> None:
        import requests

        self._session = requests.Session()
        self._session.trust_env = False  # or REQUESTS_CA_BUNDLE would decide
        self._session.verify = self.target.identity.root
        self._session.headers.update(CLOSE)
        self.mount()

    def mount(self) -> None:
        """Install the adapter that makes the difference."""

    def fetch(self) -> Answer:
        return Answer(self._session.get(self.target.url).content)

    def close(self) -> None:
        self._session.close()


class RequestsPinned(Requests):
    """requests with `pinio.create_ssl_context`, by the usual adapter."""

    pinned = True

    def mount(self) -> None:
        import requests.adapters

        self.decisions = Decisions()
        context = context_for(self, self.decisions)

        class Adapter(requests.adapters.HTTPAdapter):
            def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
                super().init_poolmanager(*arguments, ssl_context=context, **options)

        self._session.mount("https://", Adapter())

    def fetch(self) -> Answer:
        return super().fetch()._replace(permit=self.decisions.take())
