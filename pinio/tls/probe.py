"""Look at a server's keys.

For people who write policies; what it returns is never a reason to trust anybody.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

from pinio.core.anchors import Anchors
from pinio.core.certificate import ServedChain, VerifiedChain
from pinio.core.host import canonical_host
from pinio.core.wording import chain_lines, escape
from pinio.tls.config.profile import Profile
from pinio.tls.connection.establish import HANDSHAKE_TIMEOUT
from pinio.tls.context.inner import inner_context
from pinio.tls.dial import Dialling, dialled, race
from pinio.tls.handshake import peer
from pinio.tls.handshake.failure import tls_failed
from pinio.tls.request import check_port
from pinio.tls.unexpected import advised

_CHUNK = 16384
_MOST = 1 << 20  # bytes of handshake; a server that sends more is given up


@dataclass(frozen=True, slots=True)
class Probe:
    """What a server showed."""

    host: str
    port: int
    version: str
    """The TLS version, such as "TLSv1.3"."""
    cipher: str
    served: ServedChain
    """What the server sent: anybody could have written it."""
    verified: VerifiedChain | None
    """What verification made of it; None if it failed."""
    problem: str | None
    """Why verification failed."""

    def __str__(self) -> str:
        lines = [f"{self.host} port {self.port}, {self.version}, {self.cipher}"]
        if self.verified is not None:
            lines += ["  verified chain:", *chain_lines(self.verified)]
        else:
            lines += [
                f"  NOT VERIFIED: {escape(self.problem or '')}",
                "  served chain:",
                *chain_lines(self.served),
            ]
        return "\n".join(lines)


@advised
async def probe(
    host: str,
    port: int = 443,
    *,
    server_hostname: str | None = None,
    anchors: Anchors | None = None,
    timeout: float = HANDSHAKE_TIMEOUT,
) -> Probe:
    """Shake hands with a server, look at its certificates, and hang up; no application byte is sent.

    Works on devices whose certificate cannot be verified, and then says so: it asks a second time
    without verification. Compare what it shows with what you know from elsewhere before you pin it.
    `anchors` are certifi's if None, `timeout` is in seconds. Raises `OSError` where nobody answers,
    `TLSFailedError` where TLS fails, `PolicyError` for what is no host or port, and `TimeoutError`.
    """
    name = canonical_host(server_hostname if server_hostname is not None else host)
    check_port(port)
    async with asyncio.timeout(timeout):
        problem = None
        try:
            tls = await _shake_hands(host, port, name, Profile("pkix", anchors or Anchors()))
        except ssl.SSLCertVerificationError as error:
            problem = error.verify_message
            tls = await _shake_hands(host, port, name, Profile("leaf-pin"))
    served, verified, cipher = peer.served_chain(tls), peer.verified_chain(tls), tls.cipher()
    return Probe(
        host=name,
        port=port,
        # OpenSSL does not say in mid-handshake, where only TLS 1.2 can be.
        version=tls.version() or "TLSv1.2",
        cipher=cipher[0] if cipher else "",
        served=ServedChain(served or ()),
        verified=VerifiedChain(verified) if verified and problem is None else None,
        problem=problem,
    )


async def _shake_hands(host: str, port: int, name: str, profile: Profile) -> ssl.SSLObject:
    """A TLS object whose peer has proven its key. The client's last flight stays unsent.

    So a server that insists on a client certificate can be looked at like any other. With TLS 1.2
    the handshake is then not finished, and with TLS 1.3 it is.
    """
    loop = asyncio.get_running_loop()
    context = await loop.run_in_executor(None, inner_context, profile)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=name)
    # Nobody judges here, so the object itself stays shut; what is under it shakes hands and does
    # nothing else.
    do_handshake = peer.raw(tls).do_handshake
    sock = await race(loop, dialled(host), port, Dialling())
    try:
        received = 0
        while True:
            try:
                do_handshake()
                return tls
            except ssl.SSLWantReadError:
                if peer.final_flight_made(tls):  # TLS 1.2; a TLS 1.3 peer proves its key later
                    return tls
                await loop.sock_sendall(sock, outgoing.read())
            except ssl.SSLCertVerificationError:
                raise
            except ssl.SSLError as error:
                raise tls_failed(error, name, port).error() from error
            data = await loop.sock_recv(sock, _CHUNK)
            received += len(data)
            if not data or received > _MOST:
                raise ConnectionResetError(
                    "the server closed the connection during the TLS handshake"
                )
            incoming.write(data)
    finally:
        sock.close()
