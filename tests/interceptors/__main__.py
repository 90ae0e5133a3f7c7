"""Drives real interceptors against every door.

python -m tests.interceptors [NAME…]    those whose name starts with one of the words; all of them
                                        unless told
python -m tests.interceptors --list     their names

Exits 0 if everything that is claimed was seen, 1 if not, 2 if a program cannot be installed.
"""

from __future__ import annotations

import sys
import time
import warnings

from tests.interceptors.base import Interceptor, NotInstalledError
from tests.interceptors.matrix import Result, drive
from tests.interceptors.registry import INTERCEPTORS
from tests.interceptors.transparent import in_a_namespace, inside


def main(words: list[str]) -> int:
    """Run the interceptors that are named, and print a table."""
    if words == ["--list"]:
        print("\n".join(INTERCEPTORS))
        return 0
    if words[:1] == ["--inside"]:
        kind = INTERCEPTORS[words[1]]
        return inside(lambda: drive(kind, lambda _: None))
    chosen = {
        name: kind
        for name, kind in INTERCEPTORS.items()
        if not words or any(is_meant(name, word) for word in words)
    }
    unknown = [word for word in words if not any(is_meant(name, word) for name in chosen)]
    if unknown:
        print(f"there is no interceptor {unknown[0]!r}; there are: {', '.join(INTERCEPTORS)}")
        return 2
    warnings.simplefilter("ignore")
    results: list[Result] = []
    missing: dict[str, str] = {}
    for number, (name, kind) in enumerate(chosen.items(), 1):
        where = f"[{number}/{len(chosen)}] {name}"
        result = one(kind, where, missing)
        if result is not None:
            results.append(result)
    show(results, missing)
    return 2 if missing else 0 if all(result.good for result in results) else 1


def is_meant(name: str, word: str) -> bool:
    """Whether a word names this interceptor: a program means all of its modes."""
    return name == word or name.startswith((f"{word}-", f"{word} "))


def one(kind: type[Interceptor], where: str, missing: dict[str, str]) -> Result | None:
    """Install and drive one interceptor, with a line of progress."""
    began = time.monotonic()
    progress(f"{where}: installing")
    try:
        kind.install()
    except NotInstalledError as error:
        missing[kind.name] = str(error)
        progress(f"{where}: cannot be installed: {error}", end="\n")
        return None
    try:
        result = run(kind, where)
    except (OSError, RuntimeError, AssertionError) as error:
        result = Result(kind.name, complaints=[f"{type(error).__name__}: {error}"])
    took = time.monotonic() - began
    progress(f"{where}: {'held' if result.good else 'FAILED'} in {took:.0f} s", end="\n")
    return result


def run(kind: type[Interceptor], where: str) -> Result:
    """Drive one interceptor, here or in a namespace."""
    if kind.way == "transparent":
        progress(f"{where}: in a network namespace")
        return in_a_namespace(kind)
    return drive(kind, lambda what: progress(f"{where}: {what}"))


def progress(text: str, end: str = "") -> None:
    """One line that is written over on a terminal; elsewhere, what ends a line alone."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K{text[:100]}", end=end, flush=True)
    elif end:
        print(text, end=end, flush=True)


def show(results: list[Result], missing: dict[str, str]) -> None:
    """The table, and what went wrong."""
    row = "{:28} {:>8} {:>8} {:>8} {:>8}  {:9} {:13} {}".format
    print()
    print(row("interceptor", "unpinned", "pinned", "let", "after", "bytes", "ClientHello", "other"))
    print(row("", "robbed", "refused", "through", "genuine", "after the", "(blocking)", "clients"))
    for result in results:
        print(
            row(
                result.name,
                f"{result.robbed}/{result.unpinned}",
                f"{result.refused}/{result.pinned}",
                f"{result.through}/{result.through_of}" if result.through_of else "-",
                "-" if result.resumed is None else f"{result.resumed}/2",
                span(result.sent.get("bio")),
                span(result.sent.get("socket")),
                "; ".join(f"{name}: {what}" for name, what in result.foreign.items()),
            )
        )
    pinned, read = sum(r.pinned for r in results), sum(r.read for r in results)
    print(f"{pinned} pinned attempts, {read} of them read by an interceptor")
    seen = sum(r.certificates for r in results)
    told = sum(r.reported or 0 for r in results)
    print(f"report-only let {told} through and told of each; {seen} client certificates were seen")
    for result in results:
        for complaint in result.complaints[:5]:
            print(f"FAILED: {result.name}: {complaint}")
        if (more := len(result.complaints) - 5) > 0:
            print(f"FAILED: {result.name}: and {more} more")
    for name, why in missing.items():
        print(f"NOT INSTALLED: {name}: {why}")


def span(values: set[int] | None) -> str:
    """The smallest and the largest of some numbers."""
    if not values:
        return "-"
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
