"""The tests of the bare wheel can be collected where no extra is installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BARE = ("core", "formats", "tls", "sources")  # as in .ci/run

EXTRAS = [
    "OpenSSL",
    "aiofastnet",
    "aiohttp",
    "click",
    "frida",
    "httpx",
    "opentelemetry",
    "prometheus_client",
    "requests",
    "rich",
    "tomlkit",
    "truststore",
    "tuf",
    "urllib3",
    "uvloop",
    "yarl",
]

# A module that is None cannot be imported, as if it were not installed.
COLLECT_WITHOUT_EXTRAS = f"""
import sys
sys.modules.update(dict.fromkeys({EXTRAS}))
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


def test_no_module_needs_an_extra_to_be_collected() -> None:
    folders = [f"tests/{name}" for name in BARE]
    collected = subprocess.run(
        [sys.executable, "-c", COLLECT_WITHOUT_EXTRAS, "--collect-only", "-qq", *folders],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert collected.returncode == 0, collected.stdout[-3000:] + collected.stderr[-3000:]
