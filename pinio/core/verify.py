"""Decide whether a peer's keys satisfy a policy.

Pure: the time is an argument, nothing is read, written or logged, and None never means "fine".
`verify` says what is true, `decide` what follows from it; `decide` is the only place where a
`Permit` is made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from pinio.core.certificate import VerifiedChain
from pinio.core.decision import Permit, Refusal
from pinio.core.policy import Endpoint, Policy, Rule
from pinio.core.verdict import Denied, Expired, Match, Mismatch, NoChain, NotPinned, Verdict

Witness: TypeAlias = Callable[[VerifiedChain, int], str | None]
"""Says why the path from a position down to the leaf is not a path of signatures; None if it is."""


def verify(policy: Policy, rule: Rule, chain: VerifiedChain | None, now: float) -> Verdict:
    """Hold a verified chain against the rule of its host; `now` is in POSIX seconds."""
    if policy.deny:
        if chain is None or not chain.certificates:
            return NoChain(rule)
        if denied := _denied(policy, rule, chain):
            return denied
    pins = rule.pin_set
    if pins is None:
        return NotPinned(rule)
    if chain is None or not chain.certificates:
        return NoChain(rule)
    if pins.expires_at is not None and now >= pins.expires_at:
        return Expired(rule)
    found = pins.match(chain.certificates)
    return Mismatch(rule) if found is None else Match(rule, *found)


def _denied(policy: Policy, rule: Rule, chain: VerifiedChain) -> Denied | NoChain | None:
    # Nobody verified what lies above the leaf under "leaf-pin": a denied key there proves nothing
    # about this peer.
    alone = rule.pin_set is not None and rule.pin_set.trust == "leaf-pin"
    kinds = {(pin.selector, pin.algorithm) for pin in policy.deny}
    for position, certificate in enumerate(chain.certificates[:1] if alone else chain):
        if certificate.fields is None:
            return NoChain(rule)  # a key that cannot be read may be a denied one
        for selector, algorithm in kinds:
            pin = policy.denied(selector, algorithm, certificate.digest(selector, algorithm))
            if pin is not None:
                return Denied(rule, pin, position)
    return None


def decide(
    endpoint: Endpoint,
    verdict: Verdict,
    chain: VerifiedChain | None,
    now: float,
    evidence_age: float | None = None,
    engine: str = "openssl",
) -> Permit | Refusal:
    """Turn what was observed into what happens.

    `evidence_age` in seconds says that the chain is a resumed session's, `engine` who verified it.
    """
    reason = _reason(endpoint.policy, verdict)
    revision = endpoint.policy.revision
    if reason is None:
        return Permit._mint(  # noqa: SLF001  # the one place
            endpoint.host, endpoint.port, verdict, chain, revision, now, evidence_age, engine
        )
    return Refusal(
        reason, endpoint.host, endpoint.port, verdict, chain, revision, now, evidence_age
    )


def _reason(policy: Policy, verdict: Verdict) -> str | None:
    """Why this verdict refuses, or None if it permits. What is not listed refuses."""
    pins = verdict.rule.pin_set
    match verdict:
        case Match():
            return None
        case NotPinned():
            return None if policy.unpinned == "allow" or verdict.rule.exempt else "UNPINNED_HOST"
        case Mismatch():
            return None if pins is not None and pins.mode == "report-only" else "PIN_MISMATCH"
        case Expired():
            waived = pins is not None and (pins.mode == "report-only" or pins.on_expiry == "report")
            return None if waived else "PINS_EXPIRED"
        case Denied():
            return "DENIED_KEY"
        case _:
            return "NO_VERIFIED_CHAIN"


def judge(
    endpoint: Endpoint,
    chain: VerifiedChain | None,
    now: float,
    evidence_age: float | None = None,
    witness: Witness | None = None,
    engine: str = "openssl",
) -> Permit | Refusal:
    """Judge one connection by every rule that holds for it: the name that TLS verified, and the other name if it has pins.

    The worse of the two decisions counts: a refusal before a waived mismatch, before a match. A
    match above the leaf counts only if `witness` does not object to the path below it.
    """
    first = _witnessed(
        endpoint,
        verify(endpoint.policy, endpoint.rule, chain, now),
        chain,
        now,
        evidence_age,
        witness,
        engine,
    )
    if endpoint.url_rule is None or isinstance(first, Refusal):
        return first
    name, rule = endpoint.url_rule
    second = _witnessed(
        endpoint,
        verify(endpoint.policy, rule, chain, now),
        chain,
        now,
        evidence_age,
        witness,
        engine,
    )
    if isinstance(second, Refusal):
        return replace(
            second, detail=f"{name} leads to this connection, so that its pins count too"
        )
    return second if second.report is not None else first


def _witnessed(
    endpoint: Endpoint,
    verdict: Verdict,
    chain: VerifiedChain | None,
    now: float,
    evidence_age: float | None,
    witness: Witness | None,
    engine: str,
) -> Permit | Refusal:
    """`decide`, but that a matched issuer must have signed: that the engine says so is not enough.

    A leaf needs no witness: the peer proved to hold its key in the handshake.
    """
    if witness is not None and chain is not None and type(verdict) is Match and verdict.position:
        objection = witness(chain, verdict.position)
        if objection is not None:
            return Refusal(
                "WITNESSES_DISAGREE", endpoint.host, endpoint.port, verdict, chain,
                endpoint.policy.revision, now, evidence_age, detail=objection,
            )  # fmt: skip
    return decide(endpoint, verdict, chain, now, evidence_age, engine)
