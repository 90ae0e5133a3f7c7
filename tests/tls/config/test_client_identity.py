"""Client certificates through a context, and what a change of it leaves behind."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization as forms

from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.errors import ClientCertificateError
from pinio.testing import Server
from pinio.tls.context.pinned import PinnedSSLContext
from tests.tls.cast import GENUINE, IDENTITY, ROOT, SPARE, pinned
from tests.tls.through import SECRET, ask, blocking, context_for, inner

# Client identity


@pytest.fixture
def identity(tmp_path: Path) -> tuple[str, str]:
    certificate, key = IDENTITY.write(tmp_path, "client")
    return str(certificate), str(key)


def test_P2_a_client_identity_reaches_pinned_hosts_only(
    identity: tuple[str, str], tls_version: ssl.TLSVersion
) -> None:
    policy = Policy(
        {"localhost": PinSet([GENUINE.pin], backup=[SPARE], anchors=ROOT.anchors)},
        unpinned="allow",
        unpinned_anchors=ROOT.anchors,
    )
    context = context_for(policy, client_cert=identity)
    with Server(GENUINE, client_ca=ROOT, tls_version=tls_version) as server:
        assert ask(context, server) == SECRET
        assert server.client_certificates == [IDENTITY.der]
        with pytest.raises(OSError):  # the server insists, and is told nothing
            ask(context, server, "127.0.0.1")
        server.wait_quiet()
        assert server.client_certificates == [IDENTITY.der]


@pytest.mark.parametrize("how", ["two files", "one file", "password", "later"])
def test_an_identity_can_be_given_as_ssl_takes_it(how: str, tmp_path: Path) -> None:
    certificate, key = IDENTITY.write(tmp_path, "client")
    both = tmp_path / "both.pem"
    both.write_text(IDENTITY.private_key_pem + IDENTITY.chain_pem)
    locked = tmp_path / "locked.key"
    locked.write_bytes(encrypted(IDENTITY.private_key_pem, b"swordfish"))
    given: Any = {
        "two files": (certificate, key),
        "one file": both,
        "password": (certificate, locked, "swordfish"),
    }
    context = context_for(pinned(), client_cert=given.get(how))
    if how == "later":
        context.load_cert_chain(certificate, key)
    with Server(GENUINE, client_ca=ROOT) as server:
        ask(context, server)
        assert server.client_certificates == [IDENTITY.der]


def encrypted(private_key_pem: str, password: bytes) -> bytes:
    key = forms.load_pem_private_key(private_key_pem.encode(), None)
    return key.private_bytes(
        forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.BestAvailableEncryption(password)
    )


def test_an_identity_that_cannot_be_loaded_is_refused_at_once(tmp_path: Path) -> None:
    certificate, key = IDENTITY.write(tmp_path, "client")
    with pytest.raises(FileNotFoundError):
        context_for(pinned(), client_cert=tmp_path / "missing.pem")
    key.write_text("not a key")
    with pytest.raises(ClientCertificateError, match=r"client\.key: no private key in it"):
        context_for(pinned(), client_cert=(certificate, key))
    with pytest.raises(ClientCertificateError, match=r"client\.pem: no private key in it"):
        context_for(pinned()).load_cert_chain(certificate)


# A change is another configuration


def test_a_change_leaves_other_contexts_of_the_same_policy_alone(identity: tuple[str, str]) -> None:
    changed, other = context_for(pinned()), context_for(pinned())
    assert inner(changed) is inner(other), "while they say the same, they share"
    changed.load_cert_chain(*identity)
    changed.set_alpn_protocols(["h2"])
    assert inner(changed) is not inner(other)
    with Server(GENUINE, alpn=["h2"]) as server:
        with blocking(other, server) as tls:
            assert tls.selected_alpn_protocol() is None
        with blocking(changed, server) as tls:
            assert tls.selected_alpn_protocol() == "h2"
    with Server(GENUINE, client_ca=ROOT) as server:
        with pytest.raises(OSError):
            ask(other, server)
        server.wait_quiet()
        assert server.client_certificates == []


def test_the_same_setting_again_changes_nothing(identity: tuple[str, str]) -> None:
    """httpcore sets ALPN on every connection."""
    context = context_for(pinned(), alpn=["h2"], client_cert=identity)
    before = inner(context)
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(*identity)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    assert inner(context) is before


CHANGES: dict[str, Callable[[PinnedSSLContext, Path], object]] = {
    "identity": lambda context, directory: context.load_cert_chain(
        *ROOT.issue_client("b@pinio.test").write(directory, "b")
    ),
    "ALPN": lambda context, directory: context.set_alpn_protocols(["h2"]),
    "ciphers": lambda context, directory: context.set_ciphers("ECDHE+AESGCM"),
    "flags": lambda context, directory: setattr(
        context, "verify_flags", context.verify_flags | ssl.VERIFY_X509_STRICT
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_P4_a_change_drops_the_sessions(
    change: Callable[[PinnedSSLContext, Path], object], tmp_path: Path, tls_version: ssl.TLSVersion
) -> None:
    """A session carries the identity under which it was made (RFC 8446 section 4.6.1), and nobody could take it back."""
    context = context_for(pinned())
    with Server(GENUINE, tls_version=tls_version, alpn=["h2"]) as server:
        for _ in range(2):
            ask(context, server)
        change(context, tmp_path)
        ask(context, server)
        ask(context, server)
    assert [record.resumed for record in server.connections] == [False, True, False, True]
