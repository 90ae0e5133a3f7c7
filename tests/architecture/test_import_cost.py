"""Nobody pays for what he does not use: a fresh interpreter tells which libraries an import brings."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pinio.extras import how_to_install

EXTRAS = {
    "aiohttp", "click", "cryptography", "httpx", "opentelemetry", "pinio_rustls", "prometheus_client",
    "pytest", "requests", "rich", "securesystemslib", "trustme", "tuf", "uvloop"
}  # fmt: skip

EVERY_NAME = "import pinio; [getattr(pinio, name) for name in pinio.__all__]"
EVERY_BARE_MODULE = """
import importlib.util, pkgutil, pinio
for part in ("core", "formats", "sources", "tls"):
    if importlib.util.find_spec("pinio." + part):
        package = importlib.import_module("pinio." + part)
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if module.name != "pinio.tls.connection.rustls":  # an engine for those who chose it
                importlib.import_module(module.name)
"""


def loaded(program: str) -> set[str]:
    """The modules that a fresh interpreter has after a program."""
    asked = [sys.executable, "-c", f"{program}\nimport sys; print(*sys.modules)"]
    answer = subprocess.run(asked, check=False, capture_output=True, text=True)
    modules = set(answer.stdout.split())
    assert "pinio" in modules, answer.stderr
    return modules


def test_an_import_of_the_front_page_loads_that_page() -> None:
    """The rest is loaded when it is asked for."""
    assert {name for name in loaded("import pinio") if name.startswith("pinio")} == {"pinio"}


@pytest.mark.parametrize(
    "name", ["Pin", "PinSet", "Policy", "Anchors", "PinError", "find_pin_error", "load_policy"]
)
def test_a_program_that_only_reads_policies_loads_no_tls(name: str) -> None:
    """Neither an event loop, nor certifi's list, nor a door."""
    modules = loaded(f"import pinio; pinio.{name}")
    assert not modules & {"asyncio", "certifi", "pinio.tls"}


@pytest.mark.parametrize(
    "program", ["import pinio", EVERY_NAME, EVERY_BARE_MODULE], ids=["pinio", "names", "modules"]
)
def test_an_import_brings_no_library_of_an_extra(program: str) -> None:
    assert not loaded(program) & EXTRAS


@pytest.mark.parametrize(
    ("module", "library", "extra"),
    [
        ("aiohttp", "aiohttp", "aiohttp"),
        ("httpx", "httpx", "httpx"),
        ("requests", "requests", "requests"),
        ("testing", "trustme", "testing"),
        ("tuf", "tuf", "tuf"),
        ("testing", "cryptography", "testing"),
    ],
)
def test_a_module_of_an_extra_says_how_to_get_it(module: str, library: str, extra: str) -> None:
    program = f"import sys; sys.modules[{library!r}] = None; import pinio.{module}"
    answer = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert answer.stderr.rstrip().endswith(
        f"pinio.{module} needs {library}; {how_to_install(extra)}"
    )


@pytest.mark.parametrize(
    ("found", "works"),
    [("0.9.5", False), ("0.26.0", False), ("0.27.0", False), ("0.27.1", True), ("1.0.0", True)],
)
def test_an_httpx_that_forgets_the_context_of_a_proxy_is_refused(found: str, works: bool) -> None:
    program = f"import importlib.metadata as data; data.version = lambda name: {found!r}; import pinio.httpx"
    answer = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert (answer.returncode == 0) == works
    assert works or f"needs httpx 0.27.1 or newer, and not {found}" in answer.stderr
