"""The engine of the package `pinio-rustls`, behind the interface of `pinio.tls.connection.engine`.

A connection of rustls takes in ciphertext and decrypts it at once, so that a failure shows when it
is fed. Here the failure waits until something is asked: the end of a handshake, or a read. Nothing
leaves by itself, so the client's last flight waits for the judge as it does in a memory BIO.

rustls has words of its own for what fails. They become the errors that `ssl` raises, with OpenSSL's
codes and reasons, so that hints, observers and callers need to know one language.
"""

# pyright: reportIncompatibleVariableOverride=false
# The class narrows the attributes of its base, and sets them once.

from __future__ import annotations

import re
import ssl
from typing import Any, Final, Literal, TypeVar, overload

from pinio_rustls import Connection, Session, TLSFailure

from pinio.core.certificate import Certificate
from pinio.core.host import ip_address
from pinio.errors import PolicyError
from pinio.tls.connection.judged import JudgedEngine
from pinio.tls.connection.rustls_config import Configuration
from pinio.tls.handshake.handshake import Handshake

_VERIFY_CODES: Final = {  # OpenSSL's (`x509_vfy.h`)
    "expired": 10, "not_yet_valid": 9, "wrong_name": 62, "wrong_address": 64, "self_signed": 18,
     "unknown_issuer": 20, "bad_signature": 7,
    "wrong_purpose": 26, "ca_as_leaf": 26, "critical_extension": 34, "not_a_ca": 24,
    "path_length": 25, "name_constraint": 47, "key_size": 66, "key_usage": 32,
}  # fmt: skip
_UNSPECIFIED: Final = 1
_WORDS: Final = {  # OpenSSL's, for the same
    "expired": "certificate has expired",
    "not_yet_valid": "certificate is not yet valid",
    "unknown_issuer": "unable to get local issuer certificate",
    "self_signed": "self-signed certificate",
    "wrong_name": "Hostname mismatch, certificate is not valid for {name!r}.",
    "wrong_address": "IP address mismatch, certificate is not valid for {name!r}.",
}

_COMPLAINTS: Final = {
    "NoCipherSuitesInCommon": "NO_CIPHERS_AVAILABLE",
    "NoKxGroupsInCommon": "NO_SUITABLE_GROUPS",
    "ServerDoesNotSupportTls12Or13": "UNSUPPORTED_PROTOCOL",
    "ServerTlsVersionIsDisabledByOurConfig": "UNSUPPORTED_PROTOCOL",
    "unexpected_message": "UNEXPECTED_MESSAGE",
}

_ALERTS: Final = {  # of RFC 8446 section 6.2, by rustls's names
    "AccessDenied": "ACCESS_DENIED", "BadCertificate": "BAD_CERTIFICATE",
    "CertificateExpired": "CERTIFICATE_EXPIRED", "CertificateRequired": "CERTIFICATE_REQUIRED",
    "CertificateRevoked": "CERTIFICATE_REVOKED", "CertificateUnknown": "CERTIFICATE_UNKNOWN",
    "HandshakeFailure": "HANDSHAKE_FAILURE", "InappropriateFallback": "INAPPROPRIATE_FALLBACK",
    "InsufficientSecurity": "INSUFFICIENT_SECURITY",
    "NoApplicationProtocol": "NO_APPLICATION_PROTOCOL", "ProtocolVersion": "PROTOCOL_VERSION",
    "UnknownCA": "UNKNOWN_CA", "UnrecognizedName": "UNRECOGNIZED_NAME",
    "UnsupportedCertificate": "UNSUPPORTED_CERTIFICATE",
}  # fmt: skip


_Error = TypeVar("_Error", bound=ssl.SSLError)


class _Incoming:
    """Ciphertext on its way in; a failure is kept for whoever asks next."""

    __slots__ = ("_connection", "failure")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.failure: Exception | None = None

    @property
    def pending(self) -> int:
        connection = self._connection
        held = connection.readable + connection.waiting
        return held or int(connection.peer_closed or self.failure is not None)

    def write(self, data: Any, /) -> int:
        try:
            self._connection.feed(data)
        except (TLSFailure, BufferError) as error:
            # Without its traceback, whose frames hold this connection: that would be a cycle.
            self.failure = self.failure or error.with_traceback(None)
        return len(data)

    def read(self) -> bytes:
        return b""  # it is decrypted already, and read by nobody


