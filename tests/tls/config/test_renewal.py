"""The files of a client certificate, after it was loaded: deleted, renewed, half renewed. Connections go on."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from cryptography.hazmat.primitives import serialization as forms

import pinio
from pinio.core.pinset import PinSet
from pinio.core.policy import Policy
from pinio.testing import CA, Leaf, Server, echo, http
from pinio.tls.config.identity import ClientIdentity
from pinio.tls.config.profile import Profile
from pinio.tls.config.renewal import Renewals
from pinio.tls.config.settings import Settings
from pinio.tls.context.inner import MAX_CONTEXTS, inner_context
from pinio.tls.context.pinned import PinnedSSLContext
from tests.tls.cast import GENUINE, IDENTITY, ROOT, SPARE, pinned
from tests.tls.certificates import anchors_of
from tests.tls.process import run_python
from tests.tls.through import SECRET, Swappable, ask, ask_asyncio, blocking, context_for, inner

RENEWED = ROOT.issue_client("renewed@pinio.test")
AGAIN = ROOT.issue_client("renewed-again@pinio.test")

Files: TypeAlias = tuple[Path, Path]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return IDENTITY.write(tmp_path, "client")


def renew(files: Files, leaf: Leaf = RENEWED) -> None:
    leaf.write(files[0].parent, files[0].stem)


# The doors


async def by_open_connection(context: PinnedSSLContext, server: Server) -> None:
    reader, writer = await pinio.open_connection("localhost", server.port, ssl=context)
    writer.write(SECRET)
    assert await reader.readexactly(len(SECRET)) == SECRET
    writer.close()
    await writer.wait_closed()


async def by_upgrade(context: PinnedSSLContext, server: Server) -> None:
    pair = await asyncio.open_connection(*server.address)
    reader, writer = await pinio.upgrade(*pair, ssl=context, server_hostname="localhost")
    writer.write(SECRET)
    assert await reader.readexactly(len(SECRET)) == SECRET
    writer.close()
    await writer.wait_closed()


async def by_connector(context: PinnedSSLContext, server: Server) -> None:
    aiohttp = pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    from pinio.aiohttp import PinnedConnector

    async with (
        aiohttp.ClientSession(connector=PinnedConnector(ssl=context)) as session,
        session.get(f"https://localhost:{server.port}/") as response,
    ):
        assert response.status == 200


async def by_loop(context: PinnedSSLContext, server: Server) -> None:
    assert await ask_asyncio(context, server) == SECRET


async def by_socket(context: PinnedSSLContext, server: Server) -> None:
    assert await asyncio.to_thread(ask, context, server) == SECRET


Door: TypeAlias = Callable[[PinnedSSLContext, Server], Awaitable[None]]
each_door = pytest.mark.parametrize(
    "door", [by_open_connection, by_upgrade, by_connector, by_loop, by_socket]
)


@contextlib.contextmanager
def insisting(door: Door, tls_version: ssl.TLSVersion) -> Iterator[Server]:
    """A server that takes no client without a certificate."""
    handler = http() if door is by_connector else echo
    with Server(GENUINE, handler=handler, client_ca=ROOT, tls_version=tls_version) as server:
        yield server


# What makes a context that makes connections anew


def swap_anchors(context: PinnedSSLContext, source: Swappable) -> None:
    other = CA("another root")
    source.current = Policy(
        {
            "localhost": PinSet(
                [GENUINE.pin], backup=[SPARE], anchors=anchors_of(ROOT.der, other.der)
            )
        }
    )


def evict(context: PinnedSSLContext, source: Swappable) -> None:
    for number in range(MAX_CONTEXTS):
        inner_context(Profile("leaf-pin", settings=Settings(alpn=(f"test/{number}",))))


Rebuild: TypeAlias = Callable[[PinnedSSLContext, Swappable], object]
REBUILDS: dict[str, Rebuild] = {
    "nothing": lambda context, source: None,
    "ALPN": lambda context, source: context.set_alpn_protocols(["http/1.1"]),
    "a version": lambda context, source: setattr(
        context, "options", context.options | ssl.OP_NO_TICKET
    ),
    "other anchors": swap_anchors,
    "eviction": evict,
}
each_rebuild = pytest.mark.parametrize("rebuild", REBUILDS.values(), ids=REBUILDS)


@each_door
@each_rebuild
@pytest.mark.parametrize("given", ["by argument", "later"])
async def test_a_certificate_whose_files_are_gone_is_shown(
    door: Door, rebuild: Rebuild, given: str, files: Files, tls_version: ssl.TLSVersion
) -> None:
    """A program that keeps its key elsewhere writes it down, loads it, and deletes it."""
    source = Swappable(pinned())
    context = context_for(source, client_cert=files if given == "by argument" else None)
    if given == "later":
        context.load_cert_chain(*files)
    for file in files:
        file.unlink()
    rebuild(context, source)
    with insisting(door, tls_version) as server:
        await door(context, server)
        assert server.client_certificates == [IDENTITY.der]


@each_door
@each_rebuild
async def test_a_renewed_certificate_is_shown_from_the_next_connection_on(
    door: Door, rebuild: Rebuild, files: Files, tls_version: ssl.TLSVersion
) -> None:
    source = Swappable(pinned())
    context = context_for(source, client_cert=files, resumption=False)
    with insisting(door, tls_version) as server:
        await door(context, server)
        renew(files)
        rebuild(context, source)
        await door(context, server)
        renew(files, AGAIN)
        await door(context, server)
        for file in files:
            file.unlink()
        await door(context, server)
        assert [record.client_certificate for record in server.connections] == [
            IDENTITY.der,
            RENEWED.der,
            AGAIN.der,
            AGAIN.der,
        ]


FORKING = """
    import json, os, sys
    from pathlib import Path
    from pinio.core.anchors import Anchors
    from pinio.core.policy import Policy
    from pinio.core.pinset import PinSet
    from tests.tls.through import ask, context_for

    port, anchors, pin, spare, *files = sys.argv[1:]
    class There:
        address = ("127.0.0.1", int(port))
    pins = PinSet([pin], backup=[spare], anchors=Anchors.from_pem(anchors))
    asked = []
    def password():
        asked.append("")
        return "swordfish"
    context = context_for(Policy({"localhost": pins}), client_cert=(*files, password), resumption=False)
    ask(context, There)
    for file in files:
        Path(file).unlink()
    child = os.fork()
    ask(context, There)
    if not child:
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(json.dumps([status, len(asked)]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_shows_what_was_loaded_and_asks_nobody(
    files: Files, tls_version: ssl.TLSVersion
) -> None:
    key = forms.load_pem_private_key(IDENTITY.private_key_pem.encode(), None)
    locked = forms.BestAvailableEncryption(b"swordfish")
    files[1].write_bytes(key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, locked))
    with Server(GENUINE, client_ca=ROOT, tls_version=tls_version) as server:
        arguments = (str(server.port), ROOT.anchors.pem, GENUINE.pin, SPARE, *map(str, files))
        assert run_python(FORKING, *arguments) == "[0, 1]\n"
        server.wait_quiet()
        assert server.client_certificates == [IDENTITY.der] * 3


# A renewal is another identity


def test_P4_sessions_of_the_old_identity_are_not_offered(
    files: Files, tls_version: ssl.TLSVersion
) -> None:
    """A server would take the session for the identity under which it was made."""
    context = context_for(pinned(), client_cert=files)
    with Server(GENUINE, client_ca=ROOT, tls_version=tls_version) as server:
        for _ in range(2):
            ask(context, server)
        renew(files)
        for _ in range(2):
            ask(context, server)
    assert [record.resumed for record in server.connections] == [False, True, False, True]


def test_a_connection_that_is_open_goes_on(files: Files, tls_version: ssl.TLSVersion) -> None:
    context = context_for(pinned(), client_cert=files)
    with (
        Server(GENUINE, client_ca=ROOT, tls_version=tls_version) as server,
        blocking(context, server) as tls,
    ):
        renew(files)
        ask(context, server)
        tls.sendall(SECRET)
        assert tls.recv(len(SECRET)) == SECRET
        assert server.client_certificates == [IDENTITY.der, RENEWED.der]


def test_a_context_that_looks_the_same_has_the_same_inner_context(files: Files) -> None:
    context = context_for(pinned(), client_cert=files)
    before = inner(context)
    os.utime(files[0])
    assert inner(context) is before, "touched, and not changed"
    renew(files)
    assert inner(context) is not before
    renew(files, IDENTITY)
    assert inner(context) is before


def test_hosts_without_pins_look_at_no_file(files: Files) -> None:
    policy = Policy(
        {"localhost": PinSet([GENUINE.pin], backup=[SPARE], anchors=ROOT.anchors)}, unpinned="allow"
    )
    context = context_for(policy, client_cert=files)
    settings = context.settings
    renew(files)
    context.profile(policy.endpoint("elsewhere.test"))
    assert context.settings is settings
    context.profile(policy.endpoint("localhost"))
    assert context.settings is not settings


def test_links_that_are_swapped_are_a_renewal(tmp_path: Path) -> None:
    """A cluster hands out secrets so: a link to a directory is replaced, the files are never written."""
    for name, leaf in (("first", IDENTITY), ("second", RENEWED)):
        (tmp_path / name).mkdir()
        leaf.write(tmp_path / name, "client")
    (tmp_path / "data").symlink_to("first")
    context = context_for(
        pinned(), client_cert=(tmp_path / "data/client.pem", tmp_path / "data/client.key")
    )
    with Server(GENUINE, client_ca=ROOT) as server:
        ask(context, server)
        (tmp_path / "new").symlink_to("second")
        (tmp_path / "new").rename(tmp_path / "data")
        ask(context, server)
        assert server.client_certificates == [IDENTITY.der, RENEWED.der]


# Half renewed


HALVES: dict[str, Callable[[Files], object]] = {
    "the certificate and not the key": lambda files: files[0].write_text(RENEWED.chain_pem),
    "the key and not the certificate": lambda files: files[1].write_text(RENEWED.private_key_pem),
    "an empty file": lambda files: files[0].write_text(""),
    "half of the key": lambda files: files[1].write_text(RENEWED.private_key_pem[:100]),
    "half of the certificate": lambda files: (
        files[0].write_text(RENEWED.chain_pem[:300]),
        files[1].write_text(RENEWED.private_key_pem),
    ),
    "an encrypted key": lambda files: files[1].write_bytes(
        forms.load_pem_private_key(IDENTITY.private_key_pem.encode(), None).private_bytes(
            forms.Encoding.PEM, forms.PrivateFormat.PKCS8, forms.BestAvailableEncryption(b"x")
        )
    ),
}


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES)
def test_files_that_do_not_fit_together_change_nothing_and_are_logged_once(
    half: Callable[[Files], object],
    files: Files,
    tls_version: ssl.TLSVersion,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "pinio")
    context = context_for(pinned(), client_cert=files, resumption=False)
    with Server(GENUINE, client_ca=ROOT, tls_version=tls_version) as server:
        half(files)
        for _ in range(3):
            ask(context, server)
        renew(files)
        ask(context, server)
        shown = [record.client_certificate for record in server.connections]
    assert shown == [IDENTITY.der] * 3 + [RENEWED.der]
    unused, renewed = caplog.records
    assert unused.levelno == logging.WARNING and "the one before it stays" in unused.getMessage()
    assert str(files[0].parent) in unused.getMessage()
    assert renewed.levelno == logging.INFO and "was renewed" in renewed.getMessage()


