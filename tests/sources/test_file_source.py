"""A file that changes under a program: when a change is taken, when not, and what is said about it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pinio import Anchors, FileSource, PinSet, Policy, PolicyError
from pinio.sources import reading, snapshot
from pinio.sources.watch import Watch
from pinio.typing import PolicySource
from tests.formats.policies import OTHER, PIN, THIRD, authority
from tests.sources.following import INTERVAL, Following, age, rename_over, rewrite, text


@pytest.fixture(autouse=True)
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.INFO, "pinio"):
        yield caplog


def tighter(policy: Policy) -> Policy:
    """A change that needs no new revision."""
    return policy.replace(hosts={**policy.hosts, "c.example": PinSet([PIN, OTHER])})


def looser(policy: Policy) -> Policy:
    """A change that needs one."""
    return policy.replace(exempt={"c.example": "why not"})


def test_it_is_a_policy_source(following: Following, policy: Policy) -> None:
    source: PolicySource = following.source
    assert source.current == policy
    assert following.source.revision == "1"
    assert following.source.error is None
    assert "pins.toml revision='1' error=None" in repr(source)


@pytest.mark.parametrize("data", [None, b"version = 2"], ids=["missing", "wrong"])
def test_the_first_read_raises(path: Path, data: bytes | None) -> None:
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(PolicyError, match=r"pins\.toml"):
        FileSource(path)


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf")])
def test_an_interval_is_a_number_above_zero(path: Path, interval: float) -> None:
    with pytest.raises(PolicyError, match="interval"):
        FileSource(path, interval=interval)


@pytest.mark.parametrize("max_stale", [-1, float("nan"), float("inf")])
def test_max_stale_is_a_number_or_none(path: Path, max_stale: float) -> None:
    with pytest.raises(PolicyError, match="max_stale"):
        FileSource(path, max_stale=max_stale)


def test_between_two_looks_only_the_clock_is_asked(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = following.source.current
    for name in ("stat", "open"):
        monkeypatch.delattr(os, name)
    monkeypatch.delattr(Watch, "look")
    following.clock.now += INTERVAL - 0.001
    assert following.source.current is before


def test_a_change_is_taken_at_the_second_look_that_finds_it(
    following: Following, policy: Policy
) -> None:
    new = tighter(policy)
    following.path.write_text(text(new))
    assert following.source.current == policy  # not due
    assert following.look() == policy
    assert following.source.current == policy  # an interval has not passed
    assert following.look() == new


def test_the_two_looks_are_an_interval_apart_however_late_the_first_was(
    following: Following, policy: Policy
) -> None:
    following.path.write_text(text(tighter(policy)))
    following.clock.now += 100 * INTERVAL
    assert following.source.current == policy
    following.clock.now += INTERVAL / 2
    assert following.source.current == policy
    following.clock.now += INTERVAL / 2
    assert following.source.current == tighter(policy)


def test_what_changes_again_before_the_second_look_is_not_taken(
    following: Following, policy: Policy
) -> None:
    for number in range(3):
        following.path.write_text(text(tighter(policy)) + "#" * number)
        assert following.look() == policy
    assert "changes at every look" in str(following.source.error)
    assert following.look() == tighter(policy)
    assert following.source.error is None


# What is at rest already


def denying(policy: Policy) -> Policy:
    return policy.replace(deny=[PIN])


def test_a_process_that_asks_once_an_hour_hears_of_what_was_written_in_between(
    following: Following, policy: Policy
) -> None:
    rename_over(following.path, text(denying(policy)))
    age(following.path, seconds=1.5 * INTERVAL)
    following.clock.now += 3 * INTERVAL
    assert following.source.current == denying(policy)


def in_place(path: Path, content: str) -> None:
    path.write_text(content)
    age(path)


def by_a_rename(path: Path, content: str) -> None:
    """Written long ago; renamed just now."""
    spare = path.with_suffix(".new")
    in_place(spare, content)
    spare.replace(path)


def by_a_link(path: Path, content: str) -> None:
    in_place(path.with_suffix(".new"), content)
    path.unlink()
    path.symlink_to(path.with_suffix(".new"))


@pytest.mark.parametrize("write", [in_place, by_a_rename, by_a_link])
def test_what_was_written_long_ago_is_taken_at_once(
    following: Following, policy: Policy, write: Any
) -> None:
    for number in range(2, 6):
        new = policy.replace(revision=str(number))
        write(following.path, text(new))
        assert following.look() == new
        assert following.source.error is None


def test_what_was_written_long_ago_and_is_wrong_is_told_at_once(
    following: Following, policy: Policy
) -> None:
    in_place(following.path, "version = [")
    assert following.look() == policy
    assert "this is not TOML" in str(following.source.error)


def test_a_file_that_has_long_been_missing_is_told_at_once(
    following: Following, policy: Policy
) -> None:
    remove(following.path)
    age(following.path.parent)
    assert following.look() == policy
    assert "cannot be read" in str(following.source.error)


def test_a_file_that_is_missing_just_now_may_come_back(
    following: Following, policy: Policy
) -> None:
    remove(following.path)
    assert following.look() == policy
    assert following.source.error is None


def test_a_file_from_the_future_is_at_rest_when_two_looks_found_it_the_same(
    following: Following, policy: Policy
) -> None:
    following.path.write_text(text(tighter(policy)))
    age(following.path, seconds=-1000 * INTERVAL)
    assert following.look() == policy
    assert following.look() == tighter(policy)


def test_a_file_that_is_touched_while_it_is_read_is_not_at_rest(
    following: Following, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_place(following.path, text(tighter(policy)))
    genuine, times = os.fstat, iter(range(10))

    def fstat(descriptor: int) -> os.stat_result:
        os.utime(descriptor, ns=(0, next(times)))
        return genuine(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fstat)
        assert following.look() == policy
    assert following.look() == tighter(policy)


def test_the_files_of_anchors_have_to_be_at_rest_too(tmp_path: Path) -> None:
    path, ca = tmp_path / "pins.toml", tmp_path / "ca.pem"
    path.write_text(WITH_CA % 1)
    ca.write_text(authority(1))
    following = Following(path)
    before = following.source.current
    in_place(path, WITH_CA % 2)
    ca.write_text(authority(2))
    assert following.look() is before
    assert following.look().hosts["a.example"].anchors == Anchors.from_pem(authority(2))
    in_place(path, WITH_CA % 3)
    in_place(ca, authority(3))
    assert following.look().hosts["a.example"].anchors == Anchors.from_pem(authority(3))


def test_the_revision_and_the_error_look_as_well(following: Following, policy: Policy) -> None:
    """A program that watches them, and connects seldom, sees what it would connect with."""
    source = following.source
    in_place(following.path, text(policy.replace(revision="2")))
    following.clock.now += INTERVAL
    assert source.revision == "2"
    in_place(following.path, "version = [")
    assert source.error is None  # not due
    following.clock.now += INTERVAL
    assert source.error is not None
    in_place(following.path, text(policy.replace(revision="3")))
    following.clock.now += INTERVAL
    assert source.error is None
    assert source.current.revision == "3"


def test_the_revision_and_the_error_are_told_of_a_policy_that_is_too_old(path: Path) -> None:
    following = Following(path, max_stale=0)
    in_place(path, "version = [")
    following.clock.now += INTERVAL
    assert following.source.revision == "1"
    assert following.source.error is not None
    with pytest.raises(PolicyError, match="older than 0 s"):
        _ = following.source.current


def test_to_show_a_source_is_not_to_look(following: Following, policy: Policy) -> None:
    in_place(following.path, text(policy.replace(revision="2")))
    following.clock.now += INTERVAL
    assert "revision='1'" in repr(following.source)


def test_files_that_take_one_another_s_place_are_no_file_that_never_rests(
    following: Following, policy: Policy
) -> None:
    for number in range(3):
        rename_over(following.path, text(tighter(policy)) + "#" * number)
        assert following.look() == policy
        assert following.source.error is None
    assert following.look() == tighter(policy)
    assert following.source.error is None


def test_files_that_take_one_another_s_place_at_every_look_are_told_in_the_end(
    following: Following, policy: Policy
) -> None:
    for number in range(11):
        assert following.source.error is None
        rename_over(following.path, text(tighter(policy)) + "#" * number)
        assert following.look() == policy
    assert "changes at every look" in str(following.source.error)
    assert following.look() == tighter(policy)
    assert following.source.error is None


# What leaves no host pinned


def test_P6_a_change_that_leaves_no_host_pinned_says_so_in_words(
    following: Following, policy: Policy
) -> None:
    bare = policy.replace(hosts={}, revision="2")
    assert following.write(bare) == policy
    assert "leaves no host pinned" in str(following.source.error)
    assert "no_hosts" in str(following.source.error)
    meant = bare.replace(no_hosts="the servers are gone")
    assert following.write(meant) == meant
    assert following.source.error is None


def test_P6_a_beginning_that_allows_every_host_and_pins_none_is_not_taken(
    following: Following, policy: Policy
) -> None:
    """A writer that died before the first host, under a new revision."""
    in_place(following.path, TWO_HOSTS[: TWO_HOSTS.index("[")])
    with pytest.warns(match="allows every host and pins none"):
        found = following.look()
    assert found == policy
    assert "leaves no host pinned" in str(following.source.error)


def test_words_that_no_host_is_pinned_do_not_replace_a_revision(
    following: Following, policy: Policy
) -> None:
    assert following.write(policy.replace(hosts={}, no_hosts="the servers are gone")) == policy
    assert "write another revision" in str(following.source.error)


def test_a_policy_that_pinned_no_host_may_go_on_so(path: Path) -> None:
    path.write_text(text(Policy({}, revision="1")))
    following = Following(path)
    assert following.write(Policy({}, revision="2")) == Policy({}, revision="2")


TWO_HOSTS = f"""\
version = 1
revision = "2"
unpinned = "allow"

