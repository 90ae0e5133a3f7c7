"""TLS objects that stay shut: the classes of every object that an inner context makes.

A library may write before it shakes hands, and OpenSSL then shakes hands by itself, past every
hook; it may go on after an error; a blocking socket whose TLS failed sends plaintext. So each door
of these objects asks the gate first. An object that nobody has armed with a handshake (made
straight from an inner context by who knows whom) lets nothing through at all.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

from pinio.core.decision import Refusal
from pinio.errors import NotJudgedError, PinVerificationError, PolicyError
from pinio.tls.handshake.gate import CLOSED, CLOSING, IDLE, OPEN, REFUSED, SHUTDOWN, State
from pinio.tls.handshake.peer import OpenSSLFacts, TLSObject, has_core

if TYPE_CHECKING:
    from pinio.core.decision import Permit
    from pinio.tls.handshake.handshake import Handshake
    from pinio.tls.handshake.judge import Judge

FOREIGN_SESSION: Final = "a TLS session from elsewhere skips the name check and shows no chain; pinio keeps its own (resumption=)"


class _GatedObject:
    """What the two kinds of TLS object share; mixed into `ssl`'s own classes."""

    _handshake: Handshake | None = None
    _outgoing: ssl.MemoryBIO | None = None
    _rechecks = False
    _answers = False
    _ticket_reads = 3  # a TLS 1.3 ticket comes with the first reads, or not at all

    @property
    def judge(self) -> Judge | None:
        """Who judges the connection; None of an object that nobody has armed."""
        return None if self._handshake is None else self._handshake.judge

    @property
    def permit(self) -> Permit | None:
        """The Permit of a connection that is or was open."""
        return None if self._handshake is None else self._handshake.judge.gate.permit

    @property
    def state(self) -> State:
        """Where the connection is; application bytes flow in `State.OPEN` only."""
        return IDLE if self._handshake is None else self._handshake.judge.gate.state

    @property
    def _facts(self) -> OpenSSLFacts:
        return OpenSSLFacts(cast(TLSObject, self))  # made when asked for: kept, it would be a cycle

    def _bind(self, handshake: Handshake, outgoing: ssl.MemoryBIO | None) -> None:
        self._handshake = handshake
        self._outgoing = outgoing
        judge = handshake.judge
        self._rechecks = judge.source is not None or judge.endpoint.next_expiry(0.0) is not None
        self._answers = handshake.answers

    def _check_read(self) -> None:
        handshake = self._handshake
        if handshake is None or handshake.judge.gate.state is not OPEN:
            self._refuse()

    def _check_write(self) -> None:
        """Like for a read; and the library owns the pool, so a swapped policy and an expiry are noticed here."""
        self._check_read()
        if self._rechecks and self._handshake is not None:
            self._again(self._handshake.recheck)

    def _check_answer(self) -> None:
        """Judge the connection again: the peer may have asked for the client's certificate."""
        if self._handshake is not None:
            self._again(self._handshake.check_answer)

    def _again(self, judge: Callable[[ssl.MemoryBIO | None], None]) -> None:
        try:
            judge(self._outgoing)
        except BaseException:  # a refusal, what an observer raised, an interrupt
            self._discard()
            raise

    def _after_read(self, data: object) -> None:
        """Keep the session once its ticket is there; counts down, so that later reads pay for one comparison."""
        if self._ticket_reads:
            self._ticket_reads -= 1
            handshake = self._handshake
            if handshake is None or (handshake.heard if data else handshake.keep_session)(
                self._facts
            ):
                self._ticket_reads = 0

    def _invalidate_session(self, error: OSError) -> Refusal | None:
        """A read failed. Returns the refusal to raise in place of `error`, if any."""
        return (
            None
            if self._handshake is None
            else self._handshake.invalidate_session(self._facts, error)
        )

    def _refuse(self) -> NoReturn:
        if self._handshake is None:
            raise NotJudgedError(
                Refusal(
                    "NOT_JUDGED", "unknown host", detail="a TLS object that pinio did not prepare"
                )
            )
        endpoint = self._handshake.judge.endpoint
        raise NotJudgedError(
            Refusal("NOT_JUDGED", endpoint.host, endpoint.port, noted=endpoint.rule)
        )

    def _discard(self) -> None:
        """Let nothing through any more, and forget what was to be sent."""
        if self._handshake is not None:
            self._handshake.judge.gate.fail()
        if self._outgoing is not None:
            self._outgoing.read()

    def _advance_handshake(self, do_handshake: Callable[[], None]) -> None:
        handshake = self._handshake
        if handshake is None:
            self._refuse()
        state = handshake.judge.gate.state
        if state is OPEN:
            return
        if state in (REFUSED, CLOSED, CLOSING):
            self._refuse()
        facts = self._facts
        handshake.step(facts, do_handshake, self._outgoing)
        # Its ticket came within the handshake; later ones, by a read.
        if facts.version == "TLSv1.2" and handshake.keep_session(facts):
            self._ticket_reads = 0 if handshake.trial is None else 1

    def _unwrapping(self) -> None:
        """A shutdown may take several calls; application bytes are over with the first."""
        handshake = self._handshake
        if handshake is None or handshake.judge.gate.state not in (OPEN, CLOSING):
            self._refuse()
        if handshake.judge.gate.state is OPEN:
            handshake.judge.gate.advance(SHUTDOWN)


