from __future__ import annotations

import gc
import os
import ssl
import warnings
import weakref

import pytest

from pinio.core.anchors import Anchors
from pinio.core.policy import Policy
from pinio.errors import CertificateNotVerifiedError, PinMismatchError
from pinio.testing import Leaf, Server
from pinio.tls.config.profile import Profile
from pinio.tls.config.settings import OPTIONS, Settings
from pinio.tls.context import inner as inner_contexts
from pinio.tls.context.inner import MAX_CONTEXTS, inner_context
from pinio.tls.handshake.judge import verifies_as
from pinio.tls.handshake.peer import OpenSSLFacts
from pinio.tls.handshake.sessions import SessionCache
from tests.tls.cast import ABSENT, GENUINE, ISSUER, ROOT, pinned
from tests.tls.certificates import Issued, anchors_of
from tests.tls.memory import MemoryPeer, drive, engine_for
from tests.tls.messages import (
    ALPN,
    COMPRESS_CERTIFICATE,
    PRE_SHARED_KEY,
    TLS_1_2,
    TLS_1_3,
    ClientHello,
)
from tests.tls.through import ask, context_for, inner

PROFILES = {
    "public": Profile(),
    "private": Profile("pkix", ROOT.anchors),
    "leaf-pin": Profile("leaf-pin"),
    "with ALPN": Profile("pkix", ROOT.anchors, Settings(alpn=("h2", "http/1.1"))),
}


@pytest.fixture(params=PROFILES)
def profile(request: pytest.FixtureRequest) -> Profile:
    return PROFILES[request.param]


def refusal(policy: Policy, leaf: Leaf, *, host: str = "localhost") -> ssl.SSLError | None:
    """What a client of `policy` says of a server with `leaf`; None if nothing."""
    try:
        drive(engine_for(policy, host=host), MemoryPeer(leaf.server_context()))
    except ssl.SSLError as error:
        return error
    return None


# What is offered


EPHEMERAL_AEAD = {
    "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305",
}  # fmt: skip
NO_SUITE_BUT_A_SIGNAL = 0x00FF  # TLS_EMPTY_RENEGOTIATION_INFO_SCSV, RFC 5746 section 3.3


def test_the_suites_are_the_same_on_every_runtime(profile: Profile) -> None:
    """A distribution's OpenSSL offers 60 by default, static RSA and pre-shared keys among them."""
    suites = inner_context(profile).get_ciphers()
    assert {suite["name"] for suite in suites} == EPHEMERAL_AEAD
    offered = {suite["id"] & 0xFFFF for suite in suites}
    hello = ClientHello.parse(
        MemoryPeer(inner_context(profile), server_hostname="localhost").hello()
    )
    assert set(hello.suites) - {NO_SUITE_BUT_A_SIGNAL} == offered


def test_a_client_hello_offers_nothing_that_is_not_meant(profile: Profile) -> None:
    hello = ClientHello.parse(
        MemoryPeer(inner_context(profile), server_hostname="pinned.test").hello()
    )
    assert hello.versions == (TLS_1_3, TLS_1_2)
    assert hello.server_name == "pinned.test"
    assert COMPRESS_CERTIFICATE not in hello.extensions, (
        "nothing is decompressed before its sender is known"
    )
    assert PRE_SHARED_KEY not in hello.extensions
    assert (ALPN in hello.extensions) == bool(profile.settings.alpn)


def test_an_address_is_no_server_name() -> None:
    """RFC 6066 section 3."""
    hello = ClientHello.parse(
        MemoryPeer(inner_context(Profile()), server_hostname="192.0.2.7").hello()
    )
    assert hello.server_name is None


def test_a_context_cannot_renegotiate_compress_or_look_at_common_names(profile: Profile) -> None:
    context = inner_context(profile)
    assert context.options & OPTIONS == OPTIONS
    assert not context.hostname_checks_common_name
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.keylog_filename is None


