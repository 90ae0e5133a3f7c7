"""pinio: certificate-pinned TLS connections for asyncio, judged before one application byte flows.

    policy = pinio.Policy({"api.example.com": ["sha256/…", "sha256/…"]})
    reader, writer = await pinio.open_connection("api.example.com", 443, policy=policy)

Expected key, or no connection. Everything that a program needs stands here; `pinio.aiohttp`,
`pinio.testing` and `pinio.reporting` are imported by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import FrameType

    from pinio.core.anchors import Anchors
    from pinio.core.decision import Permit, Refusal
    from pinio.core.pin import Pin
    from pinio.core.pinset import PinSet
    from pinio.core.policy import Policy
    from pinio.errors import (
        PinError,
        PinFormatError,
        PinMismatchError,
        PinVerificationError,
        PinWarning,
        PolicyError,
        UnpinnedHostError,
        find_pin_error,
    )
    from pinio.sources.file import FileSource, load_policy
    from pinio.tampering import Watch as Watch
    from pinio.tampering import selftest as selftest
    from pinio.tls.attest import attest
    from pinio.tls.connect import create_connection, open_connection
    from pinio.tls.context.pinned import PinnedSSLContext, create_ssl_context
    from pinio.tls.handshake.sessions import SessionCache
    from pinio.tls.probe import probe
    from pinio.tls.starttls import start_tls, upgrade
    from pinio.tls.unix import create_unix_connection, open_unix_connection
    from pinio.tuf import TUFSource as TUFSource

__all__ = [
    "Anchors",
    "FileSource",
    "Permit",
    "Pin",
    "PinError",
    "PinFormatError",
    "PinMismatchError",
    "PinSet",
    "PinVerificationError",
    "PinWarning",
    "PinnedSSLContext",
    "Policy",
    "PolicyError",
    "Refusal",
    "SessionCache",
    "UnpinnedHostError",
    "attest",
    "create_connection",
    "create_ssl_context",
    "create_unix_connection",
    "find_pin_error",
    "load_policy",
    "open_connection",
    "open_unix_connection",
    "probe",
    "start_tls",
    "upgrade",
]

_HOMES = {
    "core.anchors": ("Anchors",),
    "core.decision": ("Permit", "Refusal"),
    "core.pin": ("Pin",),
    "core.pinset": ("PinSet",),
    "core.policy": ("Policy",),
    "errors": (
        "PinError",
        "PinFormatError",
        "PinMismatchError",
        "PinVerificationError",
        "PinWarning",
        "PolicyError",
        "UnpinnedHostError",
        "find_pin_error",
    ),
    "sources.file": ("FileSource", "load_policy"),
    "tls.attest": ("attest",),
    "tls.connect": ("create_connection", "open_connection"),
    "tls.context.pinned": ("PinnedSSLContext", "create_ssl_context"),
    "tls.probe": ("probe",),
    "tls.handshake.sessions": ("SessionCache",),
    "tls.starttls": ("start_tls", "upgrade"),
    # Stands in no `__all__`: few programs call it, and it needs the canaries.
    "tampering": ("Watch", "selftest"),
    "tls.unix": ("create_unix_connection", "open_unix_connection"),
    # Needs an extra, and stands in no `__all__`: `from pinio import *` works without it.
    "tuf": ("TUFSource",),
}
_HOME = {name: f"pinio.{module}" for module, names in _HOMES.items() for name in names}


# Names that are public in other modules; looked at where a program takes one for ours.
_ELSEWHERE = {
    "aiohttp": "ClientPinError PinnedConnector",
    "formats": "AnchorsLoader FORMATS Format Reader Writer",
    "httpx": "AsyncPinnedHTTPTransport PinnedHTTPTransport TransportPinError",
    "reporting": (
        "Counters HTTPSink JSONFormatter LogObserver OpenTelemetryObserver PrometheusObserver "
        "Queue default_observer fan_out source_gauges"
    ),
    "requests": "PinnedAdapter PinnedSession RequestPinError",
    "sources": "AsyncSource FirstOf Health first_of loosened",
    "testing": (
        "CA Clock ConnectProxy Connection ConnectionRecord CutRelay DripRelay Expected Handler "
        "Interceptor Leaf Mitm RawServer Refused Request Route Server Site Trap echo garbage hear "
        "http reset self_signed silent speak_first starttls tls_alert tls_record unrouted vanish"
    ),
    "tampering": "Finding SelfTest TamperingError Watch selftest",
    "tuf": "TUFSource",
    "typing": (
        "Denied Expired Match Mismatch NoChain NotPinned Observer PinsLike PolicyLike "
        "PolicySource Report Rule Verdict"
    ),
}


if not TYPE_CHECKING:  # or type checkers would take every misspelt name for one that may be there

    def __getattr__(name: str) -> Any:
        """Import what is asked for when it is asked for: a program that only parses pins loads no TLS."""
        home = _HOME.get(name)
        if home is None:
            import sys

            # There is no other way to ask who calls.
            raise _missing(name, importing=_importing(sys._getframe(1)))  # noqa: SLF001
        from importlib import import_module

        value = globals()[name] = getattr(import_module(home), name)
        return value


def _importing(caller: FrameType) -> bool:
    """Whether this is `from pinio import …`, where nobody gets to see the text of an AttributeError.

    The import system asks for the attribute first, and then looks for a submodule of that name.
    """
    code = caller.f_code
    return code.co_name == "_handle_fromlist" and "importlib" in code.co_filename


def _missing(name: str, *, importing: bool) -> Exception:
    """The error for a name that is not here.

    It says where the name is: `except pinio.PinExpiredError` would fail when it is needed, and not
    say why.
    """
    from importlib import import_module
    from importlib.util import find_spec

    text = f"module 'pinio' has no attribute {name!r}"
    if name.startswith("_"):  # what tools ask of every module
        return AttributeError(text)
    home = next((module for module, names in _ELSEWHERE.items() if name in names.split()), None)
    if name.endswith("Error") and hasattr(import_module("pinio.errors"), name):
        home = "errors"
    if home is not None:
        hint = f"it stands in pinio.{home}: from pinio.{home} import {name}"
        if importing:
            return ImportError(f"cannot import name {name!r} from 'pinio'; {hint}", name=name)
        return AttributeError(f"{text}; {hint}")
    if find_spec(f"pinio.{name}") is not None:
        return AttributeError(f"{text}; it is a module: import pinio.{name}")
    return AttributeError(text)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
