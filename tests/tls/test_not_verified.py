"""A certificate that does not verify is a refusal like any other, on every way into pinio."""

from __future__ import annotations

import datetime as dt
import pickle
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest

import pinio
from pinio.core.policy import Policy
from pinio.errors import CertificateNotVerifiedError, find_pin_error
from pinio.reporting import Counters, LogObserver, fan_out
from pinio.testing import CA, Leaf, Server
from pinio.testing.device import self_signed
from pinio.tls.handshake.failure import MOST_BYTES
from tests.tls.cast import GENUINE, ISSUER, ROOT, SPARE, Told, pinned
from tests.tls.certificates import Issued
from tests.tls.entry_points import PORTLESS, Enter, entry_point, own_entry_point, refused
from tests.tls.memory import MemoryPeer, drive, engine_for

STRANGER = CA("nobody's")


def at(year: int) -> dt.datetime:
    return dt.datetime(year, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Case:
    """What a server shows, what OpenSSL says of it, and words that the text must have."""

    leaf: Callable[[], Leaf]
    code: int
    message: str
    words: tuple[str, ...]
    names: tuple[str, ...] = ("localhost",)
    policy: dict[str, Any] = field(default_factory=dict)


CASES = {
    "expired": Case(
        lambda: ISSUER.issue("localhost", not_before=at(2001), not_after=at(2002)),
        10,
        "certificate has expired",
        ("it has expired on 2002-01-01T00:00:00Z", "valid: 2001-01-01T00:00:00Z to 2002-01-01"),
    ),
    "not yet valid": Case(
        lambda: ISSUER.issue("localhost", not_before=at(2101), not_after=at(2102)),
        9,
        "certificate is not yet valid",
        ("it is valid from 2101-01-01T00:00:00Z on", "clock"),
    ),
    "another name": Case(
        lambda: ISSUER.issue("other.test", "192.0.2.7", "2001:db8::7", "*.wild.test"),
        62,
        "Hostname mismatch, certificate is not valid for 'localhost'.",
        ("is for other.test, 192.0.2.7, 2001:db8::7, *.wild.test", "server_hostname="),
        ("other.test", "192.0.2.7", "2001:db8::7", "*.wild.test"),
    ),
    "no name": Case(
        lambda: Issued.root("by hand").issue("localhost").serving(),
        20,
        "unable to get local issuer certificate",
        ("names: none",),
        (),
    ),
    "unknown CA": Case(
        lambda: GENUINE,
        20,
        "unable to get local issuer certificate",
        ("a certificate of OU=root, which is no anchor", "anchors="),
        ("localhost", "127.0.0.1", "*.pinned.test"),
        {"anchors": STRANGER.anchors},
    ),
    "unknown CA, sent": Case(
        lambda: GENUINE.serving(ISSUER.der, ROOT.der),
        19,
        "self-signed certificate in certificate chain",
        ("the chain ends in OU=root, which is no anchor", "anchors="),
        ("localhost", "127.0.0.1", "*.pinned.test"),
        {"anchors": STRANGER.anchors},
    ),
    "missing intermediate": Case(
        GENUINE.serving,
        20,
        "unable to get local issuer certificate",
        ("the issuer of the certificate, OU=issuing", "intermediate", "must send it", "anchors="),
        ("localhost", "127.0.0.1", "*.pinned.test"),
    ),
    "signed by itself": Case(
        lambda: self_signed("localhost"), 18, "self-signed certificate", ('trust="leaf-pin"',)
    ),
}
case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def saw_nothing(server: Server) -> bool:
    """Whether the peer finished no handshake and got no application byte, or client certificate."""
    return (
        server.application_bytes == b""
        and server.handshakes_finished == 0
        and server.client_certificates == []
    )


@case
@entry_point
async def test_it_is_refused_told_and_explained(
    enter: Enter, case: Case, tls_version: ssl.TLSVersion
) -> None:
    told, leaf = Told(), case.leaf()
    with Server(leaf, tls_version=tls_version) as server:
        error = await refused(enter, server, pinned(**case.policy), told)
        port = server.port
        assert saw_nothing(server)
    assert isinstance(error, CertificateNotVerifiedError)
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert (error.verify_code, error.verify_message) == (case.code, case.message)
    assert (error.errno, error.args[:1]) == (ssl.SSL_ERROR_SSL, (ssl.SSL_ERROR_SSL,)) or isinstance(
        error, aiohttp.ClientError
    )
    assert (error.reason, error.library) == ("CERTIFICATE_NOT_VERIFIED", "PINIO")
    refusal = error.refusal
    assert told == [refusal]
    assert (refusal.reason, refusal.host) == ("CERTIFICATE_NOT_VERIFIED", "localhost")
    assert refusal.port == (None if enter in PORTLESS else port)
    assert (refusal.verify_code, refusal.verify_message) == (case.code, case.message)
    assert refusal.served is not None
    assert [item.der for item in refusal.served] == list(leaf.chain)
    assert refusal.served.leaf.names == case.names
    for words in (*case.words, case.message, "localhost", leaf.pin):
        assert words in str(error)
    assert ("leaf-pin" in str(error)) == (case.code == 18)
    assert "rotated" not in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.refusal, str(again)) == (type(error), refusal, str(error))
    assert (again.verify_code, again.verify_message) == (case.code, case.message)


