"""`PinnedSession`: a `requests.Session` that has no other way out than a pinned one."""

from __future__ import annotations

from typing import Any, Final

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from pinio.errors import PolicyError
from pinio.requests.adapter import PinnedAdapter
from pinio.tls.context.pinned import PinnedSSLContext
from pinio.tls.handshake.sessions import SessionCache
from pinio.tls.unexpected import check_options
from pinio.typing import Observer, PolicyLike

_HTTP: Final = ("https://", "http://")


class PinnedSession(requests.Session):
    """A `requests.Session` whose connections are pinned, redirects and proxies included.

    Takes what `PinnedAdapter` takes, and mounts one on `https://` and `http://`.

    Raises `PolicyError` for arguments that make no sense, and from `mount` for another kind of
    adapter on HTTP. Requests raise `RequestPinError` where a peer or the request itself is refused.
    """

    _building = False

    def __init__(
        self,
        policy: PolicyLike | None = None,
        *,
        ssl: PinnedSSLContext | None = None,
        proxy_policy: PolicyLike | None = None,
        observer: Observer | None = None,
        resumption: bool | SessionCache = True,
        **options: Any,
    ) -> None:
        check_options(PinnedSession, options, HTTPAdapter, ())
        adapter = PinnedAdapter(
            policy,
            ssl=ssl,
            proxy_policy=proxy_policy,
            observer=observer,
            resumption=resumption,
            **options,
        )
        self._building = True  # requests mounts adapters of its own, which are replaced at once
        super().__init__()
        self._building = False
        for prefix in _HTTP:
            self.mount(prefix, adapter)

    def mount(self, prefix: str, adapter: BaseAdapter) -> None:
        """Use an adapter for URLs that begin with `prefix`.

        Raises `PolicyError` for one that is no `PinnedAdapter` where it would carry HTTP.
        """
        if not (self._building or isinstance(adapter, PinnedAdapter)) and _carries_http(prefix):
            raise PolicyError(
                f"a {type(adapter).__name__} on {prefix!a} would lead around the pins; mount a "
                "PinnedAdapter, or use a plain requests.Session beside this one"
            )
        super().mount(prefix, adapter)


def _carries_http(prefix: str) -> bool:
    scheme, colon, _ = prefix.lower().partition(":")
    return not colon or scheme in ("http", "https")
