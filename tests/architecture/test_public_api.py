"""What pinio promises to keep is written down, and changes only on purpose."""

from __future__ import annotations

import inspect
import pkgutil
import re
import subprocess
import sys

import pytest

import pinio
from tests.architecture.api import REVIEWED, documented, dump, public_modules


def test_the_public_api_is_the_reviewed_one() -> None:
    reviewed = REVIEWED.read_text("utf-8").splitlines()
    assert dump().splitlines() == reviewed, (
        "meant? then `./run python tests/architecture/api.py`, and read the diff"
    )


def test_everything_public_says_what_it_is() -> None:
    mute = {
        f"{module.__name__}.{name}"
        for module in public_modules()
        for name, thing in documented(module)
        if not inspect.getdoc(thing)
    }
    assert not mute


DOORS = (
    "open_connection",
    "create_connection",
    "open_unix_connection",
    "create_unix_connection",
    "start_tls",
    "upgrade",
)


@pytest.mark.parametrize("door", DOORS)
def test_a_door_names_and_explains_every_argument(door: str) -> None:
    """`help()` is the reference: no argument hides behind `**`, and each has its line."""
    function = getattr(pinio, door)
    parameters = inspect.signature(function).parameters
    assert not {item.kind for item in parameters.values()} & {
        inspect.Parameter.VAR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    }
    text = inspect.getdoc(function) or ""
    arguments = text.partition("\nArgs:\n")[2].partition("\n\n")[0]
    explained = re.findall(r"^    (\w+): ", arguments, re.MULTILINE)
    assert explained == list(parameters)
    assert "\nReturns:\n" in text and "\nRaises:\n" in text


def test_a_reexported_name_is_no_modules_name() -> None:
    modules = {module.name for module in pkgutil.iter_modules(pinio.__path__)}
    assert not modules & set(pinio.__all__)


def test_the_paved_path_is_short() -> None:
    assert len(pinio.__all__) <= 27


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("PinExpiredError", "it stands in pinio.errors: from pinio.errors import PinExpiredError"),
        ("errors", "it is a module: import pinio.errors"),
        ("reporting", "it is a module: import pinio.reporting"),
        ("PinnSet", "has no attribute 'PinnSet'$"),
    ],
)
def test_who_looks_for_a_name_in_the_wrong_place_is_told(
    name: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(
        pinio, name, raising=False
    )  # a module that somebody imported is an attribute
    with pytest.raises(AttributeError, match=where):
        getattr(pinio, name)


@pytest.mark.parametrize(
    ("name", "home"),
    [
        ("PinnedConnector", "aiohttp"),
        ("PinExpiredError", "errors"),
        ("Counters", "reporting"),
        ("CA", "testing"),
    ],
)
def test_an_import_from_the_wrong_place_says_so(name: str, home: str) -> None:
    """Python would say that it cannot import the name, and no more; in a process of its own, as in a program."""
    completed = subprocess.run(
        [sys.executable, "-c", f"from pinio import Policy, {name}"],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    last = completed.stderr.splitlines()[-1]
    assert last.startswith(f"ImportError: cannot import name {name!r} from 'pinio'; ")
    assert last.endswith(f"from pinio.{home} import {name}")


def test_a_question_for_a_name_is_none_of_an_import() -> None:
    """`hasattr` and `getattr` answer as for every module, and modules are imported as ever."""
    script = (
        "import pinio; assert not hasattr(pinio, 'PinnedConnector');"
        "assert getattr(pinio, 'Counters', None) is None;"
        "from pinio import reporting, errors, testing, Policy; print(reporting.Counters.__name__)"
    )
    completed = subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, check=True
    )
    assert completed.stdout == "Counters\n"


def test_every_name_that_is_elsewhere_is_known_to_be() -> None:
    """Errors are looked for where they are; of the rest there is a table, so that nothing is imported."""
    elsewhere = {
        module.__name__.removeprefix("pinio."): {*module.__all__} - {*pinio.__all__}
        for module in public_modules()
        if module.__name__ not in ("pinio", "pinio.errors")
    }
    assert {home: {*names.split()} for home, names in pinio._ELSEWHERE.items()} == elsewhere
