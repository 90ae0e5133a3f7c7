"""`pinio selftest`: whether this installation refuses what it must refuse, and what surrounds it."""

from __future__ import annotations

import asyncio

import click

import pinio
from pinio.cli import ui
from pinio.tampering import environment


@click.command()
@click.argument("file", required=False)
@click.option("--digest", metavar="TEXT", help="What the digest of the policy in FILE has to be.")
@click.option(
    "--hostile-environment",
    "hostile",
    is_flag=True,
    help="Also report tracers, agents, changed code, variables and files that matter.",
)
def selftest(file: str | None, digest: str | None, hostile: bool) -> None:
    """Shake hands with canaries in memory, and say what they show; with the policy in FILE, if given.

    Looks at the command's own process and installation: call pinio.selftest() within a program.
    Exits 0 if nothing was found, 1 if something was, 2 if FILE is no policy.
    """
    if digest is not None and file is None:
        raise click.UsageError("--digest needs FILE")
    try:
        policy = None if file is None else pinio.load_policy(file)
    except (pinio.PinError, OSError) as error:
        raise ui.Failure(str(error)) from None
    clean = True
    try:
        ui.show_selftest(asyncio.run(pinio.selftest(policy, policy_digest=digest)))
    except pinio.PinError as error:
        ui.show_tampering(error)
        clean = False
    if hostile:
        for answer in environment.look():
            ui.show_answer(answer)
            clean = clean and not answer.signs
    if not clean:
        raise SystemExit(ui.Exit.NO)
