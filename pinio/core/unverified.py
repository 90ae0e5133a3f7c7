"""The words for a certificate that OpenSSL does not verify: what was shown, and the hint that fits.

What the peer sent is read here for people alone, escaped and bounded. It never decides anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pinio.core.certificate import Certificate, ServedChain
from pinio.core.wording import chain_lines, escape, issuer, listed, moment, subject

if TYPE_CHECKING:
    from pinio.core.decision import Refusal

# OpenSSL's verification results (`openssl-verification-options(1)`, `x509_vfy.h`).
_NO_ISSUER: Final = frozenset({2, 20, 21})
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_SELF_SIGNED_LEAF: Final = 18
_SELF_SIGNED_ABOVE: Final = 19
_WRONG_NAME: Final = frozenset({62, 63, 64})
_PURPOSE: Final = 26


def served_lines(refusal: Refusal) -> list[str]:
    """The certificates that the peer sent, and of its own one the names, dates and issuer."""
    if refusal.served is None or not refusal.served.certificates:
        return []
    leaf = refusal.served.leaf
    lines = ["  served chain (verified by nobody):", *chain_lines(refusal.served), "  its leaf:"]
    lines.append(f"    names: {listed(leaf.names) or 'none'}")
    if leaf.not_before is not None and leaf.not_after is not None:
        lines.append(f"    valid: {moment(leaf.not_before)} to {moment(leaf.not_after)}")
    return [*lines, f"    issuer: {issuer(leaf)}"]


def hint(refusal: Refusal) -> str:
    """What to do about it."""
    code = refusal.verify_code
    served = refusal.served.certificates if refusal.served is not None else ()
    if code == _EXPIRED:
        return _expired(served, refusal.time)
    if code == _NOT_YET_VALID:
        return _not_yet_valid(served, refusal.time)
    if code in _WRONG_NAME:
        return _wrong_name(served, refusal.host)
    if code == _SELF_SIGNED_LEAF:
        return (
            "the certificate is signed by its own key, as of a device: compare its pin with what the device "
            'itself shows, and pin it with trust="leaf-pin"'
        )
    if code in _NO_ISSUER or code == _SELF_SIGNED_ABOVE:
        return _unknown_ca(refusal, code == _SELF_SIGNED_ABOVE)
    if code == _PURPOSE:
        return "the certificate is not for TLS servers: whoever runs the server must replace it"
    return (
        f"a certificate of the chain breaks a rule ({escape(refusal.verify_message or 'unknown')}): "
        "whoever runs the server must replace it"
    )


def _expired(served: tuple[Certificate, ...], now: float) -> str:
    for position, item in enumerate(served):
        if item.not_after is not None and item.not_after < now:
            which = "it" if position == 0 else f"the certificate of {subject(item)} above it"
            return (
                f"{which} has expired on {moment(item.not_after)}, if this machine's clock is right "
                f"({moment(now)}): whoever runs the server must renew it"
            )
    return f"a CA above it has expired, if this machine's clock is right ({moment(now)})"


def _not_yet_valid(served: tuple[Certificate, ...], now: float) -> str:
    for position, item in enumerate(served):
        if item.not_before is not None and item.not_before > now:
            which = "it" if position == 0 else f"the certificate of {subject(item)} above it"
            return (
                f"{which} is valid from {moment(item.not_before)} on, and this machine's clock says "
                f"{moment(now)}: one of the two is wrong"
            )
    return f"a CA above it is not valid yet, if this machine's clock is right ({moment(now)})"


def _wrong_name(served: tuple[Certificate, ...], host: str) -> str:
    names = served[0].names if served else ()
    if served and not names:
        return (
            "the certificate has no subjectAltName, and a common name is not looked at: "
            f"whoever runs the server must add {host}"
        )
    listing = f"is for {listed(names)}" if names else "is for another name"
    return (
        f"the certificate {listing}: connect by such a name (server_hostname=), or whoever runs the "
        f"server must add {host}"
    )


def _unknown_ca(refusal: Refusal, root_sent: bool) -> str:
    """The chain ends in a CA that is no anchor, or the certificates between are missing."""
    pinned = refusal.rule is not None and refusal.rule.pin_set is not None
    option = "anchors=" if pinned else "unpinned_anchors= of the policy"
    path = _path(refusal.served)
    if not path:
        return f"if a CA of your own issued the certificate, pass it as {option}"
    if root_sent:
        return (
            f"the chain ends in {subject(path[-1])}, which is no anchor: if that CA is your own, pass it "
            f"as {option}; if not, somebody may be in between"
        )
    missing = issuer(path[-1])
    if len(path) == 1:
        return (
            f"the issuer of the certificate, {missing}, is no anchor, and its certificate was not sent: "
            "if it is an intermediate, whoever runs the server must send it (the chain is incomplete); "
            f"if it is a CA of your own, pass it as {option}; otherwise somebody may be in between"
        )
    return (
        f"the chain ends in a certificate of {missing}, which is no anchor and was not sent: if that "
        f"CA is your own, pass it as {option}; if it is an intermediate, whoever runs the server must "
        "send it; otherwise somebody may be in between"
    )


def _path(served: ServedChain | None) -> list[Certificate]:
    """From the leaf upwards, each certificate followed by one that has its issuer's name."""
    if served is None or not served.certificates:
        return []
    path, *rest = [served.leaf], *served.certificates[1:]
    while (last := path[-1].fields) is not None and last.issuer != last.subject:
        above = [item for item in rest if item.fields and item.fields.subject == last.issuer]
        if not above:
            break
        path.append(above[0])
        rest.remove(above[0])
    return path
