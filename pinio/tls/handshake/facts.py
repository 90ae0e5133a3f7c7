"""What the judge knows of a peer, whichever TLS library shakes hands."""

from __future__ import annotations

from typing import Protocol


class PeerFacts(Protocol):
    """The facts of one connection's peer; `pinio.tls.handshake.peer` takes OpenSSL's.

    Each is read from the TLS library when it is asked for: an unpinned host's chain is never
    extracted, and until the peer's key is proven nothing of its chain is looked at.
    """

    @property
    def configuration(self) -> object:
        """What sessions belong to: they are offered under the same TLS configuration alone."""
        ...

    @property
    def tickets_are_used_once(self) -> bool:
        """Whether a TLS 1.3 ticket serves one connection (RFC 8446 appendix C.4)."""
        ...

    @property
    def requires_verification(self) -> bool:
        """Whether the library refuses a peer whose certificates it cannot verify."""
        ...

    @property
    def checks_names(self) -> bool:
        """Whether the library compares the peer's certificate with the host name."""
        ...

    @property
    def proven_early(self) -> bool:
        """Whether the peer has proven its key although the handshake is not done (TLS 1.2)."""
        ...

    @property
    def resumed(self) -> bool:
        """Whether the handshake resumed a session, which shows no chain."""
        ...

    @property
    def version(self) -> str | None:
        """The TLS version as `ssl` writes it, such as `TLSv1.3`; None before it is known."""
        ...

    @property
    def leaf(self) -> bytes | None:
        """DER of the peer's certificate by the finished handshake; of a resumed one, the old."""
        ...

    def verified_chain(self) -> list[bytes] | None:
        """DER of the chain that the library verified, leaf first."""
        ...

    def served_chain(self) -> list[bytes] | None:
        """DER of what the peer sent; nothing is verified about it."""
        ...

    def leaves(self) -> tuple[bytes | None, ...]:
        """DER of the leaf by each source that names it independently, once the handshake is done.

        The judge refuses the peer where they differ.
        """
        ...

    def session(self) -> object | None:
        """The session to keep for the next connection; None while there is none to resume."""
        ...
