"""What stopped a client, told from what it raised."""

from __future__ import annotations

import socket
import ssl
from collections import deque
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

from pinio.errors import PinVerificationError, find_pin_error

Reason: TypeAlias = Literal[
    "pin", "certificate", "name", "policy", "plaintext", "tls", "timeout", "connection", "unknown"
]
"""`"pin"`: the key. `"certificate"`, `"name"`: certificate verification, before any pin counts.
`"policy"`: another rule of pinio, such as expired pins or an unlisted host. `"connection"`: the
network, as where nothing listens or a name does not resolve."""

_BY_CODE: Final[dict[str, Reason]] = {
    "PIN_MISMATCH": "pin",
    "DENIED_KEY": "pin",
    "PLAINTEXT_REFUSED": "plaintext",
}
_NAME_CODES: Final = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_CURL_PINNED_KEY: Final = 90  # CURLE_SSL_PINNEDPUBKEYNOTMATCH
_MOST: Final = 100
_LINKS: Final = ("__cause__", "__context__", "reason", "certificate_error", "os_error")


def reason_of(error: BaseException, pin_errors: tuple[type[BaseException], ...] = ()) -> Reason:
    """Tell what `error` says, and what it was raised from; the most specific reason wins.

    Args:
        error: what a client raised.
        pin_errors: exceptions that a client without pinio raises for a key it does not expect.
            aiohttp's, urllib3's and pycurl's are known.
    """
    ours = find_pin_error(error)
    if isinstance(ours, PinVerificationError):
        if ours.refusal.reason == "CERTIFICATE_NOT_VERIFIED":
            return _of_verification(ours)
        return _BY_CODE.get(ours.refusal.reason, "policy")
    raised = list(_walk(error))
    if any(isinstance(each, pin_errors) or _is_a_known_pin_error(each) for each in raised):
        return "pin"
    for each in raised:
        if isinstance(each, ssl.SSLCertVerificationError):
            return _of_verification(each)
    for each in raised:
        if (reason := _plain(each)) is not None:
            return reason
    return "unknown"


def _of_verification(error: ssl.SSLCertVerificationError) -> Reason:
    return "name" if error.verify_code in _NAME_CODES else "certificate"


def _plain(error: BaseException) -> Reason | None:
    if isinstance(error, TimeoutError) or "timeout" in type(error).__name__.lower():
        return "timeout"
    if isinstance(error, ssl.SSLError):
        return "tls"
    return "connection" if isinstance(error, ConnectionError | socket.gaierror) else None


def _is_a_known_pin_error(error: BaseException) -> bool:
    if type(error).__name__ == "ServerFingerprintMismatch":  # aiohttp
        return True
    if error.args and error.args[0] == _CURL_PINNED_KEY and type(error).__module__ == "pycurl":
        return True
    return "Fingerprints did not match" in str(error)  # urllib3


def _walk(error: BaseException) -> Iterator[BaseException]:
    """The exception and those it is linked with, breadth first, each once, at most 100."""
    queue, seen = deque([error]), {id(error)}
    while queue and len(seen) < _MOST:
        each = queue.popleft()
        yield each
        linked: list[object] = [getattr(each, name, None) for name in _LINKS]
        linked += [*each.args, *getattr(each, "exceptions", ())]
        for one in linked:
            if isinstance(one, BaseException) and id(one) not in seen:
                seen.add(id(one))
                queue.append(one)
