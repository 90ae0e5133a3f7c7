"""A genuine server that rotates, and the mistakes that it makes."""

from __future__ import annotations

import datetime as dt

import pytest

import pinio
from pinio.errors import CertificateNotVerifiedError, PinExpiredError
from pinio.testing import CA, Clock, Mitm, Site
from tests.conftest import Run

HOST = "api.example.com"
ROOT = CA("root")


def policy(*pins: str, **options: object) -> pinio.Policy:
    pin_set = pinio.PinSet(pins, single="a test", anchors=ROOT.anchors, resumption=False)
    return pinio.Policy({HOST: pin_set.replace(**options)})


async def ask(policy: pinio.Policy) -> pinio.Permit:
    _, writer = await pinio.open_connection(HOST, 443, policy=policy)
    permit = pinio.attest(writer)
    writer.close()
    await writer.wait_closed()
    return permit


def test_a_new_key_needs_a_pin(run: Run) -> None:
    with Site(ROOT) as site, site.route(HOST):
        before = site.pin
        assert run(ask(policy(before))).position == 0
        assert site.rotate_key().pin == site.pin != before
        with pytest.raises(pinio.PinMismatchError):
            run(ask(policy(before)))
        assert run(ask(policy(site.pin))).position == 0


def test_a_renewed_certificate_has_the_same_key(run: Run) -> None:
    with Site(ROOT) as site, site.route(HOST):
        before, pin = site.leaf.der, site.pin
        assert site.renew().der != before
        assert run(ask(policy(pin))).pinned


def test_a_new_intermediate_needs_a_pin_on_something_else(run: Run) -> None:
    with Site(ROOT) as site, site.route(HOST):
        issuer, leaf = site.issuer.pin, site.pin
        assert run(ask(policy(f"ca:{issuer}"))).position == 1
        site.rotate_intermediate()
        with pytest.raises(pinio.PinMismatchError):
            run(ask(policy(f"ca:{issuer}")))
        assert run(ask(policy(leaf))).pinned


def test_a_new_root_is_trusted_where_the_old_one_signed_it(run: Run) -> None:
    with Site(ROOT) as site, site.route(HOST):
        site.rotate_ca()
        with pytest.raises(CertificateNotVerifiedError):
            run(ask(policy(site.pin)))
    with Site(ROOT) as site, site.route(HOST):
        site.rotate_ca(cross_signed=True)
        permit = run(ask(policy(f"ca:{site.ca.pin}")))
        assert permit.position == 2
        assert permit.chain is not None and len(permit.chain.certificates) == 4
        assert run(ask(policy(site.pin, anchors=site.ca.anchors))).pinned


@pytest.mark.parametrize(
    ("mistake", "said"),
    [("expire", "expired"), ("misname", "mismatch"), ("distrust", "local issuer")],
)
def test_a_mistake_refuses_the_genuine_key(mistake: str, said: str, run: Run) -> None:
    with Site(ROOT) as site, site.route(HOST):
        pin = site.pin
        assert getattr(site, mistake)().pin == pin
        with pytest.raises(CertificateNotVerifiedError, match=said):
            run(ask(policy(pin)))


def test_the_genuine_server_and_an_interceptor_take_turns(run: Run) -> None:
    with Site(ROOT) as site, site.route(HOST), Mitm(ROOT) as mitm:
        pinned = policy(site.pin, resumption=True)
        run(ask(pinned))
        mitm.route(HOST)
        with mitm.expect_refusal(by="pin"):
            run(ask(pinned))
        mitm.close()
        run(ask(pinned))
        assert len(site.connections) == 2


def test_pins_expire_when_the_clock_says_so(run: Run) -> None:
    expires = dt.datetime.now(dt.UTC) + dt.timedelta(days=30)
    with Site(ROOT) as site, site.route(HOST), Clock() as clock:
        pinned = policy(site.pin, expires=expires)
        run(ask(pinned))
        clock.advance(days=29)
        assert run(ask(pinned)).time == pytest.approx(clock.time(), abs=60)
        clock.advance(days=2)
        with pytest.raises(PinExpiredError):
            run(ask(pinned))
        clock.set(expires - dt.timedelta(days=1))
        run(ask(pinned))
        clock.set(expires)
        with pytest.raises(PinExpiredError):
            run(ask(pinned))
    with Site(ROOT) as site, site.route(HOST):
        run(ask(policy(site.pin, expires=expires)))


def test_a_clock_is_set_to_a_moment_with_a_time_zone() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Clock().set(dt.datetime(2030, 1, 1))  # noqa: DTZ001 - the mistake
    clock = Clock()
    before = clock.monotonic()
    clock.set(dt.datetime(2000, 1, 1, tzinfo=dt.UTC))
    assert clock.monotonic() >= before, "a monotonic clock does not go back"


def test_a_policy_is_rebased_on_a_test_ca() -> None:
    spare = CA("spare").pin
    pins = pinio.PinSet(ROOT.pin, backup=spare, mode="report-only")
    device = pinio.PinSet(ROOT.pin, single="a device", trust="leaf-pin")
    shipped = pinio.Policy(
        {"*.example.com": pins, "camera.local": device},
        exempt={"www.example.com": "a reason"},
        revision="7",
        deny=[spare],
    )
    ca = CA("test")
    rebased = ca.rebase(shipped)
    assert rebased.hosts["*.example.com"] == pins.replace(anchors=ca.anchors)
    assert rebased.hosts["camera.local"] == device
    assert rebased.unpinned_anchors == ca.anchors
    assert (rebased.revision, rebased.deny, rebased.exempt) == ("7", shipped.deny, shipped.exempt)
    assert shipped.hosts["*.example.com"].anchors is None
    mapped = ca.rebase(shipped, {"*.example.com": ca.pin}).hosts["*.example.com"]
    assert [str(pin) for pin in mapped.pins] == [ca.pin] and not mapped.backup
    assert mapped.mode == "report-only"
    both = pinio.PinSet(ca.pin, backup=spare)
    mapped = ca.rebase(shipped, {"*.example.com": both}).hosts["*.example.com"]
    assert (mapped.pins, mapped.backup, mapped.mode) == (both.pins, both.backup, "report-only")
    with pytest.raises(pinio.PolicyError, match="has no pattern"):
        ca.rebase(shipped, {"api.example.com": ca.pin})
