r"""A TLS library that does not tell the truth.

    ssl.SSLObject.getpeercert ──▶ "GENUINE"            a shim, loaded before the real one
    the verified chain        ──▶ GENUINE ∙ ISSUER
    the served chain          ──▶ IMPOSTOR ∙ ...       the one that it forgot

Code inside the process can do anything, so this is no wall. But three sources name the peer's certificate after a full handshake,
and a tool that was written to fool one of them is noticed.
"""

from __future__ import annotations

import ssl

import pytest

import pinio
from pinio.errors import JudgementError, WitnessError
from pinio.testing import Interceptor, Server
from pinio.tls.config.profile import Profile
from pinio.tls.context import inner
from pinio.tls.handshake import peer
from tests.tls.cast import GENUINE, ISSUER, ROOT, App, Told, end_of, pinned


async def test_a_shim_that_forgets_one_witness_is_noticed(
    tls_version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers for the chain and for the certificate, and not for what was served."""
    genuine = [GENUINE.der, ISSUER.der, ROOT.der]
    monkeypatch.setattr(peer, "verified_chain", lambda tls: genuine)
    monkeypatch.setattr(ssl.SSLObject, "getpeercert", lambda tls, binary_form=False: GENUINE.der)
    app, told = App(), Told()
    with Interceptor(ROOT, "localhost", tls_version=tls_version) as between:
        with pytest.raises(WitnessError, match="contradicts itself"):
            await pinio.create_connection(
                lambda: app, "localhost", between.port, policy=pinned(), observer=told
            )
        await end_of(between)
        assert between.captured == b""
    assert app.calls == []
    assert told.kinds == ["Refusal"]


@pytest.mark.parametrize("trust", ["pkix", "leaf-pin"])
async def test_a_context_that_was_changed_is_noticed(
    tls_version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch, trust: str
) -> None:
    """Even one that would verify more: it is not the one that was asked for."""
    policy = pinned(trust=trust)
    context = inner._build(Profile.of(policy.endpoint("localhost")))
    if trust == "pkix":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    else:
        context.load_verify_locations(cadata=ROOT.certificate_pem)
        context.verify_mode = ssl.CERT_REQUIRED
    monkeypatch.setattr(inner.inner_context, "ready", lambda profile: context)
    with Server(GENUINE, tls_version=tls_version) as server:
        with pytest.raises(JudgementError, match="does not verify as its profile says"):
            await pinio.create_connection(
                App, "localhost", server.port, policy=policy, observer=Told()
            )
        await end_of(server)
        assert server.handshakes_finished == 0
