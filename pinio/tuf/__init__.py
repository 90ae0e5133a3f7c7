"""Signed policies, from a TUF repository that any static host serves.

`TUFSource` goes wherever a policy goes. `pinio policy` makes such a repository.
"""

from __future__ import annotations

from importlib.util import find_spec

from pinio.extras import how_to_install

if find_spec("tuf") is None:
    raise ImportError(f"pinio.tuf needs tuf; {how_to_install('tuf')}")

from pinio.tuf.source import TUFSource

__all__ = ["TUFSource"]
