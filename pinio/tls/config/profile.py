"""One TLS configuration, by value. `pinio.tls.context.inner` builds the context that belongs to it.

A profile fixes everything that decides what a handshake proves: how certificates are verified,
which CAs count, which key exchanges are possible. It is the same on every Python version, so that
an upgrade never changes the verified chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pinio.core.anchors import Anchors
from pinio.core.pinset import Trust
from pinio.core.policy import Endpoint
from pinio.tls.config.engine import EngineName
from pinio.tls.config.settings import Settings

_CERTIFI: Final = Anchors()
DEFAULT_SETTINGS: Final = Settings()


@dataclass(frozen=True, slots=True)
class Profile:
    """One TLS configuration, by value."""

    trust: Trust = "pkix"
    anchors: Anchors = _CERTIFI
    settings: Settings = DEFAULT_SETTINGS
    engine: EngineName = "openssl"

    @classmethod
    def of(
        cls,
        endpoint: Endpoint,
        settings: Settings = DEFAULT_SETTINGS,
        *,
        engine: EngineName = "openssl",
    ) -> Profile:
        """The profile under which this endpoint's certificate is verified."""
        anchors = _CERTIFI if endpoint.trust == "leaf-pin" else endpoint.anchors
        return cls(
            endpoint.trust,
            anchors,
            settings if endpoint.rule.pin_set is not None else settings.anonymous(),
            engine,
        )

    @property
    def identity(self) -> str:
        """Which certificates this profile would verify, as text: what evidence is tied to.

        Two engines may build different chains from the same anchors, so that the engine is part of
        it.
        """
        return f"{self.engine}:{self.trust}:{self.anchors.identity}"
