"""Nobody pays for what he does not use: a fresh interpreter tells which libraries an import brings."""

from __future__ import annotations

import subprocess
import sys

import pytest

EXTRAS = {"aiohttp", "click", "cryptography", "defusedxml", "pytest", "rich", "tomlkit", "trustme", "uvloop"}

EVERY_NAME = "import pinio; [getattr(pinio, name) for name in pinio.__all__]"
EVERY_BARE_MODULE = """
import importlib.util, pkgutil, pinio
for part in ("core", "formats", "sources", "tls"):
    if importlib.util.find_spec("pinio." + part):
        package = importlib.import_module("pinio." + part)
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            importlib.import_module(module.name)
"""


@pytest.mark.parametrize(
    "program", ["import pinio", EVERY_NAME, EVERY_BARE_MODULE], ids=["pinio", "names", "modules"]
)
def test_an_import_brings_no_library_of_an_extra(program: str) -> None:
    asked = [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"]
    answer = subprocess.run(asked, check=False, capture_output=True, text=True)
    loaded = set(answer.stdout.split())
    assert "pinio" in loaded, answer.stderr
    assert not loaded & EXTRAS
