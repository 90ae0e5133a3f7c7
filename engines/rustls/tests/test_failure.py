"""What is left of a connection that failed or ended, and that nothing grows without bound."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pinio_rustls import Config, Connection, Session, TLSFailure

from tests.authority import INTERMEDIATE, LEAF, ROOT, VERSIONS, Server, connect, issue

each_version = pytest.mark.parametrize("version", VERSIONS)
CONFIG = Config([ROOT.der])
ME = issue("me", ROOT, ca=False)
WITH_IDENTITY = Config([ROOT.der], identity=([ME.der], ME.key_der))
CHAIN = [LEAF.der, INTERMEDIATE.der, ROOT.der]
BAD_RECORD = b"\x17\x03\x03\x00\x20" + bytes(32)


def records(data: bytes) -> list[tuple[int, int]]:
    """The content type and the length of each record."""
    found = []
    while data:
        length = int.from_bytes(data[3:5], "big")
        found.append((data[0], length))
        data = data[5 + length :]
    return found


def assert_dead(connection: Connection) -> None:
    """Every call fails once what was decrypted before is read, and nothing is to be sent."""
    if connection.readable:
        connection.read(connection.readable)
    for call in (
        lambda: connection.feed(b""),
        lambda: connection.feed(b"x"),
        lambda: connection.read(1),
        lambda: connection.read_into(bytearray(1)),
        lambda: connection.write(b"x"),
        lambda: connection.export(b"label", 8),
        connection.close_notify,
    ):
        with pytest.raises(TLSFailure) as caught:
            call()
        assert caught.value.args[:2] == ("internal", "failed_before")
    assert connection.verified_chain is None
    assert connection.take() == b""
    assert not connection.wants_write
    assert connection.waiting == 0


@each_version
@pytest.mark.parametrize(
    "after",
    [BAD_RECORD, b"\x15\x03\x03\x00\x02\x02\x28", b"\xff" * 40],
    ids=["bad record", "fatal alert", "noise"],
)
def test_a_failure_takes_back_the_last_flight_and_with_it_the_identity(
    version: str, after: bytes
) -> None:
    """The caller has not compared any pin yet: chain and failure come in one read."""
    server = Server(LEAF, INTERMEDIATE, version=version, asks=ROOT)
    connection = Connection(WITH_IDENTITY, "server.test")
    flight = server.answer(connection.take())
    with pytest.raises(TLSFailure):
        connection.feed(flight + after)
    assert connection.take() == b""  # no alert either: it could not be decrypted without the flight
    assert_dead(connection)


@each_version
def test_a_failure_before_the_last_flight_leaves_an_alert(version: str) -> None:
    server = Server(LEAF, INTERMEDIATE, version=version)
    connection = Connection(CONFIG, "other.test")
    with pytest.raises(TLSFailure, match="name"):
        connection.feed(server.answer(connection.take()))
    assert connection.served_chain == [LEAF.der, INTERMEDIATE.der]
    with pytest.raises(ssl.SSLError, match="ALERT"):
        server.answer(connection.take())
    assert_dead(connection)


@each_version
def test_a_failure_after_the_handshake_leaves_an_alert(version: str) -> None:
    server = Server(LEAF, INTERMEDIATE, version=version)
    connection = connect(CONFIG, server)
    with pytest.raises(TLSFailure):
        connection.feed(BAD_RECORD)
    server.incoming.write(connection.take())
    with pytest.raises(ssl.SSLError, match="ALERT"):
        server.tls.read(1)
    assert_dead(connection)


@each_version
def test_what_was_decrypted_before_a_failure_can_be_read(version: str) -> None:
    """Its records were authentic; and nothing else can be read after it."""
    server = Server(LEAF, INTERMEDIATE, version=version)
    connection = connect(CONFIG, server)
    server.tls.write(b"before")
    with pytest.raises(TLSFailure):
        connection.feed(server.outgoing.read() + BAD_RECORD)
    assert connection.readable == 6
    assert connection.read(2) == b"be"
    into = bytearray(10)
    assert connection.read_into(into) == 4
    assert into[:4] == b"fore"
    assert connection.take()  # the alert
    assert_dead(connection)


@each_version
def test_what_was_written_and_not_taken_goes_with_the_failure(version: str) -> None:
    connection = connect(CONFIG, Server(LEAF, INTERMEDIATE, version=version))
    connection.write(b"secret")
    with pytest.raises(TLSFailure):
        connection.feed(BAD_RECORD)
    assert connection.take() == b""


@each_version
def test_what_follows_the_end_is_ignored_and_not_kept(version: str) -> None:
    server = Server(LEAF, INTERMEDIATE, version=version)
    connection = connect(CONFIG, server)
    with pytest.raises(OSError):
        server.tls.unwrap()
    connection.feed(server.outgoing.read() + BAD_RECORD)
    assert connection.peer_closed
    for _ in range(100):
        connection.feed(b"\xff" * 65536)
        assert connection.waiting == 0
    assert connection.read(10) == b""
    connection.write(b"the other half is open")
    server.incoming.write(connection.take())


@each_version
def test_the_end_is_said_once_and_nothing_is_written_after_it(version: str) -> None:
    server = Server(LEAF, INTERMEDIATE, version=version)
    connection = connect(CONFIG, server)
    connection.close_notify()
    connection.close_notify()
    assert len(records(connection.take())) == 1
    connection.close_notify()
    assert connection.take() == b""
    with pytest.raises(TLSFailure, match="close_notify") as caught:
        connection.write(b"x")
    assert caught.value.args[:2] == ("internal", "not_now")
    server.tls.write(b"still heard")
    connection.feed(server.outgoing.read())
    assert connection.read(100) == b"still heard"


@each_version
def test_no_keys_are_exported_before_the_handshake_is_done(version: str) -> None:
    server = Server(LEAF, INTERMEDIATE, version=version)
    connection = Connection(CONFIG, "server.test")
    with pytest.raises(TLSFailure, match="not done"):
        connection.export(b"EXPORTER-Channel-Binding", 32)
    connection = connect(CONFIG, server)
    material = connection.export(b"EXPORTER-Channel-Binding", 32)
    assert len(material) == 32
    assert material != connection.export(b"EXPORTER-Channel-Binding", 32, b"context")
    assert material != connect(CONFIG, server).export(b"EXPORTER-Channel-Binding", 32)
    for label, size, context in [
        (b"", 32, None),
        (b"x" * 250, 32, None),
        (b"x", 0, None),
        (b"x", 1 << 40, None),
        (b"x", 32, b"x" * 65536),
    ]:
        with pytest.raises(ValueError):
            connection.export(label, size, context)
    assert len(connection.export(b"x" * 249, 32, b"x" * 65535)) == 32


@each_version
def test_more_than_exists_may_be_asked_for(version: str) -> None:
    server = Server(LEAF, INTERMEDIATE, version=version)
    connection = connect(CONFIG, server)
    server.tls.write(b"little")
    connection.feed(server.outgoing.read())
    assert connection.read(1 << 62) == b"little"


@each_version
def test_a_caller_that_never_reads_is_told_to(version: str) -> None:
    server = Server(LEAF, INTERMEDIATE, version=version)
    connection = connect(CONFIG, server)
    sent, refused = 0, b""
    while not refused:
        server.tls.write(b"x" * 60_000)
        data = server.outgoing.read()
        before = connection.waiting
        try:
            connection.feed(data)
            sent += 60_000
        except BufferError:
            assert connection.waiting == before
            refused = data
        assert connection.waiting < 1_200_000
    assert len(connection.read(1 << 62)) == sent
    connection.feed(refused)
    assert connection.read(1 << 62) == b"x" * 60_000


@each_version
def test_sessions_stay_with_their_name_and_identity(version: str) -> None:
    server = Server(LEAF, INTERMEDIATE, version=version)

    def session() -> Session | None:
        connection = connect(CONFIG, server)
        connection.feed(server.say(b"x"))
        return connection.take_session()

    kept = session()
    other = issue("leaf", INTERMEDIATE, ca=False, names=("other.test",))
    # The server would resume it, and no name would be verified.
    with pytest.raises(TLSFailure, match="name"):
        connect(CONFIG, server, "other.test", kept)
    elsewhere = Server(other, INTERMEDIATE, version=version)
    assert not connect(CONFIG, elsewhere, "other.test", kept).resumed
    assert connect(CONFIG, server, session=kept).resumed
    assert not connect(WITH_IDENTITY, server, session=session()).resumed
    assert not connect(Config(None), server, session=session()).resumed


def test_one_ticket_is_offered_once_by_any_number_of_threads() -> None:
    server = Server(LEAF, INTERMEDIATE)
    first = connect(CONFIG, server)
    first.feed(server.say(b"x"))
    session = first.take_session()
    with ThreadPoolExecutor(16) as pool:
        hellos = list(
            pool.map(lambda _: Connection(CONFIG, "server.test", session).take(), range(64))
        )
    plain = len(Connection(CONFIG, "server.test").take())
    assert sum(len(hello) > plain for hello in hellos) == 1
    assert session is not None
    assert session.used


def test_threads_share_a_configuration_and_never_each_others_findings() -> None:
    leaves = [issue(f"leaf {n}", INTERMEDIATE, ca=False, names=("server.test",)) for n in range(8)]
    config = Config([ROOT.der])

    def work(number: int) -> None:
        leaf = leaves[number % len(leaves)]
        server = Server(leaf, INTERMEDIATE, version=("1.2", "1.3")[number % 2])
        for turn in range(20):
            if turn % 3 == 2:
                with pytest.raises(TLSFailure):
                    connect(config, server, "other.test")
            else:
                assert connect(config, server).verified_chain == [leaf.der, *CHAIN[1:]]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(16)))
    assert config.remembered_paths == len(leaves)


STATES = ("hello", "flight", "last flight", "open", "full", "closed", "failed")


def at_state(state: str, version: str) -> tuple[Connection, bytes]:
    """A connection there, and what the server would say next."""
    server = Server(LEAF, INTERMEDIATE, version=version, asks=ROOT)
    connection = Connection(WITH_IDENTITY, "server.test")
    if state == "hello":
        return connection, server.answer(connection.take())
    flight = server.answer(connection.take())
    if state == "flight":
        connection.feed(flight[:700])
        return connection, flight[700:]
    if state == "last flight":
        connection.feed(flight)
        return connection, BAD_RECORD
    connection = connect(WITH_IDENTITY, server)
    server.tls.write(b"genuine")
    said = server.outgoing.read()
    if state == "full":
        server.tls.write(b"x" * 100_000)
        connection.feed(said + server.outgoing.read())
        server.tls.write(b"genuine")
        said = server.outgoing.read()
    elif state == "closed":
        with pytest.raises(OSError):
            server.tls.unwrap()
        connection.feed(said + server.outgoing.read())
    elif state == "failed":
        with pytest.raises(TLSFailure):
            connection.feed(BAD_RECORD)
    return connection, said


@st.composite
def feedings(draw: st.DrawFn) -> list[tuple[str, bytes, int]]:
    """Noise, records of noise, and places to change in what is genuine."""
    kind = st.sampled_from([20, 21, 22, 23, 24, 0, 255])
    body = st.one_of(st.binary(max_size=80), st.integers(0, 17_000).map(bytes))
    record = st.builds(lambda k, b: bytes([k, 3, 3]) + len(b).to_bytes(2, "big") + b, kind, body)
    item = st.tuples(
        st.sampled_from(["feed", "genuine", "changed", "read", "write", "take", "close", "export"]),
        st.one_of(st.binary(max_size=200), record),
        st.integers(0, 5000),
    )
    return draw(st.lists(item, max_size=12))


def act(connection: Connection, step: str, data: bytes, at: int, genuine: bytes) -> None:
    """Do one thing of those that a caller can do."""
    changed = bytearray(genuine)
    changed[at % len(changed)] ^= 1 + len(data) % 255
    acts: dict[str, Callable[[], object]] = {
        "feed": lambda: connection.feed(data),
        "genuine": lambda: connection.feed(genuine),
        "changed": lambda: connection.feed(changed),
        "read": lambda: connection.read(at),
        "write": lambda: connection.write(data),
        "take": connection.take,
        "close": connection.close_notify,
        "export": lambda: connection.export(b"label", 1 + at, data),
    }
    acts[step]()


@each_version
@pytest.mark.parametrize("state", STATES)
@settings(deadline=None, max_examples=60)
@given(steps=feedings())
def test_any_bytes_at_any_state_end_in_a_failure_at_most(
    version: str, state: str, steps: list[tuple[str, bytes, int]]
) -> None:
    """A panic would be a `BaseException`, and is none of what is caught here."""
    connection, genuine = at_state(state, version)
    dead, reasons = state == "failed", set()
    for step, data, at in steps:
        left = connection.readable
        try:
            act(connection, step, data, at, genuine)
            assert not dead or step == "take" or (step == "read" and left)
        except TLSFailure as failed:
            reasons.add(failed.args[1])
            dead = dead or failed.args[1] != "not_now"
        assert connection.waiting < 1 << 18
        assert connection.verified_chain in ((None,) if dead else (None, CHAIN))
    assert "panic" not in reasons
    if dead:
        assert len(records(connection.take())) <= 1
        assert_dead(connection)
