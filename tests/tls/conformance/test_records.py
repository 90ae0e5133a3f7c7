"""Records of every shape: tiny, empty, full, too large, padded, torn, broken; and keys that change in mid-stream."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from pinio.testing import DripRelay
from pinio.testing.stream import CHUNK
from pinio.tls.connection import protocol
from pinio.tls.connection.transport import PinnedTransport
from tests.tls.cast import GENUINE
from tests.tls.conformance.diary import BufferedDiary, Diary
from tests.tls.conformance.forge import ALERT, HANDSHAKE, Forge, Forge13
from tests.tls.conformance.puppet import Puppet, close, to_the_end, turns

RECORD = 16384


class Story:
    """A connection whose server sends what a forge seals."""

    def __init__(
        self, puppet: Puppet, forge: Forge, transport: PinnedTransport, app: Diary
    ) -> None:
        self.puppet, self.forge, self.transport, self.app = puppet, forge, transport, app

    async def sends(self, *records: bytes) -> None:
        """All of them in one piece."""
        await self.puppet.does(lambda connection: connection.socket.sendall(b"".join(records)))

    async def converses(self) -> None:
        """Both directions still work."""
        heard = len(self.app.data)
        await self.sends(self.forge.seal(b"still here"))
        assert (await self.app.received(heard + 10))[heard:] == b"still here"
        self.transport.write(b"here, too")
        assert await self.puppet.hears(9) == b"here, too"


@asynccontextmanager
async def forged(
    tmp_path: Path, tls_version: ssl.TLSVersion, factory: Callable[[], Diary] = Diary
) -> AsyncIterator[Story]:
    context = GENUINE.server_context(tls_version=tls_version, tickets=False)
    context.keylog_filename = str(tmp_path / "secrets")
    async with Puppet(identity=context) as puppet, DripRelay(puppet.server, step=CHUNK) as relay:
        transport, app = await puppet.connect(factory, port=relay.port)
        forge = Forge.of(tls_version, tmp_path / "secrets", bytes(relay.connections[0].replies))
        try:
            yield Story(puppet, forge, transport, app)
        finally:
            transport.abort()
            await app.lost()


kinds = pytest.mark.parametrize(
    "factory",
    [Diary, BufferedDiary, lambda: BufferedDiary(10)],
    ids=["copied", "buffered", "of 10"],
)


@kinds
async def test_records_of_one_byte(
    tmp_path: Path, tls_version: ssl.TLSVersion, factory: Callable[[], Diary]
) -> None:
    async with forged(tmp_path, tls_version, factory) as story:
        data = bytes(range(256)) * 4
        await story.sends(*(story.forge.seal(bytes([byte])) for byte in data))
        assert await story.app.received(1024) == data
        await story.converses()


@kinds
async def test_empty_records_are_nothing(
    tmp_path: Path, tls_version: ssl.TLSVersion, factory: Callable[[], Diary]
) -> None:
    """Neither an end, nor data that is empty."""
    async with forged(tmp_path, tls_version, factory) as story:
        seal = story.forge.seal
        await story.sends(seal(b""), seal(b"one"), seal(b""), seal(b""), seal(b"two"), seal(b""))
        assert await story.app.received(6) == b"onetwo"
        await story.sends(seal(b""))
        await turns()
        await story.converses()
        assert story.app.names == ["made", "data"]


async def test_endless_empty_records_are_an_attack(
    tmp_path: Path, tls_version: ssl.TLSVersion
) -> None:
    async with forged(tmp_path, tls_version) as story:
        await story.sends(*(story.forge.seal(b"") for _ in range(1000)))
        assert isinstance(await story.app.lost(), ssl.SSLError)
        assert story.app.names == ["made", "lost"]


@kinds
async def test_full_records(
    tmp_path: Path, tls_version: ssl.TLSVersion, factory: Callable[[], Diary]
) -> None:
    async with forged(tmp_path, tls_version, factory) as story:
        data = bytes(range(256)) * 64
        await story.sends(*(story.forge.seal(data) for _ in range(5)))
        assert await story.app.received(5 * RECORD) == data * 5
        await story.converses()


async def test_a_record_that_is_too_large(tmp_path: Path, tls_version: ssl.TLSVersion) -> None:
    async with forged(tmp_path, tls_version) as story:
        await story.sends(story.forge.seal(b"good"), story.forge.seal(bytes(RECORD + 1)))
        assert isinstance(await story.app.lost(), ssl.SSLError)
        assert story.app.data == b"good"


async def test_padding_is_no_data(tmp_path: Path) -> None:
    async with forged(tmp_path, ssl.TLSVersion.TLSv1_3) as story:
        assert isinstance(story.forge, Forge13)
        seal = story.forge.seal
        await story.sends(
            seal(b"a", padding=RECORD - 1),
            seal(b"b", padding=1),
            seal(b"", padding=100),
            seal(b"c"),
        )
        assert await story.app.received(3) == b"abc"
        await story.converses()


@kinds
async def test_records_torn_to_bytes(
    tmp_path: Path, tls_version: ssl.TLSVersion, factory: Callable[[], Diary]
) -> None:
    async with forged(tmp_path, tls_version, factory) as story:
        for byte in story.forge.seal(b"in") + story.forge.seal(b"bits"):
            await story.sends(bytes([byte]))
        assert await story.app.received(6) == b"inbits"
        await story.converses()


# Broken


@kinds
async def test_what_comes_before_a_broken_record_is_delivered(
    tmp_path: Path, tls_version: ssl.TLSVersion, factory: Callable[[], Diary]
) -> None:
    async with forged(tmp_path, tls_version, factory) as story:
        broken = (
            bytearray(story.forge.seal(b"good"))
            + story.forge.seal(b"also good")
            + story.forge.seal(b"evil")
        )
        broken[-1] ^= 1
        await story.sends(bytes(broken), story.forge.seal(b"never seen"))
        error = await story.app.lost()
        assert isinstance(error, ssl.SSLError)
        # OpenSSL 3.0 names what was broken, 3.5 and 3.6 the layer in which it was.
        assert error.reason in (
            "DECRYPTION_FAILED_OR_BAD_RECORD_MAC",
            "BAD_RECORD_TYPE",
            "RECORD_LAYER_FAILURE",
        )
        assert story.app.entries == ["made", b"goodalso good", ("lost", "SSLError")]
        assert story.transport.is_closing()
        assert story.transport.get_extra_info("pinio.eof") is None


def test_the_peer_is_told_what_was_broken(tmp_path: Path, tls_version: ssl.TLSVersion) -> None:
    """By an alert (RFC 8446 section 6.2).

    On asyncio: uvloop sends in its next turn, and the abort comes before that.
    """

    async def hear_the_alert() -> None:
        async with forged(tmp_path, tls_version) as story:
            broken = bytearray(story.forge.seal(b"evil"))
            broken[-1] ^= 1
            await story.sends(bytes(broken))
            with pytest.raises(ssl.SSLError, match=r"(?i)bad record mac"):
                await story.puppet.hears(1)

    asyncio.run(hear_the_alert())


@pytest.mark.parametrize("kind", [20, 24, 99])
async def test_a_record_of_a_kind_that_does_not_belong_here(
    tmp_path: Path, tls_version: ssl.TLSVersion, kind: int
) -> None:
    async with forged(tmp_path, tls_version) as story:
        await story.sends(story.forge.seal(b"?", kind))
        assert isinstance(await story.app.lost(), ssl.SSLError)
        assert story.app.names == ["made", "lost"]


async def test_plaintext_is_no_record(tmp_path: Path, tls_version: ssl.TLSVersion) -> None:
    async with forged(tmp_path, tls_version) as story:
        await story.sends(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert isinstance(await story.app.lost(), ssl.SSLError)
        assert story.app.names == ["made", "lost"]


async def test_an_alert_is_an_error(tmp_path: Path, tls_version: ssl.TLSVersion) -> None:
    async with forged(tmp_path, tls_version) as story:
        await story.sends(story.forge.seal(b"before"), story.forge.seal(bytes((2, 80)), ALERT))
        error = await story.app.lost()
        assert isinstance(error, ssl.SSLError) and "INTERNAL_ERROR" in str(error.reason)
        assert story.app.names == ["made", "data", "lost"]


async def test_a_sealed_close_notify_is_a_clean_end(
    tmp_path: Path, tls_version: ssl.TLSVersion
) -> None:
    async with forged(tmp_path, tls_version) as story:
        await story.sends(
            story.forge.seal(b"last"),
            story.forge.seal(bytes((1, 0)), ALERT),
            story.forge.seal(b"beyond"),
        )
        assert await story.app.lost() is None
        assert story.app.entries == ["made", b"last", "eof", ("lost", "NoneType")]
        assert story.transport.get_extra_info("pinio.eof") == "clean"


async def test_a_broken_record_while_we_close(tmp_path: Path, tls_version: ssl.TLSVersion) -> None:
    async with forged(tmp_path, tls_version) as story:
        story.transport.close()
        broken = bytearray(story.forge.seal(b"evil"))
        broken[-1] ^= 1
        await story.sends(bytes(broken))
        assert isinstance(await story.app.lost(), ssl.SSLError)
        assert story.app.names == ["made", "lost"]


# Handshake messages after the handshake


@kinds
@pytest.mark.parametrize("requested", [False, True])
async def test_keys_change_in_mid_stream(
    tmp_path: Path, factory: Callable[[], Diary], requested: bool
) -> None:
    async with forged(tmp_path, ssl.TLSVersion.TLSv1_3, factory) as story:
        forge = story.forge
        assert isinstance(forge, Forge13)
        for _ in range(5):
            await story.sends(
                forge.seal(b"old"), forge.key_update(requested=requested), forge.seal(b"new")
            )
        assert await story.app.received(30) == b"oldnew" * 5
        await story.converses()


async def test_P10_a_peer_that_asks_for_new_keys_and_takes_none_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request is answered, and the answers to one that reads nothing stay here."""
    monkeypatch.setattr(protocol, "OVERRUN", 100_000)
    async with forged(tmp_path, ssl.TLSVersion.TLSv1_3) as story:
        forge = story.forge
        assert isinstance(forge, Forge13)
        story.transport.write(
            bytes(64 << 20)
        )  # more than the relay and the buffers of the system can take
        waiting = story.transport.get_write_buffer_size()
        with suppress(OSError):
            for _ in range(50):
                await story.sends(*(forge.key_update(requested=True) for _ in range(1000)))
                assert story.transport.get_write_buffer_size() < waiting + 150_000
        assert isinstance(await story.app.lost(), ConnectionAbortedError)


