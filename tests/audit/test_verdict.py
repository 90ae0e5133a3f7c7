"""What was seen of a host is a verdict, and nothing is taken for a pin that is none."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from pinio.audit.report import to_json, to_junit
from pinio.audit.run import Audit
from pinio.audit.verdict import FAILED, MEANINGS, Observation, Verdict, judge

HOST = "api.example.com"


def seen(
    tls: bool = True, finished: bool = False, received: int = 0, alert: str = ""
) -> Observation:
    return Observation(HOST, 443 if tls else 80, tls, finished, received, alert)


@pytest.mark.parametrize(
    ("connections", "trusted", "verdict"),
    [
        ([seen(finished=True, received=79)], True, Verdict.CAPTURED),
        ([seen(finished=True), seen(finished=True, received=1)], True, Verdict.CAPTURED),
        ([seen(finished=True)], False, Verdict.PINNED),
        ([seen()], True, Verdict.PINNED),
        ([seen(alert="SSLV3_ALERT_BAD_CERTIFICATE")], True, Verdict.PINNED),
        ([seen()], False, Verdict.UNKNOWN),
        ([seen(alert="TLSV1_ALERT_UNKNOWN_CA")], True, Verdict.UNTRUSTED),
        ([seen(), seen(tls=False, received=9)], True, Verdict.DOWNGRADED),
        ([seen(tls=False, received=9)], True, Verdict.PLAINTEXT),
        ([seen(tls=False)], True, Verdict.UNKNOWN),
    ],
)
def test_each_behaviour_has_its_verdict(
    connections: list[Observation], trusted: bool, verdict: Verdict
) -> None:
    (finding,) = judge(connections, trusted=trusted)
    assert finding.verdict is verdict and finding.detail
    assert finding.connections == len(connections)
    assert finding.received == sum(each.received for each in connections)


def audit(*connections: Observation, trusted: bool = True) -> Audit:
    findings = tuple(judge(connections, trusted=trusted))
    return Audit(("curl", HOST), 0, "proxy", "it needs root", findings, None)


def other(observation: Observation) -> Observation:
    return Observation("<b>&\x00", 443, observation.tls, True, observation.received, "")


def test_a_program_is_pinned_if_every_host_is() -> None:
    assert audit(seen()).pinned is True
    assert audit(seen(), other(seen())).pinned is True
    assert audit(seen(), other(seen(received=1))).pinned is False
    assert audit(seen(alert="TLSV1_ALERT_UNKNOWN_CA"), other(seen())).pinned is None
    assert audit().pinned is None


def test_every_verdict_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Verdict)
    assert FAILED.issubset(Verdict)


def test_json_says_it_all() -> None:
    data = json.loads(to_json(audit(seen(finished=True, received=79))))
    assert data["version"] == 1 and data["pinned"] is False
    assert data["why_no_namespace"] == "it needs root"
    (host,) = data["hosts"]
    assert (host["host"], host["verdict"], host["received"]) == (HOST, "captured", 79)


def test_junit_has_a_case_for_each_host() -> None:
    found = audit(seen(), other(seen(received=1)))
    suite = ET.fromstring(to_junit(found))
    assert suite.attrib == {"name": f"curl {HOST}", "tests": "2", "failures": "1", "errors": "0"}
    pinned, captured = suite
    assert pinned.attrib["name"] == HOST and not list(pinned)
    assert captured.attrib["name"] == "<b>&?"
    assert captured[0].tag == "failure" and captured[0].attrib["type"] == "captured"
    nothing = ET.fromstring(to_junit(audit()))
    assert nothing.attrib["errors"] == "1" and nothing[0][0].tag == "error"
    untrusted = ET.fromstring(to_junit(audit(seen(alert="TLSV1_ALERT_UNKNOWN_CA"))))
    assert untrusted.attrib["errors"] == "1"
