"""Which characters can be seen: what a peer or a file wrote is escaped where they cannot.

`str.isprintable` leaves out controls, formats, separators, and what is not assigned. Letters, marks and
symbols without a glyph it takes for printable: a name that has one looks like another name.
"""

from __future__ import annotations

from typing import Final

# Default_Ignorable_Code_Point of Unicode (DerivedCoreProperties.txt): renderers show nothing for them.
# The property is stable, and reserves ranges for characters to come.
_DEFAULT_IGNORABLE: Final = (
    (0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5),
    (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164),
    (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
# Blanks: their glyph is empty, or stands for something that is not there.
_BLANK: Final = (0x2800, 0xFFFC, 0x13441, 0x13442, 0x16FE4, 0x1D159)
# Joiners and selectors of single scripts: they change what stands beside them, and have no glyph.
_JOINING: Final = (0x2D7F, 0x1107F, 0x11A47, 0x11A99, 0x11F42, 0x1BC9D)

_INVISIBLE: Final = frozenset(
    chr(code)
    for code in (
        *(code for first, last in _DEFAULT_IGNORABLE for code in range(first, last + 1)),
        *_BLANK,
        *_JOINING,
    )
)


def is_visible(character: str) -> bool:
    """Whether a reader sees this character, or that there is a space."""
    return character.isprintable() and character not in _INVISIBLE
