"""The server of the soak test, in a process of its own: what it keeps open is not the client's leak.

    python -m tests.tls.soak.peer CERTIFICATE_AND_KEY.pem

Prints the ports on which it listens, one for each way to treat a client, as JSON; then, when its
standard input ends, which clients it heard application bytes of. Behind TLS a client says by its
first line what is to be done to it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import struct
import sys
from contextlib import suppress
from functools import partial
from typing import Final

HANDSHAKES: Final = (
    "silent", "garbage", "closes", "resets",
    "cut 50 closes", "cut 50 resets", "cut 900 closes", "cut 900 resets", "cut 900 silent",
)  # fmt: skip
"""What may happen instead of a handshake; `cut N` sends so many bytes of a genuine flight before."""
MUCH: Final = bytes(1 << 20)

heard: list[int] = []


async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Behind TLS."""
    number, _, wish = (await reader.readline()).decode().strip().partition(" ")
    if not number:
        return
    heard.append(int(number))
    match wish:
        case "echo":
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        case "close":
            writer.write(b"that is all")
        case "flood":
            writer.write(MUCH)
            await writer.drain()
        case "truncate":
            writer.write(b"that is")
            await writer.drain()
            writer.get_extra_info("socket").shutdown(socket.SHUT_WR)
            await reader.read()
        case "reset":
            reset(writer)
        case "deaf":
            await asyncio.sleep(1)  # a StreamReader that nobody reads pauses its transport soon


async def upgraded(
    context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """STARTTLS."""
    await reader.readline()
    writer.write(b"220 go ahead\r\n")
    await writer.drain()
    await writer.start_tls(context)
    await served(reader, writer)


async def interrupted(
    how: str, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Without a handshake that could succeed."""
    hello = await reader.read(4096)
    if how == "garbage":
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    if how.startswith("cut"):
        writer.write(flight(context, hello)[: int(how.split()[1])])
    await writer.drain()
    if how.endswith("resets"):
        reset(writer)
    elif how.endswith("silent"):
        await reader.read()


def flight(context: ssl.SSLContext, hello: bytes) -> bytes:
    """What a server answers to a client hello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    incoming.write(hello)
    with suppress(ssl.SSLError):
        context.wrap_bio(incoming, outgoing, server_side=True).do_handshake()
    return outgoing.read()


def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    writer.transport.abort()


async def contained(
    story: object, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Whatever the client does, go on."""
    with suppress(OSError, EOFError, ValueError):
        await story(reader, writer)  # type: ignore[operator]
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


async def main(identity: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity)
    modern = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    modern.load_cert_chain(identity)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    stories = {
        "TLS 1.2": (served, context),
        "TLS 1.3": (served, modern),
        "STARTTLS": (partial(upgraded, modern), None),
        **{how: (partial(interrupted, how, modern), None) for how in HANDSHAKES},
    }
    logging.disable()  # asyncio has much to say about such clients
    ports = {}
    for name, (story, tls) in stories.items():
        server = await asyncio.start_server(
            partial(contained, story), "127.0.0.1", 0, ssl=tls, backlog=1024
        )
        ports[name] = server.sockets[0].getsockname()[1]
    print(json.dumps(ports), flush=True)  # noqa: T201
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(heard), flush=True)  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
