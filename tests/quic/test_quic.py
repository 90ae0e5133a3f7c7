"""Libraries that leave TCP for QUIC, which has a TLS engine of its own: nothing leaves a pinned context that way.

Looked at from the other side: how many bytes arrive at a UDP port, and how many requests at which
server.
"""

from __future__ import annotations

import importlib.util
import ssl
from pathlib import Path
from typing import Any

import pytest

from pinio.core.policy import Policy
from pinio.errors import PolicyError, find_pin_error
from pinio.testing import ConnectProxy, Server, http
from pinio.tls.handshake.sessions import SessionCache
from tests.conftest import LOOPS
from tests.interop.peers import SocksProxy
from tests.quic.clients import ASKED, ROWS, SECRET, Row
from tests.quic.scene import POLICY, outcome
from tests.quic.table import committed, observed
from tests.tls.cast import GENUINE, ROOT, Told

MISSING = [
    name for name in ("niquests", "qh3", "urllib3_future") if importlib.util.find_spec(name) is None
]

needs_its_own_environment = pytest.mark.skipif(
    bool(MISSING),
    reason="urllib3-future takes the place of urllib3, so these tests have an environment of their own, "
    "which .ci/run makes: pip install --group quic",
)
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

each_row = pytest.mark.parametrize(
    ("entry", "loop"),
    [
        pytest.param(entry, loop, id=f"{entry.name} [{loop}]" if loop else entry.name)
        for entry in ROWS
        for loop in (LOOPS if entry.on_a_loop else (None,))
    ],
)


def stock() -> ssl.SSLContext:
    return ROOT.client_context()


@needs_its_own_environment
@pytest.mark.parametrize(
    ("entry", "loop"),
    [
        (entry, "asyncio" if entry.on_a_loop else None)
        for entry in ROWS
        if "and `ca" in entry.library
    ],
    ids=lambda value: value.name if isinstance(value, Row) else "",
)
def test_without_pins_a_man_in_the_middle_reads_along(
    entry: Row, loop: str | None, tmp_path: Path
) -> None:
    """So that the others tell something: he is there, and trusted."""
    seen = outcome(entry, tmp_path, LOOPS[loop] if loop else None, context=stock())
    if entry.http3 == "on":
        assert seen.quic_requests and seen.answered < ASKED
        assert seen.quic_requests[0][b"authorization"] == SECRET.encode()
    else:
        assert seen.quic_bytes == 0


@needs_its_own_environment
@each_row
@pytest.mark.parametrize("known", [False, True], ids=["offered by the server", "known beforehand"])
def test_P5_nothing_leaves_for_quic(
    entry: Row, loop: str | None, known: bool, tls_version: ssl.TLSVersion, tmp_path: Path
) -> None:
    seen = outcome(
        entry, tmp_path, LOOPS[loop] if loop else None, known=known, tls_version=tls_version
    )
    assert seen.quic_bytes == 0
    assert set(seen.decisions) <= {"Permit"}
    if entry.http3 == "off":
        if seen.error is not None:
            raise seen.error
        assert seen.answered == ASKED
    else:
        assert isinstance(find_pin_error(seen.error), PolicyError)
        assert "QUIC" in str(find_pin_error(seen.error))
        assert seen.answered < ASKED
    if not known:
        assert observed(entry, [seen]) == committed()[entry.name]


@needs_its_own_environment
@each_row
def test_P1_nor_does_a_man_in_the_middle_of_tcp_get_anything(
    entry: Row, loop: str | None, tls_version: ssl.TLSVersion, tmp_path: Path
) -> None:
    seen = outcome(
        entry, tmp_path, LOOPS[loop] if loop else None, between=True, tls_version=tls_version
    )
    assert seen.error is not None
    assert seen.answered == 0 and seen.quic_bytes == 0
    assert "Permit" not in seen.decisions


@needs_its_own_environment
@pytest.mark.parametrize("kind", ["http", "socks5h", "https"])
def test_a_pinned_session_has_proxies_or_says_that_it_has_none(kind: str) -> None:
    """urllib3-future asks the context of an HTTPS proxy for its CAs, whatever it is told."""
    from pinio.requests import PinnedSession

    both = Policy({"localhost": POLICY.hosts["localhost"], "127.0.0.1": POLICY.hosts["localhost"]})
    with (
        Server(GENUINE, handler=http()) as server,
        ConnectProxy(GENUINE if kind == "https" else None, interceptor=server) as proxy,
        SocksProxy(lambda: server.address) as socks,
        PinnedSession(both, observer=Told(), resumption=SessionCache()) as session,
    ):
        session.trust_env = False
        url = f"https://localhost:{server.port}/"
        port = socks.port if kind == "socks5h" else proxy.port
        proxies = {"https": f"{kind}://127.0.0.1:{port}"}
        if kind == "https":
            with pytest.raises(PolicyError, match="QUIC"):
                session.get(url, proxies=proxies)
            proxy.wait_quiet()
            assert not proxy.application_bytes
        else:
            assert session.get(url, proxies=proxies).content == b"ok"


@needs_its_own_environment
def test_a_pool_of_a_pinned_adapter_stays_on_tcp_whatever_it_is_told() -> None:
    from pinio.requests import PinnedAdapter

    adapter = PinnedAdapter(POLICY)
    adapter.init_poolmanager(1, 1, disabled_svn=set())
    pool: Any = adapter.poolmanager.connection_from_host("localhost", 443, "https")
    assert [version.name for version in pool.conn_kw["disabled_svn"]] == ["h3"]
    with pytest.raises(PolicyError, match="ssl_backend"):
        adapter.init_poolmanager(1, 1, ssl_backend="rtls")
    adapter.close()


def test_the_table_in_the_documentation_has_these_rows() -> None:
    assert list(committed()) == [entry.name for entry in ROWS], (
        "python -m tests.quic.table writes it anew"
    )
