"""What is judged is what is dialled: the host of a URL, by pinio and by the libraries that fetch it."""

# ruff: noqa: RUF001  # letters that look alike are what is tested here

from __future__ import annotations

import http.client
import urllib.parse
from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pinio.core.host import canonical_host
from pinio.core.policy import Policy
from pinio.core.url import split_target, split_url
from pinio.errors import PlaintextRefusedError, PolicyError
from tests.core.chains import A, B

httpx = pytest.importorskip("httpx")
requests = pytest.importorskip("requests")
urllib3 = pytest.importorskip("urllib3")
websockets_uri = pytest.importorskip("websockets.uri")
yarl = pytest.importorskip("yarl")


class Dialled(NamedTuple):
    """Where a library goes with a URL."""

    scheme: str
    host: str
    port: int | None


def _aiohttp(url: str) -> Dialled:
    parsed = yarl.URL(url)
    return Dialled(parsed.scheme, parsed.raw_host, parsed.port)


def _httpx(url: str) -> Dialled:
    parsed = httpx.URL(url)
    return Dialled(parsed.scheme, parsed.raw_host.decode("ascii"), parsed.port)


def _urllib3(url: str) -> Dialled:
    parsed = urllib3.util.parse_url(url)
    return Dialled(parsed.scheme, parsed.host, parsed.port)


def _requests(url: str) -> Dialled:
    # It prepares the URL, and hands the text on to urllib3.
    return _urllib3(requests.Request("GET", url).prepare().url)


def _websockets(url: str) -> Dialled:
    parsed = websockets_uri.parse_uri(url)
    return Dialled("wss" if parsed.secure else "ws", parsed.host, parsed.port)


def _urllib(url: str) -> Dialled:
    # What `urllib.request` makes of it: its own splitting, then that of `http.client`.
    scheme, _, rest = url.partition(":")
    host = urllib.parse._splithost(rest)[0]  # type: ignore[attr-defined]
    host = urllib.parse.unquote(host).rpartition("@")[2]
    secure = scheme.lower() in ("https", "wss")
    connection = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)(host)
    return Dialled(scheme.lower(), connection.host, connection.port)


LIBRARIES: dict[str, Callable[[str], Dialled]] = {
    "aiohttp": _aiohttp,
    "httpx": _httpx,
    "requests": _requests,
    "urllib": _urllib,
    "urllib3": _urllib3,
    "websockets": _websockets,
}
DEFAULT = {"http": 80, "ws": 80, "https": 443, "wss": 443}

each_library = pytest.mark.parametrize("library", LIBRARIES)
# fmt: off
HOSTS = [
    "pinned.test", "evil.test", "PINNED.test.", "bücher.test", "ｐinned.test", "pinned。test", "xn--ls8h.test",
    "[::1]", "::1", "[::1%25lo]", "[::1%lo]", "[::ffff:7f00:1]", "127.0.0.1", "127.1",
]
DELIMITERS = [
    "@", ":", "/", "//", "?", "#", "\\", "[", "]", "%", "%40", "%2f", "%70", "%00", ":443", ":80", ":0", "user", "user:pw",
]
LIKE_DELIMITERS = [
    "；", "／", "＠", "：", "＃", "？", "．", "℀", ";", ",", "&", "=", "!", "*", "'", '"', "|", "^", "<", "~",
    "ſ", "K", "１", "٣", "_", "-", ".", "..", "\t", "\n", " ", "\u00ad", "\u200b",
]
NO_TARGETS = [
    "", ":80", "pinned.test:", "pinned.test[::1]:443", "[::1]pinned.test:443", "[::1]:443:443", "::1",
    "a@b.test:443", "[::1", "::1]", "pinned.test:0", "pinned.test:65536", "pinned.test:٨٠", "pinned.test:4 43",
    "https://pinned.test/", "a/b", "a?b", "a#b", "pin%6eed.test", "a\\b", "a b",
]
# fmt: on
pieces = st.sampled_from(HOSTS) | st.sampled_from(DELIMITERS) | st.sampled_from(LIKE_DELIMITERS)
schemes = st.sampled_from(["http", "https", "ws", "wss", "HTTP", "hTTps", "httpſ", "http+unix", ""])
urls = st.builds(
    lambda scheme, colon, authority, path: scheme + colon + "".join(authority) + path,
    schemes,
    st.sampled_from(["://"] * 8 + [":/", ":", ":///", "//"]),
    st.lists(pieces, min_size=1, max_size=6),
    st.sampled_from(["", "/", "/x@y", "?x@y", "#x@y", "/[::1]", "/x?y#z"]),
)


