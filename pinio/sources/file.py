"""A policy from a file: read once by `load_policy`, or followed by a `FileSource` while the program runs."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import Final, TypeAlias

from pinio.core.policy import Policy
from pinio.errors import PinError, PolicyError
from pinio.sources.diff import loosened
from pinio.sources.reading import absolute, shown
from pinio.sources.snapshot import Files
from pinio.sources.watch import Watch

Callback: TypeAlias = Callable[[Policy], object]

_MOST_LINES: Final = 20  # of what a change loosens, in a message
_MOST_ERRORS: Final = 64  # remembered as logged already

logger = logging.getLogger("pinio")


def load_policy(path: str | os.PathLike[str]) -> Policy:
    """Read a policy file, and the files of anchors that it names, relative to it.

    Raises `PolicyError`, or `PinFormatError` where a pin is wrong; the message names file, table,
    key and value. A file that is missing, not a regular file, or longer than 96 MB is a
    `PolicyError` too.
    """
    return Files(absolute(path), shown(os.fsdecode(path))).policy()


class FileSource:
    """A `PolicySource` that follows a file; reading a property looks at the file.

    It has no task, loop, start or stop. `current`, `revision` and `error` look at the file, links
    resolved, every `interval` seconds at most. A change whose last write is more than `interval`
    seconds ago is taken at once. A younger one is taken when two looks have found it the same, for
    a half-written TOML file often parses, with hosts missing. Whatever is wrong with the file, the
    last good policy stays in force and the logger "pinio" says so, once for each distinct error. A
    change that loosens the policy must carry another `revision`, and is logged with what it
    loosens; `pinio.sources.loosened` says what counts. A change that leaves no host pinned must say
    why in `no_hosts`.

    Args:
        path: the policy file; anchors that it names are followed with it.
        interval: seconds between two looks, and for which a file at rest was not written; more
            than 0.
        max_stale: seconds for which the last good policy outlives the first sign that the file is
            not good. After that, `current` raises `PolicyError`. None: for ever.
        clock: seconds that never run backwards.

    Thread-safe; a look never makes another thread wait. The first read is made here, and raises as
    `load_policy` does.
    """

    __slots__ = (
        "__weakref__", "_callbacks", "_clock", "_due", "_error", "_failing_since", "_interval", "_invalid", "_logged",
        "_looking", "_max_stale", "_name", "_next_look", "_policy", "_watch",
    )  # fmt: skip

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        interval: float = 5.0,
        max_stale: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 0 < interval < math.inf:
            raise PolicyError(f"interval is a number of seconds above 0, not {interval!r}")
        if max_stale is not None and not 0 <= max_stale < math.inf:
            raise PolicyError(f"max_stale is a number of seconds or None, not {max_stale!r}")
        self._name = shown(os.fsdecode(path))
        self._watch = Watch(absolute(path), self._name, interval)
        if isinstance(first := self._watch.seen.outcome, PinError):
            raise first
        self._policy = first
        self._interval = interval
        self._max_stale = max_stale
        self._clock = clock
        self._callbacks: dict[object, Callback] = {}
        self._error: PinError | None = None
        self._invalid = False  # whether the error is in the file; if not, a change is not taken
        self._failing_since = 0.0
        self._logged: set[str] = set()
        self._unlock()
        _unlock_after_fork(weakref.ref(self))
        self._schedule()

    @property
    def current(self) -> Policy:
        """The policy in force.

        Raises `PolicyError` once the file was not good for `max_stale` seconds, and only then.
        """
        if self._clock() < self._due:
            return self._policy
        self._look()
        error, since = self._error, self._failing_since
        if (
            error is not None
            and self._max_stale is not None
            and self._clock() >= since + self._max_stale
        ):
            raise PolicyError(
                f"the last good policy is older than {self._max_stale:g} s: {error}"
            ) from error
        return self._policy

    @property
    def revision(self) -> str | None:
        """The revision of the policy in force."""
        self._look()
        return self._policy.revision

    @property
    def error(self) -> PinError | None:
        """Why the file, as the last look found it, is not in force.

        None if it is, or if a change waits for its second look.
        """
        self._look()
        return self._error

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Have `callback` called with every policy that comes into force; call what is returned to end it.

        It is called in the thread that looked, one change at a time; its exceptions are logged. The
        source holds it until then, and with a bound method the object.
        """
        token = object()
        self._callbacks[token] = callback

        def unsubscribe() -> None:
            self._callbacks.pop(token, None)

        return unsubscribe

    def __repr__(self) -> str:
        return f"<FileSource {self._name} revision={self._policy.revision!r} error={self._error!r}>"

    def _look(self) -> None:
        """Look at the file if it is time to, and nobody does."""
        if self._clock() < self._next_look:
            return
        looking = self._looking
        # Nobody waits: the thread that looks may be reading a long file, and the policy in force
        # holds until it is done.
        if looking.acquire(blocking=False):
            try:
                if self._clock() >= self._next_look:
                    self._update()
            finally:
                looking.release()

    def _update(self) -> None:
        try:
            if (seen := self._watch.look()) is not None:
                self._take(seen.outcome)
        except PinError as error:  # it does not come to rest, whatever is in it
            self._fail(error, invalid=self._invalid)
        except Exception as error:  # noqa: BLE001  whatever it is, the policy in force stays, and somebody is told
            self._fail(PolicyError(f"{self._name}: {type(error).__name__}: {error}"), invalid=True)
        finally:
            self._schedule()

    def _take(self, outcome: Policy | PinError) -> None:
        """Put in force what the files say, if it may be."""
        if isinstance(outcome, PinError):
            self._fail(outcome, invalid=True)
        elif outcome == self._policy:
            self._recover()
        else:
            looser = loosened(self._policy, outcome)
            if why_not := self._objection(outcome, looser):
                self._fail(PolicyError(f"{self._name}: {why_not}"), invalid=False)
            else:
                self._swap(outcome, looser)

    def _objection(self, policy: Policy, looser: list[str]) -> str | None:
        """Why a good policy is not to replace the one in force."""
        if looser and policy.revision in (None, self._policy.revision):
            return (
                f"the change loosens the policy under the same revision ({policy.revision}), and "
                "is not taken; if it is meant, write another revision. "
                f"It would loosen: {_joined(looser)}"
            )
        if self._policy.hosts and not policy.hosts and policy.no_hosts is None:
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
            self._policy.revision,
            f"; it loosens: {_joined(looser)}" if looser else "",
        )
        self._policy = policy
        self._recover()
        for callback in tuple(self._callbacks.values()):
            try:
                callback(policy)
            except Exception:
                logger.exception("a subscriber of %s failed", self._name)

    def _recover(self) -> None:
        if self._error is not None:
            what = (
                "the policy file is good again"
                if self._invalid
                else "the policy in force is the file's again"
            )
            logger.warning("%s: %s", self._name, what)
        self._error, self._invalid = None, False
        self._logged.clear()

    def _fail(self, error: PinError, *, invalid: bool) -> None:
        if self._error is None:
            self._failing_since = self._clock()
        self._invalid = invalid
        self._error = error.with_traceback(None)  # its frames hold the text of the file
        if str(error) not in self._logged:
            if len(self._logged) >= _MOST_ERRORS:
                self._logged.clear()
            self._logged.add(str(error))
            logger.error("policy %s stays in force: %s", self._policy.revision, error)

    def _schedule(self) -> None:
        """Say when `current` has more to do than to return: at the next look, or when the policy gets too old."""
        self._next_look = due = self._clock() + self._interval
        if self._error is not None and self._max_stale is not None:
            due = min(due, self._failing_since + self._max_stale)
        self._due = due

    def _unlock(self) -> None:
        self._looking = threading.Lock()


def _unlock_after_fork(reference: weakref.ref[FileSource]) -> None:
    """A thread that was looking at the moment of a fork is missing in the child, which would never look again."""

    def unlock() -> None:
        source = reference()
        if source is not None:
            source._unlock()  # noqa: SLF001  a part of the class, apart so that the registration does not keep it alive

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=unlock)


def _joined(looser: list[str]) -> str:
    more = len(looser) - _MOST_LINES
    return "; ".join(looser[:_MOST_LINES]) + (f"; and {more} more" if more > 0 else "")
