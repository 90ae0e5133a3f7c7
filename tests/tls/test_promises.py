"""The promises of the raw doors, each seen from the server's side.

Every test runs on every event loop.
"""

from __future__ import annotations

import asyncio
import pickle
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import pinio
from pinio.core.policy import Policy
from pinio.errors import (
    BY_REASON,
    CertificateNotVerifiedError,
    DeniedKeyError,
    NoVerifiedChainError,
    PinExpiredError,
    PinMismatchError,
    PinVerificationError,
    PolicyError,
    UnpinnedHostError,
)
from pinio.reporting import LogObserver
from pinio.testing import Interceptor, Leaf, Server, echo, speak_first
from tests.tls.cast import (
    ABSENT,
    GENUINE,
    IDENTITY,
    ISSUER,
    MISPINNED,
    ROOT,
    SPARE,
    App,
    BufferedApp,
    Told,
    end_of,
    pinned,
)
from tests.tls.certificates import Issued

PAST = datetime(2020, 1, 1, tzinfo=UTC)
AppKind = Callable[[], App]


def saw_nothing(server: Server) -> bool:
    """Whether the peer is none the wiser: it got a ClientHello and no answer to its own flight."""
    return (
        server.application_bytes == b""
        and server.handshakes_finished == 0
        and server.client_certificates == []
    )


async def refused(
    server: Server,
    policy: Policy,
    app: asyncio.BaseProtocol | None = None,
    server_hostname: str | None = None,
) -> PinVerificationError:
    """The error of a connection to `server` that is refused, once the server has seen its end."""
    with pytest.raises(PinVerificationError) as error:
        await pinio.create_connection(
            lambda: app or App(),
            "localhost",
            server.port,
            policy=policy,
            server_hostname=server_hostname,
            observer=Told(),
        )
    await end_of(server)
    return error.value


# P1: nothing before the verdict


@pytest.fixture(params=["silent until asked", "speaks first", "speaks with its last flight"])
def manners(request: pytest.FixtureRequest) -> str:
    manners: str = request.param
    return manners


def server_with(manners: str, tls_version: ssl.TLSVersion, leaf: Leaf = GENUINE) -> Server:
    return Server(
        leaf,
        tls_version=tls_version,
        handler=speak_first(b"220 ready\r\n", then=echo) if manners == "speaks first" else echo,
        greeting=b"220 ready\r\n" if manners == "speaks with its last flight" else None,
    )


@pytest.mark.parametrize("kind", [App, BufferedApp])
async def test_P1_a_refused_server_neither_gets_nor_gives_an_application_byte(
    tls_version: ssl.TLSVersion, manners: str, kind: AppKind
) -> None:
    app = kind()
    with server_with(manners, tls_version) as server:
        await refused(server, MISPINNED, app)
        assert saw_nothing(server)
    assert app.calls == []


@pytest.mark.parametrize("kind", [App, BufferedApp])
async def test_P1_a_permitted_one_does(
    tls_version: ssl.TLSVersion, manners: str, kind: AppKind
) -> None:
    app = kind()
    expected = app.opening if manners == "silent until asked" else b"220 ready\r\n" + app.opening
    with server_with(manners, tls_version) as server:
        transport, _ = await pinio.create_connection(
            lambda: app, "localhost", server.port, policy=pinned()
        )
        assert await app.has_received(len(expected)) == expected
        transport.close()
        assert await app.lost is None
        await end_of(server)
        assert server.application_bytes == app.opening
    assert app.calls[0] == "connection_made"
    assert app.calls[-1] == "connection_lost"


async def test_P1_streams_of_a_refused_server_do_not_exist(
    tls_version: ssl.TLSVersion, manners: str
) -> None:
    with server_with(manners, tls_version) as server:
        with pytest.raises(PinMismatchError):
            await pinio.open_connection("localhost", server.port, policy=MISPINNED, observer=Told())
        await end_of(server)
        assert saw_nothing(server)


async def test_P1_an_interceptor_with_a_certificate_of_the_trusted_ca_gets_nothing(
    tls_version: ssl.TLSVersion,
) -> None:
    with (
        Server(GENUINE, tls_version=tls_version) as genuine,
        Interceptor(
            ROOT,
            "localhost",
            upstream=(*genuine.address, ROOT),
            client_ca=None,
            tls_version=tls_version,
        ) as between,
    ):
        await refused(between, pinned())
        assert saw_nothing(between)
        assert between.captured == b""
        assert genuine.connections == []


