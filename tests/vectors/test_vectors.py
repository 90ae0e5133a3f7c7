"""The decisions that are written down as data, for any implementation."""

from __future__ import annotations

import base64
import ssl
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest

from pinio.core.certificate import Certificate, VerifiedChain
from pinio.core.decision import Permit, Refusal
from pinio.core.host import canonical_host
from pinio.core.pin import Pin
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.core.verdict import Denied, Expired, Match, Mismatch, NoChain, NotPinned, Verdict
from pinio.core.verify import judge
from pinio.errors import PinFormatError, PolicyError, UnpinnedHostError

Table = dict[str, Any]

VERDICTS: Final[dict[str, type[Verdict]]] = {
    "match": Match, "mismatch": Mismatch, "not pinned": NotPinned, "expired": Expired, "denied": Denied, "no chain": NoChain,
}  # fmt: skip


def _read(name: str) -> Table:
    return tomllib.loads(Path(__file__).with_name(f"{name}.toml").read_text("utf-8"))


CERTIFICATES: Final = _read("certificates")
PINS: Final[list[Table]] = _read("pins")["pin"]
HOSTS: Final = _read("hosts")
DECISIONS: Final = _read("decisions")
REFUSED: Final[list[Table]] = _read("refused")["policy"]


def _der(name: str) -> bytes:
    return ssl.PEM_cert_to_DER_cert(CERTIFICATES[name]["pem"].strip())


def _policy(table: Table) -> Policy:
    rest = {key: value for key, value in table.items() if key not in {"hosts", "about"}}
    return Policy({pattern: PinSet(**pins) for pattern, pins in table["hosts"].items()}, **rest)


@pytest.mark.parametrize("name", CERTIFICATES)
def test_certificates(name: str) -> None:
    """The digest over the key as it stands in the certificate, or no digest."""
    expected = CERTIFICATES[name].get("spki_sha256")
    assert (expected is None) is CERTIFICATES[name].get("refused", False)
    digest = Certificate.of(_der(name)).spki_sha256
    assert (None if digest is None else base64.b64encode(digest).decode()) == expected


@pytest.mark.parametrize("vector", PINS, ids=lambda vector: vector.get("about", vector["text"]))
def test_pins(vector: Table) -> None:
    """The canonical text, or an error."""
    if vector.get("error"):
        with pytest.raises(PinFormatError):
            Pin.parse(vector["text"])
    else:
        assert str(Pin.parse(vector["text"])) == vector["canonical"]


@pytest.mark.parametrize("vector", HOSTS["host"], ids=lambda vector: ascii(vector["text"]))
def test_hosts(vector: Table) -> None:
    """The canonical name and the pattern that applies to it, or an error."""
    policy = Policy({}, exempt=dict.fromkeys(HOSTS["patterns"], "to be found"))
    if vector.get("error"):
        with pytest.raises(PolicyError):
            policy.lookup(vector["text"])
    else:
        assert canonical_host(vector["text"]) == vector["canonical"]
        assert policy.lookup(vector["text"]).pattern == vector.get("pattern")


@pytest.mark.parametrize("vector", DECISIONS["decision"], ids=lambda vector: vector["about"])
def test_decisions(vector: Table) -> None:
    """The verdict, and the permit with its pin or the reason of the refusal."""
    policy = _policy(DECISIONS["policies"][vector["policy"]])
    if "verdict" not in vector:  # refused before there is a chain
        with pytest.raises(UnpinnedHostError) as caught:
            policy.endpoint(vector["host"], 443)
        assert caught.value.reason == vector["reason"]
        return
    endpoint = policy.endpoint(vector["host"], 443, url_host=vector.get("also"))
    chain = VerifiedChain(_der(name) for name in vector["chain"])
    decision = judge(endpoint, chain, vector["time"].timestamp())
    assert type(decision.verdict) is VERDICTS[vector["verdict"]]
    if isinstance(decision, Refusal):
        assert decision.reason == vector["reason"]
        assert "permit" not in vector
        return
    assert isinstance(decision, Permit)
    assert vector["permit"] is True
    assert "reason" not in vector
    assert (None if decision.pin is None else str(decision.pin)) == vector.get("pin")
    assert decision.position == vector.get("position")
    assert decision.backup is vector.get("backup", False)


@pytest.mark.parametrize("vector", REFUSED, ids=lambda vector: vector["about"])
def test_refused_policies(vector: Table) -> None:
    """A policy that would not mean what it says cannot be made."""
    with pytest.raises((PolicyError, PinFormatError)):
        _policy(vector)


def test_every_policy_is_used() -> None:
    """No vector was lost."""
    assert {vector["policy"] for vector in DECISIONS["decision"]} == set(DECISIONS["policies"])
