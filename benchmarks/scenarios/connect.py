"""Connections: what it costs to open one, ask for a small answer, and close it; and to refuse one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from benchmarks.scenarios.scenario import Compared, Figures, Scenario, Stage, by_loop, expect, timed
from benchmarks.subjects.client import Answer
from benchmarks.target import BODY

UNITS: Final = {"cpu": "s", "resumed": ""}
RESUMING: Final = frozenset({"floor", "pycurl"})
"""Clients besides pinio that use TLS sessions again."""

_CIPHERS: Final = {
    ("1.3", "ecdsa"): "TLS_AES_256_GCM_SHA384",
    ("1.3", "rsa"): "TLS_AES_256_GCM_SHA384",
    ("1.2", "ecdsa"): "ECDHE-ECDSA-AES256-GCM-SHA384",
    ("1.2", "rsa"): "ECDHE-RSA-AES256-GCM-SHA384",
}


def exchange(
    stage: Stage, *, resume: bool, concurrency: int = 1, keep_alive: bool = False
) -> Iterator[Figures]:
    """Connect, ask, read the answer, close; per connection."""
    count = stage.size(40, 3) * (1 if concurrency == 1 else 5)
    check = partial(_check, stage, resume=resume, new=not keep_alive, steady=concurrency == 1)
    prove(stage)
    with stage.client(resume=resume, keep_alive=keep_alive) as client:
        client.fetch_all(concurrency + 1, concurrency)  # leaves a session behind, and a warm cache
        while True:
            answers, cpu = timed(lambda: client.fetch_all(count, concurrency))
            resumed = check(answers, pinned=client.pinned)
            yield {"cpu": cpu / len(answers), "resumed": resumed}


def prove(stage: Stage) -> None:
    """A client that says it checks keys must refuse wrong ones here and now, or its speed means nothing."""
    with stage.client(refuse=True) as wary:
        if wary.refusals:
            expect(
                wary.refused(2) == 2, f"{stage.subject} accepted a key that it should have refused"
            )


def _check(
    stage: Stage, answers: list[Answer], *, resume: bool, new: bool, steady: bool, pinned: bool
) -> float:
    """The share of resumed connections, after every answer was found to be the one that was asked for."""
    target = stage.target
    expect(target is not None and answers, "nothing was fetched")
    assert target is not None
    wanted = f"TLSv{target.version} {_CIPHERS[target.version, target.identity.kind]} {'.' * BODY}".encode()
    for answer in answers:
        mark, _, rest = answer.body.partition(b" ")
        expect(mark in (b"r", b".") and rest == wanted, f"unexpected answer {answer.body[:80]!r}")
    resumptions = sum(answer.body.startswith(b"r") for answer in answers)
    if pinned and new:
        permits = [answer.permit for answer in answers]
        expect(
            all(permit and permit.pinned for permit in permits),
            "a connection without a Permit by a pin",
        )
        told = sum(permit is not None and permit.resumed for permit in permits)
        expect(told == resumptions, "the Permits and the server disagree about the sessions")
    resumed = resumptions / len(answers)
    if new:
        wants = resume and (pinned or stage.subject in RESUMING)
        expect(resumed == 0 or wants, "a session was resumed where full handshakes are measured")
        expect(
            resumed >= 0.95 or not wants or not steady,
            f"only {resumed:.0%} of the sessions were resumed",
        )
    return resumed


def refused(stage: Stage) -> Iterator[Figures]:
    """The certificate is valid, the key is not the expected one; unpinned clients meet an unknown root instead."""
    count = stage.size(40, 3)
    with stage.client(refuse=True) as client:
        while True:
            refusals, cpu = timed(lambda: client.refused(count))
            expect(refusals == count, f"{count - refusals} of {count} connections were not refused")
            yield {"cpu": cpu / count}


_RAW: Final[Compared] = {
    "asyncio": (),
    "uvloop": ("asyncio",),
    "floor": ("asyncio",),
    "pycurl": ("uvloop",),
    "urllib3": ("asyncio",),
    **by_loop("aiofastnet", "hook", "naive"),
    "pinio": ("asyncio", "hook", "aiofastnet", "floor"),
    "pinio+uvloop": ("uvloop", "pycurl", "hook+uvloop", "aiofastnet+uvloop", "floor"),
    **by_loop("pinio-context"),
}
_RESUMED: Final[Compared] = {
    name: _RAW[name]
    for name in (
        "asyncio", "uvloop", "floor", "pycurl", "pinio", "pinio+uvloop", "pinio-context", "pinio-context+uvloop"
    )
}  # fmt: skip
_CONCURRENT: Final[Compared] = {
    name: tuple(other for other in _RAW[name] if other not in ("pycurl", "floor"))
    for name in ("asyncio", "uvloop", "aiofastnet", "aiofastnet+uvloop", "pinio", "pinio+uvloop")
}
_AIOHTTP: Final[Compared] = {
    "aiohttp": (),
    "aiohttp+uvloop": ("aiohttp",),
    **by_loop("aiohttp-fingerprint", "pinio-aiohttp", against="aiohttp"),
}


def _without(name: str, compared: Compared) -> Compared:
    return {
        subject: tuple(other for other in others if other != name)
        for subject, others in compared.items()
        if subject != name
    }


_FULL = Scenario(
    "connect_full", "connect and a small exchange, full handshake", partial(exchange, resume=False), _RAW, UNITS, "http"
)  # fmt: skip
_AGAIN = Scenario(
    "connect_resumed",
    "the same with TLS sessions, where the client can (asyncio cannot)",
    partial(exchange, resume=True),
    _RESUMED,
    UNITS,
    "http",
)
_NEW = Scenario(
    "aiohttp_new_connection", "an aiohttp request on a new connection", partial(exchange, resume=True), _AIOHTTP, UNITS, "http"
)  # fmt: skip

SCENARIOS: Final = [
    _FULL,
    _FULL.variant("tls1.2", "TLS 1.2", version="1.2"),
    _FULL.variant("rsa", "RSA-2048", key="rsa"),
    _FULL.variant("builtin", "against the built-in server", server="builtin"),
    _FULL.variant(
        "50", "50 at a time", play=partial(exchange, resume=False, concurrency=50), compared=_CONCURRENT
    ),
    _AGAIN,
    # libcurl 8.23 does not resume TLS 1.2 with nginx's tickets.
    _AGAIN.variant("tls1.2", "TLS 1.2", version="1.2", compared=_without("pycurl", _RESUMED)),
    _AGAIN.variant("rsa", "RSA-2048", key="rsa"),
    _AGAIN.variant("builtin", "against the built-in server", server="builtin"),
    _AGAIN.variant(
        "50", "50 at a time", play=partial(exchange, resume=True, concurrency=50), compared=_CONCURRENT
    ),
    Scenario(
        "connect_refused",
        "the cost of an attack: a valid certificate with the wrong key",
        refused,
        {
            **{name: others for name, others in _RAW.items() if not name.startswith("aiofastnet") and name != "pinio"},
            "pinio": ("asyncio", "hook"),
            **by_loop("aiohttp-fingerprint", "pinio-aiohttp"),
        },
        {"cpu": "s"},
        "http",
    ),
    _NEW,
    _NEW.variant("50", "50 at a time", play=partial(exchange, resume=True, concurrency=50)),
    Scenario(
        "aiohttp_keepalive",
        "an aiohttp request on a connection that is open already",
        partial(exchange, resume=True, keep_alive=True),
        _AIOHTTP,
        UNITS,
        "http",
    ),
    Scenario(
        "httpx_new_connection",
        "an httpx request on a new connection",
        partial(exchange, resume=True),
        {"httpx": (), "httpx+uvloop": ("httpx",), **by_loop("pinio-httpx", against="httpx")},
        UNITS,
        "http",
    ),
    Scenario(
        "requests_new_connection",
        "a requests or urllib3 request on a new connection",
        partial(exchange, resume=True),
        {
            "requests": (),
            "pinio-requests": ("requests",),
            "urllib3": ("requests",),
            "pinio-urllib3": ("urllib3",),
        },
        UNITS,
        "http",
    ),
]  # fmt: skip