# P2: not even the client's identity


@pytest.mark.parametrize(
    "policy",
    [
        MISPINNED,
        pinned(ABSENT, trust="leaf-pin"),
        pinned(policy={"deny": [ISSUER.pin]}),
        pinned(expires=PAST),
    ],
    ids=["mismatch", "leaf-pin", "denied", "expired"],
)
async def test_P2_a_refused_server_never_sees_the_client_certificate(
    tls_version: ssl.TLSVersion, policy: Policy, tmp_path: Path
) -> None:
    context = pinio.create_ssl_context(
        policy, client_cert=IDENTITY.write(tmp_path), observer=Told()
    )
    with Server(GENUINE, tls_version=tls_version, client_ca=ROOT) as server:
        with pytest.raises(PinVerificationError):
            await pinio.open_connection("localhost", server.port, ssl=context)
        await end_of(server)
        assert saw_nothing(server)
        (record,) = server.connections
        assert IDENTITY.der not in record.handshake_bytes, "with TLS 1.2 it would travel in clear"
        # One record of handshake messages, and no second one.
        assert len(record.handshake_bytes) == 5 + int.from_bytes(record.handshake_bytes[3:5])


async def test_P2_a_permitted_one_does(tls_version: ssl.TLSVersion, tmp_path: Path) -> None:
    context = pinio.create_ssl_context(pinned(), client_cert=IDENTITY.write(tmp_path))
    with Server(GENUINE, tls_version=tls_version, client_ca=ROOT) as server:
        _, writer = await pinio.open_connection("localhost", server.port, ssl=context)
        writer.close()
        await writer.wait_closed()
        await end_of(server)
        assert server.client_certificates == [IDENTITY.der]


# P3: only what OpenSSL verified is matched

OTHER = ROOT.intermediate("another")
FORGED = OTHER.issue("localhost")
"""An interceptor's certificate, which verifies as well as the genuine one."""

PADDING = {
    "appended": (OTHER.der, GENUINE.der, ISSUER.der),
    "in front": (GENUINE.der, ISSUER.der, OTHER.der),
    "shuffled": (ISSUER.der, OTHER.der, GENUINE.der),
    "duplicated": (GENUINE.der, GENUINE.der, OTHER.der, ISSUER.der, ISSUER.der),
    "with the root": (ROOT.der, ISSUER.der, GENUINE.der, OTHER.der),
}


@pytest.mark.parametrize("padding", PADDING)
@pytest.mark.parametrize(
    "pin", [GENUINE.pin, f"ca:{ISSUER.pin}", f"ca:{GENUINE.pin}"], ids=["leaf", "ca", "leaf as ca"]
)
async def test_P3_genuine_certificates_that_an_interceptor_sends_along_do_not_match(
    tls_version: ssl.TLSVersion, padding: str, pin: str
) -> None:
    with Server(FORGED.serving(*PADDING[padding]), tls_version=tls_version) as server:
        error = await refused(server, pinned(pin))
        assert isinstance(error, PinMismatchError)
        assert error.refusal.chain is not None
        assert [item.der for item in error.refusal.chain] == [FORGED.der, OTHER.der, ROOT.der]
        assert saw_nothing(server)


@pytest.mark.parametrize(
    "sent",
    [
        (ISSUER.der, FORGED.der, OTHER.der),
        (OTHER.der, ISSUER.der, FORGED.der),
        (FORGED.der, OTHER.der, ROOT.der, ISSUER.der),
        (IDENTITY.der, ISSUER.der, ISSUER.der, GENUINE.der),
    ],
    ids=["appended", "in between", "in front", "repeated"],
)
async def test_P3_what_a_genuine_server_sends_along_does_no_harm(
    tls_version: ssl.TLSVersion, sent: tuple[bytes, ...]
) -> None:
    with Server(GENUINE.serving(*sent), tls_version=tls_version) as server:
        for pin in (GENUINE.pin, f"ca:{ISSUER.pin}", f"ca:{ROOT.pin}"):
            transport, _ = await pinio.create_connection(
                App, "localhost", server.port, policy=pinned(pin)
            )
            transport.abort()


