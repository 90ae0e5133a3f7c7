"""asyncio's streams before an upgrade to TLS.

The only user of private names of `asyncio.streams`; a tripwire test watches each.

- `StreamReaderProtocol._stream_reader`, `StreamReader._buffer`: bytes that arrived before TLS
  started must not be read as if TLS had protected them, and nothing public tells whether there are
  any.
- `StreamWriter._transport`: a writer that was upgraded must not write plaintext between TLS
  records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn, TypeAlias, cast

LIMIT: Final = 64 * 1024
"""Bytes that a `StreamReader` buffers before it pauses the transport; asyncio's default."""

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_Protocol: TypeAlias = asyncio.StreamReaderProtocol
_Connect: TypeAlias = Callable[
    [Callable[[], _Protocol]], Awaitable[tuple[asyncio.Transport, _Protocol]]
]


async def streams(limit: int, connect: _Connect) -> Streams:
    """A pair of streams over what `connect` opens for their protocol."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=limit, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await connect(lambda: protocol)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


def unread(protocol: asyncio.BaseProtocol) -> bool:
    """Whether a stream protocol holds unread bytes; of another protocol that is not known."""
    if not isinstance(protocol, asyncio.StreamReaderProtocol):
        return False
    reader = cast(Any, protocol._stream_reader)  # type: ignore[attr-defined]
    return reader is not None and buffered(reader)


def copies(protocol: asyncio.BaseProtocol) -> bool:
    """Whether this is asyncio's own stream reader, which copies what `data_received` is given.

    A patched one may keep the memory instead.
    """
    if type(protocol) is not asyncio.StreamReaderProtocol or not _is(
        protocol.data_received, _RECEIVES
    ):
        return False
    reader = cast(Any, protocol._stream_reader)  # type: ignore[attr-defined]
    return type(reader) is asyncio.StreamReader and _is(reader.feed_data, _FEEDS)


_RECEIVES: Final = asyncio.StreamReaderProtocol.data_received
_FEEDS: Final = asyncio.StreamReader.feed_data


def _is(method: object, function: object) -> bool:
    return getattr(method, "__func__", None) is function


def buffered(reader: asyncio.StreamReader) -> bool:
    """Whether a reader holds unread bytes."""
    return bool(reader._buffer)  # type: ignore[attr-defined]


def transport_of(writer: asyncio.StreamWriter) -> asyncio.WriteTransport:
    """The transport of a writer. Raises `RuntimeError` if the writer was upgraded."""
    if isinstance(writer.transport, _Retired):
        raise RuntimeError(_UPGRADED)  # noqa: TRY004 - what the pair raises on every other use
    return writer.transport


def retire(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Make an upgraded pair raise on use, also in tasks that wait for it.

    Raises as `transport_of` does.
    """
    protocol = transport_of(writer).get_protocol()
    error = RuntimeError(_UPGRADED)
    reader.set_exception(error)
    if isinstance(protocol, asyncio.StreamReaderProtocol):
        protocol.connection_lost(error)  # its transport has a new protocol and does not call it
    writer._transport = _Retired()  # type: ignore[attr-defined]


_UPGRADED: Final = "this stream was upgraded to TLS; use the pair that upgrade() returned"


class _Retired(asyncio.Transport):
    """Replaces the transport of an upgraded writer."""

    def _refuse(self, *arguments: Any, **options: Any) -> NoReturn:
        raise RuntimeError(_UPGRADED)

    write = writelines = write_eof = close = abort = get_extra_info = set_write_buffer_limits = (
        _refuse
    )

    def is_closing(self) -> bool:
        return True
