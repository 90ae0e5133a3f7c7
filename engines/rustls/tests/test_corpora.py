"""Chains that others have thought of: x509-limbo (C2SP) and BetterTLS (Netflix), each shown in a handshake.

What is accepted is compared with what the corpus asks for, and each case that differs is named here, with
the reason. The files are too large for the repository; the folder that `PINIO_TEST_DATA` names has
`limbo.json` and `bettertls.json`.
"""

from __future__ import annotations

import json
import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pinio_rustls import Config, Connection, TLSFailure

from tests.authority import VERSIONS, ders

FOLDER = Path(os.environ.get("PINIO_TEST_DATA", ""))


class Case(NamedTuple):
    """A server's identity, whom its client trusts, and whether it is to be accepted."""

    name: str
    trusted: str
    chain: str
    key: str
    host: str
    good: bool


def limbo() -> Iterator[Case]:
    """Servers whose key is there and whose certificate does not depend on the date."""
    for case in json.loads((FOLDER / "limbo.json").read_text("utf-8"))["testcases"]:
        host, key = case["expected_peer_name"], case["peer_certificate_key"]
        if case["validation_kind"] == "SERVER" and key and host and not case["validation_time"]:
            chain = "\n".join([case["peer_certificate"], *case["untrusted_intermediates"]])
            trusted, good = "\n".join(case["trusted_certs"]), case["expected_result"] == "SUCCESS"
            yield Case(case["id"], trusted, chain, key, host["value"], good)


def bettertls() -> Iterator[Case]:
    """What is expected is a number: 0 to be refused, 1 to be accepted; the others leave it open."""
    corpus = json.loads((FOLDER / "bettertls.json").read_text("utf-8"))
    for case in corpus["Tests"]:
        name, good = f"{case['Suite']} {case['Id']}", str(case["Expected"])
        if good in {"0", "1"}:
            yield Case(name, corpus["Root"], case["Chain"], case["Key"], case["Host"], good == "1")


def outcome(case: Case, version: ssl.TLSVersion) -> str | None:
    """The reason of a refusal; empty if the server is accepted; None if `ssl` cannot serve the case."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    try:
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(case.key + "\n" + case.chain)
            file.flush()
            context.load_cert_chain(file.name)
        connection = Connection(Config(ders(case.trusted)), case.host)
    except ssl.SSLError:
        return None
    except ValueError as error:
        return str(error)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(connection.take())
    try:
        server.do_handshake()
    except ssl.SSLWantReadError:
        pass
    except ssl.SSLError:  # no signature that both sides know
        return None
    try:
        connection.feed(outgoing.read())
    except TLSFailure as failed:
        return ": ".join(failed.args)
    incoming.write(connection.take())
    server.do_handshake()
    assert connection.verified_chain, case.name
    assert set(connection.verified_chain) <= {*ders(case.chain), *ders(case.trusted)}, case.name
    return ""


# What the corpora ask for and webpki does not do, by reason. Where nothing else is said, the case is to be
# refused and is accepted.
DIFFERENT: dict[str, tuple[str, ...]] = {
    "to be accepted: a CA's certificate is no server's (webpki)": (
        "pathlen::validation-ignores-pathlen-in-leaf",
        "rfc5280::ca-as-leaf",
    ),
    "to be accepted: an intermediate with the name of its root is not found (webpki)": (
        "pathlen::self-issued-certs-pathlen",
        "rfc5280::nc::permitted-self-issued",
    ),
    "the corpus sets a limit to the depth of its own, which a configuration has not": (
        "pathlen::max-chain-depth-0-exhausted",
        "pathlen::max-chain-depth-1-exhausted",
    ),
    "key identifiers help to find a path, and decide nothing": (
        "rfc5280::aki::critical-aki",
        "rfc5280::aki::cross-signed-root-missing-aki",
        "rfc5280::aki::intermediate-missing-aki",
        "rfc5280::aki::leaf-missing-aki",
        "rfc5280::ski::critical-ski",
        "rfc5280::ski::intermediate-missing-ski",
        "rfc5280::ski::root-missing-ski",
        "webpki::aki::root-with-aki-all-fields",
        "webpki::aki::root-with-aki-authoritycertissuer",
        "webpki::aki::root-with-aki-authoritycertserialnumber",
        "webpki::aki::root-with-aki-missing-keyidentifier",
        "webpki::aki::root-with-aki-ski-mismatch",
    ),
    "common names are not looked at": (
        "webpki::cn::case-mismatch",
        "webpki::cn::ipv4-hex-mismatch",
        "webpki::cn::ipv4-leading-zeros-mismatch",
        "webpki::cn::ipv6-non-rfc5952-mismatch",
        "webpki::cn::ipv6-uncompressed-mismatch",
        "webpki::cn::ipv6-uppercase-mismatch",
        "webpki::cn::not-in-san",
        "webpki::cn::punycode-not-in-san",
        "webpki::cn::utf8-vs-punycode-mismatch",
    ),
    "how a CA has to write a certificate, and not what it permits": (
        "rfc5280::ca-empty-subject",
        "rfc5280::leaf-ku-keycertsign",
        "rfc5280::nc::invalid-dnsname-leading-period",
        "rfc5280::nc::not-allowed-in-ee-critical",
        "rfc5280::nc::not-allowed-in-ee-noncritical",
        "rfc5280::nc::permitted-dns-match-noncritical",
        "rfc5280::pc::ica-noncritical-pc",
        "rfc5280::root-non-critical-basic-constraints",
        "rfc5280::san::noncritical-with-empty-subject",
        "rfc5280::san::underscore-dns",
        "rfc5280::serial::too-long",
        "rfc5280::serial::zero",
        "webpki::eku::ee-anyeku",
        "webpki::eku::ee-critical-eku",
        "webpki::eku::ee-without-eku",
        "webpki::eku::root-has-eku",
        "webpki::forbidden-rsa-key-not-divisible-by-8-in-leaf",
        "webpki::forbidden-rsa-not-divisible-by-8-in-root",
        "webpki::malformed-aia",
        "webpki::nc::intermediate-permitted-excluded-subtrees-both-empty-sequences",
        "webpki::nc::intermediate-permitted-excluded-subtrees-both-null",
        "webpki::san::san-critical-with-nonempty-subject",
    ),
    "there is no list of public suffixes": (
        "webpki::san::public-suffix-multi-label-wildcard-san",
        "webpki::san::public-suffix-private-namespace-wildcard-san",
    ),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("read", [limbo, bettertls])
def test_what_is_accepted_is_what_the_corpus_asks_for_or_is_named_here(
    read: Callable[[], Iterator[Case]], version: str
) -> None:
    if not (FOLDER / f"{read.__name__}.json").is_file():
        pytest.skip(f"PINIO_TEST_DATA names no folder with {read.__name__}.json")
    named = {name for names in DIFFERENT.values() for name in names}
    wrong = []
    seen = accepted = 0
    for case in read():
        reason = outcome(case, VERSIONS[version])
        if reason is None:
            continue
        seen += 1
        accepted += reason == ""
        if ((reason == "") is case.good) is (case.name in named):
            wrong.append(
                (
                    case.name,
                    reason or "accepted",
                    "to be accepted" if case.good else "to be refused",
                )
            )
    assert not wrong
    assert min(accepted, seen - accepted) > 20, "the corpus is not what it was"