@pytest.mark.parametrize("padding", PADDING)
async def test_P3_under_leaf_pin_only_the_leaf_counts(
    tls_version: ssl.TLSVersion, padding: str
) -> None:
    with Server(FORGED.serving(*PADDING[padding]), tls_version=tls_version) as server:
        for pin in (GENUINE.pin, ISSUER.pin, ROOT.pin, OTHER.pin):
            error = await refused(server, pinned(pin, trust="leaf-pin"))
            assert error.refusal.chain is not None
            assert [item.der for item in error.refusal.chain] == [FORGED.der]
        assert saw_nothing(server)


# P5: no silent way around


async def test_P5_the_loop_cannot_put_its_own_tls_over_a_pinned_transport() -> None:
    with Server(GENUINE) as server:
        reader, writer = await pinio.open_connection("localhost", server.port, policy=pinned())
        loop = asyncio.get_running_loop()
        with pytest.raises(TypeError):
            await loop.start_tls(writer.transport, asyncio.Protocol(), ROOT.client_context())
        with pytest.raises(TypeError):
            await writer.start_tls(ROOT.client_context(), server_hostname="localhost")
        writer.write(b"as before")
        assert await reader.readexactly(9) == b"as before"
        writer.close()
        await writer.wait_closed()


# P6: fails closed


async def test_P6_an_unlisted_host_is_refused_before_a_socket_exists() -> None:
    with Server(GENUINE) as server:
        told = Told()
        with pytest.raises(UnpinnedHostError) as error:
            await pinio.open_connection(
                "localhost", server.port, policy=pinned(host="other.test"), observer=told
            )
        assert error.value.host == "localhost"
        assert told == [error.value.refusal]
        await end_of(server)
        assert server.connections == []


@pytest.mark.parametrize("server_hostname", ["other.test", "127.0.0.1"])
async def test_P6_the_name_that_is_verified_must_be_listed(server_hostname: str) -> None:
    with Server(GENUINE) as server:
        with pytest.raises(UnpinnedHostError):
            await pinio.open_connection(
                "localhost",
                server.port,
                policy=pinned(),
                server_hostname=server_hostname,
                observer=Told(),
            )
        await end_of(server)
        assert server.connections == []


async def test_P6_expired_pins_refuse(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version) as server:
        assert isinstance(await refused(server, pinned(expires=PAST)), PinExpiredError)
        assert saw_nothing(server)


async def test_P6_a_server_without_any_certificate_cannot_even_negotiate() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")
    for policy in (pinned(), pinned(trust="leaf-pin"), pinned(mode="report-only")):
        with Server(context) as server:
            with pytest.raises(ssl.SSLError) as error:
                await pinio.open_connection("localhost", server.port, policy=policy)
            assert not isinstance(error.value, PinVerificationError)
            await end_of(server)
            assert saw_nothing(server)


