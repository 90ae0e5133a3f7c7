"""What the application holds: an `asyncio.Transport` whose bytes are encrypted on the way out."""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

from pinio.core.decision import Permit
from pinio.tls.connection.engine import RECORD, Engine
from pinio.tls.connection.protocol import PinnedProtocol
from pinio.tls.context.pinned import PinnedSSLContext, like
from pinio.tls.handshake.gate import OPEN, State
from pinio.tls.handshake.judge import Judge

logger = logging.getLogger("pinio")

_OCTETS: Final = (bytes, bytearray, memoryview)
_WARN_AFTER: Final = 5  # writes to a closed transport, like asyncio's own


class PinnedTransport(asyncio.Transport):
    """A pinned TLS connection, open until it is closed.

    Behaves as `asyncio.Transport` documents. There is no queue of its own: what is written is
    encrypted at once, and waits, if it must, as ciphertext in the lower transport, whose flow
    control is passed on.

    `get_extra_info` knows, besides what the lower transport does: `"pinio"` (the `Permit`),
    `"ssl_object"`, `"sslcontext"`, `"peercert"`, `"cipher"`, `"compression"` as asyncio does, and
    `"pinio.eof"` ("clean", "ragged" or None: how the peer ended). The context is the one that was
    passed as `ssl=`, or one that pins what this connection pinned.
    """

    __slots__ = (
        "__weakref__",
        "_context",
        "_encrypt",
        "_engine",
        "_gate",
        "_lower",
        "_only_whether",
        "_protocol",
        "_take",
        "_writes_after_close",
    )

    def __init__(self, engine: Engine, context: PinnedSSLContext | None = None) -> None:
        super().__init__()
        self._context = context
        self._engine = engine
        self._gate = engine.judge.gate
        self._encrypt = engine.write
        self._take = engine.outgoing.read
        self._protocol: PinnedProtocol | None = None
        self._lower: asyncio.Transport | None = None
        self._writes_after_close = 0
        self._only_whether = False

    def attach(self, protocol: PinnedProtocol) -> None:
        """Tie to the protocol that reads for this transport."""
        self._protocol = protocol

    def opened(self, lower: asyncio.Transport | None) -> None:
        """The gate is open: bytes may go to `lower`."""
        self._lower = lower

    def notify_connected(self, app: asyncio.BaseProtocol) -> None:
        """Tell an application's protocol of the connection."""
        # asyncio's streams ask for the context here, only to learn whether there is TLS; do not
        # make one for that.
        self._only_whether = type(app) is asyncio.StreamReaderProtocol
        try:
            app.connection_made(self)
        finally:
            self._only_whether = False

    def lost(self) -> None:
        """The lower transport is gone."""
        self._lower = None

    @property
    def state(self) -> State:
        """Where the connection is; application bytes flow in `State.OPEN` only."""
        return self._gate.state

    @property
    def permit(self) -> Permit:
        """Why this connection was allowed."""
        permit = self._gate.permit
        if permit is None:
            raise RuntimeError("the connection is not open yet")
        return permit

    @property
    def judge(self) -> Judge:
        """Who judged the connection, and may do so again."""
        return self._engine.judge

    @property
    def lower(self) -> asyncio.Transport | None:
        """What carries this connection's ciphertext; None once it is gone."""
        return self._lower

    def recheck(self) -> None:
        """Judge the connection again if its policy was replaced or its pins have expired.

        Costs two comparisons otherwise. Raises `PinVerificationError` if the policy in force now
        does not allow it: the connection then carries no more application bytes.
        """
        self._engine.recheck()

    # Writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not isinstance(data, _OCTETS):
            raise TypeError(f"data: expecting a bytes-like instance, got {type(data).__name__}")
        if not data:
            return
        lower = self._lower
        if lower is None or self._gate.state is not OPEN:
            self._write_after_close()
            return
        much = _flat(data) if len(data) > RECORD or isinstance(data, memoryview) else None
        try:
            if much is None:
                self._encrypt(data)
                lower.write(self._take())
            else:
                self._write_much(lower, much)
        except Exception as error:  # noqa: BLE001 - reported by connection_lost(), as asyncio does
            self._failed(error)

    def _write_much(self, lower: asyncio.Transport, data: memoryview) -> None:
        """Encrypt and send record by record, so that the engine's buffer stays small.

        Not by `writelines`, whose flow control is broken in asyncio before 3.12.9 and 3.13.2
        (CVE-2024-12254).
        """
        protocol = cast(PinnedProtocol, self._protocol)
        paused = protocol.begin_write()
        try:
            for at in range(0, len(data), RECORD):
                if self._gate.state is not OPEN:
                    return  # the lower transport failed
                lower.write(self._sealed(data[at : at + RECORD]))
        finally:
            protocol.end_write(paused)

    def _sealed(self, data: memoryview) -> bytes:
        self._encrypt(data)
        return self._take()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def _write_after_close(self) -> None:
        if self._writes_after_close >= _WARN_AFTER:
            logger.warning("write to a closed pinned connection")
        self._writes_after_close += 1

    def _failed(self, error: Exception) -> None:
        if self._protocol is not None:
            self._protocol.fatal(error, "writing to a pinned connection failed")

    def write_eof(self) -> None:
        raise NotImplementedError("TLS cannot close one half of a connection")

    def can_write_eof(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._lower is not None:
            self._lower.set_write_buffer_limits(high, low)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._lower.get_write_buffer_limits() if self._lower is not None else (0, 0)

    def get_write_buffer_size(self) -> int:
        return self._lower.get_write_buffer_size() if self._lower is not None else 0

    # Reading

    def is_reading(self) -> bool:
        return self._protocol is not None and self._protocol.reading

    def pause_reading(self) -> None:
        if self._protocol is not None:
            self._protocol.pause_reading()

    def resume_reading(self) -> None:
        if self._protocol is not None:
            self._protocol.resume_reading()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        if self._protocol is not None:
            self._protocol.set_app(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return cast(
            asyncio.BaseProtocol, self._protocol.app if self._protocol is not None else None
        )

    # Ending

    def is_closing(self) -> bool:
        return self._gate.state is not OPEN

    def close(self) -> None:
        if self._protocol is not None:
            self._protocol.close()

    def abort(self) -> None:
        if self._protocol is not None:
            self._protocol.abort()

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        if self._gate.state is OPEN:
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)

    # Looking

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        tls = self._engine.tls
        match name:
            case "pinio":
                return self._gate.permit
            case "pinio.eof":
                return self._protocol.eof if self._protocol is not None else None
            case "ssl_object":
                return tls
            case "sslcontext":
                # Not `tls.context`: that is the private one, which other connections share. Made
                # when asked for.
                if self._only_whether:
                    return True
                if self._context is None:
                    self._context = like(self._engine.judge, self._engine.sessions)
                return self._context
            # Decoded when asked for: asyncio decodes the certificate on every handshake, which is a
            # tenth of its cost.
            case "peercert":
                return tls.getpeercert()
            case "cipher":
                return tls.cipher()
            case "compression":
                return tls.compression()
            case _:
                return default if self._lower is None else self._lower.get_extra_info(name, default)

    def __repr__(self) -> str:
        endpoint = self._engine.judge.endpoint
        port = "" if endpoint.port is None else f" port {endpoint.port}"
        return f"<PinnedTransport {endpoint.host}{port} {self._gate.state}>"


def _flat(data: bytes | bytearray | memoryview) -> memoryview:
    """The bytes of any buffer in a row."""
    view = memoryview(data)
    return view.cast("B") if view.c_contiguous else memoryview(view.tobytes())
