"""What an auditor asks about the process and its installation: one detector a question.

Each sign says what was seen, what it means and what to do. No sign is a proof of tampering, and
none being there is no proof of the contrary: whoever runs code here can answer for a detector.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from pinio.tampering import installed, process

Detector: TypeAlias = Callable[[], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that is looked at."""

    name: str
    detector: Detector
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a detector saw, and how long it looked, in seconds."""

    question: Question
    signs: tuple[str, ...]
    seconds: float


QUESTIONS: Final = (
    Question(
        "tracer", process.tracer,
        "another process can read and change this one",
        "end it, or find out who started it",
    ),
    Question(
        "debugger", process.debugger,
        "a hook sees each line or call of Python that runs",
        "start without debugger, profiler and coverage",
    ),
    Question(
        "agents", process.agents,
        "a library for instrumentation is loaded",
        "look at the maps of the process for where it comes from",
    ),
    Question(
        "text", process.text,
        "machine code in memory is not the code on disk",
        "a hook was written into it: start anew, from a clean host",
    ),
    Question(
        "interposed", process.interposed,
        "a library loaded earlier answers for OpenSSL",
        "look at LD_PRELOAD and /etc/ld.so.preload",
    ),
    Question(
        "variables", process.variables,
        "a variable loads code, moves modules or moves trust",
        "start with python -I, from a clean environment",
    ),
    Question(
        "start-up files", installed.start_up,
        "code runs at each start, before the program's",
        "remove the file if nobody knows it",
    ),
    Question(
        "origins", installed.origins,
        "a module is shadowed by another of its name",
        "start with python -I; remove the file",
    ),
    Question(
        "record", installed.record,
        "an installed file is not the one of the wheel",
        "install anew, with --require-hashes",
    ),
    Question(
        "caches", installed.caches,
        "the cached bytecode is not that of the source",
        "remove __pycache__; install read-only",
    ),
)  # fmt: skip


def look() -> Iterator[Answer]:
    """Ask each question; a detector that cannot look finds nothing and raises nothing."""
    for question in QUESTIONS:
        begun = time.perf_counter()
        signs = tuple(question.detector())
        yield Answer(question, signs, time.perf_counter() - begun)