@pytest.mark.parametrize("mode", ["enforce", "report-only"])
async def test_P6_a_peer_without_a_verified_chain_is_refused(
    tls_version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    monkeypatch.setattr("pinio.tls.handshake.peer.verified_chain", lambda tls: None)
    app = App()
    with Server(GENUINE, tls_version=tls_version, greeting=b"hello") as server:
        assert isinstance(await refused(server, pinned(mode=mode), app), NoVerifiedChainError)
        assert server.application_bytes == b""
    assert app.calls == []


async def test_P6_a_defect_of_the_judge_refuses(
    tls_version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr("pinio.tls.handshake.judge.judge", broken)
    app = App()
    with Server(GENUINE, tls_version=tls_version, greeting=b"hello") as server:
        error = await refused(server, pinned(mode="report-only"), app)
        assert error.reason == "JUDGEMENT_FAILED"
        assert isinstance(error.__cause__, KeyError)
        assert saw_nothing(server)
    assert app.calls == []


# P7: report-only never weakens TLS


async def test_P7_report_only_waives_a_mismatch_and_tells(tls_version: ssl.TLSVersion) -> None:
    told = Told()
    with Server(GENUINE, tls_version=tls_version) as server:
        _, writer = await pinio.open_connection(
            "localhost", server.port, policy=pinned(ABSENT, mode="report-only"), observer=told
        )
        writer.write(b"hello")
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await end_of(server)
        assert server.application_bytes == b"hello"
    (permit,) = told
    assert permit.report is not None
    assert not permit.report.enforced
    assert permit.report.hostname == "localhost"
    assert [item.der for item in permit.report.validated_certificate_chain] == [
        GENUINE.der,
        ISSUER.der,
        ROOT.der,
    ]


async def test_P7_it_is_never_mute(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The default observer logs, whoever forgot to pass another."""
    monkeypatch.setattr(
        "pinio.reporting.default_observer", LogObserver()
    )  # one that has not said it yet
    with Server(GENUINE) as server:
        transport, _ = await pinio.create_connection(
            App, "localhost", server.port, policy=pinned(ABSENT, mode="report-only")
        )
        transport.abort()
    assert [record.levelname for record in caplog.records if record.name == "pinio"] == ["WARNING"]


async def test_P7_the_host_name_still_decides(tls_version: ssl.TLSVersion) -> None:
    with Server(ROOT.issue("other.test"), tls_version=tls_version) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match="localhost"):
            await pinio.open_connection(
                "localhost", server.port, policy=pinned(mode="report-only"), observer=Told()
            )
        await end_of(server)
        assert saw_nothing(server)


async def test_P7_the_anchors_still_decide(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version) as server:
        with pytest.raises(CertificateNotVerifiedError):
            await pinio.open_connection(
                "localhost",
                server.port,
                policy=pinned(mode="report-only", anchors=None),
                observer=Told(),
            )
        await end_of(server)
        assert saw_nothing(server)


async def test_P7_a_denied_key_is_still_refused(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version) as server:
        policy = pinned(mode="report-only", policy={"deny": [GENUINE.pin]})
        assert isinstance(await refused(server, policy), DeniedKeyError)
        assert saw_nothing(server)


# P8: errors are data first


async def test_P8_a_refusal_says_everything_as_data(tls_version: ssl.TLSVersion) -> None:
    policy = pinned(ABSENT, host="**.pinned.test", policy={"revision": "2026-11-02#7"})
    with Server(GENUINE, tls_version=tls_version) as server:
        error = await refused(server, policy, server_hostname="API.pinned.test")
        refusal = error.refusal
        assert (error.host, error.port) == ("api.pinned.test", server.port)
        assert (error.reason, error.library) == ("PIN_MISMATCH", "PINIO")
        assert (error.errno, error.verify_code) == (ssl.SSL_ERROR_SSL, 50)
        assert (refusal.pattern, refusal.revision) == ("**.pinned.test", "2026-11-02#7")
        assert refusal.chain is not None
        assert [item.pin for item in refusal.chain] == [GENUINE.pin, ISSUER.pin, ROOT.pin]
        assert [str(pin) for pin in refusal.expected] == [ABSENT, SPARE]
        assert isinstance(error, BY_REASON[error.reason])
        copy = pickle.loads(pickle.dumps(error))
        assert (type(copy), copy.refusal, str(copy)) == (type(error), refusal, str(error))


HINT = "  hint: if the keys were rotated on purpose, look at them from a trusted network:"


async def test_P8_the_text_can_be_pasted() -> None:
    with Server(GENUINE) as server:
        error = await refused(server, pinned(ABSENT, policy={"revision": "2026-11-02#7"}))
        assert error.args[1].splitlines() == [
            f"localhost:{server.port} is pinned, and no certificate in the verified chain matches.",
            "  verified chain:",
            f"    {GENUINE.pin}  leaf  CN=localhost",
            f"    {ISSUER.pin}  ca    OU=issuing",
            f"    {ROOT.pin}  ca    OU=root",
            "  pinned (policy 2026-11-02#7, pattern localhost):",
            f"    {ABSENT}",
            f"    {SPARE}  backup",
            f"{HINT} pinio pins localhost:{server.port}",
        ]


async def test_P8_the_error_is_found_in_whatever_a_library_makes_of_it() -> None:
    with Server(GENUINE) as server:
        error = await refused(server, MISPINNED)
    wrapped = OSError("a library's own")
    wrapped.__cause__ = ExceptionGroup("several", [ValueError(), error])
    assert pinio.find_pin_error(wrapped) is error


async def test_P8_what_a_peer_wrote_is_escaped_and_clipped() -> None:
    root = Issued.root("a root\nhint: all is well")
    leaf = root.issue("\x1b[2Jlocalhost\u202e\u200b" + "x" * 40, "localhost").serving()
    with Server(leaf) as server:
        error = await refused(server, pinned(GENUINE.pin, anchors=root.anchors))
    text = error.args[1]
    lines = text.splitlines()
    assert all(line.isprintable() for line in lines)
    assert [line for line in lines if line.lstrip().startswith("hint:")] == lines[-1:], (
        "no other is pinio's own"
    )
    assert max(map(len, lines)) < 250


@pytest.mark.parametrize(
    "policy", [MISPINNED, pinned(host="other.test")], ids=["mismatch", "unlisted"]
)
async def test_P8_code_that_knows_bad_certificates_knows_bad_keys(policy: Policy) -> None:
    with Server(GENUINE) as server, pytest.raises(ssl.SSLCertVerificationError):
        await pinio.open_connection("localhost", server.port, policy=policy, observer=Told())


# P9 and the doors: what makes no sense is said before anything is sent


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "pass one of policy= and pins="),
        ({"policy": pinned(), "pins": [GENUINE.pin, SPARE]}, "pass one of"),
        ({"policy": {"localhost": GENUINE.pin}}, "a Policy or a source of one, not dict$"),
        ({"policy": "pins.toml"}, "not str; pinio.load_policy and pinio.FileSource read a file"),
        ({"policy": pinned(), "trust": "leaf-pin"}, "go with pins="),
        ({"policy": pinned(), "anchors": ROOT.anchors}, "go with pins="),
        ({"pins": []}, "without pins"),
        ({"pins": "sha1/2jmj7l5rSw0yVb/vlWAYkK/YBwk="}, "sha1"),
        ({"pins": 7}, "one pin, several, or a PinSet"),
        ({"pins": [f"ca:{ROOT.pin}", SPARE], "trust": "leaf-pin"}, "proves nothing"),
        ({"pins": pinned().hosts["localhost"], "trust": "pkix"}, "has its own trust"),
        ({"ssl": True}, "says nothing"),
        ({"ssl": False, "policy": pinned()}, "says nothing"),
        ({"ssl": ROOT.client_context(), "policy": pinned()}, "PinnedSSLContext"),
        ({"ssl": ROOT.client_context()}, "PinnedSSLContext"),
        ({"ssl": pinio.create_ssl_context(pinned()), "policy": pinned()}, "one of the two"),
        ({"policy": pinned(), "server_hostname": ""}, "server_hostname is empty"),
        ({"policy": pinned(), "resumption": "yes"}, "resumption"),
        ({"policy": pinned(), "observer": []}, "observer= is a callable"),
        ({"ssl": pinio.create_ssl_context(pinned()), "observer": "log"}, "observer= is a callable"),
        ({"pins": [[GENUINE.pin]]}, "not what PinSet takes"),
        ({"pins": [GENUINE.pin, SPARE], "trust": ["pkix"]}, "not what PinSet takes"),
        ({"policy": pinned(), "ssl_handshake_timeout": 0}, "ssl_handshake_timeout"),
        ({"policy": pinned(), "ssl_shutdown_timeout": -1}, "ssl_shutdown_timeout"),
        (
            {"policy": pinned(), "ssl_handshake_timeout": "5"},
            "a positive number of seconds, not '5'",
        ),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
async def test_P9_arguments_that_make_no_sense(arguments: dict[str, Any], says: str) -> None:
    with Server(GENUINE) as server:
        with pytest.raises((PolicyError, pinio.PinFormatError), match=says):
            await pinio.open_connection("localhost", server.port, **arguments)
        await end_of(server)
        assert server.connections == []


async def test_ssl_true_beside_a_policy_means_nothing() -> None:
    with Server(GENUINE) as server:
        transport, _ = await pinio.create_connection(
            App, "localhost", server.port, ssl=True, policy=pinned()
        )
        transport.abort()
