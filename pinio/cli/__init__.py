"""The command `pinio`: one module per verb, and `ui` for all that it says.

Nothing is loaded here, because a wheel without the extra `cli` has the command too: then it says
what is missing.
"""

from __future__ import annotations

import io
import sys

from pinio.extras import how_to_install

__all__ = ["main"]


def main() -> None:
    """Run the command with the arguments of this process, and exit."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a terminal that cannot show a letter of a name gets its number
            stream.reconfigure(errors="backslashreplace")
    try:
        from pinio.cli.group import pinio

        pinio(prog_name="pinio")
    except ModuleNotFoundError as error:
        library = (error.name or "pinio").partition(".")[0]
        if library == "pinio":
            raise
        sys.stderr.write(f"pinio: this command needs {library}; {how_to_install('cli')}\n")
        sys.exit(2)
