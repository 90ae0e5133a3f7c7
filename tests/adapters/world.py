"""The adapters of pinio.requests and pinio.httpx, each as a client that visits URLs one after another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

import pytest

from tests.conftest import LOOPS
from tests.tls.cast import ISSUER

requests: Any = pytest.importorskip("requests", reason="requests is not installed")
httpx: Any = pytest.importorskip("httpx", reason="httpx is not installed")
trio: Any = pytest.importorskip("trio", reason="trio is not installed: pip install --group interop")

SECRET: Final = "T0PSECRET"
"""Stands in a header of every request."""

PROXY: Final = ISSUER.issue("localhost", "127.0.0.1")
"""What an HTTPS proxy shows: another key than the origin's, from the same CA."""

Visit = Callable[..., list[bytes]]


def by_requests(
    urls: Iterable[str], policy: Any = None, *, proxy: str | None = None, **options: Any
) -> list[bytes]:
    """The bodies of some URLs, asked for by one session."""
    from pinio.requests import PinnedSession

    with PinnedSession(policy, **options) as session:
        session.trust_env = False
        proxies = {"http": proxy, "https": proxy} if proxy else {}
        return [
            session.get(url, proxies=proxies, headers=_headers(), timeout=60).content
            for url in urls
        ]


def by_httpx(
    urls: Iterable[str], policy: Any = None, *, proxy: str | None = None, **options: Any
) -> list[bytes]:
    from pinio.httpx import PinnedHTTPTransport

    transport = PinnedHTTPTransport(policy, proxy=proxy, **options)
    with httpx.Client(transport=transport, follow_redirects=True, timeout=60) as client:
        return [client.get(url, headers=_headers()).content for url in urls]


async def _by_httpx(
    urls: Iterable[str], policy: Any = None, *, proxy: str | None = None, **options: Any
) -> list[bytes]:
    from pinio.httpx import AsyncPinnedHTTPTransport

    transport = AsyncPinnedHTTPTransport(policy, proxy=proxy, **options)
    async with httpx.AsyncClient(transport=transport, follow_redirects=True, timeout=60) as client:
        return [(await client.get(url, headers=_headers())).content for url in urls]


def _headers() -> dict[str, str]:
    return {"Authorization": f"Bearer {SECRET}"}


def _on_loop(factory: Callable[[], asyncio.AbstractEventLoop]) -> Visit:
    def visit(*arguments: Any, **options: Any) -> list[bytes]:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(_by_httpx(*arguments, **options))

    return visit


def _on_trio(*arguments: Any, **options: Any) -> list[bytes]:
    async def main() -> list[bytes]:
        return await _by_httpx(*arguments, **options)

    return trio.run(main)  # type: ignore[no-any-return]


VISITS: Final[dict[str, tuple[Visit, type[Exception]]]] = {
    "requests": (by_requests, requests.RequestException),
    "httpx": (by_httpx, httpx.TransportError),
    **{
        f"httpx on {name}": (_on_loop(factory), httpx.TransportError)
        for name, factory in LOOPS.items()
    },
    "httpx on trio": (_on_trio, httpx.TransportError),
}
"""Each way to visit, and the error of its library that stands for a connection which failed."""
