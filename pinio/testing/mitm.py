"""Leads a program to an interceptor, and tells whether its pins stopped it."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from pinio.core.host import canonical_host, ip_address
from pinio.errors import PinVerificationError, find_pin_error
from pinio.testing.authority import CA
from pinio.testing.handlers import Handler
from pinio.testing.leaf import Leaf
from pinio.testing.reason import Reason, reason_of
from pinio.testing.record import ConnectionRecord
from pinio.testing.responder import http
from pinio.testing.routing import Route
from pinio.testing.trap import Trap

_CONTROL: Final = b"GET /control HTTP/1.1\r\nHost: pinio.test\r\nConnection: close\r\n\r\n"
_PATIENCE: Final = 30.0  # seconds for the control client, which takes milliseconds
_HTTP: Final = 80
_ANYTHING: Final = http(b"intercepted")


@dataclass(frozen=True)
class Refused:
    """What an interceptor saw of a client that refused it.

    Attributes:
        reason: what stopped the client.
        connections: how many connections it made.
        handshake_finished: whether one of them finished its handshake, as those of blocking clients
            do, and of clients that check afterwards.
        client_certificate: whether the interceptor received the client's certificate.
    """

    reason: Reason
    connections: int
    handshake_finished: bool
    client_certificate: bool

    def __str__(self) -> str:
        finished = "finished" if self.handshake_finished else "not finished"
        return f"refused by {self.reason}; 0 application bytes, handshake {finished}"


class Mitm:
    """An interceptor for chosen hosts, to which this process's connections are led.

        with Mitm(ca) as mitm:
            mitm.route("api.example.com")
            with mitm.expect_refusal(by="pin"):
                fetch("https://api.example.com/", ca.rebase(policy))

    The interceptor has a certificate for the right name from `ca`. `route` first sends a control
    client without pins, which trusts `ca`, and fails unless it is intercepted: so a refusal later
    on is the doing of the client under test.

    Args:
        ca: the CA that the client under test trusts.
        pin_errors: exceptions that the client raises for an unexpected key, where it pins without
            pinio.
    """

    def __init__(self, ca: CA, *, pin_errors: tuple[type[BaseException], ...] = ()) -> None:
        self._ca = ca
        self._pin_errors = pin_errors
        self._traps: dict[str, Trap] = {}
        self._routes: list[Route] = []
        self._refused: list[str] = []

    def route(
        self,
        host: str,
        port: int = 443,
        *,
        leaf: Leaf | None = None,
        handler: Handler = _ANYTHING,
        client_ca: CA | None = None,
        tls_version: ssl.TLSVersion | None = None,
        tls: bool = True,
    ) -> Trap:
        """Intercept this process's connections to `host`, until the block or the test ends.

        Other ports of a host name are led there too, so that a fall back to plaintext is seen; of
        an IP address and of `localhost`, port 80 alone.

        Args:
            host: the name or address that the client connects to.
            port: the port that it connects to.
            leaf: the certificate to present; one of the CA for `host` unless told.
            handler: what to answer a client that lets itself be intercepted.
            client_ca: ask for a client certificate and insist on one issued by this CA.
            tls_version: exactly this version.
            tls: `False` resets every TLS connection, to provoke plaintext.

        Raises:
            AssertionError: the control client was not intercepted.
            PolicyError: `host` is no host name.
        """
        name = canonical_host(host)
        trap = Trap(
            leaf or self._ca.issue(name),
            handler=handler,
            client_ca=client_ca,
            tls_version=tls_version,
            tls=tls,
        )
        trap.start()
        before, self._traps[name] = self._traps.get(name), trap
        if before is not None:
            before.close()
        local = name == "localhost" or ip_address(name) is not None
        self._routes += [
            Route(name, _HTTP if local else None, trap.address),
            Route(name, port, trap.address),
        ]
        self._send_control(trap, name, port)
        return trap

    def assert_refused(
        self, error: BaseException | None = None, *, by: Reason = "pin", host: str | None = None
    ) -> Refused:
        """Assert that the client reached the interceptor, told it nothing, and stopped by `by`.

        Args:
            error: what the client raised; without it, there is no telling why it stopped, unless
                TLS alerts say so.
            by: the reason that is meant. Certificate verification, the name, a timeout or the
                network do not prove a pin.
            host: one of several routed hosts; all of them unless told.

        Raises:
            AssertionError: it does not hold; the message says what was seen.
        """
        hosts = [canonical_host(host)] if host is not None else list(self._traps)
        visits = [visit for name in hosts for visit in self._traps[name].visits()]
        told(visits, ", ".join(hosts))
        if not any(visit.handshake_bytes for visit in visits):
            hint = "it used a proxy, a resolver or a network library of its own, or made no request"
            raise AssertionError(
                f"the client never connected to {', '.join(hosts)} with TLS: {hint}"
                f"{_because(error)}"
            )
        reason = self._reason(error, visits)
        if reason != by:
            raise AssertionError(
                f"the client was stopped by {_WORDS[reason]}, not by {_WORDS[by]}{_because(error)}"
            )
        _check_host(error, hosts)
        self._refused += hosts
        return Refused(
            reason,
            len(visits),
            any(visit.handshake_finished for visit in visits),
            any(visit.client_certificate for visit in visits),
        )

    def expect_refusal(self, *, by: Reason = "pin", host: str | None = None) -> Expected:
        """Run the client in a block, `with` or `async with`, and assert that it was refused.

        The client's exception ends the block, and is kept in `error`; see `assert_refused`.
        """
        return Expected(self, by, host)

    def close(self) -> None:
        """Restore the network and end the interceptor.

        Raises:
            AssertionError: a client that was refused has told the interceptor something since.
        """
        for route in self._routes:
            route.close()
        self._routes.clear()
        traps, self._traps = self._traps, {}
        for trap in traps.values():
            trap.close()
        refused, self._refused = self._refused, []
        for name in refused:
            told(traps[name].visits(), name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._refused.clear()
        self.close()

    def _reason(self, error: BaseException | None, visits: list[ConnectionRecord]) -> Reason:
        if error is not None:
            return reason_of(error, self._pin_errors)
        alerts = " ".join(str(visit.error) for visit in visits if visit.error)
        return "certificate" if "UNKNOWN_CA" in alerts or "EXPIRED" in alerts else "unknown"

    def _send_control(self, trap: Trap, host: str, port: int) -> None:
        context = self._ca.client_context()
        if trap.client_ca is not None:
            trap.client_ca.issue_client().load_into(context)
        trap.controlling = True
        try:
            with (
                socket.create_connection((host, port), timeout=_PATIENCE) as raw,
                context.wrap_socket(raw, server_hostname=host) as tls,
            ):
                tls.sendall(_CONTROL)
        except OSError as error:
            raise AssertionError(
                f"a control client without pins could not be intercepted at {host}:{port}: {error}"
            ) from error
        finally:
            trap.wait_quiet(_PATIENCE)
            trap.controlling = False
        if b"".join(bytes(visit.application_bytes) for visit in trap.visits()) != _CONTROL:
            raise AssertionError(
                f"a control client without pins connected to {host}:{port}, and somebody else "
                "answered: this process's connections cannot be led to the interceptor"
            )
        trap.begin()


class Expected:
    """A block in which a client is to be refused; see `Mitm.expect_refusal`.

    Attributes:
        error: what the client raised.
        refused: what the interceptor saw, after the block.
    """

    def __init__(self, mitm: Mitm, by: Reason, host: str | None) -> None:
        self._mitm, self._host = mitm, host
        self._by: Reason = by
        self.error: BaseException | None = None
        self.refused: Refused | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if error is not None and not isinstance(error, Exception):
            return False
        self.error = error
        self.refused = self._mitm.assert_refused(error, by=self._by, host=self._host)
        return True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        return self.__exit__(kind, error, trace)


_WORDS: Final[dict[Reason, str]] = {
    "pin": "its pins",
    "certificate": "certificate verification (does it trust the test's CA? see CA.rebase)",
    "name": "the name in the certificate",
    "policy": "another rule of the policy",
    "plaintext": "the rule against plaintext",
    "tls": "a TLS failure before any certificate was judged",
    "timeout": "a timeout",
    "connection": "the network",
    "unknown": "something unknown",
}


def told(visits: list[ConnectionRecord], host: str) -> None:
    """Raise `AssertionError` if clients told an interceptor anything."""
    clear = sum(len(visit.application_bytes) for visit in visits if visit.version is None)
    secret = sum(len(visit.application_bytes) for visit in visits if visit.version is not None)
    if secret:
        raise AssertionError(
            f"the client told the interceptor of {host} {secret} application bytes: it does not pin"
        )
    if clear:
        raise AssertionError(
            f"the client sent {clear} bytes in clear to {host}: who breaks TLS reads them"
        )


def _because(error: BaseException | None) -> str:
    if error is None:
        return "; it raised nothing that this assertion was given"
    first = (str(error).splitlines() or [""])[0]
    return f"; it raised {type(error).__name__}: {first}"


def _check_host(error: BaseException | None, hosts: list[str]) -> None:
    """A pin of another host proves nothing about these."""
    found = find_pin_error(error)
    if isinstance(found, PinVerificationError) and found.host not in hosts:
        raise AssertionError(
            f"the client refused {found.host}, which is not routed: {', '.join(hosts)}"
        )
