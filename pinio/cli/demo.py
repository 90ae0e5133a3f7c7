"""`pinio demo`: an interceptor at work, against a client without pins and one with them.

Three acts over loopback, played by the testing kit: real certificates, real TLS. What is told of
them comes from the records of the servers' side, and each claim is an observation that can fail.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple, Protocol

import click

import pinio
from pinio.cli import ui
from pinio.testing import CA, Connection, ConnectionRecord, Interceptor, Leaf, Server

NAME: Final = "bank.example"
ORDER: Final = b"PAY 100 TO carol, PASSWORD open-sesame\n"
ANSWER: Final = b"PAID\n"
TIMEOUT: Final = 10.0
"""Seconds that a client may take; it needs a hundredth of one."""


class Connect(Protocol):
    """A client's way to open a connection to a port on this machine."""

    async def __call__(self, *, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]: ...


@dataclass(frozen=True, slots=True)
class Attempt:
    """One client against one server, told by both sides."""

    answer: bytes
    permit: pinio.Permit | None
    error: OSError | None
    seen: list[ConnectionRecord]
    """What the server saw."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The three acts, and the keys of those who act."""

    bank_pin: str
    interceptor_pin: str
    unpinned: Attempt
    """A client without pins, led to the interceptor."""
    pinned: Attempt
    """A client with pins, led to the interceptor."""
    genuine: Attempt
    """The same client, led to the bank."""


class Observations(NamedTuple):
    """What has to be seen before anybody may say that pinning works."""

    unpinned_answered: bool
    secret_captured: bool
    identity_captured: bool
    interceptor_reached: bool
    pinned_refused: bool
    no_application_byte: bool
    handshake_unfinished: bool
    identity_kept: bool
    bank_answered: bool


@click.command()
def demo() -> None:
    """Watch an interceptor rob a client without pins, and fail with pins.

    Needs no network: bank, clients and interceptor run on this machine, for about a second.

    Exits 0 if all of that was observed, 1 if not, 2 if the servers could not be started.
    """
    try:
        scene = asyncio.run(play())
    except OSError as error:
        raise ui.Failure(ui.no_stage(error)) from None
    observations = observe(scene)
    ui.show_scene(scene)
    ui.show_observations(observations._asdict())
    if not all(observations):
        raise SystemExit(ui.Exit.NO)


async def play() -> Scene:
    """Play the three acts.

    Raises `OSError` if the servers cannot listen; what happens to a client is in the scene.
    """
    ca = CA("a CA that everybody trusts")
    bank_leaf, identity = ca.issue(NAME), ca.issue_client(f"alice@{NAME}")
    bank = Server(bank_leaf, handler=_answer, client_ca=ca)
    interceptor = Interceptor(ca, NAME, handler=_answer, client_ca=ca)
    stock = ca.client_context(identity=identity)
    with tempfile.TemporaryDirectory(prefix="pinio-demo-") as directory:
        context = _pinned_context(ca, bank_leaf, identity, directory)
        without_pins = partial(
            asyncio.open_connection, "127.0.0.1", ssl=stock, server_hostname=NAME
        )
        with_pins = partial(pinio.open_connection, "127.0.0.1", ssl=context, server_hostname=NAME)
        async with bank, interceptor:
            return Scene(
                bank_leaf.pin,
                interceptor.leaf.pin,
                unpinned=await _attempt(without_pins, interceptor),
                pinned=await _attempt(with_pins, interceptor),
                genuine=await _attempt(with_pins, bank),
            )


def _pinned_context(ca: CA, bank: Leaf, identity: Leaf, directory: str) -> pinio.PinnedSSLContext:
    """What the pinned client knows: the bank's key, a spare one, and the same CA and identity as the other client."""
    pins = pinio.PinSet([bank.pin], backup=[ca.issue(NAME).pin], anchors=ca.anchors)
    policy = pinio.Policy({NAME: pins}, revision="demo")
    return pinio.create_ssl_context(policy, client_cert=identity.write(directory), observer=_nobody)


def _nobody(_decision: pinio.Permit | pinio.Refusal) -> None:
    """Observer of a program that tells the story itself."""


def _answer(connection: Connection) -> None:
    if connection.recv():
        connection.sendall(ANSWER)


async def _attempt(connect: Connect, server: Server) -> Attempt:
    """Have a client place its order, and wait until the server has seen all of it."""
    before = len(server.connections)
    answer, permit, failure = b"", None, None
    try:
        async with asyncio.timeout(TIMEOUT):
            reader, writer = await connect(port=server.port)
            permit = writer.get_extra_info("pinio")
            answer = await _order(reader, writer)
    except OSError as error:  # a refusal too, and a timeout
        failure = error
    await server.quiet()
    return Attempt(answer, permit, failure, server.connections[before:])


async def _order(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    try:
        writer.write(ORDER)
        await writer.drain()
        return await reader.readline()
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def observe(scene: Scene) -> Observations:
    """Judge a scene. What did not happen, or cannot be told, was not observed."""
    robbed, foiled, permit = scene.unpinned.seen, scene.pinned.seen, scene.genuine.permit
    return Observations(
        unpinned_answered=scene.unpinned.answer == ANSWER,
        secret_captured=any(bytes(record.application_bytes) == ORDER for record in robbed),
        identity_captured=any(record.client_certificate for record in robbed),
        # Zero bytes from a client that never came would prove nothing.
        interceptor_reached=any(record.handshake_bytes for record in foiled),
        pinned_refused=isinstance(scene.pinned.error, pinio.PinMismatchError)
        and not scene.pinned.answer,
        no_application_byte=not any(record.application_bytes for record in foiled),
        handshake_unfinished=not any(record.handshake_finished for record in foiled),
        identity_kept=not any(record.client_certificate for record in foiled),
        bank_answered=scene.genuine.answer == ANSWER and permit is not None and permit.pinned,
    )
