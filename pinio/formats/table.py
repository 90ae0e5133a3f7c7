"""One table of a file and its place, so that whatever is wrong in it can be named."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from difflib import get_close_matches
from typing import Any, Final, TypeAlias, TypeVar, cast

from pinio.core.pin import Pin
from pinio.core.wording import escape
from pinio.errors import PinFormatError, PolicyError

Word = TypeVar("Word", bound=str)
Values: TypeAlias = Mapping[str, Any]

_KINDS: Final[dict[type, str]] = {
    str: "text", bool: "a boolean", int: "an integer", float: "a float", list: "an array", dict: "a table",
    date: "a date", time: "a time", datetime: "a date and time",
}  # fmt: skip
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_NEAR: Final = 64
"""Characters that are compared with known words; the time goes with their square."""


class Table:
    """Reads typed values out of a table; `path` is the keys that lead to it, none at the file's top.

    Every method raises `PolicyError` with file, table, key and value for what is not as it should
    be.
    """

    __slots__ = ("_path", "_values", "_where")

    def __init__(self, values: Values, where: str, path: tuple[str, ...] = ()) -> None:
        self._values = values
        self._where = where
        self._path = path

    @property
    def name(self) -> str:
        """The table's header as the file spells it, clipped; empty at the top."""
        return f"[{'.'.join(map(spelled, self._path))}]" if self._path else ""

    def place(self, key: str = "") -> str:
        """File, table and key, as an error begins."""
        words = [self._where + ":", self.name, spelled(key) if key else ""]
        return " ".join(word for word in words if word).removesuffix(":")

    def wrong(self, key: str, why: str) -> PolicyError:
        """An error about the value of a key."""
        return PolicyError(f"{self.place(key)} = {shown(self._values[key])}: {why}")

    def only(self, known: Sequence[str], top: Sequence[str] = ()) -> None:
        """Refuse keys that are not `known`; those of the `top` of the file have slipped below the first table."""
        for key, value in self._values.items():
            if key in known:
                continue
            if key in top:
                hint = "it belongs at the top of the file, before the first [table]"
            elif self._path and isinstance(value, dict):
                hint = f"if it is part of a host name, {self._quoting(key, cast(Values, value))}"
            elif near := get_close_matches(key[:_NEAR], known, n=1):
                hint = f"did you mean {near[0]!r}?"
            else:
                hint = f"the keys are {', '.join(known)}"
            raise PolicyError(f"{self.place()}: unknown key {spelled(key)}; {hint}")

    def text(self, key: str) -> str | None:
        """Text."""
        value: str | None = self._get(key, str, "write it in quotes")
        return value

    def flag(self, key: str) -> bool | None:
        """A boolean."""
        value: bool | None = self._get(key, bool, "write true or false")
        return value

    def integer(self, key: str) -> int | None:
        """A whole number."""
        value: int | None = self._get(key, int, "write a whole number")
        return value

    def word(self, key: str, words: Sequence[Word], default: Word) -> Word:
        """One word of several."""
        value = self.text(key)
        if value is None:
            return default
        for word in words:
            if word == value:
                return word
        near = get_close_matches(value[:_NEAR], words, n=1)
        raise self.wrong(
            key, f"did you mean {near[0]!r}?" if near else f"it is one of {', '.join(words)}"
        )

    def moment(self, key: str) -> datetime | None:
        """An offset date-time; TOML's local ones name no moment."""
        remedy = "write date, time and zone, unquoted: 2027-06-30T00:00:00Z"
        value: datetime | None = self._get(key, datetime, remedy)
        if value is not None and value.tzinfo is None:
            raise self.wrong(key, "it has no time zone; add Z, or an offset such as +02:00")
        return value

    def table(self, key: str) -> Table:
        """A table within; an empty one if there is none."""
        values: dict[str, Any] | None = self._get(key, dict, f"write a table, [{key}]")
        return Table(values or {}, self._where, (*self._path, key))

    def tables(self) -> list[tuple[str, Table]]:
        """Every value, each a table itself."""
        tables: list[tuple[str, Table]] = []
        for key in self._values:
            values = self._get(key, dict, "write a table, with pins = […]")
            tables.append((key, Table(values, self._where, (*self._path, key))))
        return tables

    def texts(self) -> dict[str, str]:
        """Every value, each a text."""
        remedy = "write it in quotes; if the key is a host name, quote that too"
        return {key: self._get(key, str, remedy) for key in self._values}

    def pins(self, key: str) -> tuple[Pin, ...]:
        """An array of pins in any spelling.

        Raises `PinFormatError` too, for text that is no pin.
        """
        values: list[object] = self._get(key, list, 'write an array, as ["sha256/…"]') or []
        return tuple(self._pin(key, number, item) for number, item in enumerate(values, 1))

    def _pin(self, key: str, number: int, item: object) -> Pin:
        if not isinstance(item, str):
            why = f"{_kind(item)}, where a pin in quotes should be"
            raise PolicyError(f"{self.place(key)}, item {number} = {shown(item)}: {why}")
        try:
            return Pin.parse(item)
        except PinFormatError as error:
            raise PinFormatError(f"{self.place(key)}, item {number}: {error}") from None

    def _get(self, key: str, wanted: type, remedy: str) -> Any:
        value: object = self._values.get(key)
        # By type and not by isinstance: to Python `true` is an int, and a date-time is a date.
        if value is None or type(value) is wanted:
            return value
        kind = _kind(value)
        if self._path and isinstance(value, dict):
            nested = cast(Values, value)
            remedy = f"if the key is part of a host name, {self._quoting(key, nested)}"
        raise self.wrong(key, f"{kind}; {remedy}")

    def _quoting(self, key: str, value: Values) -> str:
        """How to write a name that TOML has taken apart at its dots: `device.test` is two keys."""
        table, *labels = self._path
        labels.append(key)
        while value:
            label, inner = next(iter(value.items()))
            # Below [hosts] what is no table is a setting of the host; below [exempt] it is the
            # reason.
            if table == "hosts" and not isinstance(inner, dict):
                break
            labels.append(label)
            value = cast(Values, inner) if isinstance(inner, dict) else {}
        name = quoted(".".join(labels))
        return f"quote the whole name: {f'[hosts.{name}]' if table == 'hosts' else f'{name} = …'}"


def shown(value: object) -> str:
    """A value as the file spells it, on one line and clipped."""
    match value:
        case str():
            return quoted(value)
        case bool():
            return str(value).lower()
        case date() | time():
            return value.isoformat()
        case int() if value.bit_length() > _NEAR:  # Python refuses to print very long ones
            return f"(a number of {value.bit_length()} bits)"
        case list():
            return "[…]"
        case dict():
            return "{…}"
        case _:
            return str(value)


def spelled(key: str) -> str:
    """A key as the file spells it, clipped."""
    return key if _BARE.fullmatch(key) and len(key) <= _NEAR else quoted(key)


def quoted(text: str) -> str:
    """Text of unknown origin in quotes, on one line and clipped."""
    return f'"{escape(text)}"'


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)
