"""Chains that others have thought of: x509-limbo (C2SP) and BetterTLS (Netflix), each shown in a handshake.

A pin takes away and adds nothing. So with the right pin exactly those servers are accepted that
OpenSSL accepts by itself; with a wrong one, none; and with the pin of a certificate that a server
sends, those whose verified chain it is part of.

The files are too large for the repository; the folder that `PINIO_TEST_DATA` names has `limbo.json`
and `bettertls.json`.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pinio.core.anchors import Anchors
from pinio.core.certificate import Certificate
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.errors import PolicyError
from pinio.tls.handshake.peer import verified_chain
from tests.tls.cast import ABSENT
from tests.tls.memory import MemoryPeer, drive, engine_for, shake_hands

FOLDER = Path(os.environ.get("PINIO_TEST_DATA", ""))


class Case(NamedTuple):
    """A server's identity, whom its client trusts, and whom it expects."""

    name: str
    trusted: str
    chain: str
    key: str
    host: str


def limbo(corpus: dict[str, Any]) -> Iterator[Case]:
    """Servers whose key is there and whose certificate does not depend on the date."""
    for case in corpus["testcases"]:
        host, key = case["expected_peer_name"], case["peer_certificate_key"]
        if case["validation_kind"] == "SERVER" and key and host and not case["validation_time"]:
            chain = "\n".join([case["peer_certificate"], *case["untrusted_intermediates"]])
            yield Case(case["id"], "\n".join(case["trusted_certs"]), chain, key, host["value"])


def bettertls(corpus: dict[str, Any]) -> Iterator[Case]:
    """All of them."""
    for case in corpus["Tests"]:
        yield Case(
            f"{case['Suite']} {case['Id']}",
            corpus["Root"],
            case["Chain"],
            case["Key"],
            case["Host"],
        )


READERS: dict[str, Callable[[dict[str, Any]], Iterator[Case]]] = {
    "limbo": limbo,
    "bettertls": bettertls,
}


@pytest.mark.parametrize("corpus", READERS)
def test_pins_take_away_and_add_nothing(
    corpus: str, tls_version: ssl.TLSVersion, tmp_path: Path
) -> None:
    file = FOLDER / f"{corpus}.json"
    if not file.is_file():
        pytest.skip(f"PINIO_TEST_DATA names no folder with {corpus}.json")
    accepted = refused = above_leaf = beside = 0
    for case in READERS[corpus](json.loads(file.read_text("utf-8"))):
        try:
            server = server_context(case, tls_version, tmp_path)
            pinned_to(case, ABSENT)
        except (
            ssl.SSLError,
            PolicyError,
        ):  # keys that OpenSSL does not load, names that pinio does not take
            continue
        verified, sent = plainly(case, server), pins(case.chain)
        assert not accepts(case, server, ABSENT), case.name
        assert accepts(case, server, sent[0]) is bool(verified), case.name
        for pin in sent[1:] if verified else ():
            assert accepts(case, server, pin) is (pin in verified), case.name
        accepted += bool(verified)
        refused += not verified
        above_leaf += any(pin in verified for pin in sent[1:])
        beside += bool(verified) and any(pin not in verified for pin in sent[1:])
    assert min(accepted, refused, above_leaf) > 20, "the corpus is not what it was"
    assert beside or corpus == "limbo", "certificates that no chain needs are BetterTLS's subject"


def server_context(case: Case, tls_version: ssl.TLSVersion, folder: Path) -> ssl.SSLContext:
    """A server that shows the chain.

    Raises `ssl.SSLError` for a certificate that OpenSSL does not load.
    """
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_text(case.chain, "ascii")
    key.write_text(case.key, "ascii")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = tls_version
    context.load_cert_chain(chain, key)
    return context


def plainly(case: Case, server: ssl.SSLContext) -> list[str]:
    """The pins of the chain that OpenSSL verifies for a client without pins; none where it refuses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.hostname_checks_common_name = False
    context.load_verify_locations(cadata=case.trusted)
    if not any(anchor.self_issued for anchor in Anchors.from_pem(case.trusted).certificates):
        context.verify_flags |= (
            ssl.VERIFY_X509_PARTIAL_CHAIN
        )  # as a profile says: they could end no chain without
    client = MemoryPeer(context, server_hostname=case.host)
    try:
        shake_hands(client, MemoryPeer(server))
    except ssl.SSLError:
        return []
    return [Certificate.of(der).pin for der in verified_chain(client.tls) or ()]


def pinned_to(case: Case, pin: str) -> Policy:
    """Raises `PolicyError` for a host that is none for pinio."""
    return Policy(
        {case.host: PinSet([pin], single="the corpus", anchors=Anchors.from_pem(case.trusted))}
    )


def accepts(case: Case, server: ssl.SSLContext, pin: str) -> bool:
    """Whether pinio completes a handshake."""
    peer = MemoryPeer(server)
    try:
        drive(engine_for(pinned_to(case, pin), host=case.host), peer)
    except ssl.SSLError:
        assert not peer.finished, case.name
        return False
    return True


def pins(chain: str) -> list[str]:
    """Of every certificate in a PEM text."""
    end = "-----END CERTIFICATE-----"
    ders = [ssl.PEM_cert_to_DER_cert(f"{text.strip()}\n{end}") for text in chain.split(end)[:-1]]
    return [Certificate.of(der).pin for der in ders]
