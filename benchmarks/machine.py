"""Which machine and which versions a figure belongs to, and who runs on which core."""

from __future__ import annotations

import os
import platform
import resource
import ssl
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = (
    "aiofastnet",
    "aiohttp",
    "cryptography",
    "httpx",
    "pycurl",
    "requests",
    "urllib3",
    "uvloop",
)
CLIENT, SERVER = 0, 1
"""Which of the usable cores each side gets."""


def stay_on(side: int, process: int = 0) -> None:
    """Keep a process (this one unless told) on one core, so that client and server do not take turns.

    Where the platform cannot, or has one core, it stays where it is.
    """
    if hasattr(os, "sched_setaffinity"):  # Linux
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) > 1:
            os.sched_setaffinity(process, {cores[side]})


def allow_files(wanted: int) -> None:
    """Let this process open so many files, as far as the system permits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def machine() -> dict[str, str]:
    """What the figures depend on, besides versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown",
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Everything whose version may change a figure."""
    found = {"python": platform.python_version(), "openssl": ssl.OPENSSL_VERSION, "pinio": _pinio()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    if "pycurl" in found:
        import pycurl  # type: ignore[import-untyped,unused-ignore]

        found["pycurl"] = pycurl.version  # with its libcurl, which brings a TLS library of its own
    return found


def _pinio() -> str:
    try:
        number = version("pinio")
    except PackageNotFoundError:  # run from the source
        number = "source"
    head = _output("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty")
    return f"{number} ({head})" if head else number


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
