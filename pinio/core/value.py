"""What `PinSet` and `Policy` have in common: immutable values made of their constructor's arguments."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, Final, NoReturn, Self

from pinio.errors import PinWarning


class Value:
    """Equal if the arguments are equal; changed by `replace`; pickled by construction, so that a copy is checked again."""

    __slots__ = ()
    _arguments: ClassVar[tuple[str, ...]] = ()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} is immutable; use .replace({name}=...)")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a {type(self).__name__} is immutable")

    def _store(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _asdict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._arguments}

    def replace(self, **changes: Any) -> Self:
        """A copy with some of the constructor's arguments changed, checked like a new one."""
        return type(self)(**self._asdict() | changes)

    # A mapping has no hash: a kind that has one among its arguments defines its own.
    def __hash__(self) -> int:
        return hash(tuple(self._asdict().values()))

    def __eq__(self, other: object) -> bool:
        return self._asdict() == other._asdict() if type(other) is type(self) else NotImplemented

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self._asdict())


def _rebuild(kind: type[Value], arguments: dict[str, Any]) -> Value:
    with warnings.catch_warnings():  # said when the original was made
        warnings.simplefilter("ignore", PinWarning)
        return kind(**arguments)


_place: Final[ContextVar[Callable[[], str] | None]] = ContextVar("place", default=None)


@contextmanager
def about(place: Callable[[], str]) -> Generator[None, None, None]:
    """Begin each warning from within with a place, such as the host that a pin set is made for; asked if there is one."""
    token = _place.set(place)
    try:
        yield
    finally:
        _place.reset(token)


def warn(message: str) -> None:
    """Emit a `PinWarning` at the line of the program that called into pinio, however deep inside this is."""
    if (place := _place.get()) is not None:
        message = f"{place()}: {message}"
    level, frame = 2, sys._getframe(1)  # noqa: SLF001  # documented; `inspect` costs a module
    while (
        frame.f_back is not None
        and frame.f_globals.get("__name__", "").partition(".")[0] == "pinio"
    ):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, PinWarning, stacklevel=level)
