"""A second telling of what a policy accepts: a small world of certificates, and the real judge.

Verification is a model (a chain ends in an anchor, and in a root unless no anchor is one); what
follows is the real `judge`, so that this agrees with what connections are told.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Final, NamedTuple

from pinio.core.anchors import Anchors
from pinio.core.certificate import Certificate, VerifiedChain
from pinio.core.decision import Permit, Refusal
from pinio.core.pin import Pin
from pinio.core.policy import Policy
from pinio.core.verify import judge
from pinio.errors import PinVerificationError, PolicyError, UnpinnedHostError
from tests.core.forge import Forged, name, some_spki

KEYS: Final = {"k": 1, "l": 2, "u": 3, "r": 4, "s": 5, "p": 6, "y": 7}


def made(subject: str, issuer: str, key: str) -> Certificate:
    """A certificate that says who issued it; nobody checks signatures here."""
    forged = Forged(subject=name(subject), issuer=name(issuer), spki=some_spki(KEYS[key]))
    return Certificate.of(forged.der)


ROOT_R, ROOT_S, PUBLIC, SYSTEM = (made(letter, letter, letter.lower()) for letter in "RSPY")
INTER_K, INTER_L, INTER_U = (made(f"I{key}", "R", key) for key in "klu")
CROSS = made("Iu", "S", "u")
"""The same intermediate as `INTER_U`, issued by the other root."""
CAS: Final = (ROOT_R, ROOT_S, PUBLIC, SYSTEM, INTER_K, INTER_L, INTER_U, CROSS)


class Server(NamedTuple):
    """Who answers: its certificate, and whether that names the host and is in date."""

    leaf: Certificate
    valid: bool = True


_LEAVES: Final = [
    INTER_U,  # nothing keeps a server from showing a CA's certificate as its own
    *(
        made(f"leaf {key}", above, key)
        for key, above in product("klu", ["R", "S", "P", "Y", "Ik", "Il", "Iu"])
    ),
]
SERVERS: Final = [Server(leaf, valid) for valid, leaf in product((True, False), _LEAVES)]

K, L = (Pin.of_certificate(made("any", "any", key).der) for key in "kl")
WHOLE = Pin.of_certificate(INTER_U.der, selector="cert")


def private(*certificates: Certificate) -> Anchors:
    return Anchors("private", certificates)


PRIVATE: Final = [
    private(ROOT_R), private(ROOT_R, ROOT_S), private(ROOT_R, INTER_U), private(ROOT_S, INTER_K), private(INTER_K),
    private(INTER_K, INTER_U), private(INTER_U), private(CROSS),
]  # fmt: skip


@cache
def paths(server: Server, trust: str, anchors: Anchors) -> tuple[VerifiedChain, ...]:
    """Every chain that verifies."""
    if trust == "leaf-pin":
        return (VerifiedChain([server.leaf.der]),)
    if not server.valid:
        return ()
    held = {"certifi": (PUBLIC,), "system": (SYSTEM,)}.get(anchors.origin, anchors.certificates)
    partial = not any(issuer(item) == subject(item) for item in held)
    return tuple(
        VerifiedChain([item.der for item in path])
        for path in _walks((server.leaf,))
        if path[-1] in held and (partial or issuer(path[-1]) == subject(path[-1]))
    )


def _walks(path: tuple[Certificate, ...]) -> Iterator[tuple[Certificate, ...]]:
    yield path
    if issuer(path[-1]) != subject(path[-1]):
        for ca in CAS:
            if subject(ca) == issuer(path[-1]):
                yield from _walks((*path, ca))


def subject(certificate: Certificate) -> bytes:
    assert certificate.fields is not None
    return certificate.fields.subject


def issuer(certificate: Certificate) -> bytes:
    assert certificate.fields is not None
    return certificate.fields.issuer


class ConflictError(Exception):
    """Two names lead to one connection, and their certificates are verified in different ways."""


def decisions(
    policy: Policy, host: str, server: Server, now: float, url_host: str | None = None
) -> Iterator[Permit | Refusal]:
    """What is decided about each chain that may have been verified; nothing if there is none."""
    try:
        endpoint = policy.endpoint(host, url_host=url_host)
    except UnpinnedHostError:
        return
    except PolicyError as error:
        raise ConflictError from error
    for chain in paths(server, endpoint.trust, endpoint.anchors):
        yield judge(endpoint, chain, now)


def accepts(
    policy: Policy, host: str, server: Server, now: float, url_host: str | None = None
) -> bool:
    """Whether a connection to `host`, where `also` led there, may be permitted."""
    return any(
        isinstance(decision, Permit) for decision in decisions(policy, host, server, now, url_host)
    )


def accepts_plaintext(policy: Policy, host: str) -> bool:
    """Whether `http:` to `host` may be spoken."""
    try:
        policy.check_url(f"http://{host}/")
    except PinVerificationError:
        return False
    return True


def by_a_pin(policy: Policy, host: str, server: Server, now: float) -> bool:
    """Whether a pin matches."""
    return any(isinstance(d, Permit) and d.pinned for d in decisions(policy, host, server, now))


def listed(policy: Policy, host: str) -> bool:
    """Whether the host is not one that is refused for having no entry."""
    rule = policy.lookup(host)
    return rule.pin_set is not None or rule.exempt is not None or policy.unpinned == "allow"
