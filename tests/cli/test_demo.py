"""The demo tells what happened, and says so when it did not."""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pinio.cli import demo as module
from pinio.cli import ui
from pinio.cli.demo import ANSWER, Attempt, Observations, Scene, observe
from pinio.core.certificate import VerifiedChain
from pinio.core.decision import Permit
from pinio.core.policy import Endpoint
from pinio.core.verdict import Match
from pinio.testing import ConnectionRecord
from pinio.tls.handshake import judge
from tests.cli.conftest import Command

TRANSCRIPT = Path(__file__).with_name("demo.txt")
EVERYTHING = Observations(*[True] * len(Observations._fields))


def normalised(text: str) -> str:
    """Keys and ports differ from run to run; the same key has the same name."""
    names: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        return names.setdefault(match[0], f"sha256/KEY{len(names) + 1}")

    return re.sub(
        r"bank\.example:\d+", "bank.example:PORT", re.sub(r"sha256/[A-Za-z0-9+/]{43}=", name, text)
    )


def test_the_transcript(command: Command) -> None:
    result = command("demo")
    assert normalised(result.output) == TRANSCRIPT.read_text("utf-8")
    assert result.exit_code == 0


def test_without_the_pin_check_it_fails_and_says_what_was_not_observed(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lenient(
        endpoint: Endpoint,
        chain: VerifiedChain,
        now: float,
        evidence_age: float | None = None,
        *_witness: object,
    ) -> Permit:
        assert endpoint.rule.pin_set is not None
        match = Match(endpoint.rule, endpoint.rule.pin_set.pins[0], 0, False)
        return Permit._mint(endpoint.host, endpoint.port, match, chain, None, now, None, "openssl")

    monkeypatch.setattr(judge, "judge", lenient)
    result = command("demo")
    assert result.exit_code == 1
    assert result.stderr == (
        "Not observed: with pins: the client refused the interceptor; "
        "with pins: the interceptor received 0 application bytes; "
        "with pins: the interceptor never saw the handshake finish; "
        "with pins: the interceptor received no client certificate.\n"
    )
    assert result.stdout.count("PASSWORD open-sesame") == 3


def test_a_pin_check_that_refuses_everybody_fails_too(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> NoReturn:
        raise RuntimeError("broken")

    monkeypatch.setattr(judge, "judge", broken)
    result = command("demo")
    assert result.exit_code == 1
    assert "with pins: the client refused the interceptor;" in result.stderr, (
        "an accident is no refusal"
    )
    assert "with pins: the client reached the bank" in result.stderr


@pytest.mark.parametrize("name", Observations._fields)
def test_each_observation_counts(
    name: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "observe", lambda _scene: EVERYTHING._replace(**{name: False}))
    result = command("demo")
    assert result.exit_code == 1
    assert result.stderr == f"Not observed: {ui.OBSERVATIONS[name]}.\n"
    assert f"  FAILED  {ui.OBSERVATIONS[name]}\n" in result.stdout


def test_every_observation_has_its_words() -> None:
    assert tuple(ui.OBSERVATIONS) == Observations._fields


@pytest.fixture(scope="module")
def scene() -> Scene:
    return asyncio.run(module.play())


def test_a_scene_as_it_should_be(scene: Scene) -> None:
    assert observe(scene) == EVERYTHING


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("no_application_byte", ConnectionRecord(application_bytes=bytearray(b"x"))),
        ("handshake_unfinished", ConnectionRecord(handshake_finished=True)),
        ("identity_kept", ConnectionRecord(client_certificate=b"x")),
    ],
)
def test_a_second_connection_that_leaks_is_noticed(
    name: str, record: ConnectionRecord, scene: Scene
) -> None:
    leaky = replace(scene, pinned=replace(scene.pinned, seen=[*scene.pinned.seen, record]))
    assert observe(leaky) == EVERYTHING._replace(**{name: False})


def test_nothing_is_proved_by_a_client_that_never_came(scene: Scene) -> None:
    nobody = Attempt(b"", None, None, [])
    assert observe(replace(scene, pinned=nobody)) == EVERYTHING._replace(
        interceptor_reached=False, pinned_refused=False
    )
    assert not observe(replace(scene, unpinned=nobody)).secret_captured
    assert not observe(replace(scene, genuine=nobody)).bank_answered
    unjudged = replace(scene.genuine, permit=None)
    assert unjudged.answer == ANSWER
    assert not observe(replace(scene, genuine=unjudged)).bank_answered


def test_it_asks_no_resolver(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def resolve(host: str, *arguments: Any, **options: Any) -> Any:
        assert host == "127.0.0.1"
        return real(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert command("demo").exit_code == 0


def test_colour_adds_nothing_but_colour(command: Command) -> None:
    coloured = command("demo", env={"FORCE_COLOR": "1"}).output
    assert "\x1b[" in coloured
    assert normalised(re.sub(r"\x1b\[[0-9;]*m", "", coloured)) == TRANSCRIPT.read_text("utf-8")


def test_a_machine_without_loopback_is_no_proof(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> NoReturn:
        raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr(socket, "create_server", refuse)
    result = command("demo")
    assert (result.exit_code, result.stdout) == (2, "")
    assert (
        result.stderr
        == "pinio: the demo could not play on this machine: Cannot assign requested address\n"
    )
