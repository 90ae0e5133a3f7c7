"""Tampering made visible: a self-test through this process's own loop, entry points and engine.

Code inside the process can do anything, so nothing here is a wall:
docs/explanation/tampering.md says what is prevented, noticed and silent.
"""

from __future__ import annotations

from pinio.errors import TamperingError
from pinio.tampering.findings import Finding, SelfTest
from pinio.tampering.run import selftest
from pinio.tampering.watch import Watch

__all__ = ["Finding", "SelfTest", "TamperingError", "Watch", "selftest"]
