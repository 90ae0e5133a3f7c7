"""Pinned connections for `aiohttp.ClientSession`.

async with aiohttp.ClientSession(connector=PinnedConnector(policy)) as session:
    await session.get("https://api.example.com/")
"""

from __future__ import annotations

from importlib.util import find_spec

from pinio.extras import how_to_install

if find_spec("aiohttp") is None:
    raise ImportError(f"pinio.aiohttp needs aiohttp; {how_to_install('aiohttp')}")

from pinio.aiohttp.connector import PinnedConnector
from pinio.aiohttp.errors import ClientPinError

__all__ = ["ClientPinError", "PinnedConnector"]
