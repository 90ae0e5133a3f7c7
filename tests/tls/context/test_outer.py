"""The object that libraries get to hold: it trusts nobody, whatever they do; what they may say reaches the contexts inside."""

from __future__ import annotations

import _ssl
import contextlib
import copy
import logging
import pickle
import ssl
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import certifi
import pytest

from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.errors import (
    PinMismatchError,
    PolicyError,
)
from pinio.testing import CA, Server, self_signed, silent
from pinio.tls.config.settings import OPTIONS, Settings, scratch
from pinio.tls.context import outer
from pinio.tls.context.objects import PinnedSSLObject, PinnedSSLSocket
from pinio.tls.context.outer import (
    CLASSIFIED,
    FORWARDED,
    IGNORED,
    INTERNAL,
    READ_ONLY,
    REFUSED,
    SHOWN,
    TIGHTEN_ONLY,
)
from pinio.tls.context.pinned import PinnedSSLContext
from pinio.tls.context.unreadable import UNREADABLE
from tests.tls.cast import GENUINE, MISPINNED, ROOT, pinned
from tests.tls.memory import MemoryPeer
from tests.tls.process import run_python
from tests.tls.through import SECRET, ask, blocking, context_for, inner, tcp

C_CONTEXT: Any = _ssl._SSLContext


def in_c(context: ssl.SSLContext) -> dict[str, object]:
    """What the C object says, past every Python attribute."""
    return {
        "verify_mode": C_CONTEXT.verify_mode.__get__(context),
        "check_hostname": C_CONTEXT.check_hostname.__get__(context),
        "verify_flags": C_CONTEXT.verify_flags.__get__(context),
        "options": C_CONTEXT.options.__get__(context),
        "certificates": C_CONTEXT.cert_store_stats(context),
    }


VIRGIN = in_c(scratch())


# The outer object is empty, and stays so


def ignoring(write: Callable[[PinnedSSLContext], object]) -> Callable[[PinnedSSLContext], None]:
    def attempt(context: PinnedSSLContext) -> None:
        with contextlib.suppress(PolicyError):
            write(context)

    return attempt


def verify_nothing(context: PinnedSSLContext) -> None:
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE


WRITES: dict[str, Callable[[PinnedSSLContext], object]] = {
    "nothing": lambda context: None,
    "verify_mode": lambda context: setattr(context, "verify_mode", ssl.CERT_NONE),
    "check_hostname": lambda context: setattr(context, "check_hostname", False),
    "both": verify_nothing,
    "hostname_checks_common_name": lambda context: setattr(
        context, "hostname_checks_common_name", True
    ),
    "load_verify_locations": lambda context: context.load_verify_locations(certifi.where()),
    "load_verify_locations by data": lambda context: context.load_verify_locations(
        cadata=ROOT.certificate_pem
    ),
    "load_default_certs": lambda context: context.load_default_certs(),
    "set_default_verify_paths": lambda context: context.set_default_verify_paths(),
    "verify_flags = 0": lambda context: setattr(context, "verify_flags", ssl.VerifyFlags(0)),
    "verify_flags |= partial": lambda context: setattr(
        context, "verify_flags", context.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN
    ),
    "options = 0": lambda context: setattr(context, "options", ssl.Options(0)),
    "options |= all": lambda context: setattr(context, "options", context.options | ssl.OP_ALL),
    "options |= no renegotiation": lambda context: setattr(
        context, "options", context.options | ssl.OP_NO_RENEGOTIATION
    ),
    "minimum_version": lambda context: setattr(
        context, "minimum_version", ssl.TLSVersion.MINIMUM_SUPPORTED
    ),
    "maximum_version": lambda context: setattr(
        context, "maximum_version", ssl.TLSVersion.MAXIMUM_SUPPORTED
    ),
    "set_ciphers": lambda context: context.set_ciphers("ALL:@SECLEVEL=0"),
    "set_alpn_protocols": lambda context: context.set_alpn_protocols(["http/1.1"]),
    "set_ecdh_curve": lambda context: context.set_ecdh_curve("prime256v1"),
    "post_handshake_auth": lambda context: setattr(context, "post_handshake_auth", True),
    "num_tickets": lambda context: setattr(context, "num_tickets", 0),
    "sslobject_class": lambda context: setattr(context, "sslobject_class", ssl.SSLObject),
    "sslsocket_class": lambda context: setattr(context, "sslsocket_class", ssl.SSLSocket),
    "sni_callback": lambda context: setattr(context, "sni_callback", print),
    "_msg_callback": lambda context: setattr(context, "_msg_callback", print),
    "a method": lambda context: setattr(context, "wrap_bio", scratch().wrap_bio),
    "what nobody knows": lambda context: setattr(context, "trust_everybody", True),
}
each_write = pytest.mark.parametrize(
    "write", [ignoring(write) for write in WRITES.values()], ids=WRITES
)


