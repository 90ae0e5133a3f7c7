"""The words of a refusal, or of one that was waived: what happened, what was there, what was expected, and a hint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pinio.core import mismatch, tls_failed, unverified
from pinio.core.verdict import Denied, Expired
from pinio.core.wording import chain_lines, escape, pin_lines

if TYPE_CHECKING:
    from pinio.core.decision import Permit, Refusal
    from pinio.core.policy import Rule

_SUMMARIES: Final = {
    "CERTIFICATE_NOT_VERIFIED": "showed a certificate that does not verify",
    "PIN_MISMATCH": "is pinned, and no certificate in the verified chain matches",
    "PINS_EXPIRED": "is pinned, and its pins have expired",
    "UNPINNED_HOST": "has no pins, and the policy refuses hosts without",
    "DENIED_KEY": "shows a key that the policy denies",
    "NO_VERIFIED_CHAIN": "showed no certificate chain that could be verified",
    "PLAINTEXT_REFUSED": "is pinned, and was about to be spoken to without TLS",
    "OVERRIDE_REFUSED": "is the policy's to decide about, and the request brought TLS settings of its own",
    "INJECTED_PLAINTEXT": "sent plaintext that would have been read as if TLS had protected it",
    "WITNESSES_DISAGREE": "was judged by a TLS library that contradicts itself or the signatures of the chain",
    "NO_SERVER_NAME": "cannot be verified: TLS was asked for without a server name",
    "NOT_JUDGED": "was not judged, or is open no more, so no application byte may pass",
    "JUDGEMENT_FAILED": "could not be judged because of an error, and is therefore refused",
    "TLS_FAILED": "did not complete the TLS handshake",
}
_HINTS: Final = {
    "PIN_MISMATCH": "if the keys were rotated on purpose, look at them from a trusted network: pinio pins {target}",
    "PINS_EXPIRED": 'renew the pins and their date in the policy; on_expiry="report" would let connections through',
    "UNPINNED_HOST": 'add pins for it, exempt it by name, or build the policy with unpinned="allow"',
    "DENIED_KEY": "the deny list wins over every pin and mode; if the key is good again, take it off that list",
    "NO_VERIFIED_CHAIN": "the server must authenticate with a certificate, in a full handshake under this policy",
    "PLAINTEXT_REFUSED": "use https:// or wss://",
    "OVERRIDE_REFUSED": "leave them out of the request; what is expected of this host stands in the policy",
    "INJECTED_PLAINTEXT": "read everything the server said before the upgrade; what is left over is an attack or a broken server",
    "WITNESSES_DISAGREE": "something in this process or its TLS library was tampered with",
    "NO_SERVER_NAME": "pass server_hostname=",
    "NOT_JUDGED": "complete the handshake first; a connection that was refused or closed stays so",
    "JUDGEMENT_FAILED": "the error is this one's __cause__",
}


def summary(refusal: Refusal) -> str:
    """One line."""
    return f"{_where(refusal)} {_what(refusal.reason, refusal.rule)}"


def lines(refusal: Refusal) -> list[str]:
    """The whole text."""
    details = [refusal.detail] if refusal.detail else []
    if refusal.verify_message:  # in OpenSSL's words, which people search for
        details.append(f"certificate verify failed: {refusal.verify_message}")
    first = summary(refusal) + (":" if details else ".")
    return [first, *(f"  {escape(detail)}" for detail in details), *_body(refusal)]


def _body(refusal: Refusal) -> list[str]:
    hint = hint_for(refusal)
    if refusal.reason == "TLS_FAILED":  # no certificate was judged, and so the pins do not matter
        return [f"  hint: {hint}"]
    return [*unverified.served_lines(refusal), *_details(refusal, refusal.rule), f"  hint: {hint}"]


def hint_for(refusal: Refusal) -> str:
    """What to do about a refusal."""
    if refusal.reason == "CERTIFICATE_NOT_VERIFIED":
        return unverified.hint(refusal)
    if refusal.reason == "TLS_FAILED":
        return tls_failed.hint(refusal.tls_reason, refusal.host)
    return _hint(refusal.reason, refusal, refusal.rule)


def waived(permit: Permit) -> str:
    """The text for a connection that was let through although its pins did not match, or were expired."""
    rule = permit.verdict.rule
    reason = "PINS_EXPIRED" if isinstance(permit.verdict, Expired) else "PIN_MISMATCH"
    by = "report-only" if permit.mode == "report-only" else 'on_expiry="report"'
    first = f"{_where(permit)} {_what(reason, rule)} ({by})."
    return "\n".join([first, *_details(permit, rule), f"  hint: {_hint(reason, permit, rule)}"])


def _what(reason: str, rule: Rule | None) -> str:
    if reason == "PIN_MISMATCH" and _unverified(rule):
        return "is pinned, and its certificate does not match"
    return _SUMMARIES.get(reason, "was refused")


def _details(decision: Permit | Refusal, rule: Rule | None) -> list[str]:
    """What was there, and what was expected."""
    lines: list[str] = []
    if decision.chain is not None:
        what = "certificate (verified by nobody)" if _unverified(rule) else "verified chain"
        lines.append(f"  {what}{' of the resumed session' if decision.resumed else ''}:")
        lines += chain_lines(decision.chain)
    if isinstance(decision.verdict, Denied):
        lines += ["  denied:", f"    {decision.verdict.pin}"]
    elif rule is not None and rule.pin_set is not None:
        revision = "" if decision.revision is None else f"policy {escape(decision.revision)}, "
        expired = (
            f", expired {rule.pin_set.expires:%Y-%m-%dT%H:%M:%SZ}"
            if isinstance(decision.verdict, Expired)
            else ""
        )
        lines.append(f"  pinned ({revision}pattern {rule.pattern}{expired}):")
        lines += pin_lines(rule.pin_set.pins, rule.pin_set.backup)
    return lines


def _hint(reason: str, decision: Permit | Refusal, rule: Rule | None) -> str:
    pins = rule.pin_set if rule is not None else None
    if reason == "PIN_MISMATCH" and pins is not None and decision.chain is not None:
        known = mismatch.hint(decision.chain.certificates, pins)
        if known is not None:
            return known
    # What `pinio pins` takes to look at the same server.
    target = decision.host if decision.port in (None, 443) else _where(decision)
    return _HINTS[reason].format(target=target)


def _unverified(rule: Rule | None) -> bool:
    """Under "leaf-pin" there is a certificate, but no chain that anybody verified."""
    return rule is not None and rule.pin_set is not None and rule.pin_set.trust == "leaf-pin"


def _where(decision: Permit | Refusal) -> str:
    host = f"[{decision.host}]" if ":" in decision.host else decision.host
    return host if decision.port is None else f"{host}:{decision.port}"