def _same(library: str, url: str) -> None:
    try:
        scheme, host, port = split_url(url)
        judged = canonical_host(host)
    except PolicyError:
        return
    try:
        dialled = LIBRARIES[library](url)
        other = canonical_host(dialled.host)
    except Exception:  # noqa: BLE001 - each has errors of its own, and dials nothing then
        return
    assert other == judged
    assert dialled.scheme == scheme
    assert (dialled.port or DEFAULT[scheme]) == (port or DEFAULT[scheme])


@each_library
@given(url=urls | st.text(max_size=30).map(lambda text: f"http://{text}"))
@example(url="http://pinned.test[::1]/")
@example(url="http://[::1]pinned.test/")
@example(url="http://pinned.test\\@evil.test/")
@example(url="http://evil.test#@pinned.test/")
@example(url="http://evil.test?@pinned.test/")
@example(url="http://user@evil.test@pinned.test/")
@example(url="http://pinned.test:80@evil.test/")
@example(url="http://pin%6eed.test/")
@example(url="http://pinned。test/")
@example(url="http://[fe80::1%25lo]:80/")
def test_what_is_judged_is_what_is_dialled(library: str, url: str) -> None:
    """Whatever the text: an error of the check, an error of the library, or the same scheme, host and port."""
    _same(library, url)


ODD = {
    "a name before brackets": "http://pinned.test[::1]/",
    "a name behind brackets": "http://[::1]pinned.test/",
    "a dot behind brackets": "http://[::1].pinned.test/",
    "brackets around a name": "http://[pinned.test]/",
    "brackets around IPv4": "http://[127.0.0.1]/",
    "brackets of the future": "http://[v1.pinned]/",
    "two pairs": "http://[::1][::2]/",
    "nested": "http://[[::1]]/",
    "an open bracket": "http://[::1/",
    "a closing bracket": "http://::1]/",
    "brackets in the user": "http://[::1]@pinned.test/",
    "brackets in the port": "http://pinned.test:[80]/",
    "brackets behind the port": "http://pinned.test:80[::1]/",
    "empty brackets": "http://[]/",
    "an address without brackets": "http://::1/",
    "an at sign in the zone": "http://[::1%@evil.test]/",
    "two at signs": "http://a@evil.test@pinned.test/",
    "two ports": "http://pinned.test:80:443/",
    "a port of other digits": "http://pinned.test:٨٠/",
    "a port with a sign": "http://pinned.test:+80/",
    "a port of six digits": "http://pinned.test:000080/",
    "port 0": "http://pinned.test:0/",
    "a backslash": "http://pinned.test\\@evil.test/",
    "a tab": "http://pin\tned.test/",
    "a newline": "http://pinned.test\n.evil.test/",
    "percent signs": "http://pin%6eed.test/",
    "a quoted at sign": "http://pinned.test%40evil.test/",
    "a quoted slash": "http://pinned.test%2fevil.test/",
    "fullwidth slash": "http://pinned.test／evil.test/",
    "fullwidth at sign": "http://pinned.test＠evil.test/",
    "fullwidth colon": "http://pinned.test：80/",
    "fullwidth number sign": "http://evil.test＃pinned.test/",
    "account of": "http://pinned.test℀evil.test/",
    "fullwidth at sign in the user": "http://pinned.test＠x@evil.test/",
    "no slashes": "http:pinned.test/",
    "one slash": "http:/pinned.test/",
    "three slashes": "http:///pinned.test/",
    "a scheme with a long s": "httpſ://pinned.test/",
    "a semicolon": "http://pinned.test;evil.test/",
    "a comma": "http://pinned.test,evil.test/",
    "a space": "http://pinned.test evil.test/",
}


@pytest.mark.parametrize("url", ODD.values(), ids=ODD)
def test_what_two_parsers_may_read_differently_is_refused(url: str) -> None:
    """Also where no host is pinned: nobody knows which one is dialled."""
    for policy in (
        Policy({"pinned.test": [A, B], "::1": [A, B]}, unpinned="allow"),
        Policy({"other.test": [A, B]}, unpinned="allow"),
    ):
        with pytest.raises(PolicyError) as caught:
            policy.check_url(url)
        assert not isinstance(caught.value, PlaintextRefusedError)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pinned.test", ("pinned.test", None)),
        ("pinned.test:8443", ("pinned.test", 8443)),
        ("[::1]:8443", ("[::1]", 8443)),
        ("[fe80::1%eth0]", ("[fe80::1%eth0]", None)),
        ("bücher.test:1", ("bücher.test", 1)),
    ],
)
def test_targets(text: str, expected: tuple[str, int | None]) -> None:
    """What the command takes, and CONNECT."""
    assert split_target(text) == expected


@pytest.mark.parametrize("text", NO_TARGETS)
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        split_target(text)
