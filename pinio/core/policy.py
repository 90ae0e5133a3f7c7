"""Which keys are expected of which host: immutable values, checked when they are made.

Lookup. The most specific pattern wins and sets are never merged: more literal labels first; at
equal count an exact name beats `*.`, which beats `**.`. Each kind of pattern has a dictionary, by
what stands behind its stars: a policy of a million names answers with one probe, and where none is
exact, the host's suffixes are asked for, longest first. The cost grows with the labels of the host
alone, and nothing depends on the order in which entries were written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from os import PathLike
from types import MappingProxyType
from typing import Any, ClassVar, Final, Literal

from pinio.core.anchors import Anchors
from pinio.core.decision import Refusal
from pinio.core.fingerprint import fingerprint
from pinio.core.host import Pattern, canonical_host
from pinio.core.pin import Pin
from pinio.core.pinset import PinSet, PinsLike, Trust, distinct, pin_tuple
from pinio.core.url import PLAINTEXT, split_url
from pinio.core.value import Value, about, warn
from pinio.errors import PinFormatError, PolicyError

Unpinned = Literal["refuse", "allow"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a policy says about one host."""

    pattern: str | None = None
    """The pattern that applies; None if no entry does."""
    pin_set: PinSet | None = None
    """Its pins; None if the host is not pinned."""
    exempt: str | None = None
    """The reason why the host is exempt from pinning."""


_NO_ENTRY: Final = Rule()

MAX_ANSWERS: Final = 1024
"""Connections for which a policy keeps its answer; when there are more it begins anew."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One connection's question to a policy: who is dialled, and which rules hold. Made by `Policy.endpoint`."""

    host: str
    """The name that TLS verifies, canonical."""
    port: int | None
    policy: Policy
    rule: Rule
    url_rule: tuple[str, Rule] | None = None
    """Another name of the same connection (the URL's host) which has an entry of its own and must pass too."""
    url_host: str | None = None
    """That other name, canonical, whether it has an entry or not: in a later policy it may."""

    def check_plaintext(self) -> None:
        """Raise `PlaintextRefusedError` if this host is pinned, in any mode: it is not to be spoken to without TLS."""
        if self.rule.pin_set is not None:
            raise self.policy.refusal("PLAINTEXT_REFUSED", self).error()

    @property
    def needs_chain(self) -> bool:
        """Whether the verified chain has to be looked at: a host without pins, and no deny list, pays nothing."""
        return self.rule.pin_set is not None or self.url_rule is not None or bool(self.policy.deny)

    def next_expiry(self, now: float) -> float | None:
        """When the first of its pin sets that still count expires; both times in POSIX seconds. None if none does."""
        first = _expiry(self.rule, now)
        second = None if self.url_rule is None else _expiry(self.url_rule[1], now)
        return second if first is None else first if second is None else min(first, second)

    @property
    def trust(self) -> Trust:
        """How the certificate is verified, "pkix" or "leaf-pin"."""
        return self.rule.pin_set.trust if self.rule.pin_set else "pkix"

    @property
    def anchors(self) -> Anchors:
        """The trust anchors that hold for this host."""
        if self.rule.pin_set is None:
            return self.policy.unpinned_anchors
        return self.rule.pin_set.anchors or _PUBLIC


def _expiry(rule: Rule, now: float) -> float | None:
    at = None if rule.pin_set is None else rule.pin_set.expires_at
    return None if at is None or at <= now else at


_PUBLIC: Final = Anchors()