[hosts."a.example"]
pins = ["{PIN}"]
backup = ["{OTHER}"]

[hosts."b.example"]
pins = ["{PIN}"]
backup = ["{OTHER}"]
"""


@pytest.mark.filterwarnings("ignore::pinio.PinWarning")
def test_a_half_written_file_is_never_taken(path: Path, policy: Policy) -> None:
    """The writer is caught after every byte: whatever a beginning parses as, only the whole comes into force."""
    parsed = 0
    for end in range(len(TWO_HOSTS)):
        rewrite(path, text(policy))
        following = Following(path)
        following.settle()
        rewrite(path, TWO_HOSTS[:end])
        assert following.look() == policy
        rewrite(path, TWO_HOSTS)
        assert following.look() == policy
        new = following.look()
        assert (new.revision, set(new.hosts)) == ("2", {"a.example", "b.example"})
        parsed += isinstance(snapshot.Snapshot.take(str(path), "pins.toml").outcome, Policy)
    assert parsed


def test_a_beginning_at_rest_under_the_old_revision_is_refused(
    following: Following, policy: Policy
) -> None:
    """A writer that died: what it left parses, and lacks a host."""
    whole = text(policy)
    following.path.write_text(whole[: whole.index('[hosts."b.example"]')])
    assert following.settle() == policy
    assert "b.example: no longer pinned" in str(following.source.error)


def test_a_file_that_was_touched_without_a_change_keeps_the_policy_that_is_there(
    following: Following,
) -> None:
    before = following.settle()
    heard: list[Policy] = []
    following.source.subscribe(heard.append)
    os.utime(following.path, (1, 1))
    assert following.settle() is before
    following.path.write_text("# a comment\n" + following.path.read_text())
    assert following.settle() is before
    assert heard == []


def test_what_the_file_system_calls_untouched_is_not_read(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 1 << 62)  # the last change is long ago
    before = following.settle()
    monkeypatch.delattr(os, "open")
    assert following.settle() is before
    assert following.source.error is None


def test_a_change_in_the_same_tick_and_of_the_same_length_is_seen(
    following: Following, policy: Policy
) -> None:
    """File systems stamp changes by a clock that stands still for milliseconds; what is so young is read again."""
    following.settle()
    status = following.path.stat()
    stale = policy.replace(revision="2")
    following.path.write_text(text(stale))
    os.utime(following.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert following.path.stat().st_size == status.st_size
    assert following.settle() == stale


def test_a_file_whose_date_was_set_back_is_as_young_as_its_last_change() -> None:
    now = time.time_ns()
    assert not reading.Stamp(0, 0, 0, modified=0, changed=now).older_than_a_tick()
    assert not reading.Stamp(0, 0, 0, modified=now, changed=0).older_than_a_tick()
    assert reading.Stamp(0, 0, 0, modified=0, changed=0).older_than_a_tick()


# What is wrong with the file


def remove(path: Path) -> None:
    path.unlink()


def garble(path: Path) -> None:
    path.write_text("version = [")


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def lengthen(path: Path) -> None:
    os.truncate(path, 100_000_000)


def pin_wrongly(path: Path) -> None:
    path.write_text('version = 1\n[hosts."a.example"]\npins = ["sha256/AA"]')


@pytest.mark.parametrize("harm", [remove, garble, replace_by_directory, lengthen, pin_wrongly])
def test_P6_the_last_good_policy_stays_whatever_is_wrong(
    following: Following, policy: Policy, harm: Any, log: pytest.LogCaptureFixture
) -> None:
    harm(following.path)
    for _ in range(10):
        assert following.look() == policy
    assert following.source.error is not None
    assert "pins.toml" in str(following.source.error)
    said = [record for record in log.records if record.levelno == logging.ERROR]
    assert [record.name for record in said] == ["pinio"]  # once, and not ten times
    assert f"policy 1 stays in force: {following.source.error}" in said[0].getMessage()


def test_each_distinct_error_is_logged_once(
    following: Following, log: pytest.LogCaptureFixture
) -> None:
    for number in (1, 2, 1, 2, 1):
        following.path.write_text(f"version = {number + 1}")
        following.settle()
    assert [record.levelname for record in log.records] == ["ERROR", "ERROR"]


def test_an_error_comes_and_goes(
    following: Following, policy: Policy, log: pytest.LogCaptureFixture
) -> None:
    garble(following.path)
    following.settle()
    assert following.source.error is not None
    assert following.write(policy) is following.source.current
    assert following.source.error is None
    assert "good again" in log.messages[-1]
    garble(following.path)
    following.settle()
    assert following.source.error is not None
    assert "stays in force" in log.messages[-1]  # said anew


def test_a_file_that_came_back_after_it_was_missing_is_taken(
    following: Following, policy: Policy
) -> None:
    remove(following.path)
    following.settle()
    assert following.write(tighter(policy)) == tighter(policy)
    assert following.source.error is None


def test_P6_a_defect_of_our_own_leaves_the_policy_and_is_said(
    following: Following,
    policy: Policy,
    monkeypatch: pytest.MonkeyPatch,
    log: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("pinio.sources.in_force.loosened", fail)
    assert following.write(tighter(policy)) == policy
    assert "RuntimeError: a defect" in str(following.source.error)
    assert "RuntimeError: a defect" in log.messages[-1]


def test_a_warning_that_is_an_error_leaves_the_policy(following: Following, policy: Policy) -> None:
    following.path.write_text(
        f'version = 1\n[hosts."a.example"]\npins = ["{PIN}"]\n'
    )  # one pin; tests run with -W error
    assert following.settle() == policy
    assert "PinWarning" in str(following.source.error)


def test_P10_what_is_remembered_of_errors_is_bounded(following: Following) -> None:
    for number in range(2, 200):
        rewrite(following.path, f"version = {number}")
        following.settle()
    assert len(following.source._in_force._logged) <= 64


# How long the last good policy lasts


def test_max_stale_bounds_how_long_the_last_good_policy_stays(path: Path, policy: Policy) -> None:
    following = Following(path, max_stale=12)
    path.write_text("version = 2")
    following.settle()
    assert following.source.error is not None
    following.clock.now += 11.9
    assert following.source.current == policy
    following.clock.now += 0.1  # and no look is due at this moment
    with pytest.raises(PolicyError, match=r"older than 12 s: .*pins\.toml: version = 2") as caught:
        _ = following.source.current
    assert caught.value.__cause__ is following.source.error
    with pytest.raises(PolicyError, match="older than 12 s"):
        following.look()


def test_a_good_file_ends_staleness(path: Path, policy: Policy) -> None:
    following = Following(path, max_stale=0)
    garble(path)
    assert following.look() == policy  # seen once
    with pytest.raises(PolicyError, match="older than 0 s"):
        following.look()
    path.write_text(text(tighter(policy)))
    with pytest.raises(PolicyError, match="older than 0 s"):
        following.look()
    assert following.look() == tighter(policy)


def test_the_file_is_looked_at_as_often_while_the_last_good_policy_lasts(
    path: Path, policy: Policy
) -> None:
    following = Following(path, max_stale=10 * INTERVAL)
    garble(path)
    following.settle()
    assert following.write(tighter(policy)) == tighter(policy)


def test_a_file_that_is_good_is_never_stale(path: Path, policy: Policy) -> None:
    following = Following(path, max_stale=1)
    following.clock.now += 10_000
    assert following.source.current == policy
    path.write_text(text(tighter(policy)))
    following.clock.now += 10_000
    assert following.source.current == policy
    assert following.look() == tighter(policy)


def test_a_file_that_never_rests_is_stale_in_the_end(path: Path) -> None:
    following = Following(path, max_stale=20)
    good = path.read_text()

    def look_at_others() -> None:
        for number in range(10):
            path.write_text(f"{good}#{number}")
            following.look()

    with pytest.raises(PolicyError, match=r"older than 20 s: .*changes at every look"):
        look_at_others()


# What loosens


@pytest.mark.parametrize("revision", ["1", None])
def test_a_change_that_loosens_must_carry_a_new_revision(
    following: Following, policy: Policy, revision: str | None, log: pytest.LogCaptureFixture
) -> None:
    new = looser(policy).replace(revision=revision)
    assert following.write(new) == policy
    error = str(following.source.error)
    assert "c.example: exempt from pinning (why not)" in error
    assert "write another revision" in error
    assert error in log.messages[-1]
    assert following.write(new.replace(revision="2")) == new.replace(revision="2")
    assert following.source.error is None


def test_a_change_that_was_not_taken_was_never_a_bad_file(
    following: Following, policy: Policy, log: pytest.LogCaptureFixture
) -> None:
    for new in (looser(policy), policy.replace(unpinned="allow")):
        assert following.write(new) == policy
        assert following.source.error is not None
    assert following.write(policy) == policy
    assert following.source.error is None
    assert not any("good again" in message for message in log.messages)
    assert log.messages[-1].endswith("the policy in force is the file's again")


def test_a_bad_file_that_does_not_rest_is_good_again_in_the_end(
    following: Following, policy: Policy, log: pytest.LogCaptureFixture
) -> None:
    garble(following.path)
    following.settle()
    for number in range(3):
        following.path.write_text(text(tighter(policy)) + "#" * number)
        following.look()
    assert "changes at every look" in str(following.source.error)
    assert following.look() == tighter(policy)
    assert log.messages[-1].endswith("the policy file is good again")


def test_a_policy_without_a_revision_is_loosened_with_one(path: Path, policy: Policy) -> None:
    path.write_text(text(policy.replace(revision=None)))
    following = Following(path)
    assert following.write(looser(policy).replace(revision=None)) == policy.replace(revision=None)
    assert following.write(looser(policy)) == looser(policy)


def test_what_a_change_loosens_is_logged(
    following: Following, policy: Policy, log: pytest.LogCaptureFixture
) -> None:
    following.write(looser(policy).replace(revision="2"))
    record = log.records[-1]
    assert record.levelno == logging.WARNING
    assert (
        "policy 2 replaces 1; it loosens: c.example: exempt from pinning (why not)"
        in record.getMessage()
    )


def test_a_change_that_loosens_nothing_is_logged_as_such(
    following: Following, policy: Policy, log: pytest.LogCaptureFixture
) -> None:
    following.write(tighter(policy))
    record = log.records[-1]
    assert record.levelno == logging.INFO
    assert record.getMessage().endswith("policy 1 replaces 1")


def test_P10_what_is_said_of_a_loosening_is_bounded(path: Path) -> None:
    hosts = {f"h{number}.example": PinSet([PIN, OTHER]) for number in range(1000)}
    path.write_text(text(Policy(hosts, revision="1")))
    following = Following(path)
    following.write(Policy({}, revision="1"))
    assert "and 980 more" in str(following.source.error)
    assert len(str(following.source.error)) < 2000


# Links, and files of anchors


def kubernetes(mount: Path, number: int, policy: str, ca: str) -> None:
    """What a ConfigMap's volume does: a new directory, and one link that is replaced in one step."""
    data = mount / f"..{number}"
    data.mkdir()
    (data / "pins.toml").write_text(policy)
    (data / "ca.pem").write_text(ca)
    (mount / "..data_tmp").symlink_to(data.name)
    (mount / "..data_tmp").replace(mount / "..data")
    for name in ("pins.toml", "ca.pem"):
        if not (mount / name).is_symlink():
            (mount / name).symlink_to(f"..data/{name}")


