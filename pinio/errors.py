"""Every exception of pinio, on one page.

Three families. What a program wrote wrongly (`PinFormatError`, `PolicyError`) is a `ValueError`,
raised before any socket exists. What a peer showed wrongly (`PinVerificationError` and its
children) is an `ssl.SSLCertVerificationError`, so that code which already handles a bad certificate
handles a bad key too, and is data first: everything is in `.refusal`. Where TLS itself fails before
there is a certificate to judge (`TLSFailedError`), that remains an `ssl.SSLError`.

Why `SSLCertVerificationError` with `errno` 1: event loops and HTTP libraries treat
`SSL_ERROR_WANT_READ`, `_WANT_WRITE` and `_SYSCALL` (2, 3, 5) as "try again" and would swallow the
refusal.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, cast

if TYPE_CHECKING:
    from pinio.core.decision import Refusal

__all__ = [
    "CertificateNotVerifiedError",
    "ClientCertificateError",
    "DeniedKeyError",
    "InjectedPlaintextError",
    "JudgementError",
    "NoVerifiedChainError",
    "NotJudgedError",
    "OverrideRefusedError",
    "PinError",
    "PinExpiredError",
    "PinFormatError",
    "PinMismatchError",
    "PinVerificationError",
    "PinWarning",
    "PlaintextRefusedError",
    "PolicyError",
    "ServerNameError",
    "TLSFailedError",
    "TamperingError",
    "UnpinnedHostError",
    "WitnessError",
    "find_pin_error",
]


class PinError(Exception):
    """Base of everything that pinio raises on its own account."""


class TamperingError(PinError):
    """A self-test found that something in this process was tampered with.

    `findings` holds what was found, one a line in the message.
    """

    findings: tuple[Any, ...]

    def __init__(self, findings: Iterable[object]) -> None:
        self.findings = tuple(findings)
        super().__init__(self.findings)

    def __str__(self) -> str:
        lines = "".join(f"\n  {finding}" for finding in self.findings)
        return f"the self-test failed; something in this process was tampered with:{lines}"


class PinFormatError(PinError, ValueError):
    """A text, digest or key is not a pin. The message says which and why."""


class PolicyError(PinError, ValueError):
    """A policy, a policy file, a host name or a call's arguments make no sense.

    The message says where and what to do.
    """


class ClientCertificateError(ssl.SSLError, PolicyError):
    """The files of a client certificate do not hold a certificate and its key.

    The message says which file lacks what. It is an `ssl.SSLError` too, as `load_cert_chain`
    raises.
    """

    def __init__(self, message: str) -> None:
        super().__init__(ssl.SSL_ERROR_SSL, message)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.strerror,)


class PinWarning(UserWarning):
    """A policy is valid but fragile: one pin without a backup, a pattern wider than is likely meant, nothing pinned."""


class PinVerificationError(PinError, ssl.SSLCertVerificationError):
    """A connection was refused. `refusal` holds all the data; the text is for people.

    `reason`, `library`, `verify_code` and `verify_message` are set as `ssl` sets them on its own
    errors.
    """

    code: ClassVar[str] = "REFUSED"
    """The reason code, as in `refusal.reason`; codes are only ever added."""

    refusal: Refusal
    """Host, port, reason, chain, pins, pattern, revision and verdict of this refusal."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(ssl.SSL_ERROR_SSL, refusal.text())
        self.refusal = refusal
        self.reason = refusal.reason
        self.library = "PINIO"
        code, words = refusal.verify_code, refusal.verify_message
        self.verify_code = APPLICATION_VERIFICATION if code is None else code
        self.verify_message = refusal.summary() if words is None else words

    # Properties and not attributes: a subclass that is an HTTP library's error too may have its
    # own.
    @property
    def host(self) -> str:
        """The name that was judged: a lower-case A-label or an IP address."""
        return self.refusal.host

    @property
    def port(self) -> int | None:
        """The port where it is known."""
        return self.refusal.port

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.refusal,)


APPLICATION_VERIFICATION: Final = 50
"""`X509_V_ERR_APPLICATION_VERIFICATION`: the certificate was refused by the application, not by OpenSSL."""


class CertificateNotVerifiedError(PinVerificationError):
    """OpenSSL does not verify the certificate: unknown CA, another name, expired; pins do not matter then.

    `verify_code` and `verify_message` are OpenSSL's, here and in `refusal`, and `__cause__` is the
    error of `ssl`. `refusal.served` holds the certificates that the peer sent, for people to read.
    """

    code = "CERTIFICATE_NOT_VERIFIED"


class PinMismatchError(PinVerificationError):
    """No certificate of the verified chain has a pinned key."""

    code = "PIN_MISMATCH"


