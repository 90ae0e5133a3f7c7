"""Pinned connections for `requests`.

with PinnedSession(policy) as session:
    session.get("https://api.example.com/")
"""

from __future__ import annotations

from importlib.util import find_spec

if find_spec("requests") is None:
    raise ImportError("pinio.requests needs requests: pip install 'pinio[requests]'")

from pinio.requests.adapter import PinnedAdapter
from pinio.requests.errors import RequestPinError
from pinio.requests.session import PinnedSession

__all__ = ["PinnedAdapter", "PinnedSession", "RequestPinError"]
