"""The command and its verbs. A verb's module is loaded when the verb is used."""

from __future__ import annotations

from importlib import import_module
from typing import Final

import click

_VERBS: Final = ("audit", "check", "demo", "diff", "pins", "policy", "selftest")


class _Verbs(click.Group):
    """Verbs by name; each is the command of that name in the module of that name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        command: click.Command = getattr(import_module(f"pinio.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pinio", message="%(prog)s %(version)s")
def pinio() -> None:
    """Certificate pinning for asyncio: look at keys, check policies, see pinning work."""
