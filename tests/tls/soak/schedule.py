"""What happens to each connection of a soak: drawn from a seed and its number, so that each can be lived again alone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from tests.tls.soak.peer import HANDSHAKES

WISHES: Final = ("echo", "close", "flood", "truncate", "reset", "deaf")
ENDS: Final = (
    "close",
    "close and wait",
    "abort",
    "write much and close",
    "write much and abort",
    "pause and close",
    "wait",
)


@dataclass(frozen=True)
class Fate:
    """One connection."""

    number: int
    server: str
    """Where it leads: a handshake that can succeed, or one of `HANDSHAKES`."""
    pins: str
    """Of whom: "genuine", "nobody"; or "untrusted", where the CA is another."""
    wish: str
    """What the server does when it is open."""
    end: str
    """What the client does then."""
    resumption: bool
    cancelled: int | None
    """After so many turns of the loop; None: never."""

    @property
    def outcome(self) -> str:
        """What is to come of it, if nobody cancels it."""
        if self.server in HANDSHAKES:
            # A genuine flight of 900 bytes holds no whole certificate chain: nobody was judged.
            return "failed"
        return (
            "opened" if self.pins == "genuine" else "refused" if self.pins == "nobody" else "failed"
        )


def fate(seed: int, number: int) -> Fate:
    """The fate of a connection."""
    draw = random.Random(f"{seed}/{number}")
    return Fate(
        number,
        server=draw.choices(
            ("TLS 1.2", "TLS 1.3", "STARTTLS", draw.choice(HANDSHAKES)), (0.3, 0.4, 0.1, 0.2)
        )[0],
        pins=draw.choices(("genuine", "nobody", "untrusted"), (0.75, 0.2, 0.05))[0],
        wish=draw.choices(WISHES, (0.4, 0.2, 0.1, 0.15, 0.13, 0.02))[0],
        end=draw.choice(ENDS),
        resumption=draw.random() < 0.5,
        cancelled=int(draw.expovariate(1 / 15)) if draw.random() < 0.2 else None,
    )
