"""One interceptor against every client: robbed, refused, or let through to the genuine server."""

from __future__ import annotations

import asyncio
import secrets
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import uvloop

import pinio
from pinio.reporting import Counters
from pinio.testing import CA, Server, http, unrouted
from pinio.testing.reason import reason_of
from pinio.typing import Observer
from tests.interceptors import foreign
from tests.interceptors.base import HOST, Interceptor, World
from tests.interceptors.clients import BLOCKING, CLIENTS, Target
from tests.interceptors.wire import Wire, after_the_hello

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
SPARE = "sha256/a7O7/28IdzsHO4YZNeZ6wNoyS7NOoJDcGJPVY4Ho69o="


@dataclass
class Result:
    """What became of all attempts against one interceptor."""

    name: str
    robbed: int = 0
    unpinned: int = 0
    refused: int = 0
    pinned: int = 0
    through: int = 0
    through_of: int = 0
    read: int = 0
    sent: dict[str, set[int]] = field(default_factory=dict)
    """Bytes after the ClientHello of pinned clients: over BIOs, and over blocking sockets."""
    certificates: int = 0
    """How often it saw the client's certificate; of clients without pins, and under report-only."""
    reported: int | None = None
    """How often report-only told of it and let it through, as report-only does."""
    resumed: int | None = None
    """How often it was refused in the genuine server's place, to which a session had been kept."""
    foreign: dict[str, str] = field(default_factory=dict)
    """Other clients: what became of them without pins and with them."""
    complaints: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether everything that is claimed was seen."""
        return (
            not self.complaints
            and self.robbed > 0
            and self.refused == self.pinned > 0
            and self.through == self.through_of
            and not self.read
            and self.sent.get("bio", {0}) <= {0}
        )


class Bench:
    """A genuine server and an interceptor in front of it.

    Args:
        kind: which interceptor.
        directory: for its files.
    """

    def __init__(self, kind: type[Interceptor], directory: Path) -> None:
        self.kind = kind
        self.directory = directory
        self.root, self.forger = CA("genuine root", key_type="rsa"), CA("forger", key_type="rsa")
        self.genuine = self.root.issue(HOST, "127.0.0.1")
        self.identity = self.forger.issue_client()

    @contextmanager
    def running(self, *, through: bool = False) -> Iterator[tuple[Interceptor, Server, Wire]]:
        """Everything started; ended with the block."""
        directory = self.directory / ("through" if through else "intercepting")
        directory.mkdir()
        with ExitStack() as stack:
            origin = stack.enter_context(Server(self.genuine, handler=http(b"genuine")))
            plain = stack.enter_context(Server(plain=True, handler=http(b"intercepted")))
            world = World(origin.port, plain.port, directory, self.forger, self.genuine)
            interceptor = self.kind(world)
            try:
                interceptor.start(through=through)
                wire = stack.enter_context(Wire(interceptor.port))
                yield interceptor, origin, wire
            finally:
                interceptor.stop()
                world.plaintext.append(plain.application_bytes)

    def context(
        self,
        version: ssl.TLSVersion,
        trusted: str,
        *,
        pinned: bool,
        mode: Literal["enforce", "report-only"] = "enforce",
        resumption: bool = False,
        tell: Observer | None = None,
    ) -> ssl.SSLContext:
        """A client's context, which trusts the genuine root and the interceptor's CA."""
        if pinned:
            anchors = pinio.Anchors.from_pem(self.root.certificate_pem + trusted)
            pins = pinio.PinSet(self.genuine.pin, backup=SPARE, anchors=anchors, mode=mode)
            policy = pinio.Policy({HOST: pins})
            files = self.identity.write(self.directory)
            context: ssl.SSLContext = pinio.create_ssl_context(
                policy,
                client_cert=files,
                observer=tell or Counters(),
                resumption=pinio.SessionCache() if resumption else False,
            )
        else:
            context = self.root.client_context(identity=self.identity)
            context.load_verify_locations(cadata=trusted)
        context.minimum_version = context.maximum_version = version
        return context

    def target(
        self, wire: Wire, origin: Server, context: ssl.SSLContext, trusted: str, secret: str
    ) -> Target:
        """Where a client has to go."""
        cafile = self.directory / "trusted.pem"
        cafile.write_text(self.root.certificate_pem + trusted)
        if self.kind.way == "direct":
            return Target(wire.port, None, context, cafile, secret)
        if self.kind.way == "transparent":
            return Target(origin.port, None, context, cafile, secret)
        return Target(origin.port, wire.port, context, cafile, secret)


def attempts() -> Iterator[tuple[str, ssl.TLSVersion, str]]:
    """Door, TLS version and loop of each attempt; a blocking client needs no second loop."""
    for client in CLIENTS:
        for version in VERSIONS:
            for loop in ("asyncio",) if client in BLOCKING else LOOPS:
                yield client, version, loop


def drive(kind: type[Interceptor], tell: Callable[[str], None]) -> Result:
    """Run every attempt against one interceptor."""
    result = Result(kind.name)
    with tempfile.TemporaryDirectory(prefix="pinio-interceptor-") as text, unrouted():
        bench = Bench(kind, Path(text))
        _intercept(bench, result, tell)
        if kind.passes_through and not result.complaints:
            _pass_through(bench, result, tell)
    return result


def _intercept(bench: Bench, result: Result, tell: Callable[[str], None]) -> None:
    secrets_of: dict[str, tuple[str, bool]] = {}
    with bench.running() as (interceptor, origin, wire):
        trusted = interceptor.trusted()
        for client, version, loop in attempts():
            for pinned in (False, True):
                what = f"{client}, {version.name}, {loop}, {'pinned' if pinned else 'unpinned'}"
                tell(what)
                secret = f"secret-{secrets.token_hex(8)}"
                secrets_of[secret] = what, pinned
                context = bench.context(version, trusted, pinned=pinned)
                before = len(wire.connections)
                target = bench.target(wire, origin, context, trusted, secret)
                error = _attempt(client, target, bench, loop)
                if pinned:
                    _note_refusal(result, what, error)
                    sent = [bytes(each.plaintext_bytes) for each in wire.connections[before:]]
                    key = "socket" if client in BLOCKING else "bio"
                    result.sent.setdefault(key, set()).update(map(after_the_hello, sent))
                elif error is not None:
                    result.complaints.append(f"{what}: {error!r}")
        _report_only(bench, wire, origin, trusted, result)
        if interceptor.way == "direct":
            _genuine_first(bench, wire, origin, trusted, result)
        _ask_others(bench, wire, origin, trusted, result)
    _count(interceptor.captured(), secrets_of, result)


def _count(captured: str, secrets_of: dict[str, tuple[str, bool]], result: Result) -> None:
    """Look for each client's secret in what the interceptor logged."""
    result.certificates = captured.count("a client certificate")
    for name in result.foreign:
        robbed = "robbed" if f"{name}-secret" in captured else "not robbed"
        result.foreign[name] = f"{robbed}, {result.foreign[name]}"
    for secret, (what, pinned) in secrets_of.items():
        if pinned:
            result.pinned += 1
            if secret in captured:
                result.read += 1
                result.complaints.append(f"{what}: READ by the interceptor")
        else:
            result.unpinned += 1
            result.robbed += secret in captured