class _Outgoing:
    """Ciphertext on its way out."""

    __slots__ = ("_connection", "_taken")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._taken = b""

    @property
    def pending(self) -> int:
        if self._connection.wants_write:
            self._taken += self._connection.take()
        return len(self._taken)

    def read(self) -> bytes:
        taken, self._taken = self._taken, b""
        return taken + self._connection.take() if taken else self._connection.take()


class RustlsObject:
    """The questions of an `ssl.SSLObject` about a connection of rustls; not an `ssl.SSLObject`.

    It reads and writes nothing, and rustls decodes no certificate into the form of `ssl`.
    """

    __slots__ = ("_connection", "server_hostname")

    server_side = False

    def __init__(self, connection: Connection, server_hostname: str) -> None:
        self._connection = connection
        self.server_hostname = server_hostname

    def version(self) -> str | None:
        """The TLS version, such as "TLSv1.3"."""
        return self._connection.version

    def cipher(self) -> tuple[str, str, int] | None:
        """Name of the cipher suite, TLS version, and the bits of the secret key."""
        name, version = self._connection.cipher, self._connection.version
        if name is None or version is None:
            return None
        return name, version, 128 if "128" in name else 256

    def compression(self) -> None:
        """There is none: rustls does not compress."""

    def selected_alpn_protocol(self) -> str | None:
        """The application protocol that was negotiated (RFC 7301)."""
        alpn = self._connection.alpn
        return None if alpn is None else alpn.decode("ascii", "replace")

    @property
    def session_reused(self) -> bool:
        """Whether a session was resumed."""
        return self._connection.resumed

    @overload
    def getpeercert(self, binary_form: Literal[False] = ...) -> None: ...
    @overload
    def getpeercert(self, binary_form: Literal[True]) -> bytes | None: ...
    @overload
    def getpeercert(self, binary_form: bool) -> bytes | None: ...
    def getpeercert(self, binary_form: bool = False) -> bytes | None:
        """The peer's certificate as DER; None without `binary_form`."""
        return self._connection.leaf if binary_form else None

    def get_channel_binding(self, cb_type: str = "tls-exporter") -> bytes:
        """The channel binding `tls-exporter` (RFC 9266). Raises `ValueError` for any other."""
        if cb_type != "tls-exporter":
            raise ValueError(f"rustls has the channel binding tls-exporter, not {cb_type!r}")
        return self._connection.export(b"EXPORTER-Channel-Binding", 32, b"")


class RustlsFacts:
    """The `PeerFacts` of a connection of rustls."""

    __slots__ = ("_configuration", "_connection")

    tickets_are_used_once = True

    def __init__(self, connection: Connection, configuration: Configuration) -> None:
        self._connection = connection
        self._configuration = configuration

    @property
    def configuration(self) -> Configuration:
        return self._configuration

    @property
    def requires_verification(self) -> bool:
        return self._configuration.profile.trust == "pkix"  # frozen, as the profile is

    @property
    def checks_names(self) -> bool:
        return self.requires_verification

    @property
    def version(self) -> str | None:
        return self._connection.version

    @property
    def resumed(self) -> bool:
        return self._connection.resumed

    @property
    def proven_early(self) -> bool:
        connection = self._connection
        return connection.version == "TLSv1.2" and connection.verified_chain is not None

    def verified_chain(self) -> list[bytes] | None:
        return self._connection.verified_chain

    def served_chain(self) -> list[bytes] | None:
        return self._connection.served_chain

    @property
    def leaf(self) -> bytes | None:
        return self._connection.leaf

    def leaves(self) -> tuple[bytes | None, ...]:
        connection = self._connection
        return _first(connection.verified_chain), _first(connection.served_chain), connection.leaf

    def session(self) -> Session | None:
        return self._connection.take_session()


