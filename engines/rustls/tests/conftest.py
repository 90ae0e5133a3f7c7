"""Names the wheel under test."""

from __future__ import annotations

import pinio_rustls


def pytest_report_header() -> str:
    return f"testing {pinio_rustls.__file__}, version {pinio_rustls.__version__}"
