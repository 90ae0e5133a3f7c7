"""A loop that is closed during a request: the collector ends the request, and pinio adds no complaint of its own."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
from traceback import walk_tb
from typing import Any, cast

import aiohttp
import pytest

from pinio.aiohttp import PinnedConnector, hooks
from pinio.testing import ConnectProxy, RawServer, Server, hear, silent
from tests.aiohttp_door.world import PROXY
from tests.conftest import LOOPS
from tests.tls.cast import GENUINE, pinned

STAGES = [
    "1",
    "2",
    "3",
    "5",
    "8",
    "13",
    "21",
    "handshake",
    "proxy",
    "tunnel",
    "tls in tls",
    "answer",
]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # nobody could close the session any more
@pytest.mark.parametrize("stage", STAGES)
def test_a_loop_that_is_closed_during_a_request(
    stage: str, loop_kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever runs when the collector comes keeps the values of its own context variables."""
    complaints: list[sys.UnraisableHookArgs] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    with (
        RawServer(silent) as proxy_that_stalls,
        RawServer(hear, silent) as stuck,
        Server(GENUINE, handler=silent) as answers,
        ConnectProxy() as proxy,
        ConnectProxy(PROXY) as tls_proxy,
    ):
        through, reached = {
            "proxy": (f"http://127.0.0.1:{proxy_that_stalls.port}", proxy_that_stalls),
            "tunnel": (proxy.url, stuck),
            "tls in tls": (tls_proxy.url, stuck),
            "answer": (None, answers),
        }.get(stage, (None, stuck))

        async def begin() -> tuple[Any, Any]:
            proxies = pinned(PROXY.pin, host="127.0.0.1") if stage == "tls in tls" else None
            client = aiohttp.ClientSession(
                connector=PinnedConnector(pinned(), proxy_policy=proxies)
            )
            port = answers.port if stage == "answer" else stuck.port
            task = asyncio.create_task(client.get(f"https://localhost:{port}/", proxy=through))
            if stage.isdigit():
                for _ in range(int(stage)):
                    await asyncio.sleep(0)
            else:
                while not _heard(reached):  # noqa: ASYNC110  # the server runs in a thread
                    await asyncio.sleep(0)
                await reached.quiet()
            return client, task

        loop = LOOPS[loop_kind]()
        left = loop.run_until_complete(begin())
        loop.close()
        other = contextvars.copy_context()
        request = cast(Any, object())
        other.run(hooks._served.set, request)
        del left, loop
        other.run(gc.collect)
        assert other.run(hooks._served.get) is request and other.run(hooks._refusals.get) is None
        assert all(record.ended.wait(60) for record in reached.connections)
    assert not [one for one in complaints if isinstance(one.exc_value, ValueError)]
    if stage not in ("proxy", "answer"):  # there aiohttp's own code closes what the loop has closed
        assert not [one for one in complaints if _is_ours(one)]
    caplog.clear()  # of asyncio, which tells of the task that was destroyed


def _heard(server: Any) -> bool:
    if isinstance(server, Server):
        return bool(server.application_bytes)
    return bool(server.connections)


def _is_ours(complaint: sys.UnraisableHookArgs) -> bool:
    """Whether pinio's code raised it, or called the loop's that did."""
    names = [frame.f_globals.get("__name__", "") for frame, _ in walk_tb(complaint.exc_traceback)]
    outside = [name for name in names if name.partition(".")[0] not in ("asyncio", "uvloop")]
    return bool(outside) and outside[-1].startswith("pinio.")
