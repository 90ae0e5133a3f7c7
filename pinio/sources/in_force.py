"""The policy that a source has in force: what may replace it, who is told, and how it fares."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from pinio.core.policy import Policy
from pinio.errors import PinError, PolicyError
from pinio.sources.diff import loosened
from pinio.sources.health import Health, expiring

Callback: TypeAlias = Callable[[Policy], object]

_MOST_LINES: Final = 20  # of what a change loosens, in a message
_MOST_ERRORS: Final = 64  # remembered as logged already

logger = logging.getLogger("pinio")


class InForce:
    """One policy, replaced as a whole or not at all.

    A policy that loosens the one in force must carry another revision, and one without hosts must
    say why. Whatever cannot replace it leaves it as it is, and is the `error` until something can.
    Changes are made by one thread at a time; any thread may read.

    Args:
        policy: the first policy.
        name: what messages call the source.
        what: what the policy is read from, in a word: "file".
        clock: seconds that never run backwards.
    """

    __slots__ = (
        "_callbacks", "_clock", "_invalid", "_loaded", "_logged", "_name", "_what", "checked",
        "error", "failing_since", "policy",
    )  # fmt: skip

    def __init__(
        self,
        policy: Policy,
        name: str,
        *,
        what: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._what, self._clock = name, what, clock
        self._callbacks: dict[object, Callback] = {}
        self._logged: set[str] = set()
        self._invalid = False  # whether the error is in the policy; if not, a change is not taken
        self._loaded = time.time()
        self.policy = policy
        self.checked = self._loaded
        """When the source was last found to say what is in force, in POSIX seconds."""
        self.error: PinError | None = None
        """Why what the source says is not in force; None if it is."""
        self.failing_since = 0.0
        """When the error began, by the clock."""

    def take(self, outcome: Policy | PinError) -> bool:
        """Put in force what the source says, if it may be; whether it is in force now."""
        if isinstance(outcome, PinError):
            self.fail(outcome)
        elif outcome == self.policy:
            self._recover()
        else:
            looser = loosened(self.policy, outcome)
            if why_not := self._objection(outcome, looser):
                self.fail(PolicyError(f"{self._name}: {why_not}"), invalid=False)
            else:
                self._swap(outcome, looser)
        return self.error is None

    def fail(self, error: PinError, *, invalid: bool = True) -> None:
        """Keep the policy and say why; `invalid` if what the source says is no policy."""
        if self.error is None:
            self.failing_since = self._clock()
        self._invalid = invalid
        self.error = error.with_traceback(None)  # its frames hold the text of the policy
        if str(error) not in self._logged:
            if len(self._logged) >= _MOST_ERRORS:
                self._logged.clear()
            self._logged.add(str(error))
            logger.error("policy %s stays in force: %s", self.policy.revision, error)

    @property
    def invalid(self) -> bool:
        """Whether the error is in the policy itself."""
        return self._invalid

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Have `callback` called with every policy that comes into force; what is returned ends it."""
        token = object()
        self._callbacks[token] = callback

        def unsubscribe() -> None:
            self._callbacks.pop(token, None)

        return unsubscribe

    def health(self, within: float, stale_at: float | None = None) -> Health:
        """What the source's `health` says."""
        policy = self.policy
        return Health(
            revision=policy.revision,
            loaded=self._loaded,
            checked=self.checked,
            error=None if self.error is None else str(self.error),
            next_expiry=policy.next_expiry(),
            expiring=expiring(policy, time.time(), within),
            stale_at=stale_at,
        )

    def _objection(self, policy: Policy, looser: list[str]) -> str | None:
        """Why a good policy is not to replace the one in force."""
        if looser and policy.revision in (None, self.policy.revision):
            return (
                f"the change loosens the policy under the same revision ({policy.revision}), and "
                "is not taken; if it is meant, write another revision. "
                f"It would loosen: {joined(looser)}"
            )
        if self.policy.hosts and not policy.hosts and policy.no_hosts is None:
            return (
                "the change leaves no host pinned, and is not taken; "
                'if it is meant, say why at the top of the file: no_hosts = "…"'
            )
        return None

    def _swap(self, policy: Policy, looser: list[str]) -> None:
        logger.log(
            logging.WARNING if looser else logging.INFO,
            "%s: policy %s replaces %s%s",
            self._name,
            policy.revision,
            self.policy.revision,
            f"; it loosens: {joined(looser)}" if looser else "",
        )
        self.policy = policy
        self._loaded = time.time()
        self._recover()
        self.tell()

    def tell(self) -> None:
        """Tell the subscribers of the policy in force."""
        for callback in tuple(self._callbacks.values()):
            try:
                callback(self.policy)
            except Exception:
                logger.exception("a subscriber of %s failed", self._name)

    def _recover(self) -> None:
        if self.error is not None:
            what = (
                f"the policy {self._what} is good again"
                if self._invalid
                else f"the policy in force is the {self._what}'s again"
            )
            logger.warning("%s: %s", self._name, what)
        self.error, self._invalid = None, False
        self.checked = time.time()
        self._logged.clear()


def joined(looser: list[str]) -> str:
    """What a change loosens, for a message: at most twenty entries."""
    rest = len(looser) - _MOST_LINES
    more = [f"and {rest} more"] if rest > 0 else []
    return "; ".join(looser[:_MOST_LINES] + more)
