"""What a caller asked for: from the arguments of a raw door to one endpoint and how to connect to it."""

from __future__ import annotations

from typing import NamedTuple, NoReturn

from pinio.core.anchors import Anchors
from pinio.core.pinset import PinsLike, Trust
from pinio.core.policy import Endpoint
from pinio.errors import PolicyError
from pinio.reporting import observer_or_default
from pinio.tls.config.expectation import Wanted
from pinio.tls.config.profile import Profile
from pinio.tls.context.pinned import PinnedSSLContext
from pinio.tls.handshake.sessions import SessionCache
from pinio.typing import Observer, PolicyLike, PolicySource


class Asked(NamedTuple):
    """One connection, as it was asked for."""

    endpoint: Endpoint
    profile: Profile
    observer: Observer
    resumption: bool | SessionCache
    source: PolicySource | None
    context: PinnedSSLContext | None = None
    """Which asks, if one was passed."""


def asked(
    host: str | None,
    port: int | None,
    *,
    policy: PolicyLike | None,
    pins: PinsLike | None,
    trust: Trust | None,
    anchors: Anchors | None,
    ssl: object,
    server_hostname: str | None,
    observer: Observer | None,
    resumption: bool | SessionCache,
) -> Asked:
    """What one of `policy`, `pins` and `ssl` says of this connection.

    Raises `PolicyError` for arguments that make no sense, `UnpinnedHostError` for a host that the policy does not list.
    """
    if port is not None:
        check_port(port)
    name = _verified_name(host, server_hostname)
    also = host if server_hostname is not None else None
    if not isinstance(resumption, (bool, SessionCache)):
        _fail("resumption= is True, False or a SessionCache")
    if isinstance(ssl, PinnedSSLContext):
        if any(argument is not None for argument in (policy, pins, trust, anchors)):
            _fail("ssl= is a pinned context, which has its own policy; pass one of the two")
        answer = asked_of(ssl, name, port, also=also, observer=observer)
        return answer if resumption is True else answer._replace(resumption=resumption)
    _check_ssl(ssl, policy, pins)
    wanted = Wanted.of(policy, pins, trust, anchors)
    chosen = observer_or_default(observer)
    endpoint = wanted.endpoint(name, port, also=also, observer=chosen)
    return Asked(endpoint, Profile.of(endpoint), chosen, resumption, wanted.source)


def asked_of(
    context: PinnedSSLContext,
    host: str,
    port: int | None,
    *,
    also: str | None = None,
    observer: Observer | None = None,
) -> Asked:
    """What a context says of a connection to `host`, the name that TLS verifies; `observer` stands in for the context's."""
    chosen = context.observer if observer is None else observer_or_default(observer)
    endpoint = context.wanted.endpoint(host, port, also=also, observer=chosen)
    return Asked(
        endpoint, context.profile(endpoint), chosen, context.resumption, context.wanted.source, context
    )


def check_port(port: object) -> None:
    """Raises `PolicyError` for what is no port: resolvers take 65979 for 443, and policies speak of numbers."""
    if not (isinstance(port, int) and 0 < port < 65536) or isinstance(port, bool):
        raise PolicyError(f"port is a whole number from 1 to 65535, not {port!r}")


def _verified_name(host: str | None, server_hostname: str | None) -> str:
    if server_hostname is not None:
        if not server_hostname:
            _fail(
                "server_hostname is empty: nobody would check the server's name; give the name that the certificate must have"
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
        f"ssl= takes a PinnedSSLContext and no {type(ssl).__name__}, because that would decide what is verified; "
        "make one with pinio.create_ssl_context(policy), or pass policy= or pins= (and anchors= for CAs of your own)"
    )


def _fail(message: str) -> NoReturn:
    raise PolicyError(message)
