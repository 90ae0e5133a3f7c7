"""How python-tuf gets its files: by connections of pinio's own, within one deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any, Final, cast
from urllib.parse import quote, urlsplit

from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    SlowRetrievalError,
)
from tuf.ngclient import FetcherInterface

from pinio.exchange import Place, TooLongError, exchange
from pinio.typing import PolicyLike

_LONGEST: Final = 300  # characters of an error
_SAFE: Final = (
    "/%:@!$&'()*+,;=~"  # of a path (RFC 3986 section 3.3); python-tuf quotes names of roles alone
)


class Fetcher(FetcherInterface):
    """Fetches what is below one URL, in the thread that asks; no redirect is followed.

    Args:
        place: the host that everything is fetched from.
        policy: what decides about its connections; None for plaintext alone.
        timeout: seconds for all that is fetched, together.
    """

    def __init__(self, place: Place, policy: PolicyLike | None, timeout: float) -> None:
        self._place, self._policy, self._timeout = place, policy, timeout
        self._deadline = time.monotonic() + timeout
        self._most = 0

    def download_file(self, url: str, max_length: int) -> Any:
        """Fetch a file of at most `max_length` bytes."""
        self._most = max_length
        return cast("Any", super()).download_file(url, max_length)

    def _fetch(self, url: str) -> Iterator[bytes]:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._too_slow()
        path = quote(urlsplit(url).path, safe=_SAFE)
        ask = exchange(self._place, path, policy=self._policy, most=self._most, timeout=left)
        try:
            answer = asyncio.run(ask)
        except TimeoutError:
            raise self._too_slow() from None
        except TooLongError as error:
            raise DownloadLengthMismatchError(f"{path}: {error}") from None
        except OSError as error:
            line = next(iter(str(error).splitlines()), "")[:_LONGEST]
            raise DownloadError(f"{path}: {type(error).__name__}: {line}") from error
        if answer.status != 200:
            raise DownloadHTTPError(f"{path}: HTTP status {answer.status}", answer.status)
        yield answer.body

    def _too_slow(self) -> SlowRetrievalError:
        return SlowRetrievalError(f"the repository took longer than {self._timeout:g} s")