def test_old_versions_are_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context = ISSUER.issue("localhost").server_context(ciphers="ALL:@SECLEVEL=0")
        context.minimum_version, context.maximum_version = (
            ssl.TLSVersion.TLSv1,
            ssl.TLSVersion.TLSv1_1,
        )
    old_client = ROOT.client_context()
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol|version"):
        drive(engine_for(pinned()), MemoryPeer(context))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old_client.minimum_version = ssl.TLSVersion.TLSv1_1
    old_client.set_ciphers("ALL:@SECLEVEL=0")
    client, server = MemoryPeer(old_client, server_hostname="localhost"), MemoryPeer(context)
    while not client.finished:
        client.incoming.write(server.answer(client.answer()))
    assert client.tls.version() == "TLSv1.1", "the server does speak it"


# Whom a profile trusts


def test_public_anchors_are_never_partial() -> None:
    assert not inner_context(Profile()).verify_flags & ssl.VERIFY_X509_PARTIAL_CHAIN


SLOPPY = Issued.root("sloppy", key_identifiers=False, critical=False)
SLOPPY_LEAF = SLOPPY.issue("localhost", "localhost", key_identifiers=False)
SLOPPY_SERVED = SLOPPY_LEAF.serving()


def test_a_private_ca_may_be_sloppy() -> None:
    """Without key identifiers, with basic constraints that are not critical, as home-made CAs are."""
    assert refusal(pinned(SLOPPY_SERVED.pin, anchors=SLOPPY.anchors), SLOPPY_SERVED) is None


def test_a_strict_context_would_refuse_the_sloppy_one() -> None:
    strict = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    strict.load_verify_locations(cadata=SLOPPY.anchors.pem)
    strict.verify_flags |= ssl.VERIFY_X509_STRICT
    client, server = (
        MemoryPeer(strict, server_hostname="localhost"),
        MemoryPeer(SLOPPY_SERVED.server_context()),
    )
    client.incoming.write(server.answer(client.answer()))
    with pytest.raises(ssl.SSLCertVerificationError):
        client.answer()


@pytest.mark.parametrize(
    ("anchors", "pins"),
    [
        pytest.param(anchors_of(ROOT.der), [GENUINE.pin, ISSUER.pin, ROOT.pin], id="root"),
        pytest.param(
            anchors_of(ROOT.der, ISSUER.der),
            [GENUINE.pin, ISSUER.pin, ROOT.pin],
            id="root and intermediate",
        ),
        pytest.param(anchors_of(ISSUER.der), [GENUINE.pin, ISSUER.pin], id="intermediate only"),
        pytest.param(anchors_of(GENUINE.der), [GENUINE.pin], id="leaf only"),
    ],
)
def test_where_a_chain_may_end(anchors: Anchors, pins: list[str]) -> None:
    """A pin on the root goes on matching although the bundle holds the intermediate too."""
    for pin in pins:
        assert refusal(pinned(pin, anchors=anchors), GENUINE) is None
    assert isinstance(refusal(pinned(ABSENT, anchors=anchors), GENUINE), PinMismatchError)


def test_another_ca_is_not_trusted() -> None:
    error = refusal(pinned(anchors=Issued.root("another").anchors), GENUINE)
    assert type(error) is CertificateNotVerifiedError


def test_a_public_profile_trusts_no_private_ca() -> None:
    error = refusal(pinned(anchors=None), GENUINE)
    assert type(error) is CertificateNotVerifiedError


@pytest.mark.parametrize(
    ("names", "host", "fits"),
    [
        (["localhost"], "localhost", True),
        (["other.test"], "localhost", False),
        (["*.pinned.test"], "api.pinned.test", True),
        (["*.pinned.test"], "deep.api.pinned.test", False),
        (["*.pinned.test"], "pinned.test", False),
        (["192.0.2.7"], "192.0.2.7", False),  # as a DNS name, which is no address
        ([], "localhost", False),  # in the common name alone
    ],
    ids=[
        "same",
        "other",
        "wildcard",
        "wildcard too deep",
        "wildcard's apex",
        "address as name",
        "common name",
    ],
)
def test_the_name_must_fit(names: list[str], host: str, fits: bool) -> None:
    leaf = ROOT_BY_HAND.issue(host, *names).serving()
    error = refusal(pinned(leaf.pin, host=host, anchors=ROOT_BY_HAND.anchors), leaf, host=host)
    assert (error is None) == fits
    if error is not None:
        assert type(error) is CertificateNotVerifiedError
        assert "match" in error.verify_message


