"""pinio: certificate-pinned TLS connections for asyncio, judged before one application byte flows."""

from __future__ import annotations
