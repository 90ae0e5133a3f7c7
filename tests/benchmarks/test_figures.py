from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.compare import comparison
from benchmarks.figures import results
from benchmarks.goals import GOALS
from benchmarks.record import Record, Result
from benchmarks.report import write
from benchmarks.scenarios import SCENARIOS
from benchmarks.units import figure

FIELDS = {
    "scenario",
    "subject",
    "metric",
    "unit",
    "median",
    "low",
    "high",
    "rounds",
    "baseline",
    "ratio",
}


def record_of(*items: Result) -> Record:
    return Record({"date": "2026-01-02T03:04:05"}, {"python": "3.11.0"}, list(items))


def result(
    scenario: str, subject: str, metric: str, median: float, baseline: str | None = None
) -> Result:
    ratio = None if baseline is None else 0.5
    return Result(
        scenario, subject, metric, "s", median, median * 0.9, median * 1.1, 5, baseline, ratio
    )


def test_a_ratio_is_taken_in_each_round_and_then_its_median() -> None:
    # The machine slowed down tenfold for one round: the ratio does not notice.
    samples = {"us": {"cpu": [1.0, 10.0, 1.0]}, "them": {"cpu": [2.0, 20.0, 2.0]}}
    ours, theirs = results("x", samples, {"cpu": "s"}, {"us": ("them",), "them": ()})
    assert (ours.median, ours.low, ours.high, ours.rounds) == (1.0, 1.0, 5.5, 3)
    assert (ours.baseline, ours.ratio) == ("them", 0.5)
    assert (theirs.baseline, theirs.ratio) == (None, None)


def test_a_subject_has_a_result_for_each_baseline_that_was_measured() -> None:
    samples = {"us": {"cpu": [1.0]}, "a": {"cpu": [2.0]}, "b": {"cpu": [4.0]}}
    found = results("x", samples, {"cpu": "s"}, {"us": ("a", "absent", "b")})
    assert [(item.baseline, item.ratio) for item in found if item.subject == "us"] == [
        ("a", 0.5),
        ("b", 0.25),
    ]


def test_a_record_has_the_agreed_shape_and_is_read_back(tmp_path: Path) -> None:
    record = record_of(result("connect_full", "pinio", "cpu", 0.001, "asyncio"))
    record.write(tmp_path / "a.json")
    data = json.loads((tmp_path / "a.json").read_text())
    assert {"machine", "versions", "results"} <= data.keys()
    assert [item.keys() for item in data["results"]] == [FIELDS]
    assert Record.read(tmp_path / "a.json") == record


def test_what_is_no_record_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('{"results": [{}]}')
    with pytest.raises(ValueError, match=r"other\.json"):
        Record.read(path)


def test_a_later_run_replaces_the_scenarios_that_it_measured_and_no_others() -> None:
    earlier = record_of(result("a", "x", "cpu", 1.0), result("b", "x", "cpu", 1.0))
    both = record_of(result("a", "x", "cpu", 2.0)).after(earlier)
    assert {(item.scenario, item.median) for item in both.results} == {("a", 2.0), ("b", 1.0)}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.00123, "s", "1.23 ms"),
        (5e-6, "s", "5 µs"),
        (2e-10, "s", "0.2 ns"),
        (2048, "B", "2 KiB"),
        (0, "s", "0 ns"),
        (0.5, "", "0.5"),
    ],
)
def test_figures_are_shown_in_the_unit_that_suits_them(value: float, unit: str, text: str) -> None:
    assert figure(value, unit) == text


def test_a_report_has_its_promises_its_tables_and_a_picture_that_is_xml(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the plots need the dependency group benchmarks")
    path = tmp_path / "run.json"
    record_of(
        result("connect_full", "pinio", "cpu", 0.001, "asyncio"),
        result("connect_full", "asyncio", "cpu", 0.002),
        result("lookup", "policy-10", "hot", 1e-7),
        result("lookup", "policy-10", "random", 1e-7),
        result("lookup", "policy-10", "wildcard", 1e-7),
        result("echo", "pinio", "cpu_256", 1e-4),
        result("echo", "pinio", "cpu_16384", 1e-4),
        result("storm", "pinio", "open_10%", 1.0),
        result("storm", "pinio", "open_100%", 2.0),
    ).write(path)
    page, plots = write(path)
    text = page.read_text()
    assert "| connect_full | pinio | cpu | asyncio | 0.50 | 0.95 | 0.85 | aim |" in text
    assert "### storm" in text
    assert f"({plots.name})" in text
    drawn = plots.read_text()
    assert ET.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"
    for title in ("full handshake", "Lookup of a host", "Echo", "A storm of connections"):
        assert title in drawn
    assert "refused" not in drawn  # nothing was measured that this panel could show


def test_a_comparison_shows_what_changed() -> None:
    before = record_of(result("connect_full", "pinio", "cpu", 0.002, "asyncio"))
    after = record_of(
        result("connect_full", "pinio", "cpu", 0.001, "asyncio"),
        result("echo", "pinio", "cpu_256", 1.0),
    )
    text = comparison(before, after)
    assert "| 2 ms | 1 ms | -50 % |" in text
    assert "echo" not in text  # there is nothing to compare it with


def test_every_promise_speaks_of_something_that_is_measured() -> None:
    for goal in GOALS:
        scenario = SCENARIOS[goal.scenario]
        assert goal.metric in scenario.units
        assert goal.baseline is None or goal.baseline in scenario.compared[goal.subject]
        assert goal.aim <= goal.must
