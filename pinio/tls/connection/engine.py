"""What the connection asks of a TLS engine: ciphertext in, ciphertext and plaintext out.

An engine does no I/O and knows no event loop. The protocol and the transport use it through
`Engine` alone, so that they work with any TLS library; `openssl` and `rustls` beside this
module have the two there are, and `factory` is the one place that decides which is made.

`read`, `write`, `pending` and the methods of `incoming` and `outgoing` run once per record. An
engine may therefore set them as attributes, for instance bound methods of C objects.

Errors keep the classes that asyncio's callers know. `ssl` defines these, and any engine raises
them; the names below are what the connection calls them by.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from pinio.core.decision import Refusal
from pinio.tls.handshake.judge import Judge
from pinio.tls.handshake.sessions import SessionCache

RECORD: Final = 16384
"""Most plaintext bytes in one record (RFC 8446 section 5.1); such a read takes a whole one."""
SLICE: Final = 5 + RECORD + 256
"""Most ciphertext bytes fed at once: the longest record (RFC 8446 section 5.2)."""

EngineError: TypeAlias = ssl.SSLError
"""TLS failed; base class of the others."""
NeedsInput: TypeAlias = ssl.SSLWantReadError
"""The engine cannot go on before more ciphertext arrives."""
BothClosed: TypeAlias = ssl.SSLZeroReturnError
"""Both sides have sent their close_notify."""
Truncated: TypeAlias = ssl.SSLEOFError
"""The peer closed TCP without a close_notify."""


class Incoming(Protocol):
    """Ciphertext that has arrived and is not decrypted yet."""

    @property
    def pending(self) -> int:
        """Bytes that wait."""
        ...

    def write(self, data: Any, /) -> object:
        """Feed ciphertext; at most `SLICE` bytes at once keep the buffer small."""
        ...

    def read(self) -> object:
        """Discard what waits."""
        ...


class Outgoing(Protocol):
    """Ciphertext that waits to be sent."""

    @property
    def pending(self) -> int:
        """Bytes that wait."""
        ...

    def read(self) -> bytes:
        """Take all of it."""
        ...


class Information(Protocol):
    """What `get_extra_info` tells of TLS, as `ssl.SSLObject` names and answers it."""

    def getpeercert(self) -> Any: ...
    def cipher(self) -> Any: ...
    def compression(self) -> Any: ...


class Engine(Protocol):
    """One connection's TLS state and its handshake.

    An engine takes plaintext and gives plaintext only after `handshake` returned True. It asks its
    judge as soon as the peer's verified chain is known and its key is proven, and lets no byte of
    the client's last flight out before the judge permits the connection.
    """

    read: Callable[..., Any]
    """`read(size)` returns plaintext, `read(size, buffer)` writes it and returns the count.

    An empty result means that the peer sent close_notify. Raises `NeedsInput`, `BothClosed` after
    `shutdown`, and `EngineError` for a broken record.
    """

    @property
    def judge(self) -> Judge:
        """Who judges this connection; its gate is the state of the connection."""
        ...

    @property
    def incoming(self) -> Incoming: ...
    @property
    def outgoing(self) -> Outgoing:
        """What may be sent on an open connection; during the handshake use `take`."""
        ...

    @property
    def tls(self) -> Information:
        """What `get_extra_info("ssl_object")` returns."""
        ...

    @property
    def write(self) -> Callable[[Any], object]:
        """`write(data)` encrypts at most `RECORD` bytes of plaintext."""
        ...

    @property
    def pending(self) -> Callable[[], int]:
        """`pending()` is the number of plaintext bytes that are decrypted and not read."""
        ...

    @property
    def shutdown(self) -> Callable[[], object]:
        """`shutdown()` sends close_notify. Raises `NeedsInput` until the peer's has arrived."""
        ...

    def handshake(self) -> bool:
        """Go as far as the ciphertext fed so far allows; True once the peer is judged.

        Raises `PinVerificationError` where the peer is refused and `TLSFailedError` where TLS
        fails; `take` then returns nothing but an alert.
        """
        ...

    def take(self) -> bytes:
        """Take the ciphertext to send; nothing after a refusal."""
        ...

    @property
    def sessions(self) -> SessionCache | None:
        """Where sessions are kept; None where the connection does not resume."""
        ...

    def heard(self) -> bool:
        """Keep the session after data has arrived; False while no ticket has come."""
        ...

    @property
    def again(self) -> bool:
        """Whether the handshake failed because of an offered session: dial again in full."""
        ...

    def invalidate_session(self, error: OSError) -> Refusal | None:
        """Report that the open connection broke.

        Returns:
            The refusal to raise instead of `error`, if the peer rejected the client certificate.
        """
        ...

    def ended(self, error: BaseException | None) -> None:
        """Report that the connection ended during the handshake; None if its caller gave up."""
        ...

    def recheck(self) -> None:
        """Judge an open connection again if its policy was replaced or its pins have expired.

        Raises `PinVerificationError` if the policy no longer allows the connection.
        """
        ...
