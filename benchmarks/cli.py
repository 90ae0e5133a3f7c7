"""The command: list, run, compare, report."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.record import Record


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; exits with a status."""
    options = _parser().parse_args(arguments)
    options.do(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    list_ = commands.add_parser(
        "list", help="the scenarios, and the subjects with what keeps some from being measured"
    )
    list_.set_defaults(do=_list)

    run = commands.add_parser("run", help="measure")
    run.add_argument(
        "scenarios",
        nargs="*",
        metavar="SCENARIO",
        help="as listed; `all` with variants; none: all but variants",
    )
    run.add_argument(
        "--rounds", type=int, metavar="N", help="instead of each scenario's own number"
    )
    run.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write the record there; what another run has put there stays, but for these scenarios",
    )
    run.add_argument(
        "--quick", action="store_true", help="whether everything works; the figures mean nothing"
    )
    run.add_argument(
        "--subject",
        action="append",
        default=[],
        metavar="NAME",
        help="measure this subject alone; may be repeated",
    )
    run.add_argument(
        "--builtin", action="store_true", help="use the built-in server even if there is nginx"
    )
    run.set_defaults(do=_run)

    compare = commands.add_parser("compare", help="what changed between two records")
    compare.add_argument("before", type=Path, metavar="A.json")
    compare.add_argument("after", type=Path, metavar="B.json")
    compare.set_defaults(do=_compare)

    report = commands.add_parser("report", help="a Markdown table and SVG plots, beside the record")
    report.add_argument("record", type=Path, metavar="FILE.json")
    report.set_defaults(do=_report)
    return parser


def _list(_options: argparse.Namespace) -> None:
    from benchmarks.scenarios import SCENARIOS
    from benchmarks.subjects import SUBJECTS

    _say("scenarios:")
    for scenario in SCENARIOS.values():
        _say(f"  {scenario.name:28} {scenario.about}")
    _say("\nsubjects:")
    for subject in SUBJECTS.values():
        missing = subject.missing()
        _say(
            f"  {subject.name:28} {subject.about}{f'   NOT AVAILABLE: {missing}' if missing else ''}"
        )


def _run(options: argparse.Namespace) -> None:
    from benchmarks.clients import RoundError
    from benchmarks.report import table
    from benchmarks.runner import Runner
    from benchmarks.scenarios import SCENARIOS
    from benchmarks.servers import Servers
    from benchmarks.subjects import SUBJECTS

    names: list[str] = options.scenarios or [
        name for name, item in SCENARIOS.items() if not item.is_variant
    ]
    if names == ["all"]:
        names = list(SCENARIOS)
    unknown = [name for name in names if name not in SCENARIOS]
    known = {*SUBJECTS, *(name for item in SCENARIOS.values() for name in item.compared)}
    unknown += [name for name in options.subject if name not in known]
    if unknown:
        sys.exit(f"unknown: {', '.join(unknown)}; see: python -m benchmarks list")
    signal.signal(
        signal.SIGTERM, lambda number, frame: sys.exit(143)
    )  # so that servers end with the harness
    with Servers(only_builtin=options.builtin) as servers:
        _say(f"server: {servers.preferred}")
        runner = Runner(servers, options.rounds, options.quick, frozenset(options.subject), _say)
        try:
            record = runner.run(names)
        except RoundError as error:
            sys.exit(f"\n{error}")
    if options.json:
        earlier = Record.read(options.json) if options.json.exists() else record
        record.after(earlier).write(options.json)
    _say(f"\nall {len(names)} scenarios work" if options.quick else "\n" + table(record))


def _compare(options: argparse.Namespace) -> None:
    from benchmarks.compare import comparison

    _say(comparison(Record.read(options.before), Record.read(options.after)))


def _report(options: argparse.Namespace) -> None:
    from benchmarks.report import write

    for path in write(options.record):
        _say(str(path))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
