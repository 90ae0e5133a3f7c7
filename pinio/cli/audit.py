"""`pinio audit`: whether any program pins, seen by an interceptor that it is led to."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import click

from pinio.audit.report import to_json, to_junit
from pinio.audit.run import audit as run
from pinio.cli import ui

_STDERR: Final = 2  # the descriptor


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--junit", metavar="FILE", help="Write the findings to FILE as JUnit's XML.")
@click.option(
    "--led-by",
    type=click.Choice(["namespace", "proxy"]),
    metavar="WAY",
    help="Lead connections by a network `namespace` (Linux, root) or by `proxy` variables.",
)
@click.option(
    "--cafile",
    metavar="FILE",
    help="PEM file of CAs that genuine servers are verified with, beside the system's.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def audit(
    as_json: bool,
    junit: str | None,
    led_by: Literal["namespace", "proxy"] | None,
    cafile: str | None,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND with its connections led to an interceptor whose CA it is made to trust.

    Write it behind --, as in: pinio audit -- curl https://www.example.com

    Exits 0 if every host that it connected to is pinned, 1 if the interceptor was told something,
    2 if nothing that was seen can tell.
    """
    try:
        # With --json standard output is the answer's, and the program's goes to standard error.
        found = run(command, led=led_by, cafile=cafile, stdout=_STDERR if as_json else None)
        if junit is not None:
            Path(junit).write_text(to_junit(found), encoding="utf-8")
    except OSError as error:
        raise ui.Failure(ui.no_audit(command[0], error)) from None
    if as_json:
        click.echo(to_json(found))
    else:
        ui.show_audit(found)
    if not found.pinned:
        raise SystemExit(ui.Exit.ERROR if found.pinned is None else ui.Exit.NO)
