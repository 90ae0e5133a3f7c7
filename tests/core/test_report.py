"""The fields of RFC 7469 section 3, and what pinio adds."""

from __future__ import annotations

import datetime as dt
import json
import pickle
import ssl
from typing import Any

import pytest

from pinio.core.anchors import Anchors
from pinio.core.certificate import ServedChain
from pinio.core.decision import Permit, Refusal
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy, Rule
from pinio.core.verify import judge
from tests.core.chains import HOST, NOW, A, B, attacker, genuine

EXPIRES = dt.datetime.fromtimestamp(NOW + 3600, dt.UTC)


def decision(pattern: str = "**.example.com", **choices: object) -> Permit | Refusal:
    pins = PinSet([A, f"leaf:{B}"], backup=f"cert-{A}", expires=EXPIRES).replace(**choices)
    policy = Policy({pattern: pins}, revision="r3")
    return judge(policy.endpoint(HOST, 8443), attacker().chain, NOW)


def test_the_keys_of_the_rfc() -> None:
    """Every key of RFC 7469 section 3 with its value, ready for JSON."""
    report = decision().report
    assert report is not None
    told = report.to_json()
    chain: Any = told.pop("validated-certificate-chain")
    assert told == {
        "version": 1,
        "date-time": "2026-07-01T00:00:00Z",
        "hostname": HOST,
        "port": 8443,
        "effective-expiration-date": "2026-07-01T01:00:00Z",
        "include-subdomains": True,
        "noted-hostname": "**.example.com",
        "served-certificate-chain": [],
        "known-pins": [f'pin-sha256="{A.removeprefix("sha256/")}"', f"leaf:{B}", f"cert-{A}"],
        "enforced": True,
        "problem": None,
        "revision": "r3",
    }
    assert [ssl.PEM_cert_to_DER_cert(pem) for pem in chain] == list(attacker().ders)
    assert Anchors.from_pem("".join(chain)).certificates
    assert json.loads(json.dumps(report.to_json())) == report.to_json()


@pytest.mark.parametrize(
    ("pattern", "subdomains"),
    [("**.example.com", True), ("*.example.com", False), ("api.example.com", False)],
)
def test_subdomains(pattern: str, subdomains: bool) -> None:
    """Only `**.` covers the whole subtree."""
    report = decision(pattern).report
    assert report is not None
    assert (report.noted_hostname, report.include_subdomains) == (pattern, subdomains)


def test_what_was_let_through_says_so() -> None:
    """A report-only mismatch is the same report, not enforced."""
    waived, refused = decision(mode="report-only"), decision()
    assert isinstance(waived, Permit)
    assert isinstance(refused, Refusal)
    assert waived.report is not None
    assert refused.report is not None
    assert (waived.report.enforced, refused.report.enforced) == (False, True)
    assert waived.report.to_json() == refused.report.to_json() | {"enforced": False}


def test_absent_things_are_null() -> None:
    """No port, no expiry, no revision, no chain: the keys stay."""
    policy = Policy({HOST: PinSet([A, B])})
    refused = judge(policy.endpoint(HOST), None, NOW)
    assert refused.report is not None
    told = refused.report.to_json()
    absent = ("port", "effective-expiration-date", "revision")
    assert [told[key] for key in absent] == [None] * 3
    assert told["validated-certificate-chain"] == []


def test_a_certificate_that_does_not_verify_is_shown_as_it_was_served() -> None:
    """No chain was validated: the report has what was served, and what is wrong with it."""
    served = ServedChain(attacker().ders)
    rule = Rule(HOST, PinSet([A, B]))
    refused = Refusal(
        "CERTIFICATE_NOT_VERIFIED",
        HOST,
        443,
        time=NOW,
        noted=rule,
        verify_message="expired",
        served=served,
    )
    assert refused.report is not None
    told: Any = refused.report.to_json()
    assert told["validated-certificate-chain"] == []
    assert [ssl.PEM_cert_to_DER_cert(pem) for pem in told["served-certificate-chain"]] == list(
        attacker().ders
    )
    assert (told["problem"], told["enforced"]) == ("expired", True)

    unread = Refusal("CERTIFICATE_NOT_VERIFIED", HOST, 443, time=NOW, noted=rule).report
    assert unread is not None
    assert unread.to_json()["served-certificate-chain"] == []
    assert Refusal("CERTIFICATE_NOT_VERIFIED", HOST, 443, time=NOW).report is None


def test_a_match_has_nothing_to_report() -> None:
    """Neither has a host without pins."""
    pinned = judge(Policy({HOST: [genuine().leaf.pin, A]}).endpoint(HOST), genuine().chain, NOW)
    exempt = judge(Policy({}, exempt={HOST: "why"}).endpoint(HOST), genuine().chain, NOW)
    assert pinned.report is exempt.report is None


def test_a_report_is_a_value() -> None:
    """It pickles, for observers that hand it to another process."""
    report = decision().report
    assert pickle.loads(pickle.dumps(report)) == report
