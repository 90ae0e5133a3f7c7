"""PEM text (RFC 7468), read so that no damaged block is lost.

Most readers look for blocks that are whole and skip everything else, so a certificate with a
damaged line disappears, and its absence shows in production. This reader accounts for every
boundary: each `BEGIN` starts a block that its `END` ends, or the text is refused with the number of
the line. White space is free (RFC 7468 section 3, `laxtextualmsg`), and explanatory text may stand
around the blocks (section 5.2), unless it holds something that was a boundary once.

Every search here is linear in the length of the text: its patterns have bounded repeats.
"""

from __future__ import annotations

import codecs
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from textwrap import fill
from typing import Final, NamedTuple

MAX_TEXT: Final = 8 << 20
"""Longest text that is read, in characters."""

CERTIFICATE: Final = "CERTIFICATE"
PUBLIC_KEY: Final = "PUBLIC KEY"
SYNONYMS: Final = {"X509 CERTIFICATE": CERTIFICATE}
"""Labels that old versions of OpenSSL wrote (RFC 7468 section 5.1 allows for them)."""

_MARK: Final = b"-----BEGIN"
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BOUNDARY = re.compile(r"-----(BEGIN|END) ([A-Z0-9][A-Z0-9 ]{0,63})-----")
_NAME: Final = r"(?:BEGIN|END)[ \t]{0,8}+(?:[A-Z0-9.]{1,16}+[ \t]{1,8}+){0,2}"
# What is left of a boundary that mail, a word processor or a hand changed: five dashes and the
# word; the words in capitals; or the words in any letters, beside at least two dashes.
_STRAY = re.compile(
    rf"-----[ \t]{{0,8}}+(?:BEGIN|END)(?![a-z])"
    rf"|(?<![A-Z]){_NAME}(?:CERTIFICATE|PKCS7|CMS)(?![A-Z])"
    rf"|(?i:--[ \t]{{0,8}}+{_NAME}(?:CERTIFICATE|PKCS7|CMS|CRL|KEY)(?![A-Z]))"
    rf"|(?i:(?<![A-Z]){_NAME}(?:CERTIFICATE|PKCS7|CMS|CRL|KEY)[ \t]{{0,8}}+--)"
)
_DASHES: Final = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "--")
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/=\s]")
_BLANKS: Final = " \t\v\f\u00a0\u200b\ufeff"
"""White space within a line, with what pages and editors add: no-break space, zero width, BOM."""
_CAUSES: Final = {
    ":": "a header (RFC 1421) or an attribute stands inside the block",
    "\\": "line breaks are spelled out as '\\n'",
    ">": "the lines are quoted, as in mail",
    ".": "it was cut",
    "\u2026": "it was cut",
    "-": "a dash too many, or an END that is damaged",
    "_": "it is in the URL-safe alphabet",
}


class PEMError(ValueError):
    """This text is not whole PEM. `line` counts from 1, `why` says what stands there."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line
        self.why = why


class Block(NamedTuple):
    """One block of PEM text."""

    label: str
    line: int
    """The line of its `BEGIN`, from 1."""
    body: str

    def der(self) -> bytes:
        """What the block holds. Raises `PEMError` unless it is canonical Base64 (RFC 4648)."""
        for number, line in enumerate(self.body.split("\n"), self.line):
            if _NOT_BASE64.search(line):
                cause = next((_CAUSES[sign] for sign in _CAUSES if sign in line), "it was changed")
                raise PEMError(number, f"'BEGIN {self.label}' is not Base64 here: {cause}")
        text = "".join(self.body.split())
        try:
            data = b64decode(text, validate=True)
        except Base64Error:
            data = b""
        if not data or b64encode(data).decode("ascii") != text:
            raise PEMError(self.line, f"'BEGIN {self.label}' is not Base64: it was cut or changed")
        return data


def blocks(text: str) -> list[Block]:
    """All blocks of a text, in order. Raises `PEMError` if one of them is not whole."""
    if len(text) > MAX_TEXT:
        raise PEMError(1, f"more than {MAX_TEXT} characters")
    if "\0" in text:
        raise PEMError(text.count("\n", 0, text.index("\0")) + 1, "a NUL byte; this is no text")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    found: list[Block] = []
    open_label: str | None = None
    end = begin_line = 0
    line = 1
    for boundary in _BOUNDARY.finditer(text):
        kind, label = boundary.groups()
        before = text[end : boundary.start()]
        after_line, line = line, line + before.count("\n")
        if kind == "BEGIN":
            if open_label is not None:
                raise PEMError(line, f"'BEGIN {label}' inside {_opened(open_label, begin_line)}")
            _check_prose(before, after_line)
            if before.rpartition("\n")[2].strip(_BLANKS):
                raise PEMError(line, f"text stands before 'BEGIN {label}', as where it is quoted")
            open_label, begin_line = label, line
        elif open_label is None:
            raise PEMError(line, f"'END {label}' without a BEGIN")
        elif open_label != label:
            raise PEMError(line, f"'END {label}' for {_opened(open_label, begin_line)}")
        else:
            found.append(Block(SYNONYMS.get(label, label), begin_line, before))
            open_label = None
        end = boundary.end()
    if open_label is not None:
        raise PEMError(begin_line, f"'BEGIN {open_label}' has no END")
    _check_prose(text[end:], line)
    return found


def _opened(label: str, line: int) -> str:
    return f"'BEGIN {label}' of line {line}, which has no END"


def _check_prose(text: str, line: int) -> None:
    """Refuse a boundary that was damaged; `line` is where `text` starts."""
    text = text.translate(_DASHES)
    if stray := _STRAY.search(text):
        line += text.count("\n", 0, stray.start())
        raise PEMError(
            line,
            "a boundary that is damaged; it is written '-----BEGIN CERTIFICATE-----', on its own",
        )


def is_pem(data: bytes) -> bool:
    """Whether these bytes are PEM rather than DER, which may hold PEM in a name that somebody chose."""
    # 0x30 is also the digit 0. In text, no byte of 0x80 or more can follow it.
    if data[:1] == b"0" and data[1:2] >= b"\x80":
        return False
    return data.startswith(_UTF_16) or _MARK in data


def is_meant(text: str) -> bool:
    """Whether a text is PEM, whole or damaged, rather than the path of a file."""
    return "\n" in text or "-----" in text or _STRAY.search(text.translate(_DASHES)) is not None


def decode(data: bytes) -> str:
    """Bytes of a file as text: UTF-8, or UTF-16 where a byte order mark says so.

    Other encodings do no harm, for the blocks themselves are ASCII.
    """
    return data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig", "replace")


def encode(der: bytes, label: str = CERTIFICATE) -> str:
    """One block as text (RFC 7468 section 2)."""
    return f"-----BEGIN {label}-----\n{fill(b64encode(der).decode('ascii'), 64)}\n-----END {label}-----\n"
