"""The clients that are measured, by the names that results carry.

A subject is made only when it is asked for, so that a machine without one of the libraries measures
the others. The same client on uvloop has `+uvloop` behind its name; asyncio's own functions are
called `asyncio` and `uvloop`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from benchmarks.subjects.client import Client


@dataclass(frozen=True, slots=True)
class Subject:
    """A client to measure."""

    name: str
    home: str
    """`module:class` below `benchmarks.subjects`."""
    about: str
    needs: tuple[str, ...] = ()
    """Modules, or `module:name`, without which it cannot be measured."""
    loop: str | None = None
    """Its event loop; None for a client without one."""

    def missing(self) -> str | None:
        """Why it cannot be measured here, or None if it can."""
        for need in self.needs + (("uvloop",) if self.loop == "uvloop" else ()):
            module, _, name = need.partition(":")
            if not _exists(module, name):
                return f"there is no {need.replace(':', '.')} here"
        return None

    def kind(self) -> type[Client]:
        """The class of its clients."""
        module, _, name = self.home.partition(":")
        kind: type[Client] = getattr(import_module(f"{__name__}.{module}"), name)
        if self.loop is None:
            return kind
        return type(kind.__name__, (kind,), {"loop_kind": self.loop, "__doc__": kind.__doc__})


def _exists(module: str, name: str) -> bool:
    try:
        if find_spec(module) is None:
            return False
        return not name or hasattr(import_module(module), name)
    except ImportError:
        return False


def _on_both(
    name: str, home: str, about: str, needs: tuple[str, ...] = (), *, on_uvloop: str | None = None
) -> list[Subject]:
    return [
        Subject(name, home, about, needs, "asyncio"),
        Subject(on_uvloop or f"{name}+uvloop", home, f"{about}, on uvloop", needs, "uvloop"),
    ]


_CONTEXT = "pinio:create_ssl_context"

_ALL = [
    *_on_both("asyncio", "unpinned:Unpinned", "asyncio's TLS, unpinned", on_uvloop="uvloop"),
    *_on_both("aiofastnet", "unpinned:Fastnet", "aiofastnet, unpinned", ("aiofastnet",)),
    *_on_both("hook", "handmade:Hooked", "a fingerprint check hung on sslobject_class"),
    *_on_both("naive", "handmade:Naive", "a context per connection, and cryptography", ("cryptography",)),
    *_on_both("pinio", "pinned:Pinned", "pinio's raw door"),
    *_on_both("pinio-context", "pinned:PinnedContext", "asyncio's TLS with pinio's context", (_CONTEXT,)),
    Subject("floor", "blocking:Floor", "an SSLObject on a blocking socket, unpinned"),
    Subject("pycurl", "blocking:Curl", "libcurl with PINNEDPUBLICKEY", ("pycurl",)),
    Subject("urllib3", "blocking:Urllib3", "urllib3 with assert_fingerprint", ("urllib3",)),
    Subject("pinio-urllib3", "blocking:Urllib3Pinned", "urllib3 with pinio's context", ("urllib3", _CONTEXT)),
    Subject("requests", "blocking:Requests", "requests, unpinned", ("requests",)),
    Subject("pinio-requests", "blocking:RequestsPinned", "requests with pinio's context", ("requests", _CONTEXT)),
    *_on_both("aiohttp", "http:Aiohttp", "aiohttp, unpinned", ("aiohttp",)),
    *_on_both("aiohttp-fingerprint", "http:AiohttpFingerprint", "aiohttp with Fingerprint", ("aiohttp",)),
    *_on_both(
        "pinio-aiohttp", "http:AiohttpPinned", "aiohttp with PinnedConnector", ("aiohttp", "pinio.aiohttp:PinnedConnector")
    ),
    *_on_both("httpx", "http:Httpx", "httpx, unpinned", ("httpx",)),
    *_on_both("pinio-httpx", "http:HttpxPinned", "httpx with pinio's context", ("httpx", _CONTEXT)),
]  # fmt: skip

SUBJECTS = {subject.name: subject for subject in _ALL}
"""Name → subject."""
