"""What the rule of one host accepts, as a value; and in what one such value goes beyond another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from pinio.core.anchors import Anchors, partial_chains
from pinio.core.pin import Pin
from pinio.core.pinset import PinSet, Trust
from pinio.core.policy import Policy, Rule

Place = tuple[str, str, bytes, str]
"""Selector, algorithm and digest of a key, and where it counts: "leaf" (position 0) or "ca"."""

_PLACES: Final = {"leaf": ("leaf",), "ca": ("ca",), "any": ("leaf", "ca")}


@dataclass(frozen=True, slots=True)
class Accepted:
    """How the chain of a host is verified, and which of the chains that pass are taken.

    A chain is taken if it has one of the keys in `places`, until `expires`. From then on every
    chain is taken if the rule `fails_open`, and none if not. Keys of the deny list, which holds for
    all hosts alike, are left out of this.
    """

    trust: Trust
    anchors: Anchors
    """Where verification may end; it means nothing under "leaf-pin"."""
    places: dict[Place, Pin] | None = None
    """Each with the pin that names it. None: every chain is taken, at all times."""
    expires: datetime | None = None
    fails_open: bool = False
    resumption: bool = True

    @classmethod
    def by(cls, policy: Policy, rule: Rule) -> Self | None:
        """What a rule of a policy accepts; None if nothing, for hosts without pins are refused."""
        pins = rule.pin_set
        if pins is None:
            refused = policy.unpinned == "refuse" and rule.exempt is None
            return None if refused else cls("pkix", policy.unpinned_anchors)
        anchors = pins.anchors or Anchors()
        if pins.mode == "report-only":
            return cls(pins.trust, anchors, resumption=pins.resumption)
        fails_open = pins.on_expiry == "report"
        return cls(pins.trust, anchors, _places(pins), pins.expires, fails_open, pins.resumption)

    def beyond(self, before: Accepted) -> Iterator[str]:
        """In what this accepts more than `before`, in words."""
        if (before.trust, self.trust) == ("pkix", "leaf-pin"):
            yield "certificates are no longer verified (leaf-pin)"
        elif before.trust == "pkix" and adds_anchors(before.anchors, self.anchors):
            yield "other trust anchors"
        if before.places is not None:
            if self.places is None:
                yield "report-only"
            else:
                added = (pin for place, pin in self.places.items() if place not in before.places)
                yield from (f"accepts {pin}" for pin in dict.fromkeys(added))
                yield from self._later(before)
        if self.resumption and not before.resumption:
            yield "sessions may be resumed"

    def _later(self, before: Accepted) -> Iterator[str]:
        if self.fails_open:
            # It fails open at its date: sooner is looser.
            if not before.fails_open or _ends_later(before, self):
                yield "expired pins are reported only"
        elif not before.fails_open and _ends_later(self, before):
            date = f"{self.expires:%Y-%m-%dT%H:%M:%SZ}" if self.expires else "never"
            yield f"expires {date}, later than before"


def _places(pins: PinSet) -> dict[Place, Pin]:
    """Where the pins of a set match. Under "leaf-pin" that is the leaf, whatever the pin says."""
    return {
        (pin.selector, pin.algorithm, pin.digest, place): pin
        for pin in pins.pins + pins.backup
        for place in _PLACES[pin.role if pins.trust == "pkix" else "leaf"]
    }


def _ends_later(one: Accepted, other: Accepted) -> bool:
    """Whether the pins of one expire after those of the other; without a date they never do."""
    return other.expires is not None and (one.expires is None or one.expires > other.expires)


def adds_anchors(before: Anchors, now: Anchors) -> bool:
    """Whether verification may end where it could not.

    What a named list holds is not compared: another list counts. Fewer private anchors are no
    others, unless no root is left among them: then a chain may end in any of them, and need not
    lead on to a root any more.
    """
    if before.origin == now.origin == "private":
        fewer = set(now.certificates) <= set(before.certificates)
        return not fewer or partial_chains(before) != partial_chains(now)
    return before != now
