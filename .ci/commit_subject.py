"""Check a commit message: a subject of at most 72 characters, and an empty line below it."""

import sys
from pathlib import Path

LONGEST = 72

lines = Path(sys.argv[1]).read_text("utf-8").splitlines() or [""]
if len(lines[0]) > LONGEST:
    sys.exit(
        f"the subject has {len(lines[0])} characters; say the rest in the body ({LONGEST} fit)"
    )
if len(lines) > 1 and lines[1] and not lines[1].startswith("#"):
    sys.exit("the line below the subject must be empty")
