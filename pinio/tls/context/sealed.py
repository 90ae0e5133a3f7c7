"""Inner contexts are closed to changes once they are built.

They are private, yet every TLS object shows the context that it was made from (`.context`), and one
inner context serves all who have the same configuration. A library that loaded its own CAs there
would widen the trust of the whole process, and one that took it for the next connection would have
no judge. So a sealed context can be looked at, and makes nothing but TLS objects that nobody has
armed, which let nothing through.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any, Final, NoReturn, cast

from pinio.errors import PolicyError
from pinio.tls.config.settings import USE_PYTHON_OBJECTS, StockContext
from pinio.tls.context.unreadable import UNREADABLE, unreadable
from pinio.tls.handshake.peer import checks_names

LOOKING: Final = frozenset({"get_ciphers", "get_groups", "security_level", "session_stats"})
"""Methods that change nothing."""
MAKING: Final = frozenset(
    {"_encode_hostname", "_wrap_bio", "_wrap_socket", "wrap_bio", "wrap_socket"}
)
"""Methods that make TLS objects, which `pinio.tls.context.objects` keeps shut."""

_CHECKED_ELSEWHERE: Final = "_pinio_checked_elsewhere"


def _refuse(name: str) -> NoReturn:
    raise PolicyError(
        f"{name}: the context of a pinned connection is shared and cannot be changed; change the one that you made"
    )


class SealedContext(StockContext):
    """An `ssl.SSLContext` that nobody changes any more."""

    __slots__ = ()

    @property
    def check_hostname(self) -> bool:  # type: ignore[override]  # to be read only
        """Whether a library may leave names unchecked; where it reads False, it checks them too."""
        return checks_names(self) and not vars(self).get(_CHECKED_ELSEWHERE)

    def __setattr__(self, name: str, value: object) -> None:
        _refuse(name)

    def __delattr__(self, name: str) -> None:
        _refuse(name)


def seal(context: ssl.SSLContext, *, check_hostname: bool = True) -> ssl.SSLContext:
    """Close a stock context to changes for good; it shows `check_hostname` as it was set outside."""
    vars(context)[USE_PYTHON_OBJECTS] = True  # should somebody hand it on
    vars(context)[_CHECKED_ELSEWHERE] = not check_hostname
    context.__class__ = cast(type[ssl.SSLContext], SealedContext)
    return context


def _refusing(name: str) -> Callable[..., NoReturn]:
    def method(_context: SealedContext, *_arguments: Any, **_options: Any) -> NoReturn:
        _refuse(name)

    method.__name__ = name
    return method


for _name in set(dir(StockContext)) - LOOKING - MAKING:
    if not _name.startswith("__") and callable(getattr(StockContext, _name)):
        setattr(
            SealedContext, _name, unreadable(_name) if _name in UNREADABLE else _refusing(_name)
        )
