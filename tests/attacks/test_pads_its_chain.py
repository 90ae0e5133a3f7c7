r"""Genuine certificates in a chain that they are no part of (CVE-2016-2402).

    sent:      impostor ∙ evil CA ∙ GENUINE ∙ GENUINE ISSUER        whatever the sender likes
    verified:  impostor ∙ evil CA                                   what the signatures say

Certificates are public; anybody can send them along. A client that looks for its pin among what was sent finds it.
"""

from __future__ import annotations

import itertools
import ssl

import pytest

import pinio
from pinio.errors import PinMismatchError
from pinio.testing import Server
from pinio.tls.handshake import peer
from tests.tls.cast import GENUINE, ISSUER, ROOT, App, Told, end_of, pinned
from tests.tls.memory import MemoryPeer, shake_hands

EVIL = ROOT.intermediate("evil")
IMPOSTOR = EVIL.issue("localhost")
SENT = [EVIL.der, GENUINE.der, ISSUER.der]


def test_the_pin_is_among_what_was_sent() -> None:
    client = MemoryPeer(ROOT.client_context(), server_hostname="localhost")
    shake_hands(client, MemoryPeer(IMPOSTOR.serving(*SENT).server_context()))
    sent, verified = peer.served_chain(client.tls), peer.verified_chain(client.tls)
    assert sent is not None
    assert verified is not None
    assert GENUINE.der in sent
    assert ISSUER.der in sent
    assert verified == [IMPOSTOR.der, EVIL.der, ROOT.der]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
async def test_it_is_not_looked_for_there(
    tls_version: ssl.TLSVersion, order: tuple[int, ...]
) -> None:
    padded = IMPOSTOR.serving(*(SENT[at] for at in order))
    with Server(padded, tls_version=tls_version) as server:
        for pin in (GENUINE.pin, f"ca:{GENUINE.pin}", f"ca:{ISSUER.pin}"):
            with pytest.raises(PinMismatchError) as error:
                await pinio.create_connection(
                    App, "localhost", server.port, policy=pinned(pin), observer=Told()
                )
            assert GENUINE.pin not in str(error.value).partition("pinned (")[0], "nor reported"
        await end_of(server)
        assert server.application_bytes == b""
        assert server.handshakes_finished == 0