ROOT_BY_HAND = Issued.root("by hand")


@pytest.mark.parametrize("address", ["127.0.0.1", "2001:db8::7"])
def test_an_address_must_stand_in_the_certificate(address: str) -> None:
    right, wrong = ROOT.issue(address), ROOT.issue("192.0.2.99")
    assert refusal(pinned(right.pin, host=address), right, host=address) is None
    error = refusal(pinned(wrong.pin, host=address), wrong, host=address)
    assert type(error) is CertificateNotVerifiedError


# One context for each configuration


def test_the_same_configuration_has_the_same_context() -> None:
    copy = Anchors.from_pem(ROOT.anchors.pem)
    assert inner_context(Profile("pkix", ROOT.anchors)) is inner_context(Profile("pkix", copy))


def test_another_configuration_has_another_context() -> None:
    contexts = [inner_context(profile) for profile in PROFILES.values()]
    assert len(set(map(id, contexts))) == len(contexts)


def test_contexts_are_bounded() -> None:
    for number in range(MAX_CONTEXTS + 5):
        inner_context(Profile("leaf-pin", settings=Settings(alpn=(f"test/{number}",))))
    assert len(inner_context._contexts) == MAX_CONTEXTS


def test_nothing_holds_a_context_that_gave_way(
    monkeypatch: pytest.MonkeyPatch, tls_version: ssl.TLSVersion
) -> None:
    """Its sessions go with it: each would keep it, a megabyte of anchors included, for as long as the cache lives."""
    monkeypatch.setattr(inner_contexts, "MAX_CONTEXTS", 2)
    monkeypatch.setattr(inner_contexts.inner_context, "_contexts", {})
    cache = SessionCache()
    held: list[weakref.ref[ssl.SSLContext]] = []
    with Server(GENUINE, tls_version=tls_version) as server:
        contexts = [
            context_for(pinned(), alpn=[f"test/{number}"], resumption=cache) for number in range(4)
        ]
        for number, context in enumerate(contexts):
            ask(context, server)
            held.append(weakref.ref(inner(context)))
            assert len(cache) == min(number + 1, 2)
        ask(contexts[-1], server)
        assert server.connections[-1].resumed, "the others are as they were"
    gc.collect()
    assert [reference() is None for reference in held] == [True, True, False, False]


@pytest.mark.skipif(not hasattr(os, "register_at_fork"), reason="this platform does not fork")
def test_contexts_are_not_inherited_by_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock could be held by a thread that the child does not have."""
    registered = []
    monkeypatch.setattr(
        os, "register_at_fork", lambda *, after_in_child: registered.append(after_in_child)
    )
    contexts = inner_contexts._InnerContexts()
    context = contexts(Profile("leaf-pin"))
    (after_fork,) = registered
    contexts._lock.acquire()
    after_fork()
    assert contexts(Profile("leaf-pin")) is not context


@pytest.mark.parametrize(
    ("profile", "attribute", "value"),
    [
        (PROFILES["private"], "check_hostname", False),
        (PROFILES["private"], "verify_mode", ssl.CERT_OPTIONAL),
        (PROFILES["leaf-pin"], "verify_mode", ssl.CERT_REQUIRED),
    ],
)
def test_a_profile_notices_that_its_context_was_changed(
    profile: Profile, attribute: str, value: object
) -> None:
    context = inner_contexts._build(profile)
    tls = MemoryPeer(context, server_hostname="localhost").tls
    assert verifies_as(OpenSSLFacts(tls), profile)
    setattr(context, attribute, value)
    assert not verifies_as(OpenSSLFacts(tls), profile)
