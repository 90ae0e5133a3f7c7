"""`pinio diff`: whether a new policy lowers protection, for reviews and CI."""

from __future__ import annotations

import warnings

import click

import pinio
from pinio.cli import ui
from pinio.sources.comparison import compare


@click.command()
@click.argument("old")
@click.argument("new")
@click.option("--allow-looser", is_flag=True, help="Exit 0 although NEW is looser than OLD.")
def diff(old: str, new: str, allow_looser: bool) -> None:
    """Say what changes for hosts when the policy NEW takes the place of OLD.

    Exits 0 if NEW accepts nothing that OLD refuses, 1 if it does, 2 if a file is no policy.

    Example: pinio diff main/pins.toml pins.toml
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pinio.PinWarning)  # `pinio check` tells them
            found = compare(pinio.load_policy(old), pinio.load_policy(new))
    except (pinio.PinError, OSError) as error:
        raise ui.Failure(str(error)) from None
    ui.show_difference(found)
    if found.looser and not allow_looser:
        raise SystemExit(ui.Exit.NO)
