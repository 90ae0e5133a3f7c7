"""`Policy.digest`: the same for what means the same, another for each thing that decides."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pinio.core.anchors import Anchors
from pinio.core.pin import Pin
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.testing import CA

A, B = (Pin(bytes(range(first, first + 32))) for first in (1, 2))


def policy(
    pins: Any = (A,), *, pattern: str = "a.test", rest: Any = None, **pin_set: Any
) -> Policy:
    pin_set.setdefault("backup", B)
    return Policy(
        {pattern: PinSet(pins, single="test", **pin_set), "b.test": [A, B]}, **(rest or {})
    )


CHANGES: dict[str, Policy] = {
    "pins": policy(Pin(b"\x05" + bytes(31))),
    "role": policy(Pin(A.digest, role="ca")),
    "backup": policy((A, B), backup=()),
    "pattern": policy(pattern="*.a.test"),
    "below": policy(pattern="**.a.test"),
    "mode": policy(mode="report-only"),
    "expires": policy(expires=datetime(2090, 1, 1, tzinfo=UTC)),
    "on_expiry": policy(on_expiry="report"),
    "trust": policy(trust="leaf-pin"),
    "anchors": policy(anchors=CA("own").anchors),
    "resumption": policy(resumption=False),
    "unpinned": policy(rest={"unpinned": "allow"}),
    "exempt": policy(rest={"exempt": {"c.test": "why"}}),
    "deny": policy(rest={"deny": [Pin(b"\x07" + bytes(31))]}),
    "unpinned_anchors": policy(rest={"unpinned_anchors": Anchors.system()}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_decides_changes_the_digest(change: str) -> None:
    assert CHANGES[change].digest != policy().digest


def test_digests_are_as_different_as_the_policies() -> None:
    assert len({changed.digest for changed in CHANGES.values()}) == len(CHANGES)


def test_order_names_and_reasons_do_not_count() -> None:
    first = Policy({"a.test": [A, B], "b.test": [A, B]}, revision="1")
    second = Policy({"b.test": [B, A], "a.test": [B, A]}, revision="2")
    assert first.digest == second.digest


def test_the_text_is_stable() -> None:
    """A deployer keeps it: a release that changes it says so, and changes `VERSION`."""
    assert policy().digest == (
        "sha256:5102e77000f89995d39eb870d4b46724deee456740a092261bcd868e8bbc9754"
    )


def test_an_edited_policy_has_another_digest() -> None:
    changed = policy()
    before = changed.digest
    _, leaf, _ = changed.hosts["a.test"]._wanted[0]
    leaf[b"another key" + bytes(21)] = (A, False)
    assert changed.digest != before
    changed = policy()
    object.__setattr__(changed.hosts["a.test"], "mode", "report-only")
    assert changed.digest == CHANGES["mode"].digest