@each_write
def test_P5_nothing_that_a_library_writes_reaches_the_c_context(
    write: Callable[[PinnedSSLContext], None],
) -> None:
    context = context_for(MISPINNED)
    write(context)
    assert in_c(context) == VIRGIN
    assert VIRGIN["verify_mode"] == ssl.CERT_REQUIRED and VIRGIN["check_hostname"] is True
    assert VIRGIN["certificates"] == {"x509": 0, "crl": 0, "x509_ca": 0}
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.sslobject_class is PinnedSSLObject and context.sslsocket_class is PinnedSSLSocket


def drive_raw(
    engine: Any, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server: MemoryPeer
) -> None:
    """A handshake of a C object that nobody stands beside."""
    while not server.finished:
        with contextlib.suppress(ssl.SSLWantReadError):
            engine.do_handshake()
        incoming.write(server.answer(outgoing.read()))


@each_write
def test_P5_an_engine_on_the_c_context_can_connect_to_nobody(
    write: Callable[[PinnedSSLContext], None], tls_version: ssl.TLSVersion
) -> None:
    """As aiofastnet's own engine does, which takes the C context and leaves Python alone."""
    context = context_for(pinned())
    write(context)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    engine = C_CONTEXT._wrap_bio(context, incoming, outgoing, False, "localhost")
    server = MemoryPeer(GENUINE.server_context(tls_version=tls_version))
    with pytest.raises(ssl.SSLCertVerificationError):
        drive_raw(engine, incoming, outgoing, server)
    assert not server.finished


@each_write
def test_P1_a_wrong_pin_is_refused_whatever_a_library_wrote(
    write: Callable[[PinnedSSLContext], None], tls_version: ssl.TLSVersion
) -> None:
    context = context_for(MISPINNED)
    write(context)
    with Server(GENUINE, tls_version=tls_version) as server:
        with pytest.raises(PinMismatchError):
            ask(context, server)
        server.wait_quiet()
        assert server.application_bytes == b""


@each_write
def test_a_right_pin_works_whatever_a_library_wrote(
    write: Callable[[PinnedSSLContext], None], tls_version: ssl.TLSVersion
) -> None:
    context = context_for(pinned())
    write(context)
    with Server(GENUINE, tls_version=tls_version) as server:
        assert ask(context, server) == SECRET


def test_a_private_ca_that_a_library_loads_widens_no_trust() -> None:
    stranger = CA("stranger")
    context = context_for(pinned())
    context.load_verify_locations(cadata=stranger.certificate_pem)
    with Server(stranger.issue("localhost")) as server:
        with pytest.raises(
            ssl.SSLCertVerificationError, match=r"unable to get local issuer|self-signed"
        ):
            ask(context, server)
        server.wait_quiet()
        assert server.application_bytes == b""