class PinExpiredError(PinVerificationError):
    """The host's pins are past their `expires`, and `on_expiry` is "refuse"."""

    code = "PINS_EXPIRED"


class UnpinnedHostError(PinVerificationError):
    """The policy has no pins for this host and refuses unpinned ones."""

    code = "UNPINNED_HOST"


class DeniedKeyError(PinVerificationError):
    """A key of the chain is on the policy's deny list."""

    code = "DENIED_KEY"


class NoVerifiedChainError(PinVerificationError):
    """The peer authenticated without a certificate, or without a chain that OpenSSL verified."""

    code = "NO_VERIFIED_CHAIN"


class PlaintextRefusedError(PinVerificationError):
    """A pinned host was about to be spoken to without TLS."""

    code = "PLAINTEXT_REFUSED"


class OverrideRefusedError(PinVerificationError):
    """A request brought its own TLS settings; the policy decides, not the request."""

    code = "OVERRIDE_REFUSED"


class InjectedPlaintextError(PinVerificationError):
    """Bytes arrived in plaintext before TLS started, where they would have been read as if TLS had protected them."""

    code = "INJECTED_PLAINTEXT"


class WitnessError(PinVerificationError):
    """Sources that must name the same certificate, or sign it, disagree: the TLS library does not tell the truth."""

    code = "WITNESSES_DISAGREE"


class ServerNameError(PinVerificationError):
    """TLS was asked for without a `server_hostname`, so that nobody would check the name."""

    code = "NO_SERVER_NAME"


class NotJudgedError(PinVerificationError):
    """Application bytes were asked of a connection that has no Permit."""

    code = "NOT_JUDGED"


class JudgementError(PinVerificationError):
    """The judgement itself failed (see `__cause__`); what cannot be judged is refused."""

    code = "JUDGEMENT_FAILED"


class TLSFailedError(PinError, ssl.SSLError):
    """The TLS handshake failed, and no certificate is the reason: the peer speaks another protocol, or no TLS.

    `reason` is OpenSSL's, such as "WRONG_VERSION_NUMBER", and `__cause__` the error of `ssl`. The
    reason code, "TLS_FAILED", is in `refusal.reason`.
    """

    code: ClassVar[str] = "TLS_FAILED"

    refusal: Refusal
    """Host, port and what OpenSSL said."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(ssl.SSL_ERROR_SSL, refusal.text())
        self.refusal = refusal
        self.reason = refusal.tls_reason or refusal.reason
        self.library = "SSL"

    @property
    def host(self) -> str:
        """The name that was asked for: a lower-case A-label or an IP address."""
        return self.refusal.host

    @property
    def port(self) -> int | None:
        """The port where it is known."""
        return self.refusal.port

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.refusal,)


BY_REASON: Final[dict[str, type[PinVerificationError]]] = {
    kind.code: kind for kind in PinVerificationError.__subclasses__()
}
"""Reason code → error class, of those who refuse a certificate or a key."""

_Form = TypeVar("_Form", bound=PinVerificationError)


def forms(base: type[_Form], prefix: str) -> dict[type[PinVerificationError], type[_Form]]:
    """A subclass of an HTTP library's error for each kind of refusal, which is of that kind as well.

    The caller puts them into the module of `base`, where pickle looks for them.
    """
    attributes = {"__module__": base.__module__}
    return {
        kind: cast(
            "type[_Form]",
            type(f"{prefix}{kind.__name__}", (base, kind), {"__doc__": kind.__doc__, **attributes}),
        )
        for kind in BY_REASON.values()
    }


_LINKS: Final = (
    "__cause__",
    "__context__",
    "reason",
    "certificate_error",
    "os_error",
    "exceptions",
    "args",
)
_MOST: Final = 1000  # exceptions looked at; cycles end earlier


def find_pin_error(error: BaseException | None) -> PinError | None:
    """Find the pinio error inside whatever a library made of it, or None.

    Walks `__cause__`, `__context__`, exception groups, `args`, and the attributes in which
    requests, urllib and aiohttp keep the original, breadth first; bounded, and safe on cycles.
    """
    queue = [] if error is None else [error]
    seen = {id(error)}
    for item in queue:  # grows while it is walked
        if isinstance(item, PinError):
            return item
        for linked in _linked(item):
            if id(linked) not in seen and len(queue) < _MOST:
                seen.add(id(linked))
                queue.append(linked)
    return None


def _linked(error: BaseException) -> Iterator[BaseException]:
    for name in _LINKS:
        value: object = None
        with suppress(Exception):  # somebody else's property, while an error is being handled
            value = getattr(error, name, None)
        items = cast("Iterable[object]", value if isinstance(value, tuple | list) else (value,))
        yield from (item for item in islice(items, _MOST) if isinstance(item, BaseException))
