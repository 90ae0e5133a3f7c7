"""Scripts in processes of their own, where they may do to an interpreter what no other test should see."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path


def run_python(script: str, *arguments: str) -> str:
    """Run a script in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
