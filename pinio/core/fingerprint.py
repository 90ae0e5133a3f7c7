"""One digest of all that a policy enforces, to compare with a value that is kept elsewhere.

It is worked out from the tables that the check itself looks in, each time that it is asked for:
a policy that was edited in memory has another digest. What does not decide (revision, reasons) is
left out. A private list of anchors counts by its content, certifi's and the system's by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pinio.core.anchors import Anchors
from pinio.core.pinset import PinSet
from pinio.core.sha256 import sha256

VERSION: Final = 1
"""Of the canonical text; another one gives every policy another digest."""


def fingerprint(
    tables: Iterable[Mapping[str, Any]], deny: Iterable[tuple[str, str, bytes | None]], rest: object
) -> str:
    """`sha256:HEX` over rules by pattern, denied digests and what else decides."""
    rules = [
        [stars, suffix, rule.exempt is not None, rule.pin_set and _pin_set(rule.pin_set)]
        for stars, table in enumerate(tables)
        for suffix, rule in sorted(table.items())
    ]
    denied = sorted(
        [selector, algorithm, (digest or b"").hex()] for selector, algorithm, digest in deny
    )
    text = json.dumps([VERSION, rules, denied, rest], separators=(",", ":"))
    return "sha256:" + sha256(text.encode()).hex()


def _pin_set(pins: PinSet) -> list[object]:
    return [
        sorted(
            [*what, role, (digest or b"").hex(), backup]
            for what, *tables in pins._wanted  # noqa: SLF001  # what `match` looks in
            for role, table in zip(("leaf", "ca"), tables, strict=True)
            for digest, (_, backup) in table.items()
        ),
        pins.mode, pins.trust, pins.expires_at, pins.on_expiry, pins.resumption,
        (pins.anchors or _PUBLIC).identity,
    ]  # fmt: skip


_PUBLIC: Final = Anchors()