@pytest.mark.parametrize("gone", [0, 1])
def test_a_file_that_is_gone_is_not_worth_a_word(
    gone: int, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    context = context_for(pinned(), client_cert=files)
    files[gone].unlink()
    with Server(GENUINE, client_ca=ROOT) as server:
        ask(context, server)
    assert not caplog.records


# What a look costs


def test_two_changes_in_one_tick_of_the_file_system_are_two(files: Files) -> None:
    """They may leave the same size and the same time."""
    renewals = Renewals()
    identity = ClientIdentity.read(*files)
    later = files[1].stat().st_mtime_ns + 3600 * 10**9
    padded(files, IDENTITY, later)
    assert (first := renewals.of(identity)) is not identity
    padded(files, RENEWED, later)
    assert renewals.of(first) is not first


def test_files_that_nobody_touched_for_long_are_not_read_again(files: Files) -> None:
    renewals = Renewals()
    identity = ClientIdentity.read(*files)
    padded(files, IDENTITY, 10**18)
    identity = renewals.of(identity)
    padded(files, RENEWED, 10**18)
    assert renewals.of(identity) is identity, "its size and its time are the same"
    padded(files, RENEWED, 10**18 + 1)
    assert renewals.of(identity) is not identity


def padded(files: Files, leaf: Leaf, time: int) -> None:
    """Both files with a size and a time of our own."""
    for file, text in zip(files, (leaf.chain_pem, leaf.private_key_pem), strict=True):
        file.write_text(text.ljust(8192, "\n"))
        os.utime(file, ns=(time, time))


def test_a_pipe_is_not_looked_at_again(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, (IDENTITY.private_key_pem + IDENTITY.chain_pem).encode())
    os.close(write)
    identity = ClientIdentity.read(f"/dev/fd/{read}")
    assert Renewals().of(identity) is identity
    os.close(read)
    assert Renewals().of(identity) is identity
