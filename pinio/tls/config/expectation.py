"""What a caller expects of peers: one of a policy, a source of policies, or pins for whatever host is dialled."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from os import PathLike
from typing import NamedTuple, NoReturn

from pinio.core.anchors import Anchors
from pinio.core.host import canonical_host
from pinio.core.pin import Pin
from pinio.core.pinset import PinSet, PinsLike, Trust
from pinio.core.policy import Endpoint, Policy, Rule
from pinio.errors import PinVerificationError, PolicyError
from pinio.reporting import notify
from pinio.typing import Observer, PolicyLike, PolicySource

_Pins = tuple[str | Pin, ...] | PinSet
_SAMPLES = 8


class Expectation(NamedTuple):
    """The caller's expectation, which any number of connections may be held against."""

    source: PolicySource | None
    pins: _Pins | None = None
    trust: Trust | None = None
    anchors: Anchors | None = None

    @classmethod
    def of(
        cls,
        policy: PolicyLike | None = None,
        pins: PinsLike | None = None,
        trust: Trust | None = None,
        anchors: Anchors | None = None,
    ) -> Expectation:
        """From a door's arguments.

        Raises `PolicyError` unless exactly one of `policy` and `pins` is there.
        """
        if (policy is None) == (pins is None):
            _fail(
                "pass one of policy= and pins=: what is expected of the peer has to be said, once"
            )
        if pins is not None:
            expectation = cls(None, _hashable(pins), trust, anchors)
            try:
                _pinned("localhost", *expectation._arguments())  # says now what is wrong with them
            except TypeError as error:  # a list among the pins, say, which is no key of a cache
                _fail(f"pins=, trust= or anchors= is not what PinSet takes: {error}")
            return expectation
        if trust is not None or anchors is not None:
            _fail("trust= and anchors= go with pins=; in a policy each PinSet has its own")
        current_policy(policy)
        return cls(policy)

    def endpoint(
        self,
        host: str,
        port: int | None = None,
        *,
        url_host: str | None = None,
        observer: Observer | None = None,
    ) -> Endpoint:
        """What the policy in force now says about a connection to `host`, as `Policy.endpoint` does.

        `observer` hears of a host that is refused before there is a connection.
        """
        if self.source is None:
            # The other name has no pins, and is remembered all the same: a policy that judges later
            # may have some.
            return _pinned(canonical_host(host), *self._arguments()).endpoint(
                host, port, url_host=url_host
            )
        try:
            return self.source.current.endpoint(host, port, url_host=url_host)
        except PinVerificationError as error:
            if observer is not None:
                notify(observer, error.refusal)
            raise

    def check_plaintext(
        self, host: str, port: int | None = None, *, observer: Observer | None = None
    ) -> None:
        """Check a host before it is spoken to without TLS; `observer` hears of a refusal.

        Raises `PlaintextRefusedError` if it is pinned, and `UnpinnedHostError` if the policy
        refuses hosts without pins.
        """
        endpoint = self.endpoint(host, port, observer=observer)
        try:
            endpoint.check_plaintext()
        except PinVerificationError as error:
            if observer is not None:
                notify(observer, error.refusal)
            raise

    def samples(self) -> list[Endpoint]:
        """One endpoint for each way in which the policy in force verifies certificates; at most `_SAMPLES`."""
        if self.source is None:
            return [self.endpoint("localhost")]
        policy = self.source.current
        ways = {(pins.trust, pins.anchors): (name, pins) for name, pins in policy.hosts.items()}
        samples = [
            Endpoint("", None, policy, Rule(name, pins))
            for name, pins in list(ways.values())[:_SAMPLES]
        ]
        return samples + (
            [Endpoint("", None, policy, Rule())]
            if policy.unpinned == "allow" or policy.exempt
            else []
        )

    @property
    def only_host(self) -> str | None:
        """The one host that the policy in force speaks of, if it is one: then no other can be meant."""
        if self.source is None:
            return None
        policy = self.source.current
        only = next(iter(policy.hosts), "") if len(policy.hosts) == 1 and not policy.exempt else ""
        return only if only and not only.startswith("*") and policy.unpinned == "refuse" else None

    def _arguments(self) -> tuple[_Pins, Trust | None, Anchors | None]:
        assert self.pins is not None  # noqa: S101  # the only other case
        return self.pins, self.trust, self.anchors


def current_policy(policy: PolicyLike | None) -> Policy:
    """The policy in force of what was passed as `policy=`.

    Raises `PolicyError` for what is none, and what a source raises.
    """
    current = getattr(policy, "current", None)
    if not isinstance(current, Policy):
        hint = (
            "; pinio.load_policy and pinio.FileSource read a file"
            if isinstance(policy, str | PathLike)
            else ""
        )
        _fail(f"policy= is a Policy or a source of one, not {type(policy).__name__}{hint}")
    return current


@lru_cache(maxsize=256)
def _pinned(host: str, pins: _Pins, trust: Trust | None, anchors: Anchors | None) -> Policy:
    if not isinstance(pins, PinSet):
        pins = PinSet(pins, trust=trust or "pkix", anchors=anchors)
    elif trust is not None or anchors is not None:
        _fail("pins= is a PinSet, which has its own trust and anchors")
    return Policy({host: pins})


def _hashable(pins: PinsLike) -> _Pins:
    if isinstance(pins, PinSet):
        return pins
    if isinstance(pins, str | Pin):
        return (pins,)
    if not isinstance(pins, Iterable):
        _fail(f"pins= is one pin, several, or a PinSet, not {type(pins).__name__}")
    return tuple(pins)


def _fail(message: str) -> NoReturn:
    raise PolicyError(message)
