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
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from pinio_rustls import Config, Connection, TLSFailure

from tests.authority import VERSIONS

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
    """All of them. What is expected is a number: 1 stands for a chain to be accepted."""
    corpus = json.loads((FOLDER / "bettertls.json").read_text("utf-8"))
    for case in corpus["Tests"]:
        name, good = f"{case['Suite']} {case['Id']}", str(case["Expected"])
        yield Case(name, corpus["Root"], case["Chain"], case["Key"], case["Host"], good == "1")


def ders(pem: str) -> list[bytes]:
    end = "-----END CERTIFICATE-----"
    return [ssl.PEM_cert_to_DER_cert(f"{text.strip()}\n{end}") for text in pem.split(end)[:-1]]


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
    with pytest.raises(ssl.SSLWantReadError):
        server.do_handshake()
    try:
        connection.feed(outgoing.read())
    except TLSFailure as failed:
        assert failed.args[0] == "certificate", (case.name, failed)
        return f"{failed.args[1]}: {failed.args[2]}"
    incoming.write(connection.take())
    server.do_handshake()
    assert connection.verified_chain, case.name
    assert set(connection.verified_chain) <= {*ders(case.chain), *ders(case.trusted)}, case.name
    return ""
