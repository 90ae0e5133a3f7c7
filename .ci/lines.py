"""Fail on a line of more than 100 columns in the files that ruff does not read.

Takes the paths of the repository on standard input, as `git ls-files` prints them. A row of a
Markdown table cannot be wrapped, nor can one long word, such as a URL: both may be longer.
"""

from __future__ import annotations

import sys
from fnmatch import fnmatch
from pathlib import Path

COLUMNS = 100
READ = ("*.md", "*.toml", "*.yml", "*.yaml", "run", ".ci/run")
DATA = ("benchmarks/results/*", "tests/vectors/*")


def too_long(path: str) -> list[int]:
    """The numbers of the lines that are too long and can be wrapped."""
    return [
        number
        for number, line in enumerate(Path(path).read_text("utf-8").splitlines(), 1)
        if len(line) > COLUMNS
        and " " in line[:COLUMNS].strip(" -*#>")
        and not (path.endswith(".md") and line.lstrip().startswith("|"))
    ]


paths = {
    path
    for path in sys.stdin.read().splitlines()
    if any(fnmatch(path, pattern) for pattern in READ)
    and not any(fnmatch(path, pattern) for pattern in DATA)
}
complaints = [
    f"{path}:{number}: more than {COLUMNS} columns"
    for path in sorted(paths)
    for number in too_long(path)
]
if complaints:
    sys.exit("\n".join(complaints))
print(f"{len(paths)} files have no line of more than {COLUMNS} columns")
