"""The rustls engine of pinio: bytes in, bytes out, and the certification path that was verified."""

from typing import Final, final

from typing_extensions import Buffer

__all__ = ["Config", "Connection", "Session", "TLSFailure", "__version__"]

__version__: Final[str]

class TLSFailure(Exception):
    """TLS failed. `args` are the kind, the reason as a short name, and a text.

    The kind is "certificate", "alert", "protocol" or "internal".
    """

    args: tuple[str, str, str]

@final
class Session:
    """A session that a server gave, to be offered on another connection of the same `Config`."""

    @property
    def single_use(self) -> bool:
        """Whether it may be offered once, as a TLS 1.3 ticket (RFC 8446 appendix C.4)."""

    @property
    def used(self) -> bool:
        """Whether it was offered already, and is used up."""

@final
class Config:
    """What is the same for many connections.

    Args:
        anchors: trust anchors as DER; None verifies no path: the caller pins the leaf's key.
        alpn: protocols to offer.
        identity: the client's certificate chain and its private key, as DER.
        tls12: whether TLS 1.2 is offered.
        tls13: whether TLS 1.3 is offered.
        remember_paths: whether verified paths are remembered, for an hour at most.

    Raises:
        ValueError: what cannot be used, and why.
    """

    def __new__(
        cls,
        anchors: list[bytes] | None,
        *,
        alpn: list[bytes] = ...,
        identity: tuple[list[bytes], bytes] | None = None,
        tls12: bool = True,
        tls13: bool = True,
        remember_paths: bool = True,
    ) -> Config: ...
    @property
    def ends(self) -> int:
        """How many of the anchors a path may end in.

        These are not the intermediates beside a root, which only help to build a path, and not what
        webpki cannot read.
        """

    @property
    def remembered_paths(self) -> int:
        """How many verified paths are remembered."""

@final
class Connection:
    """One TLS connection of a client, before any policy.

    Nothing leaves by itself: `take` gives what is to be sent, the client's last flight too. So a
    caller that compares `verified_chain` with its pins before sends nothing to a peer that it
    refuses.

    Args:
        config: the configuration.
        name: the name to verify, a lower-case A-label or an IP address.
        session: a session to be resumed; one of another configuration or name is not resumed.
    """

    def __new__(cls, config: Config, name: str, session: Session | None = None) -> Connection: ...
    def feed(self, data: Buffer) -> None:
        """Take in ciphertext.

        Raises:
            TLSFailure: the connection failed; each later call fails, and `take` gives the alert.
            BufferError: more than a mebibyte waits until plaintext was read; nothing was taken in.
        """

    def read_into(self, buffer: Buffer) -> int:
        """Read plaintext of as many records as fit; returns how many bytes, 0 if there are none.

        What was decrypted before the connection failed can still be read.
        """

    def read(self, size: int) -> bytes:
        """Read at most `size` bytes of plaintext."""

    def write(self, data: Buffer) -> None:
        """Encrypt plaintext. Raises `TLSFailure` before the handshake, and after `close_notify`."""

    def take(self) -> bytes:
        """Take the ciphertext that is to be sent; after a failure the alert at most."""

    def close_notify(self) -> None:
        """Say that no more will be written (RFC 8446 section 6.1)."""

    def take_session(self) -> Session | None:
        """The newest session that the server gave, once."""

    def export(self, label: bytes, size: int, context: bytes | None = None) -> bytes:
        """Keying material (RFC 8446 section 7.5, RFC 5705).

        Args:
            label: 1 to 249 bytes.
            size: 1 to 65535 bytes.
            context: at most 65535 bytes.

        Raises:
            TLSFailure: the handshake is not done.
        """

    @property
    def wants_write(self) -> bool: ...
    @property
    def is_handshaking(self) -> bool: ...
    @property
    def peer_closed(self) -> bool: ...
    @property
    def readable(self) -> int:
        """Bytes of plaintext that can be read at once."""

    @property
    def waiting(self) -> int:
        """Bytes of ciphertext that wait until plaintext was read."""

    @property
    def verified_chain(self) -> list[bytes] | None:
        """The path that was verified, as DER, leaf first.

        None before, on a resumed connection, and after a failure. It is there once the peer's
        signature over the handshake was verified.
        """

    @property
    def served_chain(self) -> list[bytes] | None:
        """What the peer sent, as DER; nothing was verified about it."""

    @property
    def resumed(self) -> bool: ...
    @property
    def leaf(self) -> bytes | None:
        """The leaf that rustls knows; of a resumed session it is the old one."""

    @property
    def version(self) -> str | None: ...
    @property
    def cipher(self) -> str | None: ...
    @property
    def group(self) -> str | None: ...
    @property
    def alpn(self) -> bytes | None: ...
