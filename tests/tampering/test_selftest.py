"""`pinio.selftest` and `pinio.Watch` in a process that nobody tampered with, and in ones where somebody did."""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import threading

import pytest
from cryptography import x509

import pinio
from pinio.core.certificate import Certificate
from pinio.tampering import TamperingError, Watch, handshakes, references, selftest
from pinio.tls.context.inner import inner_context
from pinio.tls.handshake import peer
from tests.tls.cast import GENUINE, pinned


async def test_a_clean_process_passes() -> None:
    policy = pinned()
    result = await selftest(policy, policy_digest=policy.digest)
    assert result.policy_digest == policy.digest
    assert result.independent_hash
    assert result.witnessed
    assert "wrong key" in result.checks
    assert pinio.selftest is selftest
    assert pinio.Watch is Watch


async def test_nothing_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    await selftest(pinned())  # contexts and certificates of the canaries are cached from now on
    contexts, threads = len(inner_context._contexts), threading.active_count()
    caplog.clear()
    with caplog.at_level(logging.DEBUG, "pinio"):
        await selftest(pinned())
    assert (len(inner_context._contexts), threading.active_count()) == (contexts, threads)
    assert caplog.records == []
    assert len(asyncio.all_tasks()) == 1


async def test_an_unexpected_policy_is_noticed() -> None:
    with pytest.raises(TamperingError, match="policy digest: it is"):
        await selftest(pinned(), policy_digest="sha256:" + "0" * 64)


async def test_live_rules_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = pinned()
    pins = policy.hosts["localhost"]
    (what, leaf, ca), *_ = pins._wanted
    leaf[handshakes.chain("good")[0].spki_sha256] = next(iter(leaf.values()))
    with pytest.raises(TamperingError, match="localhost permits a key that it does not list"):
        await selftest(policy)
    assert what
    assert ca


async def test_a_changed_digest_in_the_cache_is_noticed() -> None:
    victim = Certificate.of(GENUINE.der)
    genuine = victim.spki_sha256
    victim.spki_sha256 = bytes(32)
    try:
        with pytest.raises(TamperingError, match="cached digests: a cached key of sha256/"):
            await selftest()
    finally:
        victim.spki_sha256 = genuine


async def test_a_replaced_function_is_noticed_by_two_checks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forged = [certificate.der for certificate in handshakes.chain("good")]
    monkeypatch.setattr(peer, "verified_chain", lambda tls: forged)
    monkeypatch.setattr(peer, "leaves", lambda tls: (forged[0],) * 3)
    with pytest.raises(TamperingError) as error:
        await selftest()
    checks = {finding.check for finding in error.value.findings}
    assert {"references", "wrong name"} & checks == {"references"}
    assert "pinio.tls.handshake.peer.verified_chain was replaced" in str(error.value)


async def test_watch_tells_of_each_test_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    told: asyncio.Queue[TamperingError] = asyncio.Queue()

    async def broken(policy: object) -> None:
        raise OSError("no more files")

    monkeypatch.setattr("pinio.tampering.watch.selftest", broken)
    async with Watch(interval=0.001, on_tampering=told.put_nowait):
        for _ in range(2):
            error = await told.get()
            assert "could not run: OSError: no more files" in str(error)
    assert len(asyncio.all_tasks()) == 1


async def test_watch_contains_what_on_tampering_raises(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    again = asyncio.Event()
    told: list[TamperingError] = []

    def tell(error: TamperingError) -> None:
        told.append(error)
        if len(told) == 2:
            again.set()
        raise RuntimeError("no")

    async def found(policy: object) -> None:
        raise TamperingError(["something"])

    monkeypatch.setattr("pinio.tampering.watch.selftest", found)
    async with Watch(interval=0.001, on_tampering=tell):
        await again.wait()
    assert "on_tampering failed" in caplog.text


@pytest.mark.parametrize("interval", [0, -1, float("nan")])
def test_an_interval_is_positive(interval: float) -> None:
    with pytest.raises(ValueError, match="interval is a positive number"):
        Watch(interval=interval)


async def test_a_watch_runs_once_at_a_time() -> None:
    async with Watch() as watch:
        with pytest.raises(RuntimeError, match="running already"):
            await watch.__aenter__()


@pytest.mark.parametrize("name", ["good", "other_name", "untrusted", "forged"])
def test_canaries_do_not_expire(name: str) -> None:
    for certificate in handshakes.chain(name):
        until = x509.load_der_x509_certificate(certificate.der).not_valid_after_utc
        assert until >= dt.datetime(2119, 1, 1, tzinfo=dt.UTC)


def test_its_functions_are_remembered_at_import() -> None:
    assert ("pinio.core.verify", "decide") in references._known
