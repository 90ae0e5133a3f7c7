"""What a scenario is: a generator of figures, one step a round, that checks what it measured before it gives it away."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, TypeVar

from benchmarks.subjects import SUBJECTS
from benchmarks.subjects.client import Client
from benchmarks.target import KeyKind, Target, Version

T = TypeVar("T")
Figures: TypeAlias = dict[str, float]
"""Metric → figure of one round."""
Compared: TypeAlias = Mapping[str, tuple[str, ...]]
"""Subject → what it is compared with."""


class WrongResultError(Exception):
    """What was measured is not what was meant to be measured, so there is no figure."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a scenario is played: one subject in a process of its own, against one server."""

    subject: str
    target: Target | None
    quick: bool
    """Only whether it works is asked."""

    def client(self, **options: Any) -> closing[Client]:
        """The subject's client, to be closed by a `with`."""
        if self.target is None:
            raise WrongResultError("this scenario has no server")
        return closing(SUBJECTS[self.subject].kind()(self.target, **options))

    def size(self, usual: int, quick: int) -> int:
        """How much to do in a round."""
        return quick if self.quick else usual


Play: TypeAlias = Callable[[Stage], Iterator[Figures]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Something that is measured for several subjects.

    The first round of each subject is thrown away: it warms up. With `fresh` each round has a
    process of its own, and no warm-up.
    """

    name: str
    about: str
    play: Play
    compared: Compared
    units: Mapping[str, str]
    server: Literal["http", "builtin"] | None = None
    """"http" is nginx where there is one."""
    version: Version = "1.3"
    key: KeyKind = "ecdsa"
    rounds: int = 21
    fresh: bool = False

    def variant(self, suffix: str, about: str, **changes: Any) -> Scenario:
        """The same with something changed; run only where it is asked for by name, or by `all`."""
        return replace(
            self, name=f"{self.name}:{suffix}", about=f"{self.about}; {about}", **changes
        )

    @property
    def is_variant(self) -> bool:
        return ":" in self.name


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """The result of `work` and the CPU seconds that this process spent on it, all threads together, kernel included."""
    gc.collect()
    began = time.process_time()
    result = work()
    return result, time.process_time() - began


def by_loop(*names: str, against: str = "asyncio") -> dict[str, tuple[str, ...]]:
    """Each client on both loops, compared with the unpinned one on the same loop."""
    compared: dict[str, tuple[str, ...]] = {}
    for name in names:
        compared[name] = (against,)
        compared[f"{name}+uvloop"] = ("uvloop" if against == "asyncio" else f"{against}+uvloop",)
    return compared


def expect(condition: object, otherwise: str) -> None:
    """Raise `WrongResultError` unless the condition holds."""
    if not condition:
        raise WrongResultError(otherwise)