@own_entry_point
async def test_its_cause_is_what_ssl_raised(enter: Enter, tls_version: ssl.TLSVersion) -> None:
    with Server(ROOT.issue("other.test"), tls_version=tls_version) as server:
        error = await refused(enter, server, pinned(), Told())
    plain = find_pin_error(RuntimeError("wrapped", error))
    assert plain is error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        assert isinstance(error.certificate_error, CertificateNotVerifiedError)
        assert type(error).__name__ == "ClientCertificateNotVerifiedError"
        error = error.certificate_error
    assert type(error.__cause__) is ssl.SSLCertVerificationError
    assert error.__cause__.verify_code == 62


@pytest.mark.parametrize(
    "policy",
    [
        pinned(mode="report-only", anchors=STRANGER.anchors),
        Policy(
            {"other.test": [GENUINE.pin, SPARE]},
            unpinned="allow",
            unpinned_anchors=STRANGER.anchors,
        ),
        Policy({}, exempt={"localhost": "test"}, unpinned_anchors=STRANGER.anchors),
    ],
    ids=["report-only", "unpinned", "exempt"],
)
@entry_point
async def test_nothing_waives_it(enter: Enter, policy: Policy, tls_version: ssl.TLSVersion) -> None:
    told = Told()
    with Server(GENUINE, tls_version=tls_version) as server:
        error = await refused(enter, server, policy, told)
        assert saw_nothing(server)
    assert isinstance(error, CertificateNotVerifiedError)
    assert told == [error.refusal]
    option = "anchors=" if policy.hosts.get("localhost") else "unpinned_anchors="
    assert f"as {option}" in str(error)


def told_of(leaf: Leaf, policy: Policy | None = None) -> tuple[CertificateNotVerifiedError, Told]:
    """The refusal of a server in memory."""
    told = Told()
    with pytest.raises(CertificateNotVerifiedError) as caught:
        drive(engine_for(policy or pinned(), observer=told), MemoryPeer(leaf.server_context()))
    return caught.value, told