class Policy(Value):
    """Host patterns and their pins, and what happens to everybody else.

    Args:
        hosts: host pattern → pins, as a `PinSet`, one pin, or several.
        unpinned: "refuse" hosts without an entry (the default), or "allow" them on certificate
            verification alone.
        exempt: host pattern → the reason why its hosts need no pin, within a wider pattern or under
            "refuse".
        deny: keys never accepted, at any position, for any host, in any mode; pins without a role.
        unpinned_anchors: the CAs for hosts without pins; certifi's if None.
        revision: a name for this state of the policy; it stands in every permit, refusal and
            report.
        no_hosts: the reason why `hosts` is empty, in words. Without it, a policy that allows every
            host brings a `PinWarning`, and a `FileSource` does not take a policy without hosts in
            place of one that has some.

    Raises `PolicyError` or `PinFormatError`, naming the entry. Warns with `PinWarning` about what
    is valid but fragile.
    """

    __slots__ = (
        "_answers",
        "_below",
        "_deny",
        "_exact",
        "_one",
        "deny",
        "exempt",
        "hosts",
        "no_hosts",
        "revision",
        "unpinned",
        "unpinned_anchors",
    )
    _arguments: ClassVar = (
        "hosts", "unpinned", "exempt", "deny", "unpinned_anchors", "revision", "no_hosts"
    )  # fmt: skip

    hosts: Mapping[str, PinSet]
    exempt: Mapping[str, str]
    deny: tuple[Pin, ...]
    unpinned: Unpinned
    unpinned_anchors: Anchors
    revision: str | None
    no_hosts: str | None
    _exact: dict[str, Rule]
    _one: dict[str, Rule]
    _below: dict[str, Rule]
    _deny: dict[tuple[str, str, bytes | None], Pin]
    _answers: dict[tuple[str, int | None, str | None], Endpoint]

    def __init__(
        self,
        hosts: Mapping[str, PinsLike],
        *,
        unpinned: Unpinned = "refuse",
        exempt: Mapping[str, str] | None = None,
        deny: Iterable[str | Pin] = (),
        unpinned_anchors: Anchors | None = None,
        revision: str | None = None,
        no_hosts: str | None = None,
    ) -> None:
        if not isinstance(unpinned, str) or unpinned not in ("refuse", "allow"):
            raise PolicyError(f'unpinned is "refuse" or "allow", not {unpinned!r}')
        if revision is not None and (not isinstance(revision, str) or not revision.isprintable()):
            raise PolicyError("revision is one line of text")
        if unpinned_anchors is not None and not isinstance(unpinned_anchors, Anchors):
            raise PolicyError("unpinned_anchors is an Anchors value, such as Anchors.system()")
        rules = _rules(hosts, exempt or {})
        if no_hosts is not None:
            _check_no_hosts(no_hosts, hosts)
        elif unpinned == "allow" and not hosts:
            warn("this policy allows every host and pins none; say no_hosts='why' if that is meant")
        pins = _denied(deny)
        exact, one, below = _tables(rules)
        self._store(
            hosts=MappingProxyType(
                {text: rule.pin_set for text, rule in rules.items() if rule.pin_set}
            ),
            exempt=MappingProxyType(
                {text: rule.exempt for text, rule in rules.items() if rule.exempt}
            ),
            deny=pins,
            unpinned=unpinned,
            unpinned_anchors=unpinned_anchors or _PUBLIC,
            revision=revision,
            no_hosts=no_hosts,
            _exact=exact,
            _one=one,
            _below=below,
            _deny={(pin.selector, pin.algorithm, pin.digest): pin for pin in pins},
            _answers={},
        )

    @property
    def current(self) -> Policy:
        """The policy itself: a `Policy` is its own `PolicySource`."""
        return self

    @property
    def digest(self) -> str:
        """`sha256:HEX` of what the policy enforces: patterns, pins, modes, expiry, trust, anchors, denied keys.

        Worked out anew at each call, from the tables that the check uses, so keep it off the path
        of a connection. Compare it with a value that is kept outside the process. Equal policies
        have equal digests, in whatever order they were written; revision and reasons do not count,
        and of certifi's and the system's anchors only the name does.
        """
        return fingerprint(
            (self._exact, self._one, self._below),
            self._deny,
            [self.unpinned, self.unpinned_anchors.identity],
        )

    def lookup(self, host: str) -> Rule:
        """The rule for a host in any spelling.

        Raises `PolicyError` if `host` cannot be a host name.
        """
        # Keys are canonical, so a text that is a key needs no canonicalising.
        if type(host) is str and (rule := self._exact.get(host)) is not None:
            return rule
        return next(self._candidates(canonical_host(host)), _NO_ENTRY)

    def _candidates(self, name: str) -> Iterator[Rule]:
        """Every rule whose pattern covers a canonical name, most specific first."""
        if (rule := self._exact.get(name)) is not None:
            yield rule
        if (rule := self._below.get(name)) is not None:
            yield rule
        _, dot, suffix = name.partition(".")
        if (rule := self._one.get(suffix)) is not None:
            yield rule
        while dot:
            if (rule := self._below.get(suffix)) is not None:
                yield rule
            _, dot, suffix = suffix.partition(".")

    def endpoint(
        self, host: str, port: int | None = None, *, url_host: str | None = None
    ) -> Endpoint:
        """Ask about one connection to `host`, the name that TLS verifies; `also` is the other name that led there.

        Raises `UnpinnedHostError` if the policy has nothing for the host and refuses such, and
        `PolicyError` if the two names want different ways of verification.
        """
        # A subclass of str says itself what it equals, and is neither remembered nor looked for.
        if type(host) is not str or (url_host is not None and type(url_host) is not str):
            return self._endpoint(host, port, url_host)
        # A program connects to the same few hosts again and again, and the answer never changes.
        question = host, port, url_host
        known = self._answers.get(question)
        if known is not None:
            return known
        answer = self._endpoint(host, port, url_host)
        if len(self._answers) >= MAX_ANSWERS:
            self._answers.clear()
        self._answers[question] = answer
        return answer

    def _endpoint(self, host: str, port: int | None, url_host: str | None) -> Endpoint:
        rule = self.lookup(host)
        name = canonical_host(host)
        other = canonical_host(url_host) if url_host is not None else None
        second: tuple[str, Rule] | None = None
        if other is not None and other != name:
            noted = self.lookup(other)
            if noted.pin_set is not None:
                second = other, noted
        endpoint = Endpoint(name, port, self, rule, second, other)
        self._check(endpoint)
        return endpoint

    def _check(self, endpoint: Endpoint) -> None:
        rule, second = endpoint.rule, endpoint.url_rule
        if rule.pin_set is None and rule.exempt is None and self.unpinned == "refuse":
            raise self.refusal("UNPINNED_HOST", endpoint).error()
        if second is not None and second[1].pin_set is not None:
            other = second[1].pin_set
            if (other.trust, other.anchors or _PUBLIC) != (endpoint.trust, endpoint.anchors):
                raise PolicyError(
                    f"{endpoint.host} and {second[0]} lead to one connection, "
                    "but the policy verifies their certificates in different ways"
                )

    def refusal(self, reason: str, endpoint: Endpoint) -> Refusal:
        """What is said where a connection is refused before its chain was seen."""
        return Refusal(
            reason, endpoint.host, endpoint.port, revision=self.revision, noted=endpoint.rule
        )

    def check_url(self, url: str) -> Rule:
        """Check a URL before it is fetched, for the hooks of HTTP libraries; returns the rule of its host.

        Raises `PlaintextRefusedError` for `http:` and `ws:` to a pinned host (in any mode),
        `UnpinnedHostError` where the policy refuses a host without an entry, `PolicyError` for what
        is not such a URL, or what another parser could read as another host (brackets elsewhere
        than around an IPv6 address, percent signs in the host, two `@`).
        """
        scheme, host, port = split_url(url)
        endpoint = Endpoint(canonical_host(host), port, self, self.lookup(host))
        if scheme in PLAINTEXT:
            endpoint.check_plaintext()
        self._check(endpoint)
        return endpoint.rule

    def denied(self, selector: str, algorithm: str, digest: bytes | None) -> Pin | None:
        """The entry of the deny list that names this digest, if any."""
        return self._deny.get((selector, algorithm, digest))

    def explain(self, host: str) -> str:
        """Say in words which pattern applies to a host, why, and which others it hides.

        Raises `PolicyError` if `host` cannot be a host name.
        """
        name = canonical_host(host)
        candidates = list(self._candidates(name))
        if not candidates:
            return f"{name}: no pattern applies; hosts without pins are {_PAST[self.unpinned]}"
        first, *hidden = candidates
        what = f"exempt ({first.exempt})" if first.pin_set is None else _describe(first.pin_set)
        lines = [f"{name}: pattern {first.pattern}: {what}"]
        lines += [f"  hides the less specific {rule.pattern}" for rule in hidden]
        return "\n".join(lines)

    def next_expiry(self) -> datetime | None:
        """The earliest `expires` of all pin sets, aware and in UTC, past or future; None if none expires."""
        return min(
            (pins.expires for pins in self.hosts.values() if pins.expires is not None), default=None
        )

    def _asdict(self) -> dict[str, Any]:
        # A mapping proxy does not pickle.
        return super()._asdict() | {"hosts": dict(self.hosts), "exempt": dict(self.exempt)}

    def __hash__(self) -> int:
        # Equal policies have equal parts; to hash a million hosts would help nobody.
        return hash((self.unpinned, self.deny, self.revision, len(self.hosts), len(self.exempt)))

    def __repr__(self) -> str:
        revision = f" revision={self.revision!r}" if self.revision else ""
        return f"<Policy{revision} hosts={len(self.hosts)} unpinned={self.unpinned!r}>"


