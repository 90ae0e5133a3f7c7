"""A library that asks a context for its CAs, in order to connect with a TLS engine of its own.

Several HTTP libraries leave TCP for QUIC once a server offers HTTP/3, or use a TLS stack that is
not OpenSSL. They ask the context that they were given which CAs it trusts, and where it has none
they trust the CAs of the system. The engine here is a stock `ssl` context: the pins do not exist
for it, and a man in the middle whom a CA vouches for would get everything.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable

import pytest

from pinio.errors import PolicyError
from pinio.testing import Interceptor, Server
from tests.tls.cast import GENUINE, ROOT, pinned
from tests.tls.through import SECRET, ask, blocking, context_for


def by_counting(context: ssl.SSLContext) -> ssl.SSLContext:
    """Takes a context without CAs for one that was left as it is made."""
    holds_cas = False
    with contextlib.suppress(AttributeError, NotImplementedError):
        holds_cas = context.cert_store_stats()["x509_ca"] > 0
    return context if holds_cas else ROOT.client_context()


def by_reading(context: ssl.SSLContext) -> ssl.SSLContext:
    """Copies the CAs, if there are any, beside those of the system."""
    other = ROOT.client_context()
    with contextlib.suppress(AttributeError, NotImplementedError):
        other.load_verify_locations(
            cadata="".join(map(ssl.DER_cert_to_PEM_cert, context.get_ca_certs(binary_form=True)))
        )
    return other


def as_given(context: ssl.SSLContext) -> ssl.SSLContext:
    return context


def of_a_socket(context: ssl.SSLContext) -> ssl.SSLContext:
    with Server(GENUINE) as server, blocking(context, server) as tls:
        return tls.context


def of_an_object(context: ssl.SSLContext) -> ssl.SSLContext:
    made = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")
    return made.context


@pytest.mark.parametrize("asked", [as_given, of_a_socket, of_an_object])
@pytest.mark.parametrize("configure", [by_counting, by_reading])
def test_P5_a_library_that_configures_another_engine_is_stopped(
    configure: Callable[[ssl.SSLContext], ssl.SSLContext],
    asked: Callable[[ssl.SSLContext], ssl.SSLContext],
    tls_version: ssl.TLSVersion,
) -> None:
    context = asked(context_for(pinned()))
    with Interceptor(ROOT, "localhost", tls_version=tls_version) as between:
        with pytest.raises(PolicyError, match=r"another TLS engine.*switch HTTP/3 off"):
            ask(configure(context), between)
        between.wait_quiet()
        assert between.captured == b""
        assert between.handshakes_finished == 0


@pytest.mark.parametrize("configure", [by_counting, by_reading])
def test_the_engine_would_trust_the_man_in_the_middle(
    configure: Callable[[ssl.SSLContext], ssl.SSLContext], tls_version: ssl.TLSVersion
) -> None:
    """An empty context is what these libraries heard of, and it stops nobody."""
    empty = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if configure is by_reading:
        empty.load_verify_locations(cadata=ROOT.certificate_pem)
    with Interceptor(ROOT, "localhost", tls_version=tls_version) as between:
        with contextlib.suppress(OSError):
            ask(configure(empty), between)
        between.wait_quiet()
        assert between.captured == SECRET
