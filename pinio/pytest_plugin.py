"""The pytest plugin of `pinio.testing`: fixtures, and a marker for a battery of attacks.

pytest loads this module in every environment that has pinio. So it imports nothing but pytest until
a fixture or the marker is used, and works without the extra `testing` until then. The kit's own
package would import cryptography.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from pinio.testing import CA, Clock, Mitm, Site
    from pinio.testing.battery import Trial

MARKER = "pinio_battery"
_HELD = "pinio battery"


@pytest.fixture
def pinio_ca() -> CA:
    """A CA that clients are made to trust, as by `pinio_ca.rebase(policy)`."""
    from pinio.testing import CA

    return CA("pinio_ca")


@pytest.fixture
def pinio_server(pinio_ca: CA) -> Iterator[Site]:
    """A genuine server, certified by `pinio_ca` for `localhost`, that rotates what it presents."""
    from pinio.testing import Site

    with Site(pinio_ca) as site:
        yield site


@pytest.fixture
def pinio_mitm(pinio_ca: CA) -> Iterator[Mitm]:
    """An interceptor that `pinio_ca` certifies: `pinio_mitm.route("api.example.com")`."""
    from pinio.testing import Mitm

    with Mitm(pinio_ca) as mitm:
        yield mitm


@pytest.fixture
def pinio_clock() -> Iterator[Clock]:
    """The clock by which pinio judges: `pinio_clock.advance(days=30)`."""
    from pinio.testing import Clock

    with Clock() as clock:
        yield clock


@pytest.fixture
def pinio_trial(
    request: pytest.FixtureRequest, pinio_ca: CA, pinio_server: Site, pinio_mitm: Mitm
) -> Trial:
    """One case of the battery, staged. The marker asks for it."""
    from pinio.testing.battery import Trial

    host, port, _ = _arguments(request.node.get_closest_marker(MARKER))
    trial = Trial(request.param, pinio_ca, pinio_server, pinio_mitm, host, port)
    trial.stage()
    return trial


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(host, port=443, without=()): run the test once for each attack of pinio's "
        "battery, with connections to host led to it; the test is the client, and says nothing of "
        "what is expected",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, obj: object) -> None:
    """Have each test with the marker ask for its case, before pytest looks at what it asks for."""
    marks = cast("list[pytest.Mark]", getattr(obj, "pytestmark", []))
    own = inspect.isfunction(obj) and any(mark.name == MARKER for mark in marks)
    if own or (inspect.isfunction(obj) and collector.get_closest_marker(MARKER)):
        pytest.mark.usefixtures("pinio_trial")(obj)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each case."""
    marker = metafunc.definition.get_closest_marker(MARKER)
    if marker is None:
        return
    from pinio.testing.battery import CASES

    _, _, without = _arguments(marker)
    if strange := sorted(set(without) - set(CASES)):
        raise pytest.UsageError(f"{MARKER} has no case {strange[0]!r}; it has: {'; '.join(CASES)}")
    cases = [name for name in CASES if name not in without]
    metafunc.parametrize("pinio_trial", cases, indirect=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Run the client, by whichever plugin runs its kind, and judge what it did."""
    if pyfuncitem.get_closest_marker(MARKER) is None:
        return (yield)
    trial = cast("Trial", pyfuncitem.funcargs["pinio_trial"])
    error: Exception | None = None
    result: object = True
    try:
        result = yield
    except Exception as raised:  # noqa: BLE001 - judged below
        error = raised
    try:
        held = trial.judge(error)
    except AssertionError as verdict:
        _note(pyfuncitem, "FELL", str(verdict))
        raise verdict from error
    _note(pyfuncitem, "held", held)
    return result


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what held, for each test that went through the battery."""
    notes = [
        (report.nodeid.partition("[")[0], value)
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call"
        for name, value in report.user_properties
        if name == _HELD
    ]
    if not notes:
        return
    from pinio.testing.battery import CASES

    terminalreporter.section(_HELD)
    for test in dict.fromkeys(test for test, _ in notes):
        terminalreporter.write_line(test)
        lines = [value for where, value in notes if where == test]
        for case, outcome, text in sorted(lines, key=lambda line: [*CASES].index(line[0])):
            terminalreporter.write_line(f"  {outcome}  {case}: {text}")


def _arguments(marker: pytest.Mark) -> tuple[str, int, Sequence[str]]:
    def read(
        host: str, port: int = 443, *, without: Sequence[str] = ()
    ) -> tuple[str, int, Sequence[str]]:
        return host, port, (without,) if isinstance(without, str) else without

    try:
        return read(*marker.args, **marker.kwargs)
    except TypeError as error:
        raise pytest.UsageError(f"{MARKER}(host, port=443, without=()): {error}") from None


def _note(item: pytest.Function, outcome: str, text: str) -> None:
    case = str(item.callspec.params["pinio_trial"])
    item.user_properties.append((_HELD, (case, outcome, text)))
