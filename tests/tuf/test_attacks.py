"""What an attacker between clients and signers tries, with the network, the host, or some of the keys in hand."""

from __future__ import annotations

import copy
import os
import shutil
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata, MetaFile, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient._internal import trusted_metadata_set

from pinio import Policy, PolicyError
from pinio.formats import FORMATS
from pinio.testing import CA, Interceptor
from pinio.tuf import TUFSource
from tests.formats.policies import OTHER, PIN
from tests.tuf.fleet import HOSTS, Fleet, Host, Travelled, later, policy, signer

EVIL = policy("evil", hosts={"a.example": [PIN, OTHER]}, unpinned="allow")


def refused(source: TUFSource, words: str, revision: str = "2") -> None:
    """A refresh changes nothing, and is told."""
    source.refresh()
    assert source.revision == revision, source.error
    assert words in str(source.error)
    assert not source.health().ok


def travel(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    """Have python-tuf look at dates some days later."""
    monkeypatch.setattr(
        trusted_metadata_set, "datetime", Travelled(trusted_metadata_set.datetime, days)
    )


@pytest.fixture
def old(fleet: Fleet) -> Path:
    """The repository with policy 1, after which policy 2 was published."""
    fleet.publish(policy("1"))
    kept = fleet.copy("old")
    fleet.publish(policy("2"))
    return kept


def test_rollback_to_an_older_signed_policy(
    fleet: Fleet, host: Host, old: Path, tmp_path: Path
) -> None:
    source = fleet.client(host, cache=tmp_path / "cache")
    fleet.put_back(old)
    refused(source, "BadVersionNumberError")
    later_process = fleet.client(host, cache=tmp_path / "cache")
    refused(later_process, "BadVersionNumberError")


def test_rollback_of_the_policy_alone(fleet: Fleet, host: Host, old: Path) -> None:
    source = fleet.client(host)
    shutil.copy(old / "metadata" / "timestamp.json", fleet.folder / "metadata")
    refused(source, "BadVersionNumberError")


def test_freeze(fleet: Fleet, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.publish(policy("2"), timestamp=1)
    days = 0.0

    def wall() -> float:
        return later(days)()

    source = fleet.client(host, max_stale=86_400.0, wall=wall)
    for_ever = fleet.client(host, wall=wall)
    travel(monkeypatch, 1.5)
    days = 1.5
    refused(source, "may be withheld")
    assert source.current == policy("2")
    with pytest.raises(PolicyError, match="ExpiredMetadataError"):
        fleet.client(host)  # a client that begins now takes nothing
    days = 2.5
    with pytest.raises(PolicyError, match="ExpiredMetadataError"):
        source.current  # noqa: B018
    refused(for_ever, "may be withheld")
    assert for_ever.current == policy("2")


def test_mix_and_match(fleet: Fleet, host: Host, old: Path) -> None:
    metadata = fleet.folder / "metadata"
    shutil.copy(old / "metadata" / "1.snapshot.json", metadata / "2.snapshot.json")
    with pytest.raises(PolicyError, match="LengthOrHashMismatchError"):
        fleet.client(host)
    shutil.copytree(old.with_name("old") / "metadata", metadata, dirs_exist_ok=True)
    assert fleet.client(host).revision == "1"  # a whole old state is for those who know no newer


def test_a_policy_in_the_place_of_another(fleet: Fleet, host: Host, old: Path) -> None:
    source = fleet.client(host)
    fleet.publish(policy("3"))
    (newest,) = [
        path
        for path in (fleet.folder / "targets").iterdir()
        if 'revision = "3"' in path.read_text()
    ]
    newest.write_text(FORMATS["native"].dumps(EVIL), "utf-8")
    refused(source, "MismatchError")


class Thief:
    """Signs whatever the keys in hand can sign."""

    def __init__(self, fleet: Fleet, **keys: Any) -> None:
        self.fleet, self.keys = fleet, keys
        self.expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)

    def online(self, targets: Metadata[Targets], data: bytes) -> None:
        """A snapshot and a timestamp, newer than all, for these targets."""
        metadata = self.fleet.folder / "metadata"
        version = targets.signed.version
        (metadata / f"{version}.targets.json").write_bytes(data)
        meta = {"targets.json": MetaFile(version)}
        snapshot = Metadata(Snapshot(90, expires=self.expires, meta=meta))
        snapshot.sign(self.keys["online"])
        (metadata / "90.snapshot.json").write_bytes(snapshot.to_bytes())
        stamp = Metadata(Timestamp(90, expires=self.expires, snapshot_meta=MetaFile(90)))
        stamp.sign(self.keys["online"])
        (metadata / "timestamp.json").write_bytes(stamp.to_bytes())

    def policy(self, new: Policy, *signers: Any, version: int = 90) -> Metadata[Targets]:
        """Targets with a policy, signed by some."""
        text = FORMATS["native"].dumps(new).encode()
        info = TargetFile.from_data("policy.toml", text, ["sha256"])
        path = self.fleet.folder / "targets" / f"{info.hashes['sha256']}.policy.toml"
        path.write_bytes(text)
        targets = Metadata(Targets(version, expires=self.expires, targets={"policy.toml": info}))
        for each in signers:
            targets.sign(each, append=True)
        return targets


def test_a_stolen_online_key_signs_no_policy(fleet: Fleet, host: Host, old: Path) -> None:
    source = fleet.client(host)
    thief = Thief(fleet, online=fleet.online)
    forged = thief.policy(EVIL, fleet.online, signer())
    thief.online(forged, forged.to_bytes())
    refused(source, "UnsignedMetadataError")


def test_a_stolen_online_key_rolls_no_policy_back(fleet: Fleet, host: Host, old: Path) -> None:
    source = fleet.client(host)
    data = (old / "metadata" / "1.targets.json").read_bytes()
    Thief(fleet, online=fleet.online).online(Metadata.from_bytes(data), data)
    refused(source, "BadVersionNumberError")


def test_a_stolen_targets_key_under_threshold_2(fleet: Fleet, host: Host, old: Path) -> None:
    source = fleet.client(host)
    thief = Thief(fleet, online=fleet.online)
    forged = thief.policy(EVIL, fleet.targets[0], fleet.targets[0], fleet.online)
    thief.online(forged, forged.to_bytes())
    refused(source, "UnsignedMetadataError")


def test_a_stolen_root_key_under_threshold_2(fleet: Fleet, host: Host, old: Path) -> None:
    source = fleet.client(host)
    root = copy.deepcopy(fleet.repository.root.signed)
    root.version += 1
    mine = [signer(), signer()]
    for role in root.roles.values():
        role.keyids, role.threshold = [], 1
    for role_name in list(root.roles):
        for each in mine:
            root.add_key(each.public_key, role_name)
    forged = Metadata(root)
    for each in (fleet.roots[0], *mine):
        forged.sign(each, append=True)
    (fleet.folder / "metadata" / "2.root.json").write_bytes(forged.to_bytes())
    refused(source, "UnsignedMetadataError")


def test_signatures_by_one_key_do_not_count_twice(fleet: Fleet) -> None:
    text = FORMATS["native"].dumps(EVIL).encode()
    thief = fleet.targets[0]
    assert fleet.repository.stage({"policy.toml": text}, [thief, thief]) == 1
    with pytest.raises(PolicyError, match="needs 1 more signature"):
        fleet.repository.publish(fleet.online)


def head(handler: BaseHTTPRequestHandler, *lines: str, status: str = "200 OK") -> None:
    text = "\r\n".join([f"HTTP/1.1 {status}", *lines]) + "\r\n\r\n"
    handler.wfile.write(text.encode())


def endless(handler: BaseHTTPRequestHandler) -> None:
    head(handler)
    while True:
        handler.wfile.write(b" " * 65_536)


def endless_chunks(handler: BaseHTTPRequestHandler) -> None:
    head(handler, "Transfer-Encoding: chunked")
    while True:
        handler.wfile.write(b"1000\r\n" + b" " * 4096 + b"\r\n")


def endless_head(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        handler.wfile.write(b"X: " + b"x" * 4096 + b"\r\n")


def endless_interim(handler: BaseHTTPRequestHandler) -> None:
    while True:
        head(handler, status="102 Processing")


def endless_line(handler: BaseHTTPRequestHandler) -> None:
    while True:
        handler.wfile.write(b"HTTP/1.1 200 " + b"x" * 65_536)


def long(handler: BaseHTTPRequestHandler) -> None:
    head(handler, "Content-Length: 99999999999999999999999")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (endless, "DownloadLengthMismatchError"),
        (endless_chunks, "DownloadLengthMismatchError"),
        (endless_head, "ExchangeError"),
        (endless_interim, "ExchangeError"),
        (endless_line, "ExchangeError"),
        (long, "DownloadLengthMismatchError"),
    ],
)
@pytest.mark.parametrize("part", ["timestamp.json", "targets.json", "policy.toml"])
def test_endless_data(
    fleet: Fleet, host: Host, part: str, answer: Callable[[Any], None], words: str
) -> None:
    fleet.publish(policy("2"))
    source = fleet.client(host)
    fleet.publish(policy("3"))
    host.answers[part] = answer
    refused(source, words)
    host.answers.clear()
    source.refresh()
    assert source.revision == "3" and source.error is None