def _ask_others(bench: Bench, wire: Wire, origin: Server, trusted: str, result: Result) -> None:
    for name, client in foreign.CLIENTS.items():
        if client.available():
            stock = bench.root.client_context()
            target = bench.target(wire, origin, stock, trusted, f"{name}-secret")
            result.foreign[name] = client.ask(target, bench.kind.way, bench.genuine.pin)


def _report_only(bench: Bench, wire: Wire, origin: Server, trusted: str, result: Result) -> None:
    heard: list[object] = []
    context = bench.context(
        VERSIONS[1], trusted, pinned=True, mode="report-only", tell=heard.append
    )
    target = bench.target(wire, origin, context, trusted, "reported")
    error = _attempt("streams", target, bench, "asyncio")
    told = [each for each in heard if isinstance(each, pinio.Permit) and each.report is not None]
    result.reported = len(told)
    if error is not None or not told:
        result.complaints.append(f"report-only: {error!r}, and {len(told)} reports")


def _genuine_first(bench: Bench, wire: Wire, origin: Server, trusted: str, result: Result) -> None:
    """The interceptor takes the genuine server's place after a session was kept."""
    result.resumed = 0
    for version in VERSIONS:
        context = bench.context(version, trusted, pinned=True, resumption=True)
        target = bench.target(wire, origin, context, trusted, "first genuine, then not")
        with wire.leading_to(origin.port):
            for _ in range(2):
                if (error := _attempt("streams", target, bench, "asyncio")) is not None:
                    result.complaints.append(f"genuine first, {version.name}: {error!r}")
        error = _attempt("streams", target, bench, "asyncio")
        if error is not None and reason_of(error) == "pin":
            result.resumed += 1
        else:
            result.complaints.append(f"then intercepted, {version.name}: {error!r}")


def _note_refusal(result: Result, what: str, error: BaseException | None) -> None:
    if error is None:
        result.complaints.append(f"{what}: let itself be intercepted")
    elif (reason := reason_of(error)) == "pin":
        result.refused += 1
    else:
        result.complaints.append(f"{what}: stopped by {reason}: {error!r}")


def _pass_through(bench: Bench, result: Result, tell: Callable[[str], None]) -> None:
    """Told to leave the host alone, it lets pinned clients reach the genuine server."""
    with bench.running(through=True) as (_, origin, wire):
        for client, version, loop in attempts():
            what = f"{client}, {version.name}, {loop}, let through"
            tell(what)
            secret = f"secret-{secrets.token_hex(8)}"
            context = bench.context(version, bench.forger.certificate_pem, pinned=True)
            target = bench.target(wire, origin, context, bench.forger.certificate_pem, secret)
            error = _attempt(client, target, bench, loop)
            result.through_of += 1
            if error is None and secret.encode() in origin.application_bytes:
                result.through += 1
            else:
                result.complaints.append(f"{what}: {error!r}")


def _attempt(client: str, target: Target, bench: Bench, loop: str) -> Exception | None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        try:
            runner.run(CLIENTS[client](target, bench.kind.way))
        except Exception as error:  # noqa: BLE001 - a client's; judged by the caller
            return error
    return None
