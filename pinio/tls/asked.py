"""What a caller asked for: from the arguments of a door to one endpoint, or to an error that says what to pass."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NoReturn

from pinio.core.anchors import Anchors
from pinio.core.host import canonical_host
from pinio.core.pin import Pin
from pinio.core.pinset import PinSet, PinsLike, Trust
from pinio.core.policy import Endpoint, Policy
from pinio.errors import PolicyError
from pinio.typing import PolicyLike


def expected(
    host: str | None,
    port: int | None,
    *,
    policy: PolicyLike | None,
    pins: PinsLike | None,
    trust: Trust | None,
    anchors: Anchors | None,
    ssl: object,
    server_hostname: str | None,
) -> Endpoint:
    """The endpoint that one of `policy` and `pins` speaks of.

    Raises `PolicyError` for arguments that make no sense, `UnpinnedHostError` for a host that the policy does not list.
    """
    name = _verified_name(host, server_hostname)
    _check_ssl(ssl, policy, pins)
    if (policy is None) == (pins is None):
        _fail("pass one of policy= and pins=: what is expected of the peer has to be said, once")
    if pins is not None:
        return _pinned(canonical_host(name), _hashable(pins), trust, anchors).endpoint(name, port)
    if trust is not None or anchors is not None:
        _fail("trust= and anchors= go with pins=; in a policy each PinSet has its own")
    current = getattr(policy, "current", None)
    if not isinstance(current, Policy):
        _fail(f"policy= is a Policy or a source of one, not {type(policy).__name__}")
    return current.endpoint(name, port, also=host if server_hostname is not None else None)


def _verified_name(host: str | None, server_hostname: str | None) -> str:
    if server_hostname is not None:
        if not server_hostname:
            _fail(
                "server_hostname is empty: nobody would check the server's name; leave it out to check the host's"
            )
        return server_hostname
    if not host:
        _fail("pass host=, or server_hostname= with sock=: it is the name that the certificate must have")
    return host


def _check_ssl(ssl: object, policy: object, pins: object) -> None:
    if ssl is None or (ssl is True and (policy is not None or pins is not None)):
        return
    if ssl is True or ssl is False:
        _fail(f"ssl={ssl} says nothing about which keys are expected; pass policy= or pins=")
    _fail(
        f"ssl= takes no {type(ssl).__name__}: a TLS context of your own would decide what is verified; "
        "pass policy= or pins=, and anchors= for CAs of your own"
    )


@lru_cache(maxsize=256)
def _pinned(
    host: str, pins: tuple[str | Pin, ...] | PinSet, trust: Trust | None, anchors: Anchors | None
) -> Policy:
    if not isinstance(pins, PinSet):
        pins = PinSet(pins, trust=trust or "pkix", anchors=anchors)
    elif trust is not None or anchors is not None:
        _fail("pins= is a PinSet, which has its own trust and anchors")
    return Policy({host: pins})


def _hashable(pins: PinsLike) -> tuple[str | Pin, ...] | PinSet:
    if isinstance(pins, PinSet):
        return pins
    if isinstance(pins, str | Pin):
        return (pins,)
    if not isinstance(pins, Iterable):
        _fail(f"pins= is one pin, several, or a PinSet, not {type(pins).__name__}")
    return tuple(pins)


def _fail(message: str) -> NoReturn:
    raise PolicyError(message)
