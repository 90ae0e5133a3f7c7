"""Apply every technique, each in a fork of its own, and print what came of it, one JSON line a row."""

from __future__ import annotations

import asyncio
import json
import os
import warnings

from pinio.core.decision import Permit
from pinio.core.pin import Pin
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.errors import TamperingError
from pinio.tampering import handshakes, selftest
from tests.tampering.techniques import TECHNIQUES, Technique, Victim

GROUPS = {name: name for name in ("references", "hash", "cached digests")}
WRONG = Pin(bytes(range(100, 132)))


async def observe(technique: Technique) -> dict[str, object]:
    """What the attacked connection does, what the self-test says, and whether the digest changed."""
    policy = Policy({handshakes.HOST: PinSet(WRONG, single="test", anchors=handshakes.anchors())})
    before = policy.digest
    technique.apply(Victim(policy, handshakes.chain("good")[0]))
    try:
        seen = await handshakes.by_entry_point(policy, "good", [])
        opens = type(seen) is Permit
    except Exception as error:  # noqa: BLE001
        opens, seen = False, repr(error)  # type: ignore[assignment]
    checks: set[str] = set()
    try:
        await selftest()
    except TamperingError as error:
        checks = {GROUPS.get(finding.check, "canaries") for finding in error.findings}
    if _digest(policy) != before:
        checks.add("policy digest")
    return {"name": technique.name, "opens": opens, "by": sorted(checks), "seen": str(seen)}


def _digest(policy: Policy) -> str:
    try:
        return policy.digest
    except Exception as error:  # noqa: BLE001
        return repr(error)


def main() -> None:
    warnings.simplefilter("ignore")
    for technique in TECHNIQUES:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                line = json.dumps(asyncio.run(observe(technique)))
                os.write(1, f"{line}\n".encode())
                code = 0
            finally:
                os._exit(code)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
