"""Pinned transports for `httpx`.

async with httpx.AsyncClient(transport=AsyncPinnedHTTPTransport(policy)) as client:
    await client.get("https://api.example.com/")
"""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec

from pinio.extras import how_to_install

if find_spec("httpx") is None:
    raise ImportError(f"pinio.httpx needs httpx; {how_to_install('httpx')}")
# Before, its transports for event loops forget the context of an HTTPS proxy, and make one of their
# own.
if (f"{version('httpx')}.").startswith(("0.27.0.", *(f"0.{minor}." for minor in range(27)))):
    raise ImportError(f"pinio.httpx needs httpx 0.27.1 or newer, and not {version('httpx')}")

from pinio.httpx.errors import TransportPinError
from pinio.httpx.transport import AsyncPinnedHTTPTransport, PinnedHTTPTransport

__all__ = ["AsyncPinnedHTTPTransport", "PinnedHTTPTransport", "TransportPinError"]
