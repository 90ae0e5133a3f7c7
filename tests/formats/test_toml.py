"""TOML within limits: what the parser is never handed, and what it says."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinio import PolicyError
from pinio.formats.toml import MOST_KEY_PARTS, array, parse, string

LONG = ".".join("a" * 20_000)


@pytest.mark.parametrize(
    "text",
    [
        f"{LONG} = 1",
        f"[{LONG}]",
        f"[[{LONG}]]",
        f"x = {{{LONG} = 1}}",
        LONG.replace(".", " .\t") + " = 1",
        LONG.replace("a", '"a.b"') + " = 1",
        LONG.replace("a", "'a'") + " = 1",
        f'x = "\\"" # "\n{LONG} = 1',
        f"x = '\\'\n{LONG} = 1",
        f'x = """\n"" \\""" " """""\n{LONG} = 1',
        f"x = '''\n'' \" '''\n{LONG} = 1",
    ],
    ids=range(11),
)
def test_P10_a_dotted_key_that_would_take_all_memory_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="dotted key of more than 16 parts"):
        parse(text, "pins.toml")


@pytest.mark.parametrize(
    "text",
    [
        f'x = "{LONG}"',
        f"x = '{LONG}'",
        f'x = """\n{LONG}\n"" \\""" {LONG}"""""',
        f"x = '''{LONG}'''",
        f"x = 1 # {LONG}",
        f'"{LONG}" = 1',
        ".".join("a" * MOST_KEY_PARTS) + " = 1",
        f'x = "\\"{LONG}" # "',
        "\n".join(f"x{number} = 1.5" for number in range(100)),
    ],
    ids=range(9),
)
def test_dots_that_join_no_keys_are_not_counted(text: str) -> None:
    assert parse(text, "pins.toml") == tomllib.loads(text)


@given(st.text(st.sampled_from("a.\"'\\#\n =[]{}")))
def test_P10_no_key_longer_than_the_limit_is_read(text: str) -> None:
    """The limit is held however strings and comments are mixed around a long key."""
    key = ".".join("a" * (MOST_KEY_PARTS + 1))
    try:
        read = tomllib.loads(f"{text}\n{key} = 1")
    except tomllib.TOMLDecodeError:
        return
    if key in str(read):  # inside a string
        assert parse(f"{text}\n{key} = 1", "pins.toml") == read
    else:
        with pytest.raises(PolicyError, match="dotted key"):
            parse(f"{text}\n{key} = 1", "pins.toml")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a = ", ("not TOML", "(at line 1, ")),
        ("a = 1\nb = \x00", ("not TOML", "(at line 2, column 5)")),
        ("a = 1\n\nb c", ("not TOML", "(at line 3, column 3)")),
        ('a = 1\nb = "', ("not TOML", "at line 2")),
        ("a = 1\na = 2", ("not TOML", "at line 2")),
        ("a = 2027-02-30", ("not TOML", "(at line 1, column 5)")),
        ("a = " + "1" * 5000, ("too long", "digits")),
        ("a = " + "[" * 100_000, ("nested too deeply",)),
        ("a = " + "{a = " * 100_000, ("nested too deeply",)),
        ("\ufeffa = 1", ("byte order mark",)),
        (f"[{'x' * 100_000}]\n" * 2, ("not TOML", "...", "at line 2")),
    ],
    ids=range(11),
)
def test_P9_wrong_syntax_is_named_with_its_place(text: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(PolicyError) as caught:
        parse(text, "pins.toml")
    message = str(caught.value)
    assert message.startswith("pins.toml: ")
    assert all(part in message for part in parts), message
    assert len(message) < 400


@given(st.text(st.characters(exclude_categories=("Cs",))))  # type: ignore[arg-type]
def test_a_string_is_read_as_it_was_written(text: str) -> None:
    assert tomllib.loads(f"x = {string(text)}\ny = {array([text, text])}") == {
        "x": text,
        "y": [text, text],
    }
    assert string(text).isprintable()
