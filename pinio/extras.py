"""How to get what is missing, for the messages of the parts that need an extra."""

from __future__ import annotations


def how_to_install(extra: str) -> str:
    """The command that installs pinio with an extra, in words that hold today: no package index has pinio yet."""
    return f"in a checkout of pinio: python -m pip install '.[{extra}]'"
