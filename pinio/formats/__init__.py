"""How is it written? Text to `Policy` and back.

    policy = FORMATS["native"].loads(text, where="pins.toml")
    text = FORMATS["native"].dumps(policy)

No module here opens a file; `pinio.load_policy` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol, TypeAlias

from pinio.core.anchors import Anchors
from pinio.core.policy import Policy
from pinio.formats import native

__all__ = ["FORMATS", "AnchorsLoader", "Format", "Reader", "Writer"]

AnchorsLoader: TypeAlias = Callable[[str], Anchors]
"""Turns a path that stands in a policy into the anchors in that file. Raises `PolicyError`."""

Writer: TypeAlias = Callable[[Policy], str]
"""Policy to text.

Equal policies give equal text. Raises `PolicyError` for what the format cannot say.
"""


class Reader(Protocol):
    """Text to policy."""

    def __call__(
        self, text: str, *, where: str = ..., anchors: AnchorsLoader | None = None
    ) -> Policy:
        """Read a policy.

        `where` names the text in errors; without `anchors`, no path may stand in it.

        Raises `PolicyError` or `PinFormatError`, whose message begins with `where`, then names
        table, key and value.
        """
        ...


class Format(NamedTuple):
    """One way to write a policy down."""

    loads: Reader
    dumps: Writer


FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {"native": Format(native.loads, native.dumps)}
)
"""Every format by name. "native" is pinio's own policy file."""
