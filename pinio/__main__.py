"""`python -m pinio` is the command `pinio`."""

from __future__ import annotations

from pinio.cli import main

main()