def test_slow_retrieval(fleet: Fleet, host: Host) -> None:
    fleet.publish(policy("2"))
    source = fleet.client(host)
    source._timeout = 2.0
    fleet.publish(policy("3"))
    begun, over = threading.Event(), threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        head(handler, "Content-Length: 1000")
        begun.set()
        while not over.wait(0.02):
            handler.wfile.write(b" ")

    host.answers["timestamp.json"] = drip
    refresh = threading.Thread(target=source.refresh)
    refresh.start()
    while refresh.is_alive() and not begun.wait(0.01):
        pass
    assert source.current == policy("2")  # and nobody waits meanwhile
    refresh.join()
    over.set()
    assert source.revision == "2" and "SlowRetrievalError" in str(source.error)


def test_a_huge_target_is_not_asked_for(fleet: Fleet, host: Host, old: Path) -> None:
    """Even if the signers are deceived into signing one."""
    source = fleet.client(host)
    thief = Thief(fleet, online=fleet.online)
    huge = Metadata(
        Targets(
            90,
            expires=thief.expires,
            targets={"policy.toml": TargetFile(10**12, {"sha256": "0" * 64}, "policy.toml")},
        )
    )
    for each in fleet.targets:
        huge.sign(each, append=True)
    thief.online(huge, huge.to_bytes())
    host.paths.clear()
    refused(source, "1,000,000,000,000 bytes")
    assert not [path for path in host.paths if "policy" in path]


