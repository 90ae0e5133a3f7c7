"""Fail if the tests reach less of pinio than they must: `coverage_floor.py REPORT.json`.

The floor is every line and every branch of what decides about a connection: the core and the
handshake.
"""

from __future__ import annotations

import json
import sys
from fnmatch import fnmatch
from pathlib import Path

WHOLE = {"core": "core/*.py", "handshake": "tls/handshake/*.py"}

report = json.loads(Path(sys.argv[1]).read_text("utf-8"))
# The report names a file by where it is installed.
modules = {
    f"/{name}".replace("\\", "/").rpartition("/pinio/")[2]: found
    for name, found in report["files"].items()
}

complaints = []
for room, pattern in WHOLE.items():
    names = [name for name in modules if fnmatch(name, pattern)]
    if not names:
        complaints.append(
            f"no module of {room} was measured; does .ci/coverage_floor.py name its folder?"
        )
    for name in sorted(names):
        complaints += [
            f"pinio/{name}:{line}: no test runs it" for line in modules[name]["missing_lines"]
        ]
        complaints += [
            f"pinio/{name}:{start}: no test goes on from here to {f'line {end}' if end > 0 else 'the end'}"
            for start, end in modules[name]["missing_branches"]
        ]
if complaints:
    sys.exit("\n".join(complaints))
print(f"the tests reach every line and branch of {' and '.join(WHOLE)}")
