"""Puts a policy on other anchors and keys: what `CA.rebase` does."""

from __future__ import annotations

from collections.abc import Mapping

from pinio.core.anchors import Anchors
from pinio.core.pinset import PinSet, PinsLike
from pinio.core.policy import Policy
from pinio.errors import PolicyError


def rebase(policy: Policy, anchors: Anchors, pins: Mapping[str, PinsLike]) -> Policy:
    """The policy with `anchors`, and with `pins` in place of its own; see `CA.rebase`."""
    if strange := sorted(set(pins) - set(policy.hosts)):
        raise PolicyError(
            f"the policy has no pattern {strange[0]!r}; "
            f"it has {', '.join(sorted(policy.hosts)) or 'none'}"
        )
    hosts = {
        pattern: _rebase(pin_set, anchors, pins.get(pattern))
        for pattern, pin_set in policy.hosts.items()
    }
    return policy.replace(hosts=hosts, exempt=dict(policy.exempt), unpinned_anchors=anchors)


def _rebase(pin_set: PinSet, anchors: Anchors, pins: PinsLike | None) -> PinSet:
    if isinstance(pins, PinSet):
        pin_set = pin_set.replace(pins=pins.pins, backup=pins.backup, single=pins.single)
    elif pins is not None:
        pin_set = pin_set.replace(pins=pins, backup=(), single="the key of a test")
    # Under "leaf-pin" no CA decides, and a pin set does not take any.
    return pin_set if pin_set.trust == "leaf-pin" else pin_set.replace(anchors=anchors)