@pytest.mark.parametrize("what", ["folder", "file", "lock"])
def test_a_symlinked_cache(fleet: Fleet, host: Host, tmp_path: Path, what: str) -> None:
    fleet.publish(policy("2"))
    real, cache = tmp_path / "real", tmp_path / "cache"
    fleet.client(host, cache=real)
    if what == "folder":
        cache.symlink_to(real)
    elif what == "file":
        cache.mkdir(mode=0o700)
        (cache / "state.json").symlink_to(real / "state.json")
    else:
        cache.mkdir(mode=0o700)
        (cache / "lock").symlink_to(tmp_path / "victim")
        assert fleet.client(host, cache=cache).revision == "2"
        assert not (tmp_path / "victim").exists() and not (cache / "state.json").exists()
        return
    with pytest.raises(PolicyError, match="a link; name a folder that belongs"):
        fleet.client(host, cache=cache)


@pytest.mark.parametrize("name", ["", "state.json"])
@pytest.mark.parametrize("bits", [0o020, 0o002])
def test_a_cache_that_others_may_write(
    fleet: Fleet, host: Host, tmp_path: Path, name: str, bits: int
) -> None:
    fleet.publish(policy("2"))
    cache = tmp_path / "cache"
    fleet.client(host, cache=cache)
    (cache / name).chmod((cache / name).stat().st_mode | bits)
    with pytest.raises(PolicyError, match="others may write there"):
        fleet.client(host, cache=cache)


def test_a_cache_written_by_somebody_else(
    fleet: Fleet, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.publish(policy("2"))
    cache = tmp_path / "cache"
    fleet.client(host, cache=cache)
    monkeypatch.setattr(os, "geteuid", lambda: cache.stat().st_uid + 1)
    with pytest.raises(PolicyError, match="belongs to user"):
        fleet.client(host, cache=cache)


def _other_policy(text: bytes) -> bytes:
    from dataclasses import replace

    from pinio.tuf.state import State

    state = State.load(text)
    assert state.good is not None
    files = {"policy.toml": FORMATS["native"].dumps(EVIL).encode()}
    return replace(state, good=replace(state.good, files=files)).dump()


@pytest.mark.parametrize(
    "damage",
    [
        _other_policy,
        lambda text: text[:-1],
        lambda _: b"",
        lambda _: b"[" * 100_000,
        lambda text: text.replace(b'"version": 1', b'"version": 2'),
        lambda text: text.replace(b'"good"', b'"bad"'),
        lambda text: text.replace(b"=", b"!"),
    ],
    ids=["policy", "cut", "empty", "deep", "version", "key", "base64"],
)
def test_a_cache_that_was_changed_is_not_used(
    fleet: Fleet,
    tmp_path: Path,
    damage: Callable[[bytes], bytes],
    caplog: pytest.LogCaptureFixture,
) -> None:
    cache = tmp_path / "cache"
    with Host(fleet.folder).serving() as host:
        fleet.publish(policy("2"))
        fleet.client(host, cache=cache)
    state = cache / "state.json"
    state.write_bytes(damage(state.read_bytes()))
    with pytest.raises(PolicyError, match="ConnectionRefusedError"):
        fleet.client(host, cache=cache)
    assert "what was kept is not used" in caplog.text
    with host.serving():
        assert fleet.client(host, cache=cache).revision == "2"  # and the next keeps it again
    assert fleet.client(host, cache=cache).revision == "2"


def test_a_kept_state_that_is_newer_stays(fleet: Fleet, host: Host, tmp_path: Path) -> None:
    """Of two processes with one folder, the slower one puts nothing back."""
    fleet.publish(policy("1"))
    slow, quick = (fleet.client(host, cache=tmp_path / "cache") for _ in range(2))
    fleet.publish(policy("2"))
    quick.refresh()
    slow._save()
    with host_away(host):
        assert fleet.client(host, cache=tmp_path / "cache").revision == "2"


def host_away(host: Host) -> Any:
    from contextlib import contextmanager

    @contextmanager
    def away() -> Any:
        host.answers[""] = lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)
        yield
        host.answers.clear()

    return away()


