from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.clients import ClientProcess, RoundError
from benchmarks.runner import Runner
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.connect import exchange
from benchmarks.scenarios.scenario import Stage, WrongResultError
from benchmarks.servers import Servers
from benchmarks.subjects import SUBJECTS, Subject


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with Servers(only_builtin=True) as servers:
        yield servers


def test_a_quick_run_measures_pinio_beside_what_it_is_compared_with(servers: Servers) -> None:
    chosen = frozenset({"asyncio", "pinio"})
    record = Runner(servers, quick=True, only=chosen, say=lambda text: None).run(
        ["connect_full", "connect_resumed"]
    )
    full = record.find("connect_full", "pinio", "cpu", "asyncio")
    assert full is not None and full.median > 0 and full.ratio is not None
    resumed = record.find("connect_resumed", "pinio", "resumed")
    assert resumed is not None and resumed.median == 1
    never = record.find("connect_resumed", "asyncio", "resumed")
    assert never is not None and never.median == 0


def test_rounds_are_repeated_in_a_process_for_each_subject(servers: Servers) -> None:
    runner = Runner(
        servers, rounds=2, only=frozenset({"judge", "cryptography"}), say=lambda text: None
    )
    results = runner.run(["verdict_hit"]).results
    assert {(item.subject, item.rounds) for item in results} == {("judge", 2), ("cryptography", 2)}


def test_what_cannot_be_measured_is_named_and_left_out(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = Subject("pycurl", "blocking:Curl", "…", ("there_is_no_such_module",))
    monkeypatch.setitem(SUBJECTS, "pycurl", absent)
    runner = Runner(servers, quick=True, only=frozenset({"pycurl", "pinio"}), say=lambda text: None)
    record = runner.run(["connect_full"])
    assert "there_is_no_such_module" in record.unavailable["pycurl"]
    assert {item.subject for item in record.results} == {"pinio"}


class Careless(SUBJECTS["pinio"].kind()):  # type: ignore[misc]
    """A client that says it checks keys, and accepts every one."""

    def refused(self, count: int) -> int:
        return 0


def test_a_client_that_accepts_a_wrong_key_is_not_measured(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Subject, "kind", lambda self: Careless)
    stage = Stage("pinio", servers.target("builtin", "1.3", "ecdsa"), quick=True)
    with pytest.raises(WrongResultError, match="accepted a key"):
        next(exchange(stage, resume=False))


def test_a_session_that_was_not_resumed_gives_no_figure(servers: Servers) -> None:
    # A full handshake, measured under the name of a resumed one.
    kind = SUBJECTS["pinio"].kind()
    unwilling = type(
        "Unwilling",
        (kind,),
        {
            "__init__": lambda self, target, **options: kind.__init__(
                self, target, **options | {"resume": False}
            )
        },
    )
    stage = Stage("pinio", servers.target("builtin", "1.3", "ecdsa"), quick=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Subject, "kind", lambda self: unwilling)
        with pytest.raises(WrongResultError, match="only 0% of the sessions"):
            next(exchange(stage, resume=True))


def test_a_failure_in_the_client_process_reaches_the_harness() -> None:
    with ClientProcess() as process, pytest.raises(RoundError, match="has no server"):
        process.first_round(SCENARIOS["policy_swap"], "same-policy", None, quick=True)
