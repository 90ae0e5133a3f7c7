"""`TUFSource`: a policy that its signers vouch for, wherever it comes from."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from pinio.core.anchors import Anchors
from pinio.core.policy import Policy
from pinio.errors import PinError, PinFormatError, PolicyError
from pinio.exchange import Place, by_ca_alone
from pinio.private import PrivateFolder
from pinio.sources.polled import PolledSource
from pinio.sources.reading import read
from pinio.tuf.fetcher import Fetcher
from pinio.tuf.state import MAX_STATE, Good, State, prove
from pinio.tuf.update import Outcome, read_policy, update
from pinio.typing import PolicyLike

MAX_ROOT = 512_000
"""Longest root metadata, in bytes: python-tuf's own limit."""

_STATE: Final = "state.json"

logger = logging.getLogger("pinio")


class TUFSource(PolledSource):
    """A `PolicySource` that follows a TUF repository at jittered intervals, in a thread of its own.

    The policy is a target of the repository, and counts if the root that ships with the program
    leads to its signature: by a threshold of keys, not older than what was seen before, not past
    its date, and of one state of the repository. python-tuf decides that. Whatever is wrong, the
    last good policy stays in force and the logger "pinio" says so, once for each distinct error.
    Where the files come from is not trusted, and no redirect is followed.

    Args:
        url: the repository; below it are "metadata/" and "targets/".
        root: root metadata that ships with the program: a path, or its bytes.
        policy: what decides about the connections to the update host, a policy that ships with the
            program. What is fetched never does.
        anchors: instead of `policy`, the CAs for an update host without pins.
        plaintext: instead of both, why an "http" URL is meant, in words. The signatures hold as
            well; who is in between sees what is fetched, and can withhold it until it expires.
        cache: a folder for this program's user alone, made if it is missing, in which the last good
            state is kept. A later process starts with it, offline too. None: every start needs the
            repository.
        target: the policy's name in the repository.
        interval: seconds between two refreshes, give or take a fifth.
        timeout: seconds that one refresh may take.
        max_stale: seconds for which the last good policy outlives the expiry of its signatures.
            After that, `current` raises `PolicyError`. None: for ever, with an error in the log.
        required: whether a policy must be there at first; if False, `current` raises `PolicyError`
            until one is.
        clock: seconds that never run backwards.
        wall: POSIX seconds, for what expires.

    A policy that loosens the one in force must carry another `revision`, and one that leaves no
    host pinned must say why, as with `FileSource`.

    Raises `PolicyError` or `PinFormatError` if an argument makes no sense, if the folder could have
    been written by another user, or if there is no policy. Where none is kept yet the constructor
    waits for the repository, and refuses to where an event loop runs: `await TUFSource.open(…)`
    there.
    """

    def __init__(
        self,
        url: str,
        *,
        root: bytes | str | os.PathLike[str],
        policy: PolicyLike | None = None,
        anchors: Anchors | None = None,
        plaintext: str | None = None,
        cache: str | os.PathLike[str] | None = None,
        target: str = "policy.toml",
        interval: float = 300.0,
        timeout: float = 30.0,
        max_stale: float | None = None,
        required: bool = True,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        if not 0 < timeout < 3600:
            raise PolicyError(f"timeout is a number of seconds from 0 to 3600, not {timeout!r}")
        self._transport = _transport(policy, anchors, plaintext)
        self._place = Place.of(url, plaintext=plaintext is not None)
        self._url, self._target, self._timeout = url.rstrip("/"), target, timeout
        self._bootstrap = root if isinstance(root, bytes) else read(os.fspath(root), MAX_ROOT)[0]
        _check_root(self._bootstrap)
        self._folder = None if cache is None else PrivateFolder(cache)
        self._state = State()
        self._candidate: Good | None = None
        self._wall = wall
        self._expires = wall()
        self._deadline = clock()
        super().__init__(
            self._url,
            "repository",
            interval=interval,
            max_stale=max_stale,
            required=required,
            clock=clock,
        )

    @property
    def expires(self) -> datetime:
        """When the signatures of the policy in force expire; the repository renews them before."""
        return datetime.fromtimestamp(self._expires, UTC)

    def _stored(self) -> Policy | None:
        """The last good policy of an earlier process, if its proof holds."""
        if self._folder is None or (text := self._folder.read(_STATE, MAX_STATE)) is None:
            return None
        try:
            state = State.load(text).since(self._bootstrap)
            if state.good is None:
                self._state = state  # python-tuf verifies it, and refuses what is older
                return None
            proven = prove(self._bootstrap, state.roots, state.good)
            policy = read_policy(self._target, proven.files)
        except (PolicyError, PinFormatError) as error:
            logger.error("%s: what was kept is not used: %s", self._folder, error)  # noqa: TRY400  its frames hold it
            return None
        self._state = state
        self._until(proven.expires)
        return policy

    def _load(self) -> Policy:
        fetcher = Fetcher(self._place, self._transport, self._timeout)
        found = update(self._bootstrap, self._state, self._url, self._target, fetcher)
        self._state = found.state
        if found.policy is None:
            self._save()
            raise found.error or PolicyError(f"{self._url}: no policy")
        return self._proven(found, found.policy)

    def _proven(self, found: Outcome, policy: Policy) -> Policy:
        """The policy, if what would be kept of it proves it too."""
        assert found.good is not None  # noqa: S101  stands beside every policy
        prove(self._bootstrap, found.state.roots, found.good)
        self._candidate = found.good
        return policy

    def _taken(self, policy: Policy) -> None:
        if (good := self._candidate) is not None:
            self._state = replace(self._state, good=good)
            self._until(prove(self._bootstrap, self._state.roots, good).expires)
            self._save()

    def _fail(self, error: PinError) -> None:
        if self._force is not None and self._wall() >= self._expires:
            date = f"{self.expires:%Y-%m-%dT%H:%M:%SZ}"
            text = (
                f"{error}; what was signed last expired on {date}: newer policies may be withheld"
            )
            error = PolicyError(text)
        super()._fail(error)

    def _until(self, expires: datetime) -> None:
        """Remember by both clocks when the signatures expire: one that is put back gains no time."""
        self._expires = expires.timestamp()
        self._deadline = self._clock() + self._expires - self._wall()

    def _stale_at(self) -> float | None:
        if self._max_stale is None:
            return None
        by_the_wall = self._clock() + self._expires - self._wall()
        return min(self._deadline, by_the_wall) + self._max_stale

    def _save(self) -> None:
        """Keep the state, unless what is kept is newer. A disk that is full is logged, and no reason to stop."""
        if self._folder is None:
            return
        try:
            with self._folder.alone() as alone:
                # Where another process is at it, what that one writes is about as new.
                if alone and not self._newer(self._folder.read(_STATE, MAX_STATE)):
                    self._folder.write(_STATE, self._state.dump())
        except (OSError, PolicyError) as error:
            logger.error("%s: the state is not kept: %s", self._folder, error)  # noqa: TRY400  nothing more to say

    def _newer(self, text: bytes | None) -> bool:
        """Whether a kept state is newer than this one, or the same."""
        if text is None:
            return False
        try:
            kept = State.load(text).since(self._bootstrap)
            if kept.good is not None:
                prove(self._bootstrap, kept.roots, kept.good)
            versions = kept.versions(self._bootstrap)
        except Exception:  # noqa: BLE001  whatever stands there is of no use
            return False
        mine = self._state.versions(self._bootstrap)
        return versions > mine or (versions == mine and kept == self._state)


def _transport(
    policy: PolicyLike | None, anchors: Anchors | None, plaintext: str | None
) -> PolicyLike | None:
    """What decides about connections to the update host. Raises `PolicyError` unless one way is named."""
    if sum(way is not None for way in (policy, anchors, plaintext)) != 1:
        raise PolicyError(
            "say how the update host is reached, by one of: policy= (pins), "
            'anchors= (its CA alone), plaintext="why"'
        )
    if anchors is not None:
        return by_ca_alone(anchors, "the update host")
    if plaintext is not None and not plaintext.strip():
        raise PolicyError("plaintext is the reason why no TLS is meant, in words")
    return policy


def _check_root(root: bytes) -> None:
    try:
        State().versions(root)
    except Exception as error:  # noqa: BLE001  tuf raises many kinds
        raise PolicyError(
            f"root is no TUF root metadata: {type(error).__name__}: {error}"
        ) from None
