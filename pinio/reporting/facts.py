"""A decision as flat fields, under names that stay: for logs, records and metrics."""

from __future__ import annotations

from pinio.core.decision import Permit, Refusal


def facts(decision: Permit | Refusal) -> dict[str, object]:
    """What was decided, without certificates; fields that say nothing are left out."""
    found: dict[str, object] = {
        "decision": "refusal" if isinstance(decision, Refusal) else "permit",
        "host": decision.host,
        "port": decision.port,
        "pattern": decision.pattern,
        "revision": decision.revision,
        "resumed": decision.resumed,
        "verdict": None if decision.verdict is None else type(decision.verdict).__name__.lower(),
    }
    if isinstance(decision, Refusal):
        found |= {
            "reason": decision.reason,
            "summary": decision.summary(),
            "verify_message": decision.verify_message,
        }
    else:
        found |= {
            "mode": decision.mode,
            "pin": None if decision.pin is None else str(decision.pin),
            "position": decision.position,
            "backup": decision.backup,
        }
    return {name: value for name, value in found.items() if value is not None}
