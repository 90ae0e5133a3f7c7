"""The memory that a loop reads into: one buffer for all connections of a loop, where that is safe.

A transport that fills the buffer and reports it in one step leaves nothing in it between two
events, so all connections of the loop can share one. That spares each of them what asyncio's TLS
keeps for itself: 256 KiB.
"""

from __future__ import annotations

import asyncio
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

SHARED: Final = 256 * 1024
"""Bytes of a loop's shared receive buffer."""
PRIVATE: Final = 32 * 1024
"""Bytes of a private one, over transports that are not known to hand a buffer back at once."""

_AT_ONCE: Final = frozenset({"asyncio.selector_events", "uvloop.loop"})
"""Where the transports are defined that fill the buffer and call `buffer_updated` in one step."""

_Buffers: TypeAlias = WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview]
_ciphertext: Final[_Buffers] = WeakKeyDictionary()
_plaintext: Final[_Buffers] = WeakKeyDictionary()


def plain_buffer(loop: asyncio.AbstractEventLoop) -> memoryview:
    """The loop's memory for plaintext that the application copies within the same event."""
    return _of(loop, _plaintext)


def receive_buffer(loop: asyncio.AbstractEventLoop, lower: asyncio.Transport) -> memoryview:
    """The loop's shared receive buffer; a private one where sharing is not known to be safe.

    Sharing is unsafe inside another pinned connection: it would write its plaintext into the memory
    from which it is still taking ciphertext.
    """
    if type(lower).__module__ not in _AT_ONCE:
        return memoryview(bytearray(PRIVATE))
    return _of(loop, _ciphertext)


def _of(loop: asyncio.AbstractEventLoop, buffers: _Buffers) -> memoryview:
    buffer = buffers.get(loop)
    if buffer is None:
        buffer = buffers[loop] = memoryview(bytearray(SHARED))
    return buffer
