"""The harness's handle on its client processes."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from typing import Any, Self

from benchmarks.scenarios.scenario import Figures, Scenario
from benchmarks.servers import HERE
from benchmarks.target import Target

LONGEST = 300.0
"""Seconds that one round may take before its process is given up."""


class RoundError(Exception):
    """A subject failed in a scenario; the message is its traceback."""


STEADY = {"MALLOC_TRIM_THRESHOLD_": "100000000", "MALLOC_MMAP_THRESHOLD_": "100000000"}
"""Tell glibc to keep the memory it has.

Otherwise a process may be unlucky, for its whole life, and give the same pages back to the system
and ask for them again with each message: some 40 µs, to whomever it happens.
"""


class ClientProcess:
    """One process of `benchmarks.worker`; `steady` takes the luck out of its `malloc`, where memory is not what is measured."""

    def __init__(self, *, steady: bool = False) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            cwd=HERE,
            env=os.environ | (STEADY if steady else {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def first_round(
        self, scenario: Scenario, subject: str, target: Target | None, *, quick: bool
    ) -> Figures:
        """Set a scenario up for a subject and play its first round."""
        return self._ask(
            {
                "scenario": scenario.name,
                "subject": subject,
                "target": None if target is None else target.to_json(),
                "quick": quick,
            }
        )

    def next_round(self) -> Figures:
        """Play another round."""
        return self._ask({})

    def _ask(self, command: dict[str, Any]) -> Figures:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RoundError("the client process has no pipes")
        stdin.write(json.dumps(command).encode() + b"\n")
        stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            if not selector.select(LONGEST):
                raise RoundError(f"no answer within {LONGEST:.0f} seconds")
        line = stdout.readline()
        if not line:
            raise RoundError(f"the client process ended with status {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise RoundError(answer["error"])
        figures: Figures = answer["figures"]
        return figures

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
