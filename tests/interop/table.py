"""The table of libraries in the documentation: what was seen when each met a man in the middle.

    python -m tests.interop.table        writes it anew

Run it on the oldest Python that is supported: where versions differ in what they raise, a column
names what all of it is.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
import warnings
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Final, NamedTuple, get_args

from tests.conftest import LOOPS
from tests.interop import http_clients, other_clients
from tests.interop.matrix import ROWS, Injected, Outcome, Row, injectable, run, run_injected

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "libraries.md"
HEAD: Final = (
    "| library | way | door | stopped | application bytes seen | client's final flight | raised "
    "| `find_pin_error` | plaintext injected before TLS |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)
ENTERED: Final = (http_clients, other_clients)
"""Imported for the rows that they enter."""
INJECTED: Final[tuple[Injected, ...]] = get_args(Injected)
"""From the best to the worst."""


class Line(NamedTuple):
    """One line of the table, as text."""

    library: str
    way: str
    door: str
    stopped: str
    seen: str
    final_flight: str
    raised: str
    found: str
    injected: str

    def __str__(self) -> str:
        return f"| {' | '.join(self)} |\n"


def observed(entry: Row, outcomes: Iterable[Outcome], injected: Iterable[Injected]) -> Line:
    """What is to be said of a client after these runs of it."""
    outcomes = list(outcomes)
    worst = max(injected, key=INJECTED.index, default=None)
    return Line(
        entry.library,
        entry.way,
        entry.door,
        "yes"
        if all(outcome.error and outcome.decisions[-1] == "Refusal" for outcome in outcomes)
        else "NO",
        str(max(len(outcome.application_bytes) for outcome in outcomes)),
        "sent" if any(outcome.handshakes_finished for outcome in outcomes) else "withheld",
        f"`{next(name for name in names(outcomes[0]) if all(name in names(other) for other in outcomes))}`",
        "finds it" if all(outcome.pin_error for outcome in outcomes) else "does not",
        "-" if worst is None else f"**{worst}**" if worst == "read" else worst,
    )


def names(outcome: Outcome) -> list[str]:
    """The classes of what was raised, the most special one first, by the names under which they are known."""
    return [name for kind in type(outcome.error).__mro__ if (name := _name(kind))]


def _name(kind: type) -> str | None:
    """None for the form of a refusal in one of pinio's adapters, which has no public name of its own."""
    for home in ("pinio.httpx", "pinio.requests"):
        if kind.__module__.startswith(home):
            public = hasattr(import_module(home), kind.__name__)
            return f"{home}.{kind.__name__}" if public else None
    return f"{kind.__module__.partition('.')[0]}.{kind.__name__}".removeprefix("builtins.")


def committed() -> dict[str, Line]:
    """The lines in the page, by the name of their row."""
    after = PAGE.read_text("utf-8").partition(HEAD)[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (.+) \|$", after, re.MULTILINE)
    lines = [Line(*row.split(" | ")) for row in rows]
    return {f"{line.library}, {line.way}": line for line in lines}


def main() -> None:
    logging.disable()
    warnings.simplefilter("ignore")
    lines = [
        observed(
            entry,
            [run(entry, between="server", loop_factory=factory) for factory in factories(entry)],
            [
                run_injected(entry, tls_version=version, loop_factory=factory)
                for factory in factories(entry)
                for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
                if injectable(entry)
            ],
        )
        for entry in ROWS
    ]
    before, head, after = PAGE.read_text("utf-8").partition(HEAD)
    rest = re.sub(r"\A(\|.*\|\n)*", "", after)
    PAGE.write_text(before + head + "".join(map(str, lines)) + rest, "utf-8")


def factories(entry: Row) -> list[Callable[[], asyncio.AbstractEventLoop] | None]:
    return [*LOOPS.values()] if entry.kind == "asyncio" else [None]


if __name__ == "__main__":
    main()
