"""What a connector offers by ALPN (RFC 7301): what aiohttp's own contexts offer, unless the program says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from pinio.tls.config.settings import Settings
from pinio.tls.context.inner import inner_context
from pinio.tls.context.pinned import PinnedSSLContext

HTTP: Final = ("http/1.1",)
"""The protocols of aiohttp's default contexts, the only ones that it speaks."""


class OfferingHTTP(PinnedSSLContext):
    """A view of a context that the program passed, which offers `HTTP` where that context offers nothing.

    The program may use its context elsewhere too, so it is not changed here. What the program
    changes there holds here as well.
    """

    viewed: PinnedSSLContext

    def __init__(self, viewed: PinnedSSLContext) -> None:
        self._store(viewed=viewed)
        super().__init__(
            viewed.expectation,
            settings=viewed.settings,
            observer=viewed.observer,
            resumption=viewed.resumption,
        )

    @property
    def settings(self) -> Settings:  # type: ignore[override]
        """Those of the viewed context, with ALPN."""
        settings = self.viewed.settings
        return settings if settings.alpn else replace(settings, alpn=HTTP)

    def _change(self, change: Callable[[Settings], Settings]) -> None:
        self.viewed._change(change)  # noqa: SLF001  # of the same class


def offering_http(context: PinnedSSLContext) -> PinnedSSLContext:
    """A view of a context that offers `HTTP`; its inner contexts are built now, so that no connection waits for them."""
    view = OfferingHTTP(context)
    for endpoint in context.expectation.samples():
        inner_context(view.profile(endpoint))
    return view
