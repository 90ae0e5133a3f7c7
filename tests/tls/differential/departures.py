"""Where ours differs from the loops' own TLS in more than one story, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tests.tls.differential.stage import Departure, Record


def _eof(record: Record) -> Record:
    return replace(record, told=[*record.told[:-1], "eof", record.told[-1]])


TRUNCATION_IS_TOLD: Final = Departure(
    "asyncio calls eof_received where TCP ends without a close_notify, and uvloop does not. Ours is asyncio's, on every loop; "
    'get_extra_info("pinio.eof") tells the two ends apart.',
    _eof,
    on="uvloop",
)


def answered(said: bytes) -> Departure:
    """The server saw these bytes and a close_notify as the last thing that it saw."""
    return Departure(
        "After an end without close_notify the others send nothing more. The peer has closed its half, and may read: ours says "
        "its last words and a close_notify, as it does after a clean end.",
        lambda record: replace(record, seen=[*record.seen[:-1], (said, "clean")]),
    )


def flow(*calls: str) -> Departure:
    """The application was told of these."""
    return Departure(
        "The others hand a single write of any size down to the socket's transport and count it as sent. Ours counts what waits "
        "below, so that get_write_buffer_size() is true and the application is paused in time.",
        lambda record: replace(record, flow=list(calls)),
    )


def all_of(data: bytes) -> Callable[[Record], Record]:
    """The application was told of this data, and of a clean end; whatever it heard before was that it was connected."""

    def change(record: Record) -> Record:
        made = [entry for entry in record.told if entry == "made"]
        return replace(record, told=[*made, bytearray(data), "eof", ("lost", "NoneType")])

    return change
