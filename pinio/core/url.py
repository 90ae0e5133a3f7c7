"""The host of a URL, as every HTTP library finds it, or an error.

The check and the library read the same text with two parsers, and where they differ, the library
dials a host that was not judged: `urlsplit` of Python 3.11 reads `http://pinned.test[::1]/` as
`::1`. So only what RFC 3986 calls an authority is read here, and nothing is repaired, decoded or
left out.
"""

from __future__ import annotations

import re
from typing import Final

from pinio.errors import PolicyError

PLAINTEXT: Final = frozenset({"http", "ws"})
TLS: Final = frozenset({"https", "wss"})

# RFC 3986 section 3.2. A registered name may be a U-label, and is looked at elsewhere; percent
# signs in it are decoded by some libraries and not by others. What `[` and `]` hold is an IPv6
# address with or without a zone (RFC 6874), and nothing stands before or behind them.
_HOST_AND_PORT: Final = r"""
    (?P<host> \[ [0-9A-Fa-f:.]+ (?: % [A-Za-z0-9._~%-]+ )? \] | [^\s\[\]@:/?\#%\\]+ )
    (?: : (?P<port> [0-9]{0,5} ) )?
"""
_USER: Final = r"(?: [A-Za-z0-9._~!$&'()*+,;=:%-]* @ )?"
# ASCII: without it, `s` stands for two more letters where case is ignored.
_FLAGS: Final = re.ASCII | re.VERBOSE
_URL = re.compile(
    rf"(?P<scheme> [A-Za-z]+ ) :// {_USER} {_HOST_AND_PORT} (?: [/?\#] .* )?", _FLAGS | re.DOTALL
)
_TARGET = re.compile(_HOST_AND_PORT, _FLAGS)


def split_url(url: str) -> tuple[str, str, int | None]:
    """Scheme in small letters, host and port of an absolute `http`, `https`, `ws` or `wss` URL.

    Raises `PolicyError`, which never quotes the URL: a password may stand in it.
    """
    # White space, control characters and backslashes are no part of a URL (RFC 3986 appendix A).
    # Parsers skip them, or take a backslash for a slash.
    if not isinstance(url, str) or not url.isprintable() or " " in url or "\\" in url:
        raise PolicyError(
            "a URL to check is text, without white space, control characters and backslashes in it"
        )
    scheme = url.partition("://")[0].lower()
    if scheme not in PLAINTEXT | TLS:
        raise PolicyError("a URL to check is an absolute http, https, ws or wss URL")
    match = _URL.fullmatch(url)
    if match is None:
        raise PolicyError(
            "a URL to check has one host and perhaps a port behind its scheme; "
            "brackets stand around an IPv6 address alone"
        )
    return scheme, match["host"], _port(match["port"])


def split_target(text: str) -> tuple[str, int | None]:
    """Host and port of `HOST`, `HOST:PORT` or `[IPV6]:PORT`. Raises `PolicyError`."""
    match = _TARGET.fullmatch(text)
    if match is None or match["port"] == "":
        raise PolicyError("write HOST, HOST:PORT or [IPV6]:PORT")
    return match["host"], _port(match["port"])


def _port(text: str | None) -> int | None:
    if not text:
        return None
    if not 0 < int(text) < 65536:
        raise PolicyError("a port is a number from 1 to 65535")
    return int(text)
