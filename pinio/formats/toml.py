"""TOML 1.0 as syntax: reading by the standard library, within limits that it does not have, and the little to be written."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from pinio.core.visible import is_visible
from pinio.core.wording import escape
from pinio.errors import PolicyError

MOST_KEY_PARTS: Final = 16
"""Parts of a dotted key; a policy needs three."""

# `tomllib` spends time and memory in the square of a dotted key's parts: a line of 200 KB would
# take all memory there is. So dotted keys are measured first. Strings and comments go, since host
# names have dots; one that is not closed goes to its end, where the parser stops as well. No
# quantifier gives back what it took: the time is linear in the text.
_STRING_OR_COMMENT = re.compile(
    r"""
      \"\"\" (?: [^"\\]++ | \\. | "{1,2}+(?!") )*+ (?: "{3,5} )?
    | '''    (?: [^']++ | '{1,2}+(?!') )*+         (?: '{3,5} )?
    | "      (?: [^"\\\n]++ | \\. )*+ "?
    | '      [^'\n]*+ '?
    | \#     [^\n]*+
    """,
    re.DOTALL | re.VERBOSE,
)
_LONG_KEY = re.compile(rf'(?<![\w"-])(?:[\w"-]++[ \t]*+\.[ \t]*+){{{MOST_KEY_PARTS}}}', re.ASCII)


def parse(text: str, where: str) -> dict[str, Any]:
    """Read TOML.

    Raises `PolicyError` that names `where`, and line and column where the syntax is wrong.
    """
    if text.startswith("\ufeff"):
        raise PolicyError(
            f"{where}: it begins with a byte order mark; save it as UTF-8 without one"
        )
    if _LONG_KEY.search(_STRING_OR_COMMENT.sub('""', text)):
        raise PolicyError(
            f"{where}: a dotted key of more than {MOST_KEY_PARTS} parts; quote host names"
        )
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = _placed(str(error), text)
        why = _shortened(message) + _hint(message, text)
        raise PolicyError(f"{where}: this is not TOML: {why}") from None
    except ValueError as error:  # Python's own limit on the digits of an integer
        raise PolicyError(
            f"{where}: a number in it is too long: {_shortened(str(error))}"
        ) from None
    except RecursionError:
        raise PolicyError(f"{where}: arrays or tables are nested too deeply") from None


def _placed(message: str, text: str) -> str:
    """The parser gives line and column but at the end of the text."""
    last = text.count("\n") + 1
    return message.replace("(at end of document)", f"(at line {last}, where the text ends)")


# A host name without quotes that is no bare key: with a star, a colon, or letters beyond ASCII.
_UNQUOTED = re.compile(r"""\s*(?:\[\s*hosts\s*\.[^"'\]]*[^"'\]\w\s.-]|\*)""", re.ASCII)
_PLACE = re.compile(r"\(at line (\d+), column \d+\)\Z")


def _hint(message: str, text: str) -> str:
    """What to do about the line at fault, where it begins with a host name that is not quoted."""
    place = _PLACE.search(message)
    line = text.split("\n")[int(place[1]) - 1] if place else ""
    if not _UNQUOTED.match(line[:300]):
        return ""
    return "; host names are quoted: " + (
        '"*.example.com" = …' if "[" not in line else '[hosts."*.example.com"]'
    )


def _shortened(message: str) -> str:
    """The parser quotes what it read, whatever that is; line and column stand at the end."""
    start, bracket, place = message.rpartition(" (at ")
    return escape(start) + bracket + place if bracket else escape(message)


_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def string(text: str) -> str:
    """A basic string on one line.

    Raises `PolicyError` for a lone surrogate, which no Unicode text has.
    """
    return f'"{"".join(map(_character, text))}"'


def _character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if is_visible(character):
        return character
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:
        raise PolicyError(f"text with a lone surrogate (U+{code:04X}) cannot be written")
    return f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"


def array(texts: Iterable[str]) -> str:
    """An array of strings, one a line if there are several, so that a change to one is a change of one line."""
    items = [string(text) for text in texts]
    if len(items) < 2:
        return f"[{''.join(items)}]"
    return "[\n" + "".join(f"    {item},\n" for item in items) + "]"


def moment(when: datetime) -> str:
    """An offset date-time (TOML 1.0), for a `datetime` in UTC."""
    return when.replace(tzinfo=None).isoformat() + "Z"
