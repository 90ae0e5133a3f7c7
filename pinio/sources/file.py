"""A policy from a file: read once by `load_policy`, or followed by a `FileSource` while the program runs."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable

from pinio.core.policy import Policy
from pinio.errors import PinError, PolicyError
from pinio.sources.forks import unlock_after_fork
from pinio.sources.health import MONTH, Health
from pinio.sources.in_force import Callback, InForce
from pinio.sources.reading import absolute, shown
from pinio.sources.snapshot import Files
from pinio.sources.watch import Watch


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
        "__weakref__", "_clock", "_due", "_in_force", "_interval", "_looking", "_max_stale", "_name",
        "_next_look", "_watch",
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
        self._in_force = InForce(first, self._name, what="file", clock=clock)
        self._interval = interval
        self._max_stale = max_stale
        self._clock = clock
        self._unlock()
        unlock_after_fork(self)
        self._schedule()

    @property
    def current(self) -> Policy:
        """The policy in force.

        Raises `PolicyError` once the file was not good for `max_stale` seconds, and only then.
        """
        if self._clock() < self._due:
            return self._in_force.policy
        self._look()
        error, stale_at = self._in_force.error, self._stale_at()
        if error is not None and stale_at is not None and self._clock() >= stale_at:
            raise PolicyError(
                f"the last good policy is older than {self._max_stale:g} s: {error}"
            ) from error
        return self._in_force.policy

    @property
    def revision(self) -> str | None:
        """The revision of the policy in force."""
        self._look()
        return self._in_force.policy.revision

    @property
    def error(self) -> PinError | None:
        """Why the file, as the last look found it, is not in force.

        None if it is, or if a change waits for its second look.
        """
        self._look()
        return self._in_force.error

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Have `callback` called with every policy that comes into force; call what is returned to end it.

        It is called in the thread that looked, one change at a time; its exceptions are logged. The
        source holds it until then, and with a bound method the object.
        """
        return self._in_force.subscribe(callback)

    def health(self, within: float = MONTH) -> Health:
        """How the source fares: see `Health`.

        Looks at the file as a property does, and never raises for what it finds.

        Args:
            within: seconds before their expiry from which pins count as about to expire.
        """
        self._look()
        stale_at = self._stale_at()
        wall = None if stale_at is None else time.time() + stale_at - self._clock()
        return self._in_force.health(within, wall)

    def __repr__(self) -> str:
        force = self._in_force
        return f"<FileSource {self._name} revision={force.policy.revision!r} error={force.error!r}>"

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
        force = self._in_force
        try:
            if (seen := self._watch.look()) is not None:
                force.take(seen.outcome)
            elif force.error is None:
                force.checked = time.time()
        except PinError as error:  # it does not come to rest, whatever is in it
            force.fail(error, invalid=force.invalid)
        except Exception as error:  # noqa: BLE001  whatever it is, the policy in force stays, and somebody is told
            force.fail(PolicyError(f"{self._name}: {type(error).__name__}: {error}"), invalid=True)
        finally:
            self._schedule()

    def _schedule(self) -> None:
        """Say when `current` has more to do than to return: at the next look, or when the policy gets too old."""
        self._next_look = due = self._clock() + self._interval
        stale_at = self._stale_at()
        self._due = due if stale_at is None else min(due, stale_at)

    def _stale_at(self) -> float | None:
        """When the policy gets too old, by the clock; None if it does not."""
        if self._in_force.error is None or self._max_stale is None:
            return None
        return self._in_force.failing_since + self._max_stale

    def _unlock(self) -> None:
        self._looking = threading.Lock()
