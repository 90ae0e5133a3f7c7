"""What a program pays once: imports, contexts, a new policy."""

from __future__ import annotations

import resource
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final

import certifi

import pinio
from benchmarks.scenarios.connect import prove
from benchmarks.scenarios.scenario import Figures, Scenario, Stage, expect, timed
from benchmarks.subjects.pinned import Pinned, policy_for
from benchmarks.target import NAME
from pinio.tls.config.profile import Profile
from pinio.tls.context.inner import inner_context

_IMPORTS: Final = {
    "asyncio+ssl": "import asyncio, ssl",
    "pinio": "import pinio",
    "pinio-doors": "import pinio; pinio.open_connection",
    "aiohttp": "import aiohttp",
    "httpx": "import httpx",
}


def import_time(stage: Stage) -> Iterator[Figures]:
    """A new interpreter that imports it, less one that imports nothing; and what the modules of pinio take of it."""
    statement = _IMPORTS[stage.subject]
    while True:
        _, cpu = _interpreter(statement)
        _, empty = _interpreter("pass")
        figures = {"cpu": max(cpu - empty, 0.0)}
        if stage.subject.startswith("pinio"):
            log, _ = _interpreter(statement, "-X", "importtime")
            own = [
                line
                for line in log.splitlines()
                if line.rpartition("|")[2].strip().split(".")[0] == "pinio"
            ]
            expect(own, "no module of pinio was imported")
            figures["own"] = sum(int(line.partition(":")[2].split("|")[0]) for line in own) / 1e6
        yield figures


def _interpreter(statement: str, *options: str) -> tuple[str, float]:
    """What it said on stderr, and its CPU seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *options, "-c", statement],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    expect(done.returncode == 0, f"{statement!r} failed: {done.stderr[-500:]}")
    return done.stderr, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def context_build(stage: Stage) -> Iterator[Figures]:
    """A client context: with the public CAs read, and again when they are in memory."""
    make = _CONTEXTS[stage.subject]
    while True:
        inner_context.clear()
        context, cold = timed(make)
        expect(isinstance(context, ssl.SSLContext), "no context was made")
        _, warm = timed(make)
        yield {"first": cold, "again": warm}


def _pinned_context() -> ssl.SSLContext:
    context: ssl.SSLContext = pinio.create_ssl_context(_policy())
    context.wrap_bio(
        ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=NAME
    )  # only now are the CAs needed
    return context


def _policy() -> pinio.Policy:
    return pinio.Policy({NAME: [f"sha256/{'A' * 42}E=", f"sha256/{'B' * 42}E="]})


_CONTEXTS: Final[dict[str, Callable[[], ssl.SSLContext]]] = {
    "default": lambda: ssl.create_default_context(cafile=certifi.where()),
    "inner": lambda: inner_context(Profile()),
    "pinio-context": _pinned_context,
}


class _Swapped(Pinned):
    """pinio's raw door under a source that has another policy for each connection."""

    async def set_up(self) -> None:
        await super().set_up()
        self.first = self.policy
        self._number = 0

    @property
    def current(self) -> pinio.Policy:
        """A policy with the same pins and a new revision."""
        self._number += 1
        return self.first.replace(revision=str(self._number))

    async def open(self) -> Any:
        self.policy = self.current
        return await super().open()


def policy_swap(stage: Stage) -> Iterator[Figures]:
    """Resumed connections, with one policy throughout or with a new one for each: sessions survive a swap that keeps the key."""
    count = stage.size(40, 3)
    prove(Stage("pinio", stage.target, stage.quick))
    kind = _Swapped if stage.subject == "new-policy" else Pinned
    expect(stage.target is not None, "there is no server")
    assert stage.target is not None
    with closing(kind(stage.target, resume=True)) as client:
        client.fetch_all(2)
        while True:
            answers, cpu = timed(lambda: client.fetch_all(count))
            permits = [answer.permit for answer in answers]
            expect(
                all(permit and permit.pinned and permit.resumed for permit in permits),
                "not judged, or not resumed",
            )
            revisions = {permit.revision for permit in permits if permit}
            expect(
                len(revisions) == (count if kind is _Swapped else 1),
                "the policy was not the current one",
            )
            renewed, swap = timed(lambda: policy_for(client))
            expect(renewed == client.policy.replace(revision=None), "the policy changed")
            yield {"cpu": cpu / count, "make": swap}


SCENARIOS: Final = [
    Scenario(
        "import_time",
        "an import, less an empty interpreter; `own`: pinio's modules alone (wall time)",
        import_time,
        {
            "asyncio+ssl": (),
            **{name: ("asyncio+ssl",) for name in _IMPORTS if name != "asyncio+ssl"},
        },
        {"cpu": "s", "own": "s"},
    ),
    Scenario(
        "context_build",
        "a client context with the public CAs, the first time and again",
        context_build,
        {"default": (), "inner": ("default",), "pinio-context": ("default",)},
        {"first": "s", "again": "s"},
    ),
    Scenario(
        "policy_swap",
        "resumed connections under one policy, and under a new one each time",
        policy_swap,
        {"same-policy": (), "new-policy": ("same-policy",)},
        {"cpu": "s", "make": "s"},
        "http",
    ),
]
