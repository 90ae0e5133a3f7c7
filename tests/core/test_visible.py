"""Every code point that Unicode has: what has no glyph is escaped, and what has one is not."""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

import pytest

from pinio.core.visible import is_visible
from pinio.core.wording import escape
from pinio.formats.toml import string
from pinio.sources.reading import shown

ALL = range(sys.maxunicode + 1)
# Names of what has no glyph of its own; gap and line fillers are visible marks, and U+2422 is a picture.
_WITHOUT_GLYPH = re.compile(
    r"(?<!GAP )(?<!LINE )(?<!SPACE )FILLER\b|SELECTOR\b|JOINER$|\bBLANK$|VOWEL INHERENT|NULL NOTEHEAD"
    r"|OBJECT REPLACEMENT"
)


@cache
def named_invisible() -> frozenset[int]:
    """By their names: the only property of this kind that Python's tables tell."""
    return frozenset(code for code in ALL if _WITHOUT_GLYPH.search(unicodedata.name(chr(code), "")))


def test_controls_formats_separators_and_strangers_are_invisible() -> None:
    """Categories Cc, Cf, Cs, Co, Cn, Zl, Zp and Zs; but for the space."""
    for code in ALL:
        if unicodedata.category(chr(code))[0] in "CZ":
            assert is_visible(chr(code)) == (chr(code) == " "), hex(code)


def test_what_is_named_as_having_no_glyph_is_invisible() -> None:
    assert not [hex(code) for code in named_invisible() if is_visible(chr(code))]
    assert len(named_invisible()) > 250


def test_everything_else_is_visible() -> None:
    """Letters, marks, numbers, punctuation and symbols of every script."""
    invisible = {code for code in ALL if chr(code).isprintable() and not is_visible(chr(code))}
    assert not [hex(code) for code in invisible - named_invisible()]


@pytest.mark.parametrize(
    "code",
    [
        0x3164, 0x115F, 0x1160, 0xFFA0, 0x2800, 0x034F, 0xFE00, 0xFE0F, 0xE0100, 0xE01EF, 0xE0001, 0xE0041,
        0x180B, 0x180E, 0x17B4, 0x200B, 0x2060, 0x2065, 0xFEFF, 0x00AD, 0x061C, 0xFFF0, 0xE0FFF, 0x1D159,
    ],
    ids=hex,
)  # fmt: skip
def test_it_is_escaped_by_its_number_wherever_text_is_shown(code: int) -> None:
    character = chr(code)
    number = f"\\u{code:04x}" if code > 0xFF else f"\\x{code:02x}"
    number = number if code < 0x10000 else f"\\U{code:08x}"
    assert escape(f"api.bank{character}.test") == f"api.bank{number}.test"
    assert shown(f"pins{character}.toml") == f"pins{number}.toml"
    toml = f"\\u{code:04X}" if code < 0x10000 else f"\\U{code:08X}"
    assert string(f"a{character}b") == f'"a{toml}b"'


def test_names_in_other_scripts_stay_readable() -> None:
    for text in (
        "bücher",
        "北京大学",
        "ห้องสมุด",
        "университет",
        "मुक्त ज्ञान",
        "جامعة",
        "ខ្មែរ",
        "🏦 bank",
    ):
        assert escape(text) == text
