"""The clocks are set by hand, and every rule holds however long tickets last."""

from __future__ import annotations

from tests.tls.visits import clock, tickets_last

__all__ = ["clock", "tickets_last"]