class PinnedSSLObject(_GatedObject, ssl.SSLObject):
    """An `ssl.SSLObject` behind a gate."""

    def do_handshake(self) -> None:
        self._advance_handshake(super().do_handshake)

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002  # `ssl` calls it so
        # While it shuts down, a loop reads what the peer still sends, to find its close_notify
        # (uvloop does).
        if self.state is not CLOSING:
            self._check_read()
        try:
            data = super().read(len, buffer)
        except ssl.SSLWantReadError:
            raise
        except ssl.SSLError as error:
            if (refusal := self._invalidate_session(error)) is not None:
                raise refusal.error() from error
            raise
        finally:
            if self._answers:
                self._check_answer()
        self._after_read(data)
        return data

    def write(self, data: Any) -> int:
        self._check_write()
        return super().write(data)

    def unwrap(self) -> None:
        self._unwrapping()
        try:
            super().unwrap()
        finally:
            if self._answers:
                self._check_answer()


class PinnedSSLSocket(_GatedObject, ssl.SSLSocket):
    """An `ssl.SSLSocket` behind a gate; its TCP ends when its peer is refused, for a socket whose TLS failed sends plaintext."""

    def begin(self, do_handshake_on_connect: bool) -> None:
        """Do what `wrap_socket` would have done at once, had there been a judge already."""
        self.do_handshake_on_connect = do_handshake_on_connect
        if do_handshake_on_connect and has_core(self):
            if self.gettimeout() == 0.0:
                raise ValueError(
                    "do_handshake_on_connect should not be specified for non-blocking sockets"
                )
            self.do_handshake()

    def do_handshake(self, block: bool = False) -> None:
        try:
            self._advance_handshake(lambda: ssl.SSLSocket.do_handshake(self, block))
        except BaseException as error:
            # Of a failure of TLS or TCP the caller decides what becomes of the socket, as with
            # `ssl`.
            if isinstance(error, PinVerificationError) or not isinstance(error, OSError):
                self._hang_up()
            raise

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002  # `ssl` calls it so
        self._check_read()
        if self._answers:
            self._check_answer()  # the socket would send an answer by itself
        try:
            data = super().read(len, buffer)  # pyright: ignore[reportDeprecated]  # what `recv` comes down to
        except (ssl.SSLError, ConnectionError) as error:
            if (refusal := self._invalidate_session(error)) is not None:
                raise refusal.error() from error
            raise
        finally:
            if self._answers:
                self._check_answer()  # the policy may have been swapped while it waited
        self._after_read(data)
        return data

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        if self._handshake is None and not has_core(self):
            # `ssl` itself looks whether anything arrived on a socket that it takes over before it
            # is connected.
            raise OSError(errno.ENOTCONN, "not connected")
        self._check_read()
        return super().recv(buflen, flags)

    def unwrap(self) -> Any:
        self._unwrapping()
        if self._answers:
            self._check_answer()
        return super().unwrap()

    def shutdown(self, how: int) -> None:
        if self._handshake is not None:
            self._handshake.judge.gate.fail()  # from here on `ssl` would read and write plaintext
        super().shutdown(how)

    def _discard(self) -> None:
        super()._discard()
        self._hang_up()

    def _hang_up(self) -> None:
        """End TCP; a non-blocking socket stays open for its event loop, whose selector would be left with a stale number."""
        if self.gettimeout() != 0.0:
            self.close()
            return
        with suppress(OSError):
            socket.socket.shutdown(self, socket.SHUT_RDWR)


def _behind(kind: type, name: str, check: Callable[[Any], None]) -> None:
    """Put `check` before the method `name` that `kind` inherits."""
    inherited = getattr(kind, name)

    @wraps(inherited)
    def method(self: Any, *arguments: Any, **options: Any) -> Any:
        check(self)
        return inherited(self, *arguments, **options)

    setattr(kind, name, method)


def _refuse_setting(kind: type, name: str, why: str) -> None:
    """Make the inherited property `name` one that can be looked at and not set."""
    inherited = getattr(kind, name)

    def refuse(_tls: object, _value: object) -> NoReturn:
        raise PolicyError(why)

    setattr(kind, name, property(inherited.fget, refuse, doc=inherited.__doc__))


def _set_once(kind: type, name: str, why: str) -> None:
    """Make the plain attribute `name` one that keeps what `ssl` put there."""

    def get(tls: object) -> object:
        return vars(tls)[name]

    def put(tls: object, value: object) -> None:
        if name in vars(tls):
            raise PolicyError(why)
        vars(tls)[name] = value

    setattr(kind, name, property(get, put))


for _name in ("recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into"):
    _behind(PinnedSSLSocket, _name, _GatedObject._check_read)  # noqa: SLF001  # of this module
for _name in ("write", "send", "sendall", "sendto", "sendmsg", "sendfile"):
    _behind(PinnedSSLSocket, _name, _GatedObject._check_write)  # noqa: SLF001  # of this module
for _kind in (PinnedSSLObject, PinnedSSLSocket):
    _refuse_setting(_kind, "session", FOREIGN_SESSION)
    _refuse_setting(_kind, "context", "the context of a pinned connection cannot be replaced")
# `ssl` reads it when a socket connects, long after `wrap_socket` looked up the pins of this very
# name; with None it would verify no name at all.
_set_once(
    PinnedSSLSocket,
    "server_hostname",
    "the name that a pinned connection verifies cannot be replaced",
)


def bind(
    tls: ssl.SSLObject | ssl.SSLSocket, handshake: Handshake, outgoing: ssl.MemoryBIO | None
) -> None:
    """Tie a TLS object, just made by an inner context, to the handshake that judges it.

    Raises `JudgementError` for any other object, and if its context does not verify as the profile
    says.
    """
    if not isinstance(tls, _GatedObject):
        raise handshake.judge.refuse("JUDGEMENT_FAILED", f"a {type(tls).__name__} has no latch")
    tls._bind(handshake, outgoing)  # noqa: SLF001  # of this module
    handshake.judge.check_profile(OpenSSLFacts(tls))
