"""Libraries that put an engine of their own, or a context class of their own, in the place of Python's."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any

import pytest

from pinio.errors import (
    PinMismatchError,
)
from pinio.testing import Server
from tests.tls.cast import GENUINE, MISPINNED, ROOT, end_of, pinned
from tests.tls.process import run_python
from tests.tls.through import SECRET, context_for


@pytest.mark.parametrize("when", ["before", "after"])
def test_truststore_injected_into_ssl_weakens_nothing_and_breaks_nothing(when: str) -> None:
    pytest.importorskip("truststore", reason="truststore is not installed")
    inject = "truststore.inject_into_ssl()"
    script = f"""
        import asyncio, ssl, truststore
        {inject if when == "before" else ""}
        import pinio, pinio.tls.context.pinned
        truststore.extract_from_ssl()  # for the server's sake, which is no part of this
        from pinio.testing import Server
        from tests.tls.cast import GENUINE, MISPINNED, pinned
        from tests.tls.through import SECRET, ask, ask_asyncio
        with Server(GENUINE) as server:
            {inject}
            right, wrong = pinio.create_ssl_context(pinned()), pinio.create_ssl_context(MISPINNED)
            assert ask(right, server) == SECRET
            assert asyncio.run(ask_asyncio(right, server)) == SECRET
            before = server.application_bytes
            for attempt in (lambda: ask(wrong, server), lambda: asyncio.run(ask_asyncio(wrong, server))):
                try:
                    attempt()
                except pinio.PinMismatchError:
                    print("refused")
            server.wait_quiet()
            assert server.application_bytes == before
    """
    assert run_python(script) == "refused\nrefused\n"


def aiofastnet() -> Any:
    return pytest.importorskip("aiofastnet", reason="aiofastnet is not installed")


async def through_aiofastnet(context: ssl.SSLContext, server: Server) -> bytes:
    reader, writer = await aiofastnet().open_connection(
        asyncio.get_running_loop(), *server.address, ssl=context, server_hostname="localhost"
    )
    try:
        writer.write(SECRET)
        return bytes(await reader.readexactly(len(SECRET)))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_aiofastnet_works_and_is_pinned(tls_version: ssl.TLSVersion) -> None:
    with Server(GENUINE, tls_version=tls_version) as server:
        assert await through_aiofastnet(context_for(pinned()), server) == SECRET
        with pytest.raises(PinMismatchError):
            await through_aiofastnet(context_for(MISPINNED), server)
        await end_of(server)
        assert server.application_bytes == SECRET
        assert server.handshakes_finished == 1


async def test_P5_aiofastnets_own_engine_fails_closed(tls_version: ssl.TLSVersion) -> None:
    """Without its switch it takes the C context, which cannot verify anybody, whatever was written to it."""
    context = context_for(pinned())
    vars(context).pop("_aiofastnet_force_fallback_ssl")
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with Server(GENUINE, tls_version=tls_version) as server:
        with pytest.raises(ssl.SSLCertVerificationError, match=r"(?i)verify failed|issuer"):
            await through_aiofastnet(context, server)
        await end_of(server)
        assert server.application_bytes == b""
        assert server.handshakes_finished == 0


async def test_the_switch_of_aiofastnet_has_its_name_still() -> None:
    """If it is renamed, pinned contexts do not work there; they never become weaker."""
    asked: list[str] = []

    class ConnectionRequest(ssl.SSLContext):
        def __getattr__(self, name: str) -> Any:
            asked.append(name)
            raise AttributeError(name)

    context = ConnectionRequest(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ROOT.certificate_pem)
    with Server(GENUINE) as server:
        assert await through_aiofastnet(context, server) == SECRET
    assert "_aiofastnet_force_fallback_ssl" in asked
    assert "_aiofastnet_force_fallback_ssl" in vars(context_for(pinned()))
