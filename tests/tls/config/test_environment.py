"""No environment variable changes what a pinned connection proves, or to whom it can be read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pinio.testing import CA

# What every inner context would verify and offer, and whether the CA of the environment is
# believed.
SCRIPT = """
import _ssl, json, ssl, sys
from pinio.core.anchors import Anchors
from pinio.tls.config.profile import Profile
from pinio.tls.context.inner import inner_context
from tests.tls.memory import MemoryPeer, drive, engine_for
from tests.tls.cast import GENUINE, ROOT, pinned

def looks(context):
    return {
        "versions": [int(context.minimum_version), int(context.maximum_version)],
        "options": int(context.options),
        "flags": int(context.verify_flags),
        "mode": [int(context.verify_mode), context.check_hostname, context.hostname_checks_common_name],
        "suites": sorted(suite["name"] for suite in context.get_ciphers()),
        "anchors": _ssl._SSLContext.cert_store_stats(context)["x509_ca"],
        "key log": context.keylog_filename,
    }

def outcome(policy, leaf):
    try:
        drive(engine_for(policy), MemoryPeer(leaf))
    except ssl.SSLError as error:
        return error.reason
    return "open"

planted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
planted.load_cert_chain(*sys.argv[1:3])
json.dump(
    {
        "public": looks(inner_context(Profile())),
        "system": looks(inner_context(Profile("pkix", Anchors.system()))),
        "leaf-pin": looks(inner_context(Profile("leaf-pin"))),
        "genuine": outcome(pinned(), GENUINE.server_context()),
        "planted, public": outcome(pinned(sys.argv[3], anchors=None), planted),
        "planted, system": outcome(pinned(sys.argv[3], anchors=Anchors.system()), planted),
    },
    sys.stdout,
)
"""

CONFIGURATION = """
openssl_conf = init
[init]
ssl_conf = ssl
[ssl]
system_default = default
[default]
MinProtocol = TLSv1
MaxProtocol = TLSv1.2
CipherString = ALL:COMPLEMENTOFALL:@SECLEVEL=0
Options = UnsafeLegacyRenegotiation,UnsafeLegacyServerConnect,Compression,-ExtendedMasterSecret
VerifyCAFile = {file}
VerifyCAPath = {directory}
"""

PLANTED = CA("planted")
IMPOSTOR = PLANTED.issue("localhost")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate store and an OpenSSL configuration that somebody planted."""
    folder = tmp_path_factory.mktemp("environment")
    store = folder / "store"
    store.mkdir()
    (folder / "planted.pem").write_text(PLANTED.certificate_pem)
    (store / "planted.pem").write_text(PLANTED.certificate_pem)
    (folder / "openssl.cnf").write_text(
        CONFIGURATION.format(file=folder / "planted.pem", directory=store)
    )
    IMPOSTOR.write(folder, "impostor")
    return folder


def run(files: Path, **environment: str) -> Any:
    """What the script prints in such an environment."""
    plain = {
        name: value for name, value in os.environ.items() if not name.startswith(("SSL", "OPENSSL"))
    }
    completed = subprocess.run(
        [
            sys.executable,
            "-c",
            SCRIPT,
            files / "impostor.pem",
            files / "impostor.key",
            IMPOSTOR.pin,
        ],
        env={**plain, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(completed.stdout)


@pytest.fixture(scope="module")
def usual(files: Path) -> Any:
    return run(files)


def test_in_the_usual_environment(usual: Any) -> None:
    assert usual["genuine"] == "open"
    assert usual["planted, public"] == usual["planted, system"] == "CERTIFICATE_NOT_VERIFIED"
    assert usual["public"]["anchors"] > 100


@pytest.mark.parametrize(
    "variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF", "SSLKEYLOGFILE"]
)
def test_nothing_changes(files: Path, usual: Any, variable: str) -> None:
    value = {
        "SSL_CERT_FILE": files / "planted.pem",
        "SSL_CERT_DIR": files / "store",
        "OPENSSL_CONF": files / "openssl.cnf",
        "SSLKEYLOGFILE": files / "keys.log",
    }[variable]
    assert run(files, **{variable: str(value)}) == usual
    assert not (files / "keys.log").exists()


def test_the_environment_would_matter_otherwise(files: Path) -> None:
    """A stock context believes the planted CA and writes the keys down."""
    script = (
        "import ssl; context = ssl.create_default_context();"
        "print(context.cert_store_stats()['x509_ca'], bool(context.keylog_filename))"
    )
    completed = subprocess.run(
        [sys.executable, "-c", script],
        env={
            **os.environ,
            "SSL_CERT_FILE": str(files / "planted.pem"),
            "SSL_CERT_DIR": "",
            "SSLKEYLOGFILE": str(files / "keys"),
        },
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    assert completed.stdout.split() == ["1", "True"]
