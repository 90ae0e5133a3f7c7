"""The suite over the engine rustls: whoever asks for the default engine gets that one."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pinio.aiohttp import connector
from pinio.tls import request
from pinio.tls.config.engine import EngineChoice, EngineName, choose
from pinio.tls.config.settings import Settings

DIFFERENCES: dict[str, dict[str, str]] = tomllib.loads(
    Path(__file__).with_name("differences.toml").read_text("utf-8")
)


def choose_rustls(choice: EngineChoice, settings: Settings) -> EngineName:
    """rustls, where it can do what a test asks for; otherwise the test is about OpenSSL."""
    return choose("auto" if choice == "openssl" else choice, settings)


def install() -> None:
    """Make rustls the default of this process. Raises `PolicyError` where it is not installed."""
    choose("rustls", Settings())
    for module in (request, connector):
        module.choose = choose_rustls  # type: ignore[attr-defined]


def skip_differences(items: list[pytest.Item]) -> None:
    """Skip what holds with OpenSSL alone, and say why."""
    for item in items:
        path, _, name = item.nodeid.partition("::")
        for beginning, why in DIFFERENCES.get(path, {}).items():
            if beginning == "all" or name.startswith(beginning):
                item.add_marker(pytest.mark.skip(reason=why))
