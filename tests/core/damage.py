"""PEM text as mail, editors, shells and hands damage it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pinio.core import pem

Change = Callable[[str], str]


def line(number: int, change: Change) -> Change:
    """Change one line of a text; negative numbers count from the end."""

    def apply(text: str) -> str:
        lines = text.splitlines()
        lines[number] = change(lines[number])
        return "\n".join(lines) + "\n"

    return apply


def every_line(change: Change) -> Change:
    return lambda text: "".join(change(item) + "\n" for item in text.splitlines())


def without(number: int) -> Change:
    """Take one line out."""

    def apply(text: str) -> str:
        lines = text.splitlines(keepends=True)
        del lines[number]
        return "".join(lines)

    return apply


DAMAGES: Final[dict[str, Change]] = {
    "an ellipsis in a line": line(3, lambda text: text[:20] + "..." + text[23:]),
    "an ellipsis of one character": line(3, lambda text: text[:20] + "\u2026" + text[23:]),
    "an ellipsis for lines": line(3, lambda _: "[...]"),
    "a line missing": without(3),
    "a line twice": line(3, lambda text: f"{text}\n{text}"),
    "characters missing": line(3, lambda text: text[:-4]),
    "one character changed": line(3, lambda text: "*" + text[1:]),
    "URL-safe Base64": line(3, lambda text: "_-" + text[2:]),
    "padding in between": line(3, lambda text: text[:-2] + "=="),
    "padding missing": line(-2, lambda text: text[:-1]),
    "nothing inside": lambda text: "\n".join((text.splitlines()[0], text.splitlines()[-1], "")),
    "no END": without(-1),
    "no BEGIN": without(0),
    "no BEGIN and no line break": lambda text: text.replace("-----BEGIN CERTIFICATE-----\n", "", 1),
    "cut in the middle": lambda text: text[: len(text) // 2],
    "cut in the END": lambda text: text[:-8],
    "END of another label": line(-1, lambda text: text.replace("CERTIFICATE", "PUBLIC KEY")),
    "BEGIN of another label": line(0, lambda text: text.replace("CERTIFICATE", "PUBLIC KEY")),
    "a label with a letter less": line(0, lambda text: text.replace("CERTIFICATE", "CERTIFCATE")),
    "headers inside": line(0, lambda text: f"{text}\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES,00\n"),
    "attributes inside": line(0, lambda text: f"{text}\nsubject=CN = somebody"),
    "a comment inside": line(2, lambda text: f"{text}\n# half of it"),
    "quoted as in mail": every_line(lambda text: f"> {text}"),
    "quoted without a space": every_line(lambda text: f">{text}"),
    "BEGIN alone quoted": line(0, lambda text: f"> {text}"),
    "END alone quoted": line(-1, lambda text: f"> {text}"),
    "the inside quoted": lambda text: text.replace("\n", "\n> ").rpartition("> ")[0],
    "commented out": every_line(lambda text: f"# {text}"),
    "BEGIN commented out": line(0, lambda text: f"# {text}"),
    "in a table": every_line(lambda text: f"| {text} |"),
    "in quotes": every_line(lambda text: f'"{text}"'),
    "line breaks spelled out": lambda text: text.replace("\n", "\\n"),
    "line breaks spelled out, CRLF": lambda text: text.replace("\n", "\\r\\n"),
    "some line breaks spelled out": lambda text: text.replace("\n", "\\n", 3),
    "spelled out in quotes": lambda text: '"' + text.replace("\n", "\\n") + '"\n',
    "four dashes": lambda text: text.replace("-----", "----"),
    "six dashes": lambda text: text.replace("-----", "------"),
    "four dashes before BEGIN": lambda text: text.replace("-----BEGIN", "----BEGIN"),
    "four dashes behind BEGIN": lambda text: text.replace(
        "CERTIFICATE-----\n", "CERTIFICATE----\n", 1
    ),
    "six dashes before BEGIN": lambda text: text.replace("-----BEGIN", "------BEGIN"),
    "six dashes before END": lambda text: text.replace("-----END", "------END"),
    "four dashes before END": lambda text: text.replace("-----END", "----END"),
    "four dashes behind END": line(-1, lambda text: text[:-1]),
    "one dash": lambda text: text.replace("-----", "-"),
    "no dashes": lambda text: text.replace("-", ""),
    "dashes that a word processor made": lambda text: text.replace("-----", "\u2014\u2013-"),
    "long dashes": lambda text: text.replace("-----", "\u2014" * 5),
    "small letters": lambda text: text.replace("BEGIN CERTIFICATE", "begin certificate").replace(
        "END CERTIFICATE", "end certificate"
    ),
    "small BEGIN": line(0, str.lower),
    "small END": line(-1, str.lower),
    "capitalised": line(0, str.title),
    "a space behind the dashes": line(0, lambda text: text.replace("-----BEGIN", "----- BEGIN")),
    "a space before the dashes": line(
        0, lambda text: text.replace("CERTIFICATE-", "CERTIFICATE -")
    ),
    "two spaces": line(0, lambda text: text.replace("BEGIN ", "BEGIN  ")),
    "no space": line(0, lambda text: text.replace("BEGIN ", "BEGIN")),
    "a tab for the space": line(0, lambda text: text.replace("BEGIN ", "BEGIN\t")),
    "an underscore for the space": line(0, lambda text: text.replace("BEGIN ", "BEGIN_")),
    "words on the BEGIN line": line(0, lambda text: f"{text} the CA of our office"),
    "a comment on the BEGIN line": line(0, lambda text: f"{text} # office"),
    "words before BEGIN": line(0, lambda text: f"ca: {text}"),
    "BEGIN twice": line(0, lambda text: f"{text}\n{text}"),
    "END twice": line(-1, lambda text: f"{text}\n{text}"),
    "nested": line(
        2, lambda text: f"{text}\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
    ),
    "a NUL": line(2, lambda text: f"{text}\0"),
    "UTF-16 read as Latin-1": lambda text: text.encode("utf-16-le").decode("latin-1"),
    "a byte behind the certificate": lambda text: pem.encode(pem.blocks(text)[0].der() + b"\0"),
}
"""What loses the certificate, or would with a reader that skips what it does not understand."""

HARMLESS: Final[dict[str, Change]] = {
    "nothing": lambda text: text,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "CR alone": lambda text: text.replace("\n", "\r"),
    "a byte order mark": lambda text: "\ufeff" + text,
    "spaces behind": every_line(lambda text: f"{text}   "),
    "tabs behind": every_line(lambda text: f"{text}\t"),
    "no-break spaces behind": every_line(lambda text: f"{text}\u00a0"),
    "indented": every_line(lambda text: f"    {text}"),
    "indented by tabs": every_line(lambda text: f"\t{text}"),
    "blank lines between": every_line(lambda text: f"{text}\n"),
    "one long line": lambda text: text.replace("\n", "").replace("E-----", "E-----\n", 1),
    "spaces for line breaks": lambda text: text.replace("\n", " "),
    "no line break at the end": lambda text: text.rstrip("\n"),
    "the old label": lambda text: text.replace(" CERTIFICATE", " X509 CERTIFICATE"),
    "comments around": lambda text: (
        f"# our office, --- the end ---\n{text}# beginning of nothing\n"
    ),
    "comments of no ASCII": lambda text: f"# Büro 事務所\n{text}",
    "a comment of Ansible": lambda text: (
        f"# BEGIN ANSIBLE MANAGED BLOCK\n{text}# END ANSIBLE MANAGED BLOCK\n"
    ),
    "a rule": lambda text: f"Office\n======\n-----\n----------\n{text}-----\n",
    "bag attributes": lambda text: (
        "Bag Attributes\n    friendlyName: the end\n    localKeyID: 31 0A\n"
        "subject=C = XX, CN = front-end certificates\n\nissuer=CN = The Beginning\n\n" + text
    ),
    "what s_client prints": lambda text: (
        "CONNECTED(00000003)\n---\nCertificate chain\n 0 s:CN = a\n   i:CN = b\n"
        f"{text}---\nServer certificate\nsubject=CN = a\n---\nSSL handshake has read 9 bytes\n---\nDONE\n"
    ),
    "words behind END": lambda text: text.rstrip("\n") + " # office\n",
}
"""What means the same."""
