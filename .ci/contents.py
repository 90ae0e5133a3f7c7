"""Fail unless the wheel holds pinio and nothing else, and the sdist what is needed to test and build it."""

from __future__ import annotations

import sys
import tarfile
import zipfile

wheel_path, sdist_path = sys.argv[1:]

with zipfile.ZipFile(wheel_path) as wheel:
    names = wheel.namelist()
tops = {name.partition("/")[0] for name in names}
strangers = {
    top
    for top in tops
    if top != "pinio" and not (top.startswith("pinio-") and top.endswith(".dist-info"))
}
if strangers:
    sys.exit(f"the wheel has no business with {sorted(strangers)}")
if "pinio/py.typed" not in names:
    sys.exit("the wheel lacks pinio/py.typed: its type hints would be ignored")

with tarfile.open(sdist_path) as sdist:
    held = {name.split("/")[1] for name in sdist.getnames() if "/" in name}
missing = {"pinio", "tests", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "run"} - held
if missing:
    sys.exit(f"the sdist lacks {sorted(missing)}")

print(f"the wheel holds {len(names)} files, all of them pinio; the sdist can be tested and built")
