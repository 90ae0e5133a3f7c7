"""Pinned connections for `aiohttp.ClientSession`.

async with aiohttp.ClientSession(connector=PinnedConnector(policy)) as session:
    await session.get("https://api.example.com/")
"""

from __future__ import annotations

try:
    import aiohttp as _aiohttp  # noqa: F401  # only to say, once, what to do without it
except ImportError as error:
    raise ImportError("pinio.aiohttp needs aiohttp: pip install 'pinio[aiohttp]'") from error

from pinio.aiohttp.connector import PinnedConnector
from pinio.aiohttp.errors import ClientPinError

__all__ = ["ClientPinError", "PinnedConnector"]
