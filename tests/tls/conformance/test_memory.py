"""What a connection holds: little of the bulk that went through it, and no copy between the wire and an application's buffer."""

from __future__ import annotations

import ctypes
import gc
import ssl
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import pinio
from pinio.testing import Server
from pinio.tls.connection.buffers import SHARED
from tests.conftest import LOOPS
from tests.tls.cast import GENUINE, pinned
from tests.tls.conformance.diary import BufferedDiary, Diary
from tests.tls.conformance.puppet import MUCH, Puppet, in_one_segment, turns
from tests.tls.conformance.test_reading import Counting, CountingBuffered
from tests.tls.soak.client import peer


class _Allocations(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")
    ]  # fmt: skip


def _ask() -> Callable[[], _Allocations] | None:
    with suppress(OSError, AttributeError, TypeError):
        ask: Any = ctypes.CDLL(None).mallinfo2
        ask.restype = _Allocations
        ask()
        return ask  # type: ignore[no-any-return]
    return None


mallinfo = _ask()


def allocated() -> int:
    """Bytes that C code holds, OpenSSL's and large Python objects among them."""
    assert mallinfo is not None
    gc.collect()
    now = mallinfo()
    return int(now.uordblks + now.hblkhd)


@pytest.mark.skipif(mallinfo is None, reason="only glibc tells what is allocated")
@pytest.mark.parametrize("factory", [Counting, CountingBuffered], ids=["copied", "buffered"])
@pytest.mark.parametrize("version", ["TLS 1.2", "TLS 1.3"])
async def test_what_bulk_leaves_behind_is_a_slice_for_each_bio(
    factory: type[Counting], version: str, tmp_path: Path
) -> None:
    """A memory BIO keeps the largest size that it ever had, and grows in steps of a third; so it never gets a large one."""
    async with peer(tmp_path) as (ports, _):
        for attempt in range(2):  # the first time also makes what is made once
            transport, app = await pinio.create_connection(
                factory, "127.0.0.1", ports[version], policy=pinned(), server_hostname="localhost"
            )
            transport.write(b"1 echo\n.")
            await app.counted(1)
            fresh = allocated()
            for _ in range(8):
                before = app.count
                transport.write(MUCH)
                await app.counted(before + len(MUCH))
            await turns()
            grown = allocated() - fresh
            transport.abort()
            await app.lost()
            if attempt:
                assert grown < SHARED // 2, "a BIO was given more than a slice"


async def test_a_buffered_protocol_gets_its_bytes_without_a_copy(
    tls_version: ssl.TLSVersion,
) -> None:
    """OpenSSL decrypts into the application's own memory."""
    app = BufferedDiary(100_000)
    async with Puppet(tls_version) as puppet:
        transport, _ = await puppet.connect(lambda: app)
        engine = transport._engine
        targets: list[object] = []
        read = engine.read

        def watched(size: int, *buffer: Any) -> Any:
            targets.extend(view.obj for view in buffer)
            assert buffer, "a read that returns bytes"
            return read(size, *buffer)

        engine.read = watched
        await puppet.does(in_one_segment(b"one", b"two", b"x" * 20_000))
        await app.received(20_006)
        transport.abort()
    assert targets and all(target is app.buffer for target in targets)


def test_a_connection_that_its_loop_leaves_behind_complains(loop_kind: str) -> None:
    """As every transport of asyncio does that nobody closed."""

    async def leave(server: Server) -> None:
        transport, _ = await pinio.create_connection(
            Diary, "localhost", server.port, policy=pinned()
        )
        assert not transport.is_closing()

    with Server(GENUINE) as server, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        loop = LOOPS[loop_kind]()
        loop.run_until_complete(leave(server))
        loop.close()
        del loop
        gc.collect()
    messages = [str(warning.message) for warning in told if warning.category is ResourceWarning]
    assert any(
        "unclosed transport <PinnedTransport localhost" in message for message in messages
    ), messages
