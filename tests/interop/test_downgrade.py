"""Protocols that begin in clear: a man in the middle declines TLS, and listens."""

from __future__ import annotations

from typing import Any

import pytest

from pinio.testing import RawServer
from tests.interop import peers
from tests.interop.matrix import ROWS, Row, Site, drive
from tests.interop.table import ENTERED
from tests.tls.cast import pinned
from tests.tls.through import context_for

assert ENTERED

CASES = [
    ("smtplib, STARTTLS", peers.smtp_without_tls),
    ("smtplib, STARTTLS", peers.smtp_that_declines),
    ("aiosmtplib, STARTTLS", peers.smtp_without_tls),
    ("aiosmtplib, STARTTLS", peers.smtp_that_declines),
    ("asyncpg, STARTTLS", peers.postgres_that_declines),
    ("nats-py, `tls_handshake_first`, direct", peers.nats_without_tls),
]


def entry(name: str) -> Row:
    (row,) = (row for row in ROWS if row.name == name)
    for module in row.modules:
        pytest.importorskip(
            module, reason=f"{module} is not installed: pip install --group interop"
        )
    return row


def heard_in_clear(name: str, handler: Any) -> tuple[BaseException | None, bytes]:
    """What the client raises, and what the man in the middle hears."""
    error: BaseException | None = None
    with RawServer(handler) as between:
        without_tls: Any = between  # where a client expects a server
        try:
            drive(entry(name), context_for(pinned()), Site(without_tls), None)
        except Exception as raised:  # noqa: BLE001  # each library has its own
            error = raised
        between.wait_quiet()
        return error, b"".join(bytes(record.application_bytes) for record in between.connections)


@pytest.mark.parametrize(("name", "handler"), CASES)
def test_P5_nobody_goes_on_without_tls(name: str, handler: Any) -> None:
    error, heard = heard_in_clear(name, handler)
    assert error is not None
    assert heard, "the beginning of the protocol"
    assert b"secret" not in heard


def test_nats_goes_on_without_tls_unless_told_to_begin_with_it() -> None:
    """What the how-to warns of. Once this fails, the warning can go."""
    error, heard = heard_in_clear("nats-py, STARTTLS", peers.nats_without_tls)
    assert error is None
    assert b"secret" in heard


async def test_so_does_aiosmtplib_unless_told_to_insist() -> None:
    """Likewise."""
    aiosmtplib = pytest.importorskip("aiosmtplib", reason="aiosmtplib is not installed")
    with RawServer(peers.smtp_without_tls) as between:
        host, port = between.address
        async with aiosmtplib.SMTP(
            hostname=host, port=port, tls_context=context_for(pinned())
        ) as client:
            await client.mail("secret")
        await between.quiet()
        assert b"secret" in bytes(between.connections[0].application_bytes)
