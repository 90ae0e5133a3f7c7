"""Threads that use one context while its policy is swapped, and what each of their calls may come to.

There are two servers, both with a certificate from the same CA for the same name, and policies that
pin one, the other, both or neither. Who calls notes which policies were in force at some moment of
the call; a decision by any other policy is wrong, and so is one that this policy does not make of
this server.
"""

from __future__ import annotations

import contextlib
import random
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from pinio.core.anchors import Anchors
from pinio.core.decision import Permit, Refusal
from pinio.core.policy import Policy
from pinio.errors import PinMismatchError
from pinio.testing import CA, Server
from pinio.tls.context.pinned import PinnedSSLContext, create_ssl_context
from pinio.tls.handshake.sessions import SessionCache
from tests.tls.cast import ABSENT, GENUINE, ISSUER, pinned
from tests.tls.through import SECRET, ask

OTHER: Final = ISSUER.issue("localhost")
PINS: Final = {"genuine": GENUINE.pin, "other": OTHER.pin}
_ALLOWED: Final = {
    "genuine": {"genuine"},
    "other": {"other"},
    "both": {"genuine", "other"},
    "neither": set[str](),
}
"""By the revision of a policy: the servers whose key it pins."""


def policies(pins: Mapping[str, str], anchors: Anchors) -> tuple[Policy, ...]:
    """One for each way to pin those servers."""
    return tuple(
        pinned(
            *([pins[name] for name in sorted(names)] or [ABSENT]),
            anchors=anchors,
            policy={"revision": revision},
        )
        for revision, names in _ALLOWED.items()
    )


class Swapped:
    """A source of policies that remembers which were in force."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self.policies = policies
        self._history = [policies[0]]

    @property
    def current(self) -> Policy:
        return self._history[-1]

    def swap(self, revision: str | None) -> None:
        """Put another policy in force, from any thread."""
        self._history.append(
            next(policy for policy in self.policies if policy.revision == revision)
        )

    def now(self) -> int:
        """A moment."""
        return len(self._history) - 1

    def since(self, moment: int) -> set[str | None]:
        """Revisions of the policies that were in force at that moment or later."""
        return {policy.revision for policy in self._history[moment:]}


class Crowd:
    """One context, its source, both servers, and what came of the calls."""

    def __init__(self, servers: Mapping[str, tuple[str, int]], source: Swapped) -> None:
        self.servers = servers
        self.source = source
        self.context: PinnedSSLContext = create_ssl_context(
            source, observer=self.hear, resumption=SessionCache()
        )
        self._heard = threading.local()
        self.start_counting()

    def start_counting(self) -> None:
        """Forget what came of calls so far."""
        self.permitted = dict.fromkeys(self.servers, 0)
        self.refused = self.resumed = 0
        self.wrong: list[object] = []
        self._counting = threading.Lock()

    def hear(self, decision: Permit | Refusal) -> None:
        """Observe; a blocking client is told in its own thread."""
        self._heard.decisions.append(decision)

    def call(self, name: str, swap_to: str | None = None) -> None:
        """Say the secret to one of the servers, and hold what came of it against the policies that were in force meanwhile."""
        self._heard.decisions = []
        began = self.source.now()
        if swap_to is not None:
            self.source.swap(swap_to)
        error: Exception | None = None
        try:
            assert ask(self.context, Place(self.servers[name])) == SECRET
        except PinMismatchError as refusal:
            error = refusal
        except Exception as unexpected:  # noqa: BLE001  # told at the end, by the thread that waits
            self.wrong.append(unexpected)
            return
        self._judge(name, error, self.source.since(began))

    def _judge(self, name: str, error: Exception | None, revisions: set[str | None]) -> None:
        decisions = self._heard.decisions
        fits = all(
            decision.revision in revisions
            and isinstance(decision, Permit) == (name in _ALLOWED[str(decision.revision)])
            for decision in decisions
        )
        if not decisions or not fits or isinstance(decisions[-1], Refusal) != (error is not None):
            self.wrong.append((name, error, decisions, revisions))
        with self._counting:
            if error is None:
                self.permitted[name] += 1
                self.resumed += decisions[0].resumed
            else:
                self.refused += 1


class Place(NamedTuple):
    """A server in another process."""

    address: tuple[str, int]


@contextlib.contextmanager
def servers(tls_version: ssl.TLSVersion | None = None) -> Iterator[dict[str, Server]]:
    with (
        Server(GENUINE, tls_version=tls_version) as genuine,
        Server(OTHER, tls_version=tls_version) as other,
    ):
        yield {"genuine": genuine, "other": other}


def heard_by(server: Server) -> list[bytes]:
    """What arrived, one item for each connection over which something did."""
    server.wait_quiet()
    return [
        bytes(record.application_bytes) for record in server.connections if record.application_bytes
    ]


def meddle(context: PinnedSSLContext, chance: random.Random) -> None:
    """Do to a context what libraries do."""
    stranger = CA("stranger").certificate_pem if chance.random() < 0.02 else None
    match chance.randrange(6):
        case 0:
            context.verify_mode = ssl.CERT_NONE
        case 1:
            context.check_hostname = False
        case 2:
            context.set_alpn_protocols([f"test/{chance.randrange(3)}"])
        case 3 if stranger is not None:
            context.load_verify_locations(cadata=stranger)
        case 4:
            context.options |= ssl.OP_ALL
        case _:
            pass


def together(threads: int, work: Callable[[int], object]) -> None:
    """Run `work` in so many threads, which begin at the same moment, and wait for all of them."""
    start = threading.Barrier(threads)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        start.wait()
        try:
            work(number)
        except BaseException as error:  # noqa: BLE001  # raised below
            errors.append(error)

    running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    if errors:
        raise errors[0]
