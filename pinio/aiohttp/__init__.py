"""Pinned connections for `aiohttp.ClientSession`.

async with aiohttp.ClientSession(connector=PinnedConnector(policy)) as session:
    await session.get("https://api.example.com/")
"""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("aiohttp") is None:
    raise ImportError("pinio.aiohttp needs aiohttp: pip install 'pinio[aiohttp]'")

from pinio.aiohttp.connector import PinnedConnector
from pinio.aiohttp.errors import ClientPinError

__all__ = ["ClientPinError", "PinnedConnector"]
