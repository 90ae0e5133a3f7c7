"""Plays scenarios: every subject in a process of its own, rounds interleaved, so that all of them meet the same weather."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from benchmarks.clients import ClientProcess
from benchmarks.figures import results
from benchmarks.machine import machine, versions
from benchmarks.record import Record
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.scenario import Scenario
from benchmarks.servers import Servers
from benchmarks.subjects import SUBJECTS
from benchmarks.target import Target


@dataclass
class Runner:
    """How to run."""

    servers: Servers
    rounds: int | None = None
    """Rounds of each scenario; what it asks for itself if None."""
    quick: bool = False
    """One small round of each subject, all in one process: whether everything works, and no figures worth keeping."""
    only: frozenset[str] = frozenset()
    """Subjects to measure; all if empty."""
    say: Callable[[str], object] = print
    _shared: ClientProcess | None = None
    _unavailable: dict[str, str] = field(default_factory=dict)

    def run(self, names: Iterable[str]) -> Record:
        """Measure.

        Raises `RoundError` at the first wrong result: a run with one is worth nothing.
        """
        record = Record(machine(), versions(), unavailable=self._unavailable)
        with ExitStack() as stack:
            if self.quick:
                self._shared = stack.enter_context(ClientProcess())
            for name in names:
                scenario = SCENARIOS[name]
                self.say(f"{name}: {scenario.about}")
                samples = self._play(scenario)
                record.results.extend(results(name, samples, scenario.units, scenario.compared))
        return record

    def _subjects(self, scenario: Scenario) -> list[str]:
        chosen = []
        for name in scenario.compared:
            if self.only and name not in self.only:
                continue
            reason = SUBJECTS[name].missing() if name in SUBJECTS else None
            if reason is None:
                chosen.append(name)
            elif name not in self._unavailable:
                self._unavailable[name] = reason
                self.say(f"  {name}: not available ({reason})")
        return chosen

    def _target(self, scenario: Scenario) -> Target | None:
        if scenario.server is None:
            return None
        kind = self.servers.preferred if scenario.server == "http" else "builtin"
        return self.servers.target(kind, scenario.version, scenario.key)

    def _play(self, scenario: Scenario) -> dict[str, dict[str, list[float]]]:
        subjects, target = self._subjects(scenario), self._target(scenario)
        samples: dict[str, dict[str, list[float]]] = {name: {} for name in subjects}
        rounds = 1 if self.quick else self.rounds or scenario.rounds
        with ExitStack() as stack:
            players = {}
            if not (self.quick or scenario.fresh):
                for name in subjects:
                    players[name] = stack.enter_context(ClientProcess(steady=True))
                    players[name].first_round(scenario, name, target, quick=False)
            for number in range(rounds):
                for name in _shuffled(subjects, number):
                    if name in players:
                        figures = players[name].next_round()
                    else:
                        with self._process() as process:
                            figures = process.first_round(scenario, name, target, quick=self.quick)
                    for metric, figure in figures.items():
                        samples[name].setdefault(metric, []).append(figure)
        return samples

    @contextmanager
    def _process(self) -> Iterator[ClientProcess]:
        if self._shared is not None:
            yield self._shared
        else:
            with ClientProcess() as process:
                yield process


def _shuffled(subjects: list[str], number: int) -> list[str]:
    """Another order in each round, the same in each run: nobody is always behind the same neighbour."""
    order = list(subjects)
    random.Random(number).shuffle(order)
    return order
