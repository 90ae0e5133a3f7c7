"""A pinned context does not tell which CAs it trusts.

A library asks a context for its CAs in order to configure another TLS engine: QUIC, for HTTP/3, or
a TLS stack of its own. No policy judges the connections of that engine. An empty answer does not
stop it: it then trusts the CAs of the system. So the question is an error, on the context that
libraries hold and on the contexts that TLS objects show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

from pinio.errors import PolicyError

UNREADABLE: Final = frozenset({"cert_store_stats", "get_ca_certs"})
"""Methods of `ssl.SSLContext` that only the configuration of another TLS engine needs."""


def unreadable(name: str) -> Callable[..., NoReturn]:
    """Return a method that refuses the question."""

    def method(_context: object, *_arguments: Any, **_options: Any) -> NoReturn:
        raise PolicyError(
            f"{name}() cannot be asked of a pinned context: a library that reads the CAs of a"
            " context configures another TLS engine with them, such as QUIC for HTTP/3, and no"
            " policy judges the connections of that engine; switch HTTP/3 off in the library, and"
            " any TLS backend of its own (urllib3-future also asks for TCP, unless it has ca_certs=)"
        )

    method.__name__ = name
    return method
