"""When has a file changed, and come to rest?"""

from __future__ import annotations

from pinio.core.policy import Policy
from pinio.errors import PolicyError
from pinio.sources.snapshot import Snapshot


class Watch:
    """Looks at the files of a policy when it is told to, and hands over what two looks in a row found the same.

    One read is not enough: a TOML file that is half written often parses, with hosts missing. Not thread-safe.
    """

    __slots__ = ("_changes", "_path", "_seen", "_settled", "_where")

    def __init__(self, path: str, where: str) -> None:
        self._path = path
        self._where = where
        self._seen = Snapshot.take(path, where)
        self._settled = False  # until a second look has found the same
        self._changes = 0  # since it was settled

    @property
    def seen(self) -> Snapshot:
        """What the last look found."""
        return self._seen

    def look(self) -> Snapshot | None:
        """Look once: the snapshot if this is the second look that found it, or else None.

        Raises `PolicyError` if the files were found changed again before they had come to rest.
        """
        # An error is looked into every time, for its cause may lie outside the files.
        if self._settled and isinstance(self._seen.outcome, Policy) and self._seen.untouched(self._path):
            return None
        again = self._seen.again(self._path)
        if again is None:
            self._seen, self._settled = Snapshot.take(self._path, self._where), False
            self._changes += 1
            if self._changes > 1:
                raise PolicyError(
                    f"{self._where}: it changes at every look, and is not taken before it rests"
                )
            return None
        self._seen = again
        if self._settled:
            return None
        self._settled, self._changes = True, 0
        return again