WITH_CA = f'version = 1\nrevision = "%s"\n[hosts."a.example"]\npins = ["{PIN}", "{OTHER}"]\nanchors = "ca.pem"\n'


def test_a_kubernetes_volume_is_followed(tmp_path: Path) -> None:
    kubernetes(tmp_path, 1, WITH_CA % 1, authority(1))
    following = Following(tmp_path / "pins.toml")
    assert following.source.current.hosts["a.example"].anchors == Anchors.from_pem(authority(1))
    kubernetes(tmp_path, 2, WITH_CA % 2, authority(2))
    new = following.settle()
    assert new.revision == "2"
    assert new.hosts["a.example"].anchors == Anchors.from_pem(authority(2))


def test_a_link_that_goes_elsewhere_to_the_same_text_is_quiet(tmp_path: Path) -> None:
    kubernetes(tmp_path, 1, WITH_CA % 1, authority(1))
    following = Following(tmp_path / "pins.toml")
    before = following.settle()
    kubernetes(tmp_path, 2, WITH_CA % 1, authority(1))
    assert following.settle() is before
    assert following.source.error is None


def test_a_change_of_the_anchors_is_a_change(tmp_path: Path) -> None:
    path, ca = tmp_path / "pins.toml", tmp_path / "ca.pem"
    path.write_text(WITH_CA % 1)
    ca.write_text(authority(1) + authority(2))
    following = Following(path)
    ca.write_text(authority(1))
    assert following.settle().hosts["a.example"].anchors == Anchors.from_pem(authority(1))
    ca.write_text(authority(3))
    following.settle()
    assert "a.example: other trust anchors" in str(following.source.error)
    assert following.source.current.hosts["a.example"].anchors == Anchors.from_pem(authority(1))
    path.write_text(WITH_CA % 2)
    assert following.settle().hosts["a.example"].anchors == Anchors.from_pem(authority(3))


