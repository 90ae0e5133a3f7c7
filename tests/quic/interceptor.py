"""A man in the middle who speaks QUIC, with a certificate from a CA that the client trusts."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pinio.testing import Leaf


class QuicInterceptor:
    """An HTTP/3 server on a UDP port of loopback, which keeps what it was sent.

    Attributes:
        port: its UDP port.
        datagrams: how many bytes of UDP arrived, whatever they are.
        requests: what was decrypted: the headers of each request.
    """

    def __init__(self, leaf: Leaf, directory: Path) -> None:
        self.port = 0
        self.datagrams = 0
        self.requests: list[dict[bytes, bytes]] = []
        self._certificate = directory / "quic.pem"
        self._key = directory / "quic.key"
        self._certificate.write_text(leaf.chain_pem)
        self._key.write_text(leaf.private_key_pem)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(60)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(60)

    async def _main(self) -> None:
        from qh3.asyncio.server import QuicServer
        from qh3.h3.connection import H3_ALPN
        from qh3.quic.configuration import QuicConfiguration

        interceptor = self

        class Counted(QuicServer):  # type: ignore[misc]
            def datagram_received(self, data: Any, addr: Any) -> None:
                interceptor.datagrams += len(data)
                super().datagram_received(data, addr)

        configuration = QuicConfiguration(
            is_client=False, alpn_protocols=H3_ALPN, max_datagram_frame_size=65_536
        )
        configuration.load_cert_chain(str(self._certificate), str(self._key))
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        transport, server = await self._loop.create_datagram_endpoint(
            lambda: Counted(configuration=configuration, create_protocol=_protocol(self.requests)),
            local_addr=("127.0.0.1", 0),
        )
        self.port = transport.get_extra_info("sockname")[1]
        self._ready.set()
        await self._over.wait()
        server.close()


def _protocol(requests: list[dict[bytes, bytes]]) -> Any:
    from qh3.asyncio.protocol import QuicConnectionProtocol
    from qh3.h3.connection import H3Connection
    from qh3.h3.events import HeadersReceived

    class Answering(QuicConnectionProtocol):  # type: ignore[misc]
        _http: Any = None

        def quic_event_received(self, event: Any) -> None:
            if self._http is None:
                self._http = H3Connection(self._quic)
            for happened in self._http.handle_event(event):
                if isinstance(happened, HeadersReceived):
                    requests.append(dict(happened.headers))
                    self._http.send_headers(
                        happened.stream_id, [(b":status", b"200"), (b"content-length", b"11")]
                    )
                    self._http.send_data(happened.stream_id, b"intercepted", end_stream=True)
                    self.transmit()

    return Answering