def test_a_device_works_under_a_library_that_asks_for_verification() -> None:
    """urllib3 sets `verify_mode` on every connection."""
    device = self_signed("device.local")
    context = context_for(
        Policy({"device.local": PinSet([device.pin], single="a device", trust="leaf-pin")})
    )
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    with Server(device) as server:
        assert ask(context, server, "device.local") == SECRET


# Every attribute is in one class


def test_each_attribute_of_ssls_contexts_is_in_one_class() -> None:
    classes = [FORWARDED, TIGHTEN_ONLY, IGNORED, SHOWN, REFUSED, UNREADABLE, READ_ONLY, INTERNAL]
    assert sum(map(len, classes)) == len(CLASSIFIED), "one class each"
    unknown = {name for name in dir(ssl.SSLContext) if not name.startswith("__")} - CLASSIFIED
    assert not unknown, (
        "new in this Python: refused until somebody classifies them in pinio/tls/context/outer.py"
    )


def test_what_takes_effect_or_is_ignored_is_not_the_c_contexts_own() -> None:
    own = FORWARDED | TIGHTEN_ONLY | IGNORED | SHOWN | REFUSED | UNREADABLE
    for name in own & set(dir(ssl.SSLContext)):
        owner = next(kind for kind in PinnedSSLContext.__mro__ if name in vars(kind))
        assert owner is outer.OuterContext, name


def test_an_attribute_of_a_newer_python_is_refused() -> None:
    class Newer(outer.OuterContext):
        pass

    outer.classify(Newer, ["set_quantum_policy", "__class__"])
    context = Newer(Settings())
    with pytest.raises(PolicyError, match="set_quantum_policy"):
        _ = context.set_quantum_policy  # type: ignore[attr-defined]
    with pytest.raises(PolicyError, match="set_quantum_policy"):
        context.set_quantum_policy = print


@pytest.mark.parametrize(
    "name", sorted(REFUSED & set(dir(ssl.SSLContext)) - {"sslobject_class", "sslsocket_class"})
)
def test_what_is_refused_is_refused_to_read_and_to_write(name: str) -> None:
    context = context_for(pinned())
    with pytest.raises(PolicyError, match=name):
        getattr(context, name)
    with pytest.raises(PolicyError, match=name):
        setattr(context, name, print)


@pytest.mark.parametrize("name", sorted(UNREADABLE))
def test_nobody_is_told_the_trust_anchors(name: str) -> None:
    """The question is an error where it is asked; a look at what a context has is none."""
    context = context_for(pinned())
    assert name in dir(context) and callable(getattr(context, name))
    with pytest.raises(PolicyError, match=name):
        getattr(context, name)()