def test_anchors_that_cannot_be_read_any_more_leave_the_policy(tmp_path: Path) -> None:
    (tmp_path / "pins.toml").write_text(WITH_CA % 1)
    (tmp_path / "ca.pem").write_text(authority(1))
    following = Following(tmp_path / "pins.toml")
    before = following.settle()
    (tmp_path / "ca.pem").unlink()
    assert following.settle() is before
    assert "ca.pem: cannot be read" in str(following.source.error)
    (tmp_path / "ca.pem").write_text(authority(1))
    assert following.settle() is before
    assert following.source.error is None


def test_a_relative_path_means_the_same_in_another_directory(
    path: Path,
    policy: Policy,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(path.parent)
    following = Following(Path("pins.toml"))
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    path.write_text(text(tighter(policy)))
    assert following.settle() == tighter(policy)


# Who is told


def test_subscribers_hear_of_every_policy_that_comes_into_force(
    following: Following, policy: Policy
) -> None:
    heard: list[Policy] = []
    unsubscribe = following.source.subscribe(heard.append)
    again = following.source.subscribe(heard.append)
    following.write(tighter(policy))
    assert heard == [tighter(policy)] * 2
    assert heard[0] is following.source.current
    again()
    garble(following.path)
    following.settle()
    following.write(policy.replace(revision="2"))
    assert heard[2:] == [policy.replace(revision="2")]
    unsubscribe()
    unsubscribe()
    following.write(policy.replace(revision="3"))
    assert len(heard) == 3


def test_a_subscriber_may_ask_for_the_policy_and_end_its_subscription(
    following: Following, policy: Policy
) -> None:
    heard: list[Policy] = []

    def hear(new: Policy) -> None:
        heard.append(following.source.current)
        unsubscribe()

    unsubscribe = following.source.subscribe(hear)
    following.write(tighter(policy))
    following.write(policy.replace(revision="2"))
    assert heard == [tighter(policy)]


def test_a_subscriber_that_fails_harms_nobody(
    following: Following, policy: Policy, log: pytest.LogCaptureFixture
) -> None:
    heard: list[Policy] = []

    def fail(_: Policy) -> None:
        raise RuntimeError("a subscriber's own")

    following.source.subscribe(fail)
    following.source.subscribe(heard.append)
    assert following.write(tighter(policy)) == tighter(policy)
    assert heard == [tighter(policy)]
    assert following.source.error is None
    assert log.records[-1].exc_info is not None


def test_a_change_of_a_pin_needs_a_new_revision_and_dropping_one_does_not(
    following: Following, policy: Policy
) -> None:
    fewer = policy.replace(hosts={name: PinSet(PIN, single="enough") for name in policy.hosts})
    assert following.write(fewer) == fewer
    other = policy.replace(hosts={name: PinSet(THIRD, single="enough") for name in policy.hosts})
    assert following.write(other) == fewer
    assert f"a.example: accepts {THIRD}" in str(following.source.error)
