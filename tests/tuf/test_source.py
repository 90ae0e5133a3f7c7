"""A client of a signed repository."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

import pinio
from pinio import Anchors, FileSource, PinSet, Policy, PolicyError, TUFSource
from pinio.formats import FORMATS
from pinio.sources import first_of
from pinio.testing import CA
from pinio.tuf.rotation import rotate
from tests.formats.policies import OTHER, PIN, authority
from tests.tuf.fleet import HOSTS, Fleet, Host, later, policy


def test_what_the_signers_published_is_in_force(fleet: Fleet, host: Host) -> None:
    fleet.publish(policy("1"))
    source = fleet.client(host)
    seen: list[Policy] = []
    source.subscribe(seen.append)
    assert (source.current, source.revision, source.error) == (policy("1"), "1", None)
    new = policy("2", hosts=HOSTS | {"c.example": [PIN, OTHER]})
    fleet.publish(new)
    source.refresh()
    assert source.current == new and seen == [new] and source.health().ok


def test_a_new_signed_revision_is_the_permission_to_loosen(
    fleet: Fleet, host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    fleet.publish(policy("1"))
    source = fleet.client(host)
    looser = {"a.example": [PIN, OTHER]}
    fleet.publish(policy("1", hosts=looser))
    source.refresh()
    assert source.current == policy("1") and "same revision" in str(source.error)
    fleet.publish(policy("2", hosts=looser))
    with caplog.at_level(logging.WARNING, "pinio"):
        source.refresh()
    assert source.revision == "2" and "b.example: no longer pinned" in caplog.text


def test_a_later_process_starts_offline_with_what_was_kept(fleet: Fleet, tmp_path: Path) -> None:
    with Host(fleet.folder).serving() as host:
        fleet.publish(policy("1"))
        cache = tmp_path / "cache"
        fleet.client(host, cache=cache)
    source = fleet.client(host, cache=cache)
    assert source.current == policy("1")
    source.refresh()
    assert source.current == policy("1") and "ConnectionRefusedError" in str(source.error)
    assert [path.stat().st_mode & 0o777 for path in (cache, cache / "state.json")] == [0o700, 0o600]


def test_a_policy_that_did_not_change_is_not_fetched_again(
    fleet: Fleet, host: Host, tmp_path: Path
) -> None:
    fleet.publish(policy("1"))
    source = fleet.client(host, cache=tmp_path / "cache")
    host.paths.clear()
    fleet.publish()  # renews the dates
    source.refresh()
    fleet.client(host, cache=tmp_path / "cache").refresh()
    assert source.error is None and "/metadata/timestamp.json" in host.paths
    assert not [path for path in host.paths if path.startswith("/targets/")]


def test_without_a_kept_state_there_is_no_policy_offline(fleet: Fleet, tmp_path: Path) -> None:
    with Host(fleet.folder).serving() as host:
        fleet.publish(policy("1"))
    with pytest.raises(PolicyError, match="ConnectionRefusedError"):
        fleet.client(host, cache=tmp_path / "cache")
    source = fleet.client(host, required=False)
    with pytest.raises(PolicyError, match="no policy is in force yet"):
        source.current  # noqa: B018


async def test_a_source_never_blocks_the_event_loop(
    fleet: Fleet, host: Host, tmp_path: Path
) -> None:
    fleet.publish(policy("1"))
    with pytest.raises(PolicyError, match=r"await TUFSource\.open"):
        fleet.client(host)
    assert not host.paths
    source = await TUFSource.open(
        host.url, root=fleet.root, plaintext="a test", cache=tmp_path / "cache"
    )
    source.close()
    assert source.current == policy("1")
    host.paths.clear()
    kept = fleet.client(host, cache=tmp_path / "cache")  # needs no repository, and waits for none
    assert kept.current == policy("1")
    await asyncio.to_thread(kept.refresh)


def test_keys_rotate_under_a_running_client(fleet: Fleet, host: Host, tmp_path: Path) -> None:
    from tests.tuf.fleet import signer

    fleet.publish(policy("1"))
    source = fleet.client(host, cache=tmp_path / "cache")
    for role, keys in (("root", fleet.roots), ("targets", fleet.targets), ("online", None)):
        old, new = (fleet.online if keys is None else keys[0]), signer()
        everyone = [*fleet.roots, *fleet.targets, fleet.online]
        rotate(fleet.repository, role, old.public_key, new, everyone)
        if keys is None:
            fleet.online = new
        else:
            keys[0] = new
        source.refresh()
        assert source.error is None, role
    fleet.publish(policy("2"))
    source.refresh()
    assert source.revision == "2"
    assert fleet.client(host, cache=tmp_path / "cache").current == policy("2")
    assert fleet.client(host).current == policy("2"), "the root that the program ships leads there"


def test_a_program_that_ships_a_newer_root_goes_on_with_what_was_kept(
    fleet: Fleet, tmp_path: Path
) -> None:
    from tests.tuf.fleet import signer

    cache = tmp_path / "cache"
    with Host(fleet.folder).serving() as host:
        fleet.publish(policy("1"))
        for _ in range(2):
            new = signer()
            everyone = [*fleet.roots, fleet.online]
            rotate(fleet.repository, "root", fleet.roots[0].public_key, new, everyone)
            fleet.roots[0] = new
        fleet.client(host, cache=cache)
    for version in (2, 3):
        fleet.root = (fleet.folder / "metadata" / f"{version}.root.json").read_bytes()
        assert fleet.client(host, cache=cache).current == policy("1")
    fleet.root = Fleet(tmp_path / "other").root  # another repository's
    with pytest.raises(PolicyError):
        fleet.client(host, cache=cache)


def test_what_verified_is_kept_without_a_policy_too(
    fleet: Fleet, host: Host, tmp_path: Path
) -> None:
    """So a repository that was garbage once is not rolled back after that."""
    fleet.publish(policy("1"))
    before = fleet.copy("before")
    fleet.publish("garbage")
    with pytest.raises(PolicyError, match=r"policy\.toml"):
        fleet.client(host, cache=tmp_path / "cache")
    fleet.put_back(before)
    with pytest.raises(PolicyError, match="BadVersionNumberError"):
        fleet.client(host, cache=tmp_path / "cache")
    assert fleet.client(host).revision == "1"


def test_files_of_anchors_are_targets_too(fleet: Fleet, host: Host, tmp_path: Path) -> None:
    ca = authority(1)
    text = (
        'version = 1\nrevision = "1"\n[hosts."a.example"]\nanchors = "ca/our own.pem"\n'
        f'pins = ["{PIN}", "{OTHER}"]\n'
    )
    files = {"policy.toml": text.encode(), "ca/our own.pem": ca.encode()}
    assert fleet.repository.stage(files, fleet.targets) == 0
    fleet.publish()
    cache = tmp_path / "cache"
    pins = fleet.client(host, cache=cache).current.lookup("a.example").pin_set
    assert isinstance(pins, PinSet) and pins.anchors == Anchors.from_pem(ca)
    assert fleet.client(host, cache=cache).current.lookup("a.example").pin_set == pins


def test_the_update_host_is_judged_by_the_bootstrap_policy(fleet: Fleet) -> None:
    ca = CA()
    leaf = ca.issue("localhost")
    fleet.publish(policy("1"))
    with Host(fleet.folder, leaf).serving() as host:
        pins = PinSet(leaf.pin, single="a test", anchors=ca.anchors)
        assert fleet.client(host, policy=Policy({"localhost": pins})).revision == "1"
        assert fleet.client(host, anchors=ca.anchors).revision == "1"
        with pytest.raises(PolicyError, match="CertificateNotVerifiedError"):
            fleet.client(host, anchors=Anchors())


def test_signatures_that_expire_are_told_and_then_refused(fleet: Fleet, host: Host) -> None:
    clock = [time_of(0), time_of(0)]
    fleet.publish(policy("1"), timestamp=7)
    source = fleet.client(host, max_stale=86_400.0, clock=lambda: clock[0], wall=lambda: clock[1])
    stale_at = source.health().stale_at
    assert stale_at is not None
    clock[:] = [time_of(7.9), time_of(7.9)]
    assert source.current == policy("1")
    clock[:] = [time_of(8.1), time_of(8.1)]
    with pytest.raises(PolicyError, match=r"older than 86400 s"):
        source.current  # noqa: B018
    clock[1] = time_of(-1000)  # a wall clock that is put back gains no time
    with pytest.raises(PolicyError, match=r"older than 86400 s"):
        source.current  # noqa: B018
    clock[:] = [time_of(0.1), time_of(9)]  # one that jumps ahead costs it
    with pytest.raises(PolicyError, match=r"older than 86400 s"):
        source.current  # noqa: B018
    clock[1] = time_of(0.1)
    assert source.current == policy("1")


def time_of(days: float) -> float:
    return later(days)()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"policy": None}, "by one of"),
        ({"plaintext": "why", "anchors": Anchors()}, "by one of"),
        ({"plaintext": " "}, "in words"),
        ({"anchors": Anchors()}, "begins with https://"),
        ({"plaintext": "a test", "timeout": 0}, "timeout"),
        ({"plaintext": "a test", "interval": 0}, "interval"),
        ({"plaintext": "a test", "root": b"{}"}, "no TUF root"),
        ({"plaintext": "a test", "root": "nowhere.json"}, "cannot be read"),
    ],
)
def test_arguments_that_make_no_sense_are_errors(
    fleet: Fleet, host: Host, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(PolicyError, match=words):
        pinio.TUFSource(host.url, **({"root": fleet.root} | options))
    assert not host.paths


@pytest.mark.parametrize(
    "url",
    [
        "http://", "http://[::1", "http://a:b/", "http://u@h/", "http://h/?q", "http://h/#f",
        "http://h/ü", "ftp://h/", "h", "http://h/a b",
    ],
)  # fmt: skip
def test_what_is_no_url_is_an_error(fleet: Fleet, url: str) -> None:
    with pytest.raises(PolicyError):
        TUFSource(url, root=fleet.root, plaintext="a test")


def test_the_same_text_gives_the_same_policy(fleet: Fleet, host: Host) -> None:
    text = FORMATS["native"].dumps(policy("1"))
    fleet.publish(text)
    assert fleet.client(host).current == FORMATS["native"].loads(text)


def test_a_file_stands_in_for_the_repository_and_never_loosens(
    fleet: Fleet, tmp_path: Path
) -> None:
    file, days = tmp_path / "shipped.toml", 0.0
    file.write_text(FORMATS["native"].dumps(policy("shipped", unpinned="allow")))
    host = Host(fleet.folder)
    with host.serving():
        fleet.publish(policy("signed"))
    source = fleet.client(
        host, required=False, max_stale=86_400.0, wall=lambda: later(0)() + days * 86_400
    )
    both = first_of(source, FileSource(file, interval=100_000.0))
    source.refresh()
    assert both.revision == "shipped" and "ConnectionRefusedError" in str(both.error)
    with host.serving():
        source.refresh()
    assert both.revision == "signed" and both.error is None
    days = 9.0
    with pytest.raises(PolicyError, match="no source has a policy"):
        both.current  # noqa: B018
    file.write_text(FORMATS["native"].dumps(policy("shipped again")))
    assert first_of(source, FileSource(file)).revision == "shipped again"
    days = 0.0
    assert both.revision == "signed"