_PAST: Final = {"refuse": "refused", "allow": "allowed"}


def _rules(hosts: Mapping[str, PinsLike], exempt: Mapping[str, str]) -> dict[str, Rule]:
    """Canonical pattern → rule. Two spellings of one pattern are an error."""
    if not isinstance(hosts, Mapping):
        hint = "; pinio.load_policy reads a file" if isinstance(hosts, str | PathLike) else ""
        raise PolicyError(
            f"hosts is a mapping of patterns to pins, not {type(hosts).__name__}{hint}"
        )
    if not isinstance(exempt, Mapping):
        raise PolicyError(
            f"exempt is a mapping of patterns to reasons, not {type(exempt).__name__}"
        )
    rules: dict[str, Rule] = {}
    for text, pins in hosts.items():
        canonical = _pattern(text, rules)
        try:
            rules[canonical] = Rule(canonical, _pin_set(canonical, pins))
        except (PinFormatError, PolicyError) as error:
            raise type(error)(f"{canonical}: {error}") from None
    for text, reason in exempt.items():
        canonical = _pattern(text, rules)
        if not isinstance(reason, str) or not reason.strip() or not reason.isprintable():
            raise PolicyError(f"exempt {canonical}: the reason is one line of text, and not empty")
        rules[canonical] = Rule(canonical, None, reason)
    return rules


