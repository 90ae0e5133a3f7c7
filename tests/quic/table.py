"""The table of clients that speak QUIC in the documentation, from runs of each.

python -m tests.quic.table        writes it anew, in the environment of the group `quic`
"""

from __future__ import annotations

import logging
import re
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

from pinio.errors import find_pin_error
from tests.conftest import LOOPS
from tests.quic.clients import ASKED, ROWS, Row
from tests.quic.scene import Outcome, outcome

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "libraries.md"
HEAD: Final = (
    "| library | HTTP/3 | requests over TCP, pinned | then | bytes sent to a QUIC interceptor |\n"
    "|---|---|---|---|---|\n"
)


class Line(NamedTuple):
    """One line of the table, as text."""

    library: str
    http3: str
    answered: str
    then: str
    left: str

    def __str__(self) -> str:
        return f"| {' | '.join(self)} |\n"


def observed(entry: Row, outcomes: Iterable[Outcome]) -> Line:
    """What is to be said of a client after these runs of it."""
    outcomes = list(outcomes)
    errors = {
        type(find_pin_error(seen.error)).__name__ for seen in outcomes if seen.error is not None
    }
    (answered,) = {seen.answered for seen in outcomes}
    return Line(
        entry.library,
        entry.http3,
        "all" if answered == ASKED else str(answered),
        " ".join(f"`pinio.{name}`" for name in sorted(errors)) or "goes on",
        str(max(seen.quic_bytes for seen in outcomes)),
    )


def committed() -> dict[str, Line]:
    """The lines in the page, by the name of their row."""
    after = PAGE.read_text("utf-8").partition(HEAD)[2].partition("\n\n")[0]
    lines = [Line(*row.split(" | ")) for row in re.findall(r"^\| (.+) \|$", after, re.MULTILINE)]
    return {f"{line.library}, HTTP/3 {line.http3}": line for line in lines}


def main() -> None:
    logging.disable()
    warnings.simplefilter("ignore")
    lines: list[Line] = []
    for entry in ROWS:
        with tempfile.TemporaryDirectory() as directory:
            loops = LOOPS.values() if entry.on_a_loop else (None,)
            lines.append(observed(entry, [outcome(entry, Path(directory), loop) for loop in loops]))
    before, head, after = PAGE.read_text("utf-8").partition(HEAD)
    rest = re.sub(r"\A(\|.*\|\n)*", "", after)
    PAGE.write_text(before + head + "".join(map(str, lines)) + rest, "utf-8")


if __name__ == "__main__":
    main()