def _first(chain: list[bytes] | None) -> bytes | None:
    return chain[0] if chain else None


class RustlsEngine(JudgedEngine):
    """One connection of rustls."""

    __slots__ = ("_connection",)

    incoming: _Incoming
    outgoing: _Outgoing

    def __init__(self, configuration: Configuration, handshake: Handshake) -> None:
        super().__init__(handshake)
        name, session = self.judge.endpoint.host, handshake.session
        assert session is None or isinstance(session, Session)  # noqa: S101  # of this engine alone
        try:
            self._connection = connection = Connection(configuration.config, name, session)
        except ValueError as error:
            raise PolicyError(f"engine='rustls': {name!r} is no name for TLS: {error}") from error
        self.incoming, self.outgoing = _Incoming(connection), _Outgoing(connection)
        self.tls = RustlsObject(connection, name)
        self._facts = RustlsFacts(connection, configuration)
        self.judge.check_profile(self._facts)

    def _do_handshake(self) -> None:
        self._check()
        if self._connection.is_handshaking:
            if self._connection.peer_closed:
                raise ssl.SSLZeroReturnError(
                    ssl.SSL_ERROR_ZERO_RETURN, "TLS/SSL connection has been closed (EOF)"
                )
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "more ciphertext is needed")

    def read(self, size: int, buffer: Any = None) -> Any:
        connection = self._connection
        if not connection.readable:  # what came before a failure is still good
            self._check()
        data: bytes | int
        try:
            if buffer is None:
                data = connection.read(size)
                count = len(data)
            else:
                data = count = connection.read_into(buffer[:size])
        except TLSFailure as error:
            raise self._error(error) from error
        if not count and not connection.peer_closed:
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "more ciphertext is needed")
        return data

    def write(self, data: Any) -> None:
        try:
            self._connection.write(data)
        except TLSFailure as error:
            raise self._error(error) from error

    def pending(self) -> int:
        return 0  # `incoming` counts what is decrypted too

    def shutdown(self) -> None:
        self._check()
        self._connection.close_notify()

    def _check(self) -> None:
        failure = self.incoming.failure
        if failure is not None:
            raise self._error(failure) from failure

    def _error(self, failure: Exception) -> ssl.SSLError:
        """The error that `ssl` raises for what rustls says."""
        if not isinstance(failure, TLSFailure):
            return _ssl_error(ssl.SSLError, "TOO_MUCH_DATA", str(failure))
        kind, reason, text = failure.args
        if kind != "certificate":
            return _ssl_error(ssl.SSLError, _reason(kind, reason), text)
        reason = self._more_exactly(reason)
        text = _WORDS.get(reason, text).format(name=self.judge.endpoint.host)
        error = _ssl_error(
            ssl.SSLCertVerificationError,
            "CERTIFICATE_VERIFY_FAILED",
            f"certificate verify failed: {text}",
        )
        error.verify_code = _VERIFY_CODES.get(reason, _UNSPECIFIED)
        error.verify_message = text
        return error

    def _more_exactly(self, reason: str) -> str:
        """Tell apart what OpenSSL tells apart."""
        served = self._connection.served_chain or ()
        if reason == "unknown_issuer" and served and Certificate.of(served[0]).self_issued:
            return "self_signed"
        if reason == "wrong_name" and ip_address(self.judge.endpoint.host):
            return "wrong_address"
        return reason


def _ssl_error(kind: type[_Error], reason: str, text: str) -> _Error:
    error = kind(ssl.SSL_ERROR_SSL, f"[RUSTLS: {reason}] {text}")
    error.library, error.reason = "RUSTLS", reason
    return error


def _reason(kind: str, reason: str) -> str:
    """OpenSSL's word for it, where a hint depends on it."""
    if kind == "alert":
        return f"TLSV1_ALERT_{_ALERTS.get(reason) or _upper(reason)}"
    if kind == "protocol":
        return _COMPLAINTS.get(reason) or _upper(reason)
    return "INTERNAL_ERROR"


def _upper(name: str) -> str:
    """`BadRecordMac` → `BAD_RECORD_MAC`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()
