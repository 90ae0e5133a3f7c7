"""`selftest`: whether this process still refuses what it must refuse.

An attacker who runs code in the process wins in the end: what is checked here can be patched too.
It raises the cost, and it makes the simple ways noticed.
"""

from __future__ import annotations

import asyncio
import time

from pinio.core import sha256
from pinio.errors import TamperingError
from pinio.tampering import references
from pinio.tampering.canaries import canaries, fly, live_rules
from pinio.tampering.digests import digests
from pinio.tampering.findings import Finding, SelfTest
from pinio.tls.config.expectation import current_policy
from pinio.tls.handshake import witness
from pinio.typing import PolicyLike

references.remember()


async def selftest(
    policy: PolicyLike | None = None, *, policy_digest: str | None = None
) -> SelfTest:
    """Try canaries in memory: what must be refused is refused, and what must pass passes.

    Handshakes go through the running loop, `pinio.create_connection` and a context of
    `create_ssl_context`; no port is opened, no session kept, and nobody's observer called. Then
    functions are compared with those that were imported, and cached digests computed again.

    Args:
        policy: the policy in force, whose rules are tried on a key that none of them lists.
        policy_digest: what `Policy.digest` is expected to be, from somewhere outside the process.

    Raises `TamperingError` with all findings. Passing is no proof that nobody tampered.

    Example:
        >>> await pinio.selftest(policy)  # doctest: +SKIP
    """
    begun = time.perf_counter()
    found: list[Finding] = []
    checks: list[str] = ["references", "hash", "cached digests"]
    digest = None
    try:
        found += [*references.compare(), *digests()]
        for canary in canaries():
            checks.append(canary.name)
            found += await fly(canary)
            await asyncio.sleep(0)  # others have their turn between two handshakes
        if policy is not None:
            live = current_policy(policy)
            checks.append("live policy")
            found += live_rules(live, time.time())
            digest = live.digest
    except Exception as error:  # noqa: BLE001
        # What replaced a function may raise whatever it likes, and so may what it is given to.
        found.append(Finding(checks[-1], f"failed with {type(error).__name__}: {error}"))
    if policy_digest is not None and policy_digest != digest:
        found.append(Finding("policy digest", f"it is {digest}, and not {policy_digest}"))
    if found:
        raise TamperingError(found)
    return SelfTest(
        tuple(checks),
        digest,
        sha256.INDEPENDENT,
        witness.available(),
        time.perf_counter() - begun,
    )
