"""Disables each guard of guards.toml, one at a time, in a copy, and runs the test that must notice.

python -m tests.mutation [-j N] [WORD…]    the guards whose name or module contains a word

Exits 0 if a test noticed the loss of each guard, 1 if a guard was not missed, 2 if the table is out
of date or its tests fail without a mutation.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

from tests.mutation.guards import Guard, read

ROOT = Path(__file__).parents[2]
COPIED = ("pinio", "tests", "docs", "pyproject.toml", "README.md", "CHANGELOG.md")
HANGS = 300.0  # seconds; a mutant that waits for ever was noticed


def main(words: list[str]) -> int:
    """Run the guards that are named, and print a table."""
    jobs = 1
    if words[:1] == ["-j"]:
        jobs, words = int(words[1]), words[2:]
    began = time.monotonic()
    guards = [
        guard
        for guard in read()
        if not words or any(word in f"{guard.name} {guard.module}" for word in words)
    ]
    if not guards:
        print(f"no guard's name contains {' or '.join(words)}")
        return 2
    with tempfile.TemporaryDirectory(prefix="pinio-mutation-") as directory:
        trees = [copy(Path(directory, str(number))) for number in range(jobs)]
        tree = trees[0]
        for guard in guards:
            guard.disabled((tree / "pinio" / guard.module).read_text("utf-8"))
        print(f"{len(guards)} guards; first the tests with all of them in place", flush=True)
        tests = sorted({guard.node for guard in guards})
        outcome = run(tree, tests)
        if outcome.returncode:
            print(outcome.stdout)
            return 2
        missed = try_all(trees, guards)
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    print(
        f"{len(guards) - len(missed)} of {len(guards)} guards are necessary; "
        f"{minutes} min {seconds} s"
    )
    for guard in missed:
        print(f"NOT NOTICED: {guard.name} (pinio/{guard.module}), by {guard.node}")
    return 1 if missed else 0


def try_all(trees: list[Path], guards: list[Guard]) -> list[Guard]:
    """Disable each guard, as many at once as there are copies; those that no test missed."""
    idle: Queue[Path] = Queue()
    for tree in trees:
        idle.put(tree)

    def attempt(guard: Guard) -> bool:
        tree = idle.get()
        try:
            return is_missed(tree, guard)
        finally:
            idle.put(tree)

    with ThreadPoolExecutor(len(trees)) as pool:
        outcomes = list(pool.map(attempt, guards))
    return [guard for guard, missed in zip(guards, outcomes, strict=True) if not missed]


def copy(tree: Path) -> Path:
    """Copy what tests need, so that no mutation reaches the checkout."""
    tree.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tree / name)
    return tree


def is_missed(tree: Path, guard: Guard) -> bool:
    """Whether a test fails without the guard."""
    path = tree / "pinio" / guard.module
    source = path.read_text("utf-8")
    path.write_text(guard.disabled(source), "utf-8")
    began = time.monotonic()
    try:
        outcome = run(tree, [guard.node])
        # 1: tests failed. Anything else, such as a test that does not exist, proves nothing.
        noticed, how = outcome.returncode == 1, ""
        if outcome.returncode not in (0, 1):
            how = f" (pytest exited {outcome.returncode})"
    except subprocess.TimeoutExpired:
        noticed, how = True, " (it hangs)"
    finally:
        path.write_text(source, "utf-8")
    said = "noticed" if noticed else "NOT NOTICED"
    took = time.monotonic() - began
    print(f"  {said:11} {took:5.1f} s  {guard.module:30} {guard.name}{how}", flush=True)
    return noticed


def run(tree: Path, tests: list[str]) -> subprocess.CompletedProcess[str]:
    """Run tests of the copy, with the copy's pinio: `-m pytest` puts its directory first."""
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    return subprocess.run(
        command,
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        timeout=HANGS * max(1, len(tests) // 10),
        check=False,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