async def test_P10_nor_are_answers_kept_while_we_close(tmp_path: Path) -> None:
    """After our close_notify there is nobody to send them to."""
    async with forged(tmp_path, ssl.TLSVersion.TLSv1_3) as story:
        forge = story.forge
        assert isinstance(forge, Forge13)
        story.transport.close()
        await story.sends(*(forge.key_update(requested=True) for _ in range(1000)))
        await story.sends(forge.seal(bytes((1, 0)), ALERT))
        assert await story.app.lost() is None
        assert story.transport._engine.outgoing.pending == 0


async def test_keys_change_during_a_pause(tmp_path: Path) -> None:
    """The peer's new keys wait with its data; ours change when the application goes on."""
    async with forged(tmp_path, ssl.TLSVersion.TLSv1_3) as story:
        forge = story.forge
        assert isinstance(forge, Forge13)
        story.transport.pause_reading()
        await story.sends(forge.key_update(requested=True), forge.seal(b"news"))
        story.transport.write(b"old keys are good")
        assert await story.puppet.hears(17) == b"old keys are good"
        story.transport.resume_reading()
        assert await story.app.received(4) == b"news"
        await story.converses()


async def test_keys_change_while_we_close(tmp_path: Path) -> None:
    async with forged(tmp_path, ssl.TLSVersion.TLSv1_3) as story:
        forge = story.forge
        assert isinstance(forge, Forge13)
        story.transport.close()
        await story.sends(
            forge.seal(b"crossing"), forge.key_update(requested=True), forge.seal(b"crossing")
        )
        assert await story.puppet.does(to_the_end) == (b"", "clean")
        await story.sends(forge.seal(bytes((1, 0)), ALERT))
        assert await story.app.lost() is None
        assert story.app.names == ["made", "eof", "lost"]


async def test_renegotiation_is_declined(tmp_path: Path) -> None:
    """A HelloRequest (RFC 5246 section 7.4.1.1): the connection goes on as it is, judged once."""
    async with forged(tmp_path, ssl.TLSVersion.TLSv1_2) as story:
        await story.sends(story.forge.seal(bytes(4), HANDSHAKE), story.forge.seal(b"still here"))
        assert await story.app.received(10) == b"still here"
        with pytest.raises(ssl.SSLError) as caught:
            await story.puppet.hears(1)
        assert caught.value.reason == "NO_RENEGOTIATION"
        assert story.app.names == ["made", "data"]


async def test_a_certificate_request_after_the_handshake_is_refused(tmp_path: Path) -> None:
    """Post-handshake authentication (RFC 8446 section 4.6.2) was never offered."""
    async with forged(tmp_path, ssl.TLSVersion.TLSv1_3) as story:
        request = bytes((13, 0, 0, 11, 0, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3))
        await story.sends(story.forge.seal(request, HANDSHAKE))
        assert isinstance(await story.app.lost(), ssl.SSLError)
        assert story.app.names == ["made", "lost"]
        await story.puppet.does(close)