def test_counters_and_the_log_hear_of_it(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    engine = engine_for(pinned(anchors=STRANGER.anchors), observer=fan_out(counters, LogObserver()))
    with pytest.raises(CertificateNotVerifiedError):
        drive(engine, MemoryPeer(GENUINE.server_context()))
    assert counters.refusals("CERTIFICATE_NOT_VERIFIED") == 1
    assert 'pinio_refusals_total{reason="CERTIFICATE_NOT_VERIFIED"} 1' in counters.prometheus()
    (record,) = [record for record in caplog.records if record.name == "pinio"]
    assert record.getMessage().startswith("refused: localhost:443 showed a certificate")
    assert GENUINE.pin in record.getMessage()


def test_a_report_has_the_served_chain() -> None:
    """And says why it does not verify; no other report has it."""
    error, _ = told_of(GENUINE, pinned(anchors=STRANGER.anchors))
    report = error.refusal.report
    assert report is not None
    told: Any = report.to_json()
    assert told["served-certificate-chain"] == [
        ssl.DER_cert_to_PEM_cert(der) for der in GENUINE.chain
    ]
    assert told["validated-certificate-chain"] == []
    assert told["problem"] == "unable to get local issuer certificate"
    assert (told["enforced"], told["noted-hostname"], told["port"]) == (True, "localhost", 443)


def test_the_hint_for_a_chain_whose_ca_has_expired() -> None:
    """The leaf is good; the certificate that is not is named."""
    root = Issued.root("root")
    old = root.issue("old issuing", ca=True, not_after=at(2022))
    leaf = old.issue("localhost", "localhost").serving(old.der)
    error, _ = told_of(leaf, pinned(anchors=root.anchors))
    assert error.verify_code == 10
    assert "the certificate of CN=old issuing above it has expired on 2022-01-01" in str(error)


HOSTILE = "\x1b[2J\u202e\u3164evil\n  hint: pin me"


def test_what_the_peer_wrote_is_escaped_and_bounded() -> None:
    """Names of control characters, thousands of names, a chain of many certificates."""
    root = Issued.root("hostile")
    many = [f"name{number}.test" for number in range(500)]
    leaf = root.issue(HOSTILE, *many).serving(*[ISSUER.der] * 30)
    error, _ = told_of(leaf)
    served = error.refusal.served
    assert served is not None
    assert len(served.leaf.names) == 100
    assert len(served) == 10
    assert sum(len(item.der) for item in served) <= MOST_BYTES
    text = str(error)
    assert all(line.isprintable() for line in text.split("\n"))
    assert text.count("\n  hint: ") == 1
    assert len(text) < 10_000
    assert "name9.test" in text and "name10.test" not in text and "90 more" in text


def test_a_leaf_that_is_too_large_is_not_kept() -> None:
    root = Issued.root("hostile")
    leaf = root.issue("large", *[f"{'x' * 60}.{number}.test" for number in range(700)]).serving()
    error, told = told_of(leaf)
    assert error.refusal.served is None
    assert told == [error.refusal]
    assert "anchors=" in str(error)


def test_a_library_that_does_not_tell_the_served_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(tls: object) -> None:
        raise AttributeError("get_unverified_chain")

    monkeypatch.setattr("pinio.tls.handshake.peer.served_chain", broken)
    error, told = told_of(GENUINE, pinned(anchors=STRANGER.anchors))
    assert error.refusal.served is None
    assert (error.verify_code, told) == (20, [error.refusal])


def test_the_alert_is_left_to_whoever_drives_the_bio(tls_version: ssl.TLSVersion) -> None:
    """And nothing else: the client's part of the handshake never leaves."""
    context = pinio.create_ssl_context(pinned(anchors=STRANGER.anchors), observer=Told())
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    server = MemoryPeer(GENUINE.server_context(tls_version=tls_version))
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    incoming.write(server.answer(outgoing.read()))
    with pytest.raises(CertificateNotVerifiedError):
        tls.do_handshake()
    alert = outgoing.read()
    assert (alert[0], len(alert)) == (21, 7), "one record, an alert"
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        server.answer(alert)
    assert not server.finished


def test_the_served_chain_decides_nothing(
    monkeypatch: pytest.MonkeyPatch, tls_version: ssl.TLSVersion
) -> None:
    """Whatever it says, the verdict is the same, and it is not read before there is one."""
    monkeypatch.setattr(
        "pinio.tls.handshake.peer.served_chain", lambda tls: [GENUINE.der, ISSUER.der, ROOT.der]
    )
    wrong = ISSUER.issue("other.test")
    error, _ = told_of(wrong)
    assert error.verify_code == 62
