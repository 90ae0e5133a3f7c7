"""One connection as it was requested: from a caller's arguments to an endpoint, and how to reach it."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple, NoReturn

from pinio.core.anchors import Anchors
from pinio.core.pinset import PinsLike, Trust
from pinio.core.policy import Endpoint
from pinio.errors import PolicyError
from pinio.reporting import observer_or_default
from pinio.tls.config.engine import EngineChoice, choose
from pinio.tls.config.expectation import Expectation
from pinio.tls.config.profile import DEFAULT_SETTINGS, Profile
from pinio.tls.context.pinned import PinnedSSLContext
from pinio.tls.handshake.handshake import Handshake
from pinio.tls.handshake.sessions import SessionCache
from pinio.typing import Observer, PolicyLike, PolicySource


class ConnectionRequest(NamedTuple):
    """One connection as its caller requested it: the one preamble of every entry point."""

    endpoint: Endpoint
    profile: Profile
    observer: Observer
    resumption: bool | SessionCache
    source: PolicySource | None
    context: PinnedSSLContext | None = None
    """The context that was passed, if one was."""

    @classmethod
    def of(
        cls,
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
        engine: EngineChoice,
    ) -> ConnectionRequest:
        """Read the arguments of an entry point, of which one of `policy`, `pins` and `ssl` is given.

        Raises:
            PolicyError: arguments that make no sense.
            UnpinnedHostError: a host that the policy does not list.
        """
        if port is not None:
            check_port(port)
        name = _verified_name(host, server_hostname)
        url_host = host if server_hostname is not None else None
        if not isinstance(resumption, (bool, SessionCache)):
            _fail("resumption= is True, False or a SessionCache")
        if isinstance(ssl, PinnedSSLContext):
            if any(argument is not None for argument in (policy, pins, trust, anchors)):
                _fail("ssl= is a pinned context, which has its own policy; pass one of the two")
            request = cls.by_context(
                ssl, name, port, url_host=url_host, observer=observer, engine=engine
            )
            return request if resumption is True else request._replace(resumption=resumption)
        _check_ssl(ssl, policy, pins)
        expectation = Expectation.of(policy, pins, trust, anchors)
        chosen = observer_or_default(observer)
        endpoint = expectation.endpoint(name, port, url_host=url_host, observer=chosen)
        profile = Profile.of(endpoint, engine=choose(engine, DEFAULT_SETTINGS))
        return cls(endpoint, profile, chosen, resumption, expectation.source)

    @classmethod
    def by_context(
        cls,
        context: PinnedSSLContext,
        host: str,
        port: int | None,
        *,
        url_host: str | None = None,
        observer: Observer | None = None,
        engine: EngineChoice = "openssl",
    ) -> ConnectionRequest:
        """Request a connection to `host`, the name that TLS verifies, as a context says.

        `observer` takes the place of the context's own. Raises `PolicyError` if the engine cannot
        do what the context asks.
        """
        chosen = context.observer if observer is None else observer_or_default(observer)
        source = context.expectation.source
        endpoint = context.expectation.endpoint(host, port, url_host=url_host, observer=chosen)
        profile = context.profile(endpoint)
        profile = replace(profile, engine=choose(engine, profile.settings))
        return cls(endpoint, profile, chosen, context.resumption, source, context)

    def handshake(self, configuration: object, *, dials_again: bool = False) -> Handshake:
        """Prepare the handshake under an engine's configuration; it offers a session if one may be offered now.

        `dials_again` says that the caller looks at `Engine.again` when the handshake fails.
        """
        return Handshake.prepare(
            self.endpoint,
            self.profile,
            configuration,
            observer=self.observer,
            resumption=self.resumption,
            source=self.source,
            dials_again=dials_again,
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
        _fail(
            "pass host=, or server_hostname= with sock=: it is the name that the certificate must have"
        )
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
