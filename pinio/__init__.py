"""pinio: certificate-pinned TLS connections for asyncio, judged before one application byte flows.

    policy = pinio.Policy({"api.example.com": ["sha256/…", "sha256/…"]})
    reader, writer = await pinio.open_connection("api.example.com", 443, policy=policy)

Expected key, or no connection. Everything that a program needs stands here; `pinio.aiohttp`, `pinio.testing` and
`pinio.reporting` are imported by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from pinio.tls.attest import attest
    from pinio.tls.connect import create_connection, open_connection
    from pinio.tls.context import PinnedSSLContext, create_ssl_context
    from pinio.tls.probe import probe
    from pinio.tls.sessions import SessionCache
    from pinio.tls.starttls import start_tls, upgrade
    from pinio.tls.unix import create_unix_connection, open_unix_connection

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
    "tls.context": ("PinnedSSLContext", "create_ssl_context"),
    "tls.probe": ("probe",),
    "tls.sessions": ("SessionCache",),
    "tls.starttls": ("start_tls", "upgrade"),
    "tls.unix": ("create_unix_connection", "open_unix_connection"),
}
_HOME = {name: f"pinio.{module}" for module, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # or type checkers would take every misspelt name for one that may be there

    def __getattr__(name: str) -> Any:
        """Import what is asked for when it is asked for: a program that only parses pins loads no TLS."""
        home = _HOME.get(name)
        if home is None:
            raise AttributeError(f"module 'pinio' has no attribute {name!r}{_elsewhere(name)}")
        from importlib import import_module

        value = globals()[name] = getattr(import_module(home), name)
        return value


def _elsewhere(name: str) -> str:
    """Where a name is that is not here: `except pinio.PinExpiredError` would fail when it is needed, and not say why."""
    from importlib import import_module
    from importlib.util import find_spec

    if name.startswith("_"):  # what tools ask of every module
        return ""
    if name.endswith("Error") and hasattr(import_module("pinio.errors"), name):
        return f"; it stands in pinio.errors: from pinio.errors import {name}"
    return f"; it is a module: import pinio.{name}" if find_spec(f"pinio.{name}") is not None else ""


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
