"""Mutates modules at will, by mutmut, and shows what no test noticed.

python -m tests.mutation.any [MODULE…]    such as core/verify.py; the core and the handshake unless
                                          told, which takes long

A survivor is a missing test, dead code, or a change that changes nothing, such as the text of an
error that only a defect of pinio can raise. Exits 0: whoever reads the list decides.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.mutation.__main__ import COPIED, copy

DEFAULT = ("core/*", "tls/handshake/*")
TESTS = ("tests/core", "tests/properties", "tests/tls/handshake")
_CONFIG = """
[mutmut]
source_paths=pinio
only_mutate={modules}
pytest_add_cli_args_test_selection={tests}
pytest_add_cli_args={options}
use_git_change_detection=false
also_copy={copied}
"""


def main(modules: list[str]) -> None:
    """Run mutmut in a copy, and print each survivor as a difference."""
    with tempfile.TemporaryDirectory(prefix="pinio-mutation-") as directory:
        tree = copy(Path(directory, "tree"))
        config = _CONFIG.format(
            modules=_lines(f"pinio/{module}" for module in modules or DEFAULT),
            tests=_lines(TESTS),
            options=_lines(("-p", "no:cacheprovider")),
            copied=_lines(COPIED),
        )
        (tree / "setup.cfg").write_text(config)
        mutmut = [sys.executable, "-m", "mutmut"]
        subprocess.run([*mutmut, "run", "--max-children", "1"], cwd=tree, check=False)
        results = subprocess.run(
            [*mutmut, "results"], cwd=tree, capture_output=True, text=True, check=False
        ).stdout
        survivors = [
            line.split(":")[0].strip() for line in results.splitlines() if "survived" in line
        ]
        print(f"\n{len(survivors)} survivors")
        for name in survivors:
            subprocess.run([*mutmut, "show", name], cwd=tree, check=False)


def _lines(values: Iterable[str]) -> str:
    return "".join(f"\n    {value}" for value in values)


if __name__ == "__main__":
    main(sys.argv[1:])