@pytest.mark.parametrize("name", ["sslobject_class", "sslsocket_class"])
def test_the_classes_of_tls_objects_can_be_looked_at_and_not_replaced(name: str) -> None:
    context = context_for(pinned())
    assert issubclass(getattr(context, name), (PinnedSSLObject, PinnedSSLSocket))
    with pytest.raises(PolicyError, match=name):
        setattr(context, name, ssl.SSLObject)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("verify_mode", WRITES["verify_mode"]),
        ("check_hostname", WRITES["check_hostname"]),
        ("hostname_checks_common_name", WRITES["hostname_checks_common_name"]),
        ("load_verify_locations", WRITES["load_verify_locations"]),
        ("load_default_certs", WRITES["load_default_certs"]),
        ("set_default_verify_paths", WRITES["set_default_verify_paths"]),
        ("num_tickets", WRITES["num_tickets"]),
        ("minimum_version", WRITES["minimum_version"]),
        ("verify_flags", WRITES["verify_flags = 0"]),
        ("options", WRITES["options = 0"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_ignored_is_told_once(
    name: str, write: Callable[[PinnedSSLContext], object], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pinio")
    context = context_for(pinned())
    before = context.settings
    write(context)
    write(context)
    assert context.ignored == {name}
    assert [record.getMessage().split()[3] for record in caplog.records] == [name]
    assert replace(context.settings, check_hostname=True) == before, "and changes nothing"


@pytest.mark.parametrize("write", ["verify_mode", "check_hostname"])
def test_what_is_as_it_was_set_is_not_worth_a_word(write: str) -> None:
    context = context_for(pinned())
    setattr(context, write, getattr(context, write))
    assert context.ignored == frozenset()


def test_a_context_serves_no_clients_and_cannot_be_copied() -> None:
    context = context_for(pinned())
    with pytest.raises(
        PolicyError, match=r"for clients.*another one for a server.*PROTOCOL_TLS_SERVER"
    ):
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    with (
        Server(GENUINE, handler=silent) as server,
        tcp(server) as sock,
        pytest.raises(PolicyError, match="for clients"),
    ):
        context.wrap_socket(sock, server_side=True)
    for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            duplicate(context)


SERVING = """
    import asyncio, gc, logging, sys, warnings
    from tests.conftest import LOOPS
    from tests.tls.cast import pinned
    from tests.tls.through import context_for

    # asyncio leaves the socket of a client to the garbage, whatever was raised for it.
    warnings.simplefilter("ignore", ResourceWarning)
    logging.basicConfig(format="%(levelname)s %(message)s", stream=sys.stdout)
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)

    async def main():
        server = await asyncio.start_server(print, "127.0.0.1", 0, ssl=context_for(pinned()))
        for _ in range(2):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            while not reader.at_eof():
                gc.collect()
                try:
                    await asyncio.wait_for(reader.read(1), 0.01)
                except (TimeoutError, ConnectionError):
                    continue
            writer.close()
        server.close()

    with asyncio.Runner(loop_factory=LOOPS[sys.argv[1]]) as runner:
        runner.run(main())
"""


def test_a_server_that_is_given_one_is_told_what_to_do(loop_kind: str) -> None:
    """A loop takes whatever context it is given, and drops what is raised for a client it accepted."""
    (told,) = run_python(SERVING, loop_kind).splitlines()
    assert told.startswith("ERROR server_side: a pinned context is for clients")
    assert "PROTOCOL_TLS_SERVER" in told and "load_cert_chain" in told


# Shown


@pytest.mark.parametrize("door", ["object", "socket"])
def test_check_hostname_reads_as_it_was_set_and_names_are_checked(
    door: str, tls_version: ssl.TLSVersion
) -> None:
    """Where urllib3 reads False it looks for a name by itself, in addition."""
    elsewhere = ROOT.issue("elsewhere.test")
    context = context_for(pinned(GENUINE.pin, elsewhere.pin))
    for value in (True, False, True, False):
        context.check_hostname = value
        assert context.check_hostname is value
        assert in_c(context) == VIRGIN
        with Server(GENUINE, tls_version=tls_version) as server, blocking(context, server) as tls:
            made = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
            shown = made.context if door == "object" else tls.context
            assert shown.check_hostname is value
            assert in_c(shown)["check_hostname"] is True
        with Server(elsewhere, tls_version=tls_version) as server:
            with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)hostname"):
                ask(context, server)
            server.wait_quiet()
            assert server.application_bytes == b""


# Tighten only


def test_versions_move_in_one_direction() -> None:
    context = context_for(pinned())
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert inner(context).minimum_version is ssl.TLSVersion.TLSv1_3
    context = context_for(pinned())
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
    assert context.maximum_version is ssl.TLSVersion.TLSv1_2
    assert inner(context).maximum_version is ssl.TLSVersion.TLSv1_2
    assert context.ignored == {"maximum_version"}


def test_a_minimum_that_the_server_does_not_reach_fails() -> None:
    context = context_for(pinned())
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with (
        Server(GENUINE, tls_version=ssl.TLSVersion.TLSv1_2) as server,
        pytest.raises(ssl.SSLError, match=r"(?i)version"),
    ):
        ask(context, server)


@each_write
def test_no_write_takes_an_option_or_a_flag_from_the_inner_contexts(
    write: Callable[[PinnedSSLContext], None],
) -> None:
    context = context_for(pinned())
    before = inner(context)
    write(context)
    after = inner(context)
    assert after.options & before.options == before.options
    assert after.options & OPTIONS == OPTIONS and after.options & ssl.OP_NO_RENEGOTIATION
    assert after.verify_flags & before.verify_flags == before.verify_flags
    assert not after.verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN
    assert (in_c(after)["verify_mode"], in_c(after)["check_hostname"]) == (ssl.CERT_REQUIRED, True)
    assert not after.hostname_checks_common_name
    assert after.minimum_version is ssl.TLSVersion.TLSv1_2
    assert {suite["name"] for suite in after.get_ciphers()} <= {
        suite["name"] for suite in before.get_ciphers()
    }
    anchors = C_CONTEXT.cert_store_stats(after)
    assert anchors == {"x509": 1, "crl": 0, "x509_ca": 1}, "the policy's anchor and no other"


def test_stricter_options_and_flags_reach_the_inner_contexts() -> None:
    context = context_for(pinned())
    context.options |= ssl.OP_NO_TICKET
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    assert context.options & ssl.OP_NO_TICKET and inner(context).options & ssl.OP_NO_TICKET
    assert (
        context.verify_flags & ssl.VERIFY_X509_STRICT
        and inner(context).verify_flags & ssl.VERIFY_X509_STRICT
    )
    assert context.ignored == frozenset()


def test_ciphers_are_intersected() -> None:
    context = context_for(pinned())
    context.set_ciphers("ALL:!AESGCM")
    assert {suite["name"] for suite in context.get_ciphers() if "TLS_" not in suite["name"]} == {
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
    }
    assert inner(context).get_ciphers() == context.get_ciphers()
    assert context.ignored == {"set_ciphers"}, "part of it"
    with pytest.raises(PolicyError, match="no suite"):
        context.set_ciphers("AES256-GCM-SHA384")
    with Server(GENUINE, tls_version=ssl.TLSVersion.TLSv1_2) as server:
        ask(context, server)
        assert server.connections[0].cipher == "ECDHE-ECDSA-CHACHA20-POLY1305"


# Forwarded


@pytest.mark.parametrize("given", ["by argument", "later"])
def test_alpn_is_agreed_on(given: str, tls_version: ssl.TLSVersion) -> None:
    context = context_for(pinned(), alpn=["h2", "http/1.1"] if given == "by argument" else None)
    if given == "later":
        context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        Server(GENUINE, alpn=["http/1.1"], tls_version=tls_version) as server,
        blocking(context, server) as tls,
    ):
        assert tls.selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize("wrong", ["h2", [""], ["x" * 256]])
def test_alpn_that_makes_no_sense_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises((PolicyError, ssl.SSLError)):
        context_for(pinned(), alpn=wrong)


def test_a_curve_is_used_and_checked_at_once() -> None:
    context = context_for(pinned())
    context.set_ecdh_curve("secp384r1")
    with pytest.raises(ValueError, match="unknown"):
        context.set_ecdh_curve("no such curve")
    with Server(GENUINE) as server:
        assert ask(context, server) == SECRET


def test_a_key_log_is_written_where_it_was_asked_for_and_never_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "environment"))
    quiet, logging_context = context_for(pinned()), context_for(pinned())
    logging_context.keylog_filename = str(tmp_path / "asked for")
    with Server(GENUINE) as server:
        ask(quiet, server)
        ask(logging_context, server)
    assert quiet.keylog_filename is None
    assert "TRAFFIC_SECRET" in (tmp_path / "asked for").read_text()
    assert not (tmp_path / "environment").exists()
    with pytest.raises(OSError):
        logging_context.keylog_filename = str(tmp_path / "no such directory" / "file")
