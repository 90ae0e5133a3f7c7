"""What a new policy accepts that an old one refused: a pure comparison, in words.

Two policies differ for a host only by the rules that win for it, so one host for each set of hosts
with the same rules stands for all of them (see `places`). A new pattern that takes hosts out of a
wider one is seen in this way, and one that only says the same again is not. What the two rules
accept is then compared as values (see `accepted`).
"""

from __future__ import annotations

from collections.abc import Iterator

from pinio.core.host import Pattern
from pinio.core.policy import Policy, Rule
from pinio.sources.accepted import Accepted, adds_anchors
from pinio.sources.places import places


def loosened(old: Policy, new: Policy) -> list[str]:
    """Say in what `new` is looser than `old`, an entry a line; empty if nothing that `old` refused gets through.

    Looser is: a pattern that lost its pins, an added exemption, an added pin, trust anchor or way
    of trust, report-only, a later or waived expiry, a resumption that was off, a denied key that no
    longer is, and `unpinned` from "refuse" to "allow". Hosts that were refused for having no entry,
    and have enforced pins now, are not.

    Where two names lead to one connection (a URL's host and another `server_hostname`), both their
    rules count. So what is looser for such a connection is looser for one of the names, and is said
    of that.
    """
    found = dict.fromkeys(_overall(old, new))
    for host in places(old, new):
        before, after = old.lookup(host), new.lookup(host)
        if before.pin_set is not None and before.pin_set == after.pin_set:
            continue
        for what in _of_one_host(old, before, new, after):
            found[f"{_label(before, after)}: {what}"] = None
    return list(found)


def _overall(old: Policy, new: Policy) -> Iterator[str]:
    if (old.unpinned, new.unpinned) == ("refuse", "allow"):
        yield "hosts without pins are allowed"
    for pin in old.deny:
        if new.denied(pin.selector, pin.algorithm, pin.digest) is None:
            yield f"{pin} is no longer denied"
    if adds_anchors(old.unpinned_anchors, new.unpinned_anchors):
        yield "other trust anchors hold for hosts without pins"


def _of_one_host(old: Policy, before: Rule, new: Policy, after: Rule) -> Iterator[str]:
    """What one host's rule lets through that its rule did not before."""
    was, now = Accepted.by(old, before), Accepted.by(new, after)
    exempt = f"exempt from pinning ({after.exempt})"
    if before.pin_set is not None and after.pin_set is None:
        # Also where the new policy refuses the host: the file that lost it may have been cut off.
        yield exempt if after.exempt else "no longer pinned"
    elif was is not None and now is not None and after.pin_set is not None:
        looser = now.beyond(was)
        waived = before.pin_set is None and after.pin_set.mode == "report-only"
        yield from (f"{what}, report-only" for what in looser) if waived else looser
    elif was is None and after.pin_set is None and after.exempt:
        yield exempt
    elif was is None and now is not None and after.pin_set is not None:
        if now.places is None:
            yield "was refused, and is report-only"
        elif now.fails_open and now.expires is not None:
            yield "was refused, and expired pins are reported only"


def _label(before: Rule, after: Rule) -> str:
    """The pattern that says most about the host, of the two that win for it."""
    patterns = [rule.pattern for rule in (before, after) if rule.pattern is not None]
    return max(patterns, key=_specific)


def _specific(text: str) -> tuple[int, int]:
    kind, suffix = Pattern.parse(text)
    return suffix.count("."), ("any", "one", "exact").index(kind)
