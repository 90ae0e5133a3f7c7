"""A library that uses a pinned context in ways that nobody meant: by another class's methods, by patches of `ssl`, by copies.

None of this is an attack by itself; each is found in libraries that wrap or instrument `ssl`. A man
in the middle waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import ssl
from collections.abc import Callable, Iterator
from typing import Any, cast
from unittest import mock

import pytest

from pinio.errors import (
    JudgementError,
    NotJudgedError,
    PinMismatchError,
    PinVerificationError,
    PolicyError,
)
from pinio.testing import Interceptor, Server
from pinio.tls.config.settings import StockContext
from pinio.tls.context.pinned import PinnedSSLContext
from tests.tls.cast import GENUINE, ROOT, Told, pinned
from tests.tls.through import SECRET, ask, ask_asyncio, context_for, tcp


@contextlib.contextmanager
def nothing_arrives(tls_version: ssl.TLSVersion) -> Iterator[Interceptor]:
    """A man in the middle whom the CA vouches for; not a byte of the application reaches him."""
    with Interceptor(ROOT, "localhost", tls_version=tls_version) as between:
        yield between
        between.wait_quiet()
        assert between.connections
        assert between.captured == b""
        assert not any(record.plaintext_bytes for record in between.connections)


def refused_on_both_doors(
    context: ssl.SSLContext, tls_version: ssl.TLSVersion, *errors: type[Exception]
) -> None:
    with nothing_arrives(tls_version) as between:
        with pytest.raises(errors):
            ask(context, between)
        with pytest.raises(errors):
            asyncio.run(ask_asyncio(context, between))


def works_on_both_doors(context: ssl.SSLContext, tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version) as server:
        assert ask(context, server) == SECRET
        assert asyncio.run(ask_asyncio(context, server)) == SECRET


# The methods of another class


def by_wrap_socket(context: ssl.SSLContext, sock: Any) -> None:
    StockContext.wrap_socket(context, sock, server_hostname="localhost").sendall(SECRET)


def by_wrap_socket_and_a_write(context: ssl.SSLContext, sock: Any) -> None:
    """OpenSSL would shake hands in the write."""
    with StockContext.wrap_socket(
        context, sock, server_hostname="localhost", do_handshake_on_connect=False
    ) as tls:
        tls.sendall(SECRET)


def by_the_class_of_its_sockets(context: ssl.SSLContext, sock: Any) -> None:
    create = cast(Any, context.sslsocket_class)._create
    create(sock=sock, context=context, server_hostname="localhost").sendall(SECRET)


def by_wrap_bio(context: ssl.SSLContext, sock: Any) -> None:
    drive(
        StockContext.wrap_bio(
            context, ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost"
        )
    )


def by_the_class_of_its_objects(context: ssl.SSLContext, sock: Any) -> None:
    create = cast(Any, context.sslobject_class)._create
    drive(create(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost", context=context))


def drive(tls: ssl.SSLObject) -> None:
    for use in (tls.do_handshake, lambda: tls.read(1), lambda: tls.write(SECRET)):
        with pytest.raises(NotJudgedError):
            use()
    tls.write(SECRET)


@pytest.mark.parametrize(
    "use",
    [
        by_wrap_socket,
        by_wrap_socket_and_a_write,
        by_the_class_of_its_sockets,
        by_wrap_bio,
        by_the_class_of_its_objects,
    ],
)
def test_P5_a_method_of_ssls_own_class_makes_what_lets_nothing_through(
    use: Callable[[ssl.SSLContext, Any], None], tls_version: ssl.TLSVersion
) -> None:
    with (
        nothing_arrives(tls_version) as between,
        tcp(between) as sock,
        pytest.raises(NotJudgedError),
    ):
        use(context_for(pinned()), sock)
    assert between.handshakes_finished == 0


# Another class


@pytest.mark.parametrize("kind", [ssl.SSLContext, type("Mine", (ssl.SSLContext,), {})])
def test_P5_the_class_of_a_context_cannot_be_replaced(kind: type[ssl.SSLContext]) -> None:
    context = context_for(pinned())
    with pytest.raises(PolicyError, match="__class__"):
        context.__class__ = cast(Any, kind)
    assert type(context) is PinnedSSLContext


def test_P5_where_it_is_by_force_the_context_trusts_nobody(tls_version: ssl.TLSVersion) -> None:
    context = context_for(pinned())
    object.__setattr__(context, "__class__", StockContext)
    refused_on_both_doors(context, tls_version, ssl.SSLCertVerificationError)


def test_P5_a_subclass_with_tls_classes_of_its_own_is_judged_all_the_same(
    tls_version: ssl.TLSVersion,
) -> None:
    class Mine(PinnedSSLContext):
        sslobject_class = cast(Any, ssl.SSLObject)
        sslsocket_class = cast(Any, ssl.SSLSocket)

    model = context_for(pinned())
    context = Mine(model.expectation, settings=model.settings, observer=Told(), resumption=False)
    refused_on_both_doors(context, tls_version, PinMismatchError)
    works_on_both_doors(context, tls_version)


def test_P6_a_context_that_was_made_without_a_policy_makes_nothing() -> None:
    """`SSLContext.__new__` is enough for `ssl`'s own."""
    context = StockContext.__new__(PinnedSSLContext, ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(AttributeError):
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")


# Patches of `ssl`


@pytest.mark.parametrize("name", ["sslobject_class", "sslsocket_class"])
def test_P5_a_tls_class_patched_into_ssl_judges_nobody(
    name: str, tls_version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_for(pinned(), resumption=False)
    stock = {"sslobject_class": ssl.SSLObject, "sslsocket_class": ssl.SSLSocket}[name]
    monkeypatch.setattr(StockContext, name, type("Instrumented", (stock,), {}))
    refused_on_both_doors(context, tls_version, PinMismatchError)
    works_on_both_doors(context, tls_version)


def test_a_patch_that_listens_does_no_harm(
    tls_version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []

    def listening(name: str) -> Callable[..., Any]:
        original = getattr(StockContext, name)

        def method(self: ssl.SSLContext, *arguments: Any, **options: Any) -> Any:
            heard.append(name)
            return original(self, *arguments, **options)

        return method

    for name in ("wrap_bio", "wrap_socket"):
        monkeypatch.setattr(StockContext, name, listening(name))
    context = context_for(pinned(), resumption=False)
    refused_on_both_doors(context, tls_version, PinMismatchError)
    works_on_both_doors(context, tls_version)
    assert {"wrap_bio", "wrap_socket"} <= set(heard)


def test_P5_a_patch_that_returns_what_it_likes_is_refused(
    tls_version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object that verifies, and that nobody latched."""
    verifying = ROOT.client_context()

    def patched(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrap(self: ssl.SSLContext, *rest: Any, **options: Any) -> Any:
            return original(self if options.get("server_side") else verifying, *rest, **options)

        return wrap

    for name in ("wrap_bio", "wrap_socket"):
        monkeypatch.setattr(StockContext, name, patched(getattr(StockContext, name)))
    context = context_for(pinned())
    with nothing_arrives(tls_version) as between, pytest.raises(JudgementError):
        ask(context, between)
    with pytest.raises(JudgementError):
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    assert between.handshakes_finished == 0


def without_handshake(stock: Any) -> Callable[..., None]:
    original = stock.do_handshake

    def do_handshake(tls: Any, *block: bool) -> None:
        if tls.server_side:
            original(tls, *block)

    return do_handshake


def test_P6_a_handshake_patched_away_is_none(
    tls_version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenSSL would do it in the first write."""
    for stock in (ssl.SSLObject, ssl.SSLSocket):
        monkeypatch.setattr(stock, "do_handshake", without_handshake(stock))
    refused_on_both_doors(context_for(pinned()), tls_version, PinVerificationError)


@pytest.mark.parametrize(
    "name", ["wrap_bio", "wrap_socket", "expectation", "settings", "observer", "profile"]
)
def test_P5_a_context_itself_cannot_be_patched(name: str) -> None:
    context = context_for(pinned())
    with pytest.raises(PolicyError), mock.patch.object(context, name):
        pass
    with pytest.raises(PolicyError):
        setattr(context, name, None)
    with pytest.raises(PolicyError):
        delattr(context, name)


def test_P5_what_is_written_under_its_settings_names_has_no_effect(
    tls_version: ssl.TLSVersion,
) -> None:
    context = context_for(pinned(), resumption=False)
    vars(context).update(
        verify_mode=ssl.CERT_NONE,
        check_hostname=False,
        sslobject_class=ssl.SSLObject,
        sslsocket_class=ssl.SSLSocket,
    )
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
    refused_on_both_doors(context, tls_version, PinMismatchError)
    works_on_both_doors(context, tls_version)


# Copies


def test_P1_a_copy_of_a_tls_object_has_the_same_gate(tls_version: ssl.TLSVersion) -> None:
    outgoing = ssl.MemoryBIO()
    tls = context_for(pinned()).wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    duplicate = copy.copy(tls)
    for use in (lambda: duplicate.write(SECRET), lambda: duplicate.read(1), duplicate.unwrap):
        with pytest.raises(NotJudgedError):
            use()
    assert not outgoing.pending
    with pytest.raises(TypeError):
        copy.deepcopy(tls)


def test_P1_a_socket_cannot_be_copied(tls_version: ssl.TLSVersion) -> None:
    context = context_for(pinned())
    with (
        nothing_arrives(tls_version) as between,
        tcp(between) as sock,
        context.wrap_socket(
            sock, server_hostname="localhost", do_handshake_on_connect=False
        ) as tls,
    ):
        for duplicate in (tls.dup, lambda: copy.copy(tls), lambda: copy.deepcopy(tls)):
            with pytest.raises((NotImplementedError, TypeError)):
                duplicate()