def _check_no_hosts(reason: object, hosts: Mapping[str, PinsLike]) -> None:
    if not isinstance(reason, str) or not reason.strip() or not reason.isprintable():
        raise PolicyError("no_hosts is the reason why no host is pinned: one line, not empty")
    # Words that always stand there would be no sign that a file without hosts is whole.
    if hosts:
        raise PolicyError(
            f"no_hosts says that no host is pinned, but hosts has {len(hosts)}; leave no_hosts out"
        )


def _pin_set(pattern: str, pins: PinsLike) -> PinSet:
    if isinstance(pins, PinSet):
        return pins
    with about(lambda: pattern):
        return PinSet(pins)


def _pattern(text: str, rules: Mapping[str, Rule]) -> str:
    pattern = Pattern.parse(text)
    canonical = str(pattern)
    if canonical in rules:
        raise PolicyError(f"{text!a}: the pattern {canonical} stands in the policy twice")
    if pattern.kind != "exact" and "." not in pattern.suffix:
        warn(f"{canonical} covers a whole top-level domain")
    return canonical


def _tables(rules: Mapping[str, Rule]) -> tuple[dict[str, Rule], ...]:
    """The rules of exact names, of `*.` and of `**.`, each by what stands behind the stars."""
    by_stars: tuple[dict[str, Rule], ...] = {}, {}, {}
    for text, rule in rules.items():
        by_stars[text.count("*")][text.lstrip("*.")] = rule
    return by_stars


def _denied(deny: Iterable[str | Pin]) -> tuple[Pin, ...]:
    try:
        pins = pin_tuple(deny)
    except PinFormatError as error:
        raise PinFormatError(f"deny: {error}") from None
    for pin in pins:
        if pin.role != "any":
            raise PolicyError(
                f"deny {pin}: a denied key has no role; it is refused at every position"
            )
    return distinct(pins, where="in deny twice")


def _describe(pins: PinSet) -> str:
    expires = f", until {pins.expires:%Y-%m-%dT%H:%M:%SZ}" if pins.expires else ""
    many = "1 pin" if len(pins.pins) == 1 else f"{len(pins.pins)} pins"
    return f"{many}, {len(pins.backup)} backup, {pins.mode}, trust {pins.trust}{expires}"