def test_a_policy_that_pins_no_host(fleet: Fleet, host: Host, old: Path) -> None:
    source = fleet.client(host)
    fleet.publish('version = 1\nrevision = "3"\n')
    refused(source, "no host pinned")


@pytest.mark.parametrize("text", ["", "garbage", "version = 1\nhosts = 3\n", "\0"])
def test_a_signed_text_that_is_no_policy(
    fleet: Fleet, host: Host, old: Path, text: str, tmp_path: Path
) -> None:
    source = fleet.client(host, cache=tmp_path / "cache")
    fleet.publish(text)
    refused(source, "policy.toml")
    assert fleet.client(host, cache=tmp_path / "cache").revision == "2"


def test_a_policy_that_unpins_its_own_update_host(fleet: Fleet) -> None:
    ca = CA()
    leaf = ca.issue("localhost")
    bootstrap = Policy({"localhost": [leaf.pin, OTHER]}, unpinned_anchors=ca.anchors)
    bootstrap = ca.rebase(bootstrap)
    fleet.publish(policy("1"))
    genuine = Host(fleet.folder, leaf)
    with genuine.serving():
        source = fleet.client(genuine, policy=bootstrap)
        fleet.publish(policy("2", exempt={"localhost": "an attack"}, unpinned="allow"))
        source.refresh()
        assert source.revision == "2"
    fleet.publish(policy("3"))
    thief = Host(fleet.folder, ca.issue("localhost"), port=genuine.port)
    with thief.serving():
        refused(source, "PinMismatchError")
    assert not thief.paths


async def test_an_interceptor_of_the_update_host_reads_no_request(
    fleet: Fleet, tmp_path: Path
) -> None:
    ca = CA()
    fleet.publish(policy("2"))
    bootstrap = ca.rebase(Policy({"localhost": [PIN, OTHER]}))
    async with Interceptor(ca, "localhost") as interceptor:
        with pytest.raises(PolicyError, match="PinMismatchError"):
            await TUFSource.open(
                f"https://localhost:{interceptor.port}", root=fleet.root, policy=bootstrap
            )
    assert interceptor.connections
    assert not any(record.application_bytes for record in interceptor.connections)


def test_a_redirect_from_the_update_host(
    fleet: Fleet, host: Host, old: Path, tmp_path: Path
) -> None:
    elsewhere = Host(tmp_path)
    source = fleet.client(host)
    with elsewhere.serving():
        for status in ("301 Moved", "302 Found", "307 Temporary", "308 Permanent"):
            host.answers["timestamp.json"] = lambda handler, status=status: head(  # type: ignore[misc]
                handler, f"Location: {elsewhere.url}/", "Content-Length: 0", status=status
            )
            refused(source, f"HTTP status {status[:3]}")
    assert not elsewhere.paths


@pytest.mark.parametrize(
    "part", ["root.json", "timestamp.json", "snapshot.json", "targets.json", "policy.toml"]
)
def test_the_network_dies_at_any_point(fleet: Fleet, host: Host, part: str, tmp_path: Path) -> None:
    """It never weakens a pin: not now, and not at a start after that."""
    fleet.publish(policy("2"))
    cache = tmp_path / "cache"
    source = fleet.client(host, cache=cache)
    fleet.publish(policy("3", hosts={"a.example": [PIN, OTHER]}))

    def vanish(handler: BaseHTTPRequestHandler) -> None:
        head(handler, "Content-Length: 500")
        handler.wfile.write(b"{")
        handler.connection.shutdown(socket.SHUT_RDWR)

    host.answers[part] = vanish
    refused(source, "Error")
    assert source.current.hosts.keys() == HOSTS.keys()
    again = fleet.client(host, cache=cache)
    assert again.current == policy("2")
    again.refresh()
    host.answers.clear()
    source.refresh()
    assert source.revision == "3"
