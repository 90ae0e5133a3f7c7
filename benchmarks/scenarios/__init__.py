"""The scenarios, by name."""

from __future__ import annotations

from benchmarks.scenarios import connect, core, memory, start, storm, stream
from benchmarks.scenarios.scenario import Scenario

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for module in (connect, stream, memory, storm, core, start)
    for scenario in module.SCENARIOS
}
"""Name → scenario, in the order in which they are run."""
