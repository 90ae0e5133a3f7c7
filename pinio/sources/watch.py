"""When has a file changed, and come to rest?"""

from __future__ import annotations

from typing import Final

from pinio.core.policy import Policy
from pinio.errors import PolicyError
from pinio.sources.snapshot import Snapshot

_MOST_REWRITES: Final = 2  # in a row, of one file in place
_MOST_CHANGES: Final = 10  # in a row, of any kind


class Watch:
    """Looks at the files of a policy when it is told to, and hands over what is at rest.

    One read of a file that is being written is not enough: a TOML file that is half written often
    parses, with hosts missing. So files that were last written more than `interval` seconds ago are
    at rest, and younger ones are once two looks in a row have found the same in them. Not
    thread-safe.
    """

    __slots__ = ("_changes", "_interval", "_path", "_rewrites", "_seen", "_settled", "_where")

    def __init__(self, path: str, where: str, interval: float) -> None:
        self._path = path
        self._where = where
        self._interval = interval
        self._seen = Snapshot.take(path, where)
        self._settled = self._seen.at_rest(interval)
        self._changes = self._rewrites = 0  # since it was settled

    @property
    def seen(self) -> Snapshot:
        """What the last look found."""
        return self._seen

    def look(self) -> Snapshot | None:
        """Look once: the snapshot if it has come to rest by now, and had not before, or else None.

        Raises `PolicyError` if the files were found changed again and again before they had come to
        rest.
        """
        # An error is looked into every time, for its cause may lie outside the files.
        if (
            self._settled
            and isinstance(self._seen.outcome, Policy)
            and self._seen.untouched(self._path)
        ):
            return None
        again = self._seen.again(self._path)
        if again is None:
            before, self._seen = self._seen, Snapshot.take(self._path, self._where)
            self._settled = self._seen.at_rest(self._interval)
            if not self._settled:
                self._count(before)
                return None
        else:
            self._seen = again
            if self._settled:
                return None
            self._settled = True
        self._changes = self._rewrites = 0
        return self._seen

    def _count(self, before: Snapshot) -> None:
        """Complain of a file that never comes to rest.

        Writing in place goes on for a while, and may hang. A file that takes another's place is a
        whole one, most often, and only has to stay for a while.
        """
        self._changes += 1
        self._rewrites += self._seen.rewrites(before)
        if self._rewrites > _MOST_REWRITES or self._changes > _MOST_CHANGES:
            why = "it changes at every look, and is not taken before it rests"
            raise PolicyError(f"{self._where}: {why}")
