"""A fleet of processes, one repository and one collector, while everything around them changes.

`--fleet N` says how many processes there are; the suite takes a few, `.ci/run fleet` fifty. Half of
them refuse when signatures have been over for two days, the others go on with the last good policy.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from pinio.testing import CA, Connection, Leaf, Server, echo, http
from pinio.tuf.rotation import rotate
from tests.docs.pages import ROOT, table
from tests.tuf.fleet import Fleet, Host, signer

DAY = 86_400.0


@dataclass
class Process:
    """A member, as its parent sees it."""

    config: dict[str, Any]
    log: Path
    running: subprocess.Popen[str] = field(init=False)

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.running = subprocess.Popen(
                [sys.executable, "-m", "tests.tuf.simulated", json.dumps(self.config)],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip

    def say(self, *words: object) -> None:
        assert self.running.stdin is not None
        self.running.stdin.write(json.dumps(words) + "\n")
        self.running.stdin.flush()

    def hear(self) -> Any:
        assert self.running.stdout is not None
        line = self.running.stdout.readline()
        assert line, self.log.read_text("utf-8", "replace")[-3000:]
        return json.loads(line)

    def stop(self) -> None:
        self.running.communicate()


class Collector:
    """Counts the reports that arrive."""

    def __init__(self, leaf: Leaf) -> None:
        self.leaf, self.port = leaf, 0
        self.hosts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def handler(self, connection: Connection) -> None:
        def body(request: Any) -> bytes:
            with self._lock:
                self.hosts[json.loads(request.body)["revision"]] += 1
            return b""

        http(body)(connection)

    @contextmanager
    def serving(self) -> Iterator[None]:
        with Server(self.leaf, handler=self.handler, port=self.port) as server:
            self.port = server.port
            yield


class World:
    """Who is on loopback, and what the processes say of it."""

    def __init__(self, folder: Path, count: int) -> None:
        self.ca = CA()
        self.keys = {name: self.ca.issue("localhost") for name in ("A", "B", "evil")}
        self.infrastructure = self.ca.issue("localhost")
        self.fleet = Fleet(folder / "repository")
        self.host = Host(self.fleet.folder, self.infrastructure)
        self.collector = Collector(self.infrastructure)
        self.service = 0
        self.folder, self.count = folder, count
        self.processes: list[Process] = []
        self.rows: list[list[str]] = []
        self.refused: Counter[str] = Counter()

    def publish(self, revision: str, *keys: str) -> None:
        pins = ", ".join(f'"{self.keys[key].pin}"' for key in keys)
        text = (
            f'version = 1\nrevision = "{revision}"\n[hosts.localhost]\nanchors = "ca.pem"\n'
            f'pins = [{pins}]\nsingle = "a simulation"\n'
        )
        if len(keys) > 1:
            text = text.replace('single = "a simulation"\n', "")
        files = {"policy.toml": text.encode(), "ca.pem": self.ca.certificate_pem.encode()}
        assert self.fleet.repository.stage(files, self.fleet.targets) == 0
        self.fleet.publish()

    @contextmanager
    def serving(self, key: str) -> Iterator[None]:
        """The service, with this key."""
        with Server(self.keys[key], handler=echo, port=self.service) as server:
            self.service = server.port
            yield

    def start(self) -> None:
        """Make the processes, or start them again with what they have kept."""
        if not self.processes:
            root = self.folder / "root.json"
            root.write_bytes(self.fleet.root)
            for number in range(self.count):
                config = {
                    "ca": self.ca.certificate_pem,
                    "pins": [self.infrastructure.pin],
                    "collector": f"https://localhost:{self.collector.port}/",
                    "service": self.service,
                    "repository": self.host.url,
                    "root": str(root),
                    # Two of them, one of each kind, share a folder.
                    "cache": str(self.folder / f"cache-{number // 2}"),
                    "timeout": 60.0,
                    "max_stale": 2 * DAY if number % 2 else None,
                }
                self.processes.append(Process(config, self.folder / f"log-{number}"))
        for process in self.processes:
            process.start()
        assert [process.hear() for process in self.processes] == ["ready"] * self.count

    def stop(self) -> None:
        for process in self.processes:
            process.stop()

    def all(self, *words: object) -> list[Any]:
        for process in self.processes:
            process.say(*words)
        return [process.hear() for process in self.processes]

    def observe(self, happened: str, *, refresh: bool = True) -> None:
        """Let every process refresh and connect, and write the row of it."""
        if refresh:
            self.all("refresh")
        seen = self.all("look")
        outcomes = Counter(each["outcome"] for each in seen)
        for each in seen:
            if each["outcome"] == "PinMismatchError":
                self.refused[each["revision"]] += 1
            # Nobody is locked out, or left with an old policy, without a word.
            assert each["outcome"] != "PolicyError" or each["error"]
        errors = {kind(each["error"]) for each in seen}
        self.rows.append(
            [happened, amount({each["revision"] for each in seen}), parts(outcomes, self.count),
             amount(errors)]
        )  # fmt: skip


def kind(error: str | None) -> str:
    """What kind of error it is, in a word or two."""
    if error is None:
        return "nothing"
    if "may be withheld" in error:
        return "ExpiredMetadataError, may be withheld"
    words = error.replace(":", " ").split()
    return next(word for word in words if word.endswith("Error"))


def amount(values: set[str]) -> str:
    return " / ".join(sorted(values))


def parts(outcomes: Counter[str], count: int) -> str:
    """Who connected, in words that do not depend on how many there are."""
    names = {count: "all", count // 2: "half", count - count // 2: "half"}
    return ", ".join(f"{names[number]} {what}" for what, number in sorted(outcomes.items()))


def garbage(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ngarbage")


def test_a_fleet_keeps_its_pins(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    count = request.config.getoption("--fleet")
    world = World(tmp_path, count)
    with ExitStack() as stack:
        stack.callback(world.stop)
        play(world)
    rows = "\n".join(f"| {' | '.join(row)} |" for row in world.rows)
    record_property("figures", f"{count} processes\n{rows}")
    sys.stdout.write(rows)
    assert world.rows == table("docs/howto/fleet.md", "## A fleet in a storm")
    assert world.collector.hosts == world.refused, "every refusal was reported, and once"
    assert sum(world.refused.values()) == count


def play(world: World) -> None:
    with world.collector.serving(), world.serving("A"), world.host.serving():
        world.publish("1", "A", "B")
        world.start()
        world.observe("the fleet starts")
    with world.collector.serving(), world.serving("B"), world.host.serving():
        world.observe("the service moves to its backup key")
        turn_keys(world)
        world.observe("root, targets and online keys rotate")
        storm(world)
    with world.collector.serving(), world.serving("B"):
        world.observe("the repository is away")
        world.stop()
        world.start()
        world.observe("and the processes start again")
    with world.serving("evil"), world.host.serving():
        world.observe("the service is intercepted, and the collector is away")
        assert all(each == 0 for each in world.all("report"))
        with world.collector.serving():
            assert world.all("report") == [1] * world.count
            world.publish("3", "B")
    with world.collector.serving(), world.serving("B"), world.host.serving():
        world.observe("all is well again")


def turn_keys(world: World) -> None:
    fleet = world.fleet
    for role in ("root", "targets", "online"):
        keys = {"root": fleet.roots, "targets": fleet.targets}.get(role)
        old, new = (fleet.online if keys is None else keys[0]), signer()
        everyone = [*fleet.roots, *fleet.targets, fleet.online]
        rotate(fleet.repository, role, old.public_key, new, everyone)
        if keys is None:
            fleet.online = new
        else:
            keys[0] = new


def storm(world: World) -> None:
    """What a host, or somebody in its place, does to its clients."""
    fleet, host = world.fleet, world.host
    before = fleet.copy("before")
    world.publish("2", "B")
    after = fleet.copy("after")
    fleet.put_back(before)
    world.observe("revision 2 is withheld: the repository is frozen")
    world.all("clock", 8)
    world.observe("the clock jumps 8 days ahead")
    world.all("clock", 10)
    world.observe("the clock jumps 10 days ahead")
    world.all("clock", 0)
    fleet.put_back(after)
    world.observe("the clock is right again, and revision 2 is served")
    fleet.put_back(before)
    world.observe("the repository is rolled back")
    fleet.put_back(after)
    for part in ("timestamp.json", "root.json"):
        host.answers[part] = garbage
        world.observe(f"{part} is corrupted")
        host.answers.clear()
    slowly(world)


def slowly(world: World) -> None:
    """Connections are not delayed while refreshes hang."""
    over = threading.Event()
    world.all("refresh")

    def hang(handler: BaseHTTPRequestHandler) -> None:
        over.wait()

    world.host.answers["timestamp.json"] = hang
    world.all("hurry")
    world.observe("the repository is slow", refresh=False)
    world.all("settle")
    world.host.answers.clear()
    over.set()
