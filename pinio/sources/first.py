"""Several sources as one: the first that has a policy decides."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from pinio.core.policy import Policy
from pinio.errors import PinError, PolicyError
from pinio.sources.diff import loosened
from pinio.sources.forks import unlock_after_fork
from pinio.sources.health import MONTH, Health, expiring
from pinio.sources.in_force import Callback, joined
from pinio.typing import PolicySource

logger = logging.getLogger("pinio")

_NAME: Final = "first_of"


class FirstOf:
    """What `first_of` returns: a `PolicySource` with the surface of `FileSource`."""

    __slots__ = (
        "__weakref__", "_callbacks", "_checked", "_earliest", "_error", "_index", "_last", "_loaded", "_lock", "_policy",
        "_refused", "_sources", "_unsubscribe",
    )  # fmt: skip

    def __init__(self, sources: tuple[PolicySource, ...]) -> None:
        self._sources = sources
        self._callbacks: dict[object, Callback] = {}
        self._unlock()
        unlock_after_fork(self)
        self._last: Policy | PolicyError | None = None
        self._policy: Policy | None = None
        self._index = self._earliest = len(sources)
        self._refused: tuple[Policy, Policy, str] | None = None
        self._error: PinError | None = None
        self._loaded = self._checked = 0.0
        self._unsubscribe: list[Callable[[], None]] = []
        self._choose()

    @property
    def current(self) -> Policy:
        """The policy of the first source that has one and may decide. Raises `PolicyError` if none has."""
        return self._choose()

    @property
    def revision(self) -> str | None:
        """The revision of that policy; None if no source has one."""
        try:
            return self._choose().revision
        except PinError:
            return None

    @property
    def error(self) -> PinError | None:
        """Why an earlier source does not decide, or what is wrong with the one that does; None if all is well."""
        try:
            self._choose()
        except PinError as error:
            return error
        return self._error or getattr(self._sources[self._index], "error", None)

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Have `callback` called with every policy that comes into force; call what is returned to end it."""
        if not self._callbacks:
            for source in self._sources:
                if (subscribe := getattr(source, "subscribe", None)) is not None:
                    self._unsubscribe.append(subscribe(self._again))
        token = object()
        self._callbacks[token] = callback

        def unsubscribe() -> None:
            self._callbacks.pop(token, None)
            if not self._callbacks:
                while self._unsubscribe:
                    self._unsubscribe.pop()()

        return unsubscribe

    def health(self, within: float = MONTH) -> Health:
        """How the source fares that decides: see `Health`. An earlier one that does not is the error."""
        try:
            policy = self._choose()
        except PinError as refused:
            since = self._checked
            return Health(None, self._loaded, since, str(refused), None, (), since)
        found = getattr(self._sources[self._index], "health", None)
        inner: Health | None = None if found is None else found(within)
        error = self.error
        return Health(
            revision=policy.revision,
            loaded=self._loaded,
            checked=self._checked if inner is None else inner.checked,
            error=None if error is None else str(error),
            next_expiry=policy.next_expiry(),
            expiring=expiring(policy, time.time(), within),
            stale_at=None if inner is None else inner.stale_at,
        )

    def __repr__(self) -> str:
        return f"<FirstOf {', '.join(map(repr, self._sources))}>"

    def _unlock(self) -> None:
        self._lock = threading.RLock()

    def _again(self, _: Policy) -> None:
        """A source has changed."""
        try:
            self._choose()
        except PinError as error:
            logger.error("%s: %s", _NAME, error)  # noqa: TRY400  its frames are of no interest

    def _choose(self) -> Policy:
        """Ask the sources; while another thread does, what it found last holds, and nobody waits."""
        if not self._lock.acquire(blocking=self._last is None):
            return _answer(self._last)
        try:
            self._last = self._ask()
        finally:
            self._lock.release()
        return _answer(self._last)

    def _ask(self) -> Policy | PolicyError:
        first: PinError | None = None
        for index, source in enumerate(self._sources):
            try:
                policy = source.current
                self._check(index, policy)
            except PinError as error:
                first = first or error
            except Exception as error:  # noqa: BLE001  a source of somebody else's
                first = first or PolicyError(f"{_NAME}: {type(error).__name__}: {error}")
            else:
                self._decide(index, policy, first)
                return policy
        return PolicyError(f"{_NAME}: no source has a policy: {first}")

    def _check(self, index: int, policy: Policy) -> None:
        """Raise `PolicyError` if a later source would loosen what an earlier one had put in force."""
        if not isinstance(policy, Policy):
            raise PolicyError(f"{_NAME}: a source answers {type(policy).__name__}, and no policy")
        before = self._policy
        # Those that have decided once, and the ones before them, say what is meant. A later one
        # only stands in for them, also where it was its turn before.
        if before is None or index <= self._earliest or policy is before:
            return
        if (
            self._refused is None
            or self._refused[0] is not before
            or self._refused[1] is not policy
        ):
            looser = loosened(before, policy)
            self._refused = before, policy, joined(looser)
        if self._refused[2]:
            raise PolicyError(
                f"{_NAME}: policy {policy.revision} of a later source would loosen "
                f"policy {before.revision}: {self._refused[2]}"
            )

    def _decide(self, index: int, policy: Policy, error: PinError | None) -> None:
        changed = self._policy is not policy and self._policy != policy
        if index != self._index or changed:
            if self._policy is not None:
                looser = joined(loosened(self._policy, policy))
                logger.warning(
                    "%s: source %d of %d decides, with policy %s%s%s",
                    _NAME,
                    index + 1,
                    len(self._sources),
                    policy.revision,
                    f"; it loosens: {looser}" if looser else "",
                    "" if error is None else f"; an earlier one: {error}",
                )
            self._loaded = time.time()
        first_time = self._policy is None
        self._policy, self._index, self._error = policy, index, error
        self._earliest = min(self._earliest, index)
        self._checked = time.time()
        if changed and not first_time:
            for callback in tuple(self._callbacks.values()):
                try:
                    callback(policy)
                except Exception:
                    logger.exception("a subscriber of %s failed", _NAME)


def _answer(found: Policy | PolicyError | None) -> Policy:
    if isinstance(found, Policy):
        return found
    raise PolicyError(*(found or PolicyError(f"{_NAME}: no source was asked")).args)


def first_of(*sources: PolicySource) -> FirstOf:
    """One source out of several, in order: the first that has a policy decides.

        source = first_of(TUFSource(…, required=False), FileSource("pins.toml"))

    An outage never loosens: where a source stops answering, a later one takes over only if its
    policy lets nothing through that the one in force refused (`pinio.sources.loosened`). If none
    may, `current` raises `PolicyError`, and connections are refused. An earlier source that has a
    policy again takes over at once. Each change of source is logged, and `error` says why an
    earlier one does not decide.

    Raises `PolicyError` if no source is given, if one has no `current`, or if none has a policy.
    """
    if not sources:
        raise PolicyError("first_of takes at least one source")
    for source in sources:
        if not hasattr(type(source), "current") and not hasattr(source, "current"):
            raise PolicyError(f"a source has .current; {type(source).__name__} has not")
    return FirstOf(sources)
