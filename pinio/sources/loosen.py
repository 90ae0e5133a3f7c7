"""What a new policy accepts that an old one refused: a pure comparison, in words.

Two policies differ for a host only by the rules that win for it. Which patterns cover a host depends on where its name stands
among the patterns of both, so one name for each such place stands for all: for `example.com` itself; for `*.example.com` a name
right below it that neither policy mentions; for `**.example.com` the apex and such a name two labels down. So a new pattern that
takes hosts out of a wider one is seen, and one that only says the same again is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

from pinio.core.anchors import Anchors
from pinio.core.host import Pattern
from pinio.core.pin import Pin
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy, Rule
from pinio.errors import PolicyError

_LETTERS: Final = "_abcdefghijklmnopqrstuvwxyz0123456789"
_PLACES: Final = {"leaf": ("leaf",), "ca": ("ca",), "any": ("leaf", "ca")}


def loosened(old: Policy, new: Policy) -> list[str]:
    """Say in what `new` is looser than `old`, an entry a line; empty if nothing that `old` refused gets through.

    Looser is: a pattern that lost its pins, an added exemption, an added pin, trust anchor or way of trust, report-only, a later
    or waived expiry, a resumption that was off, a denied key that no longer is, and `unpinned` from "refuse" to "allow". Hosts
    that were refused for having no entry, and have enforced pins now, are not.
    """
    found = dict.fromkeys(_overall(old, new))
    for pattern, name in _names(old, new):
        try:
            before, after = old.lookup(name), new.lookup(name)
        except PolicyError:  # longer than a host name can be: there is no such host
            continue
        found |= dict.fromkeys(f"{pattern}: {what}" for what in _rule(old, before, after))
    return list(found)


def _overall(old: Policy, new: Policy) -> Iterator[str]:
    if (old.unpinned, new.unpinned) == ("refuse", "allow"):
        yield "hosts without pins are allowed"
    for pin in old.deny:
        if new.denied(pin.selector, pin.algorithm, pin.digest) is None:
            yield f"{pin} is no longer denied"
    if _adds_anchors(old.unpinned_anchors, new.unpinned_anchors):
        yield "other trust anchors hold for hosts without pins"


def _names(old: Policy, new: Policy) -> Iterator[tuple[str, str]]:
    """Every pattern of the two, with the names that stand for its hosts."""
    texts = {*old.hosts, *old.exempt, *new.hosts, *new.exempt}
    patterns = {text: Pattern.parse(text) for text in texts}
    fresh = _fresh_label({label for pattern in patterns.values() for label in pattern.suffix.split(".")})
    for text, (kind, suffix) in sorted(patterns.items()):
        if kind != "one":
            yield text, suffix
        if kind != "exact":
            yield text, f"{fresh}.{suffix}" if kind == "one" else f"{fresh}.{fresh}.{suffix}"


def _fresh_label(taken: set[str]) -> str:
    """The shortest label that is not `taken`."""
    length = 1
    while True:
        for letters in product(_LETTERS, repeat=length):
            if (label := "".join(letters)) not in taken:
                return label
        length += 1


def _rule(old: Policy, before: Rule, after: Rule) -> Iterator[str]:
    """What one host's rule lets through that its rule did not before."""
    was, now = before.pin_set, after.pin_set
    if was is not None and now is not None:
        if was is not now and was != now:
            yield from _pins(was, now)
    elif was is not None:
        yield f"exempt from pinning ({after.exempt})" if after.exempt else "no longer pinned"
    elif after.exempt and not before.exempt:
        yield f"exempt from pinning ({after.exempt})"
    elif now is not None and now.mode == "report-only":
        if old.unpinned == "refuse" and not before.exempt:
            yield "was refused, and is report-only"
        elif _adds_anchors(old.unpinned_anchors, now.anchors):
            yield "other trust anchors, report-only"


def _pins(was: PinSet, now: PinSet) -> Iterator[str]:
    known = {where for pin in was.pins + was.backup for where in _accepted(was, pin)}
    for pin in now.pins + now.backup:
        if not known.issuperset(_accepted(now, pin)):
            yield f"accepts {pin}"
    if was.mode == "enforce" and now.mode == "report-only":
        yield "report-only"
    if was.trust == "pkix" and now.trust == "leaf-pin":
        yield "certificates are no longer verified (leaf-pin)"
    if was.trust == now.trust == "pkix" and _adds_anchors(was.anchors, now.anchors):
        yield "other trust anchors"
    yield from _expiry(was, now)
    if now.resumption and not was.resumption:
        yield "sessions may be resumed"


def _accepted(pins: PinSet, pin: Pin) -> Iterator[tuple[str, str, bytes, str]]:
    """Where a pin of a set matches; under leaf-pin that is the leaf, whatever the pin says."""
    for place in _PLACES[pin.role if pins.trust == "pkix" else "leaf"]:
        yield pin.selector, pin.algorithm, pin.digest, place


def _expiry(was: PinSet, now: PinSet) -> Iterator[str]:
    if now.on_expiry == "report":
        # Fails open at its date: sooner is looser.
        if was.on_expiry == "refuse" or _later(was, now):
            yield "expired pins are reported only"
    elif was.on_expiry == "refuse" and _later(now, was):
        yield f"expires {f'{now.expires:%Y-%m-%dT%H:%M:%SZ}' if now.expires else 'never'}, later than before"


def _later(one: PinSet, other: PinSet) -> bool:
    """Whether one set expires after another; without a date that is never."""
    return other.expires is not None and (one.expires is None or one.expires > other.expires)


def _adds_anchors(old: Anchors | None, new: Anchors | None) -> bool:
    """Whether verification may end where it could not. What a named list holds is not compared: another one counts."""
    was, now = old or Anchors(), new or Anchors()
    if was.origin == now.origin == "private":
        return not set(now.certificates) <= set(was.certificates)
    return was != now
