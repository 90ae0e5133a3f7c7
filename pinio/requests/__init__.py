"""Pinned connections for `requests`.

with PinnedSession(policy) as session:
    session.get("https://api.example.com/")
"""

from __future__ import annotations

from importlib.util import find_spec

from pinio.extras import how_to_install

if find_spec("requests") is None:
    raise ImportError(f"pinio.requests needs requests; {how_to_install('requests')}")

from pinio.requests.adapter import PinnedAdapter
from pinio.requests.errors import RequestPinError
from pinio.requests.session import PinnedSession

__all__ = ["PinnedAdapter", "PinnedSession", "RequestPinError"]
