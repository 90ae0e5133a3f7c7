"""How a program is made to trust a CA: one file of CAs, and the variables that name it."""

from __future__ import annotations

import os
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pinio.testing import CA

BUNDLES: Final = (
    "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "DENO_CERT",
    "GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "PIP_CERT", "CARGO_HTTP_CAINFO",
)  # fmt: skip
"""Variables that name a file of CAs, in one program or another."""
PROXIES: Final = (
    "http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY",
)  # fmt: skip
SYSTEM: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where distributions keep their list of CAs."""


class TrustFile:
    """The system's CAs and ours in one file, and whether somebody has read it.

    Args:
        ca: the interceptor's.
        directory: for the files.
    """

    def __init__(self, ca: CA, directory: Path) -> None:
        self.path = directory / "cas.pem"
        self.path.write_text(ca.certificate_pem + _public_cas(), encoding="utf-8")
        self.path.chmod(0o644)
        self._java = _java_store(ca, directory)
        for path in self._files():
            # File systems note the first read after a change (`relatime`), so let the change be
            # later than any read.
            os.utime(path, ns=(0, path.stat().st_mtime_ns))

    @property
    def was_read(self) -> bool:
        """Whether it was read since it was made; False too where the file system notes no reads."""
        return any(path.stat().st_atime_ns > 0 for path in self._files())

    def _files(self) -> list[Path]:
        return [self.path] if self._java is None else [self.path, self._java]

    def variables(self) -> dict[str, str]:
        """Environment variables that name it."""
        named = dict.fromkeys(BUNDLES, str(self.path))
        return named | ({"JAVA_TOOL_OPTIONS": self.java_options()} if self._java else {})

    def java_options(self) -> str:
        """Options of a Java virtual machine."""
        prefix = "-Djavax.net.ssl.trustStore"
        return f"{prefix}={self._java} {prefix}Type=PKCS12 {prefix}Password={_PASSWORD}"


_PASSWORD: Final = "changeit"  # noqa: S105 - Java's own default, of a file that holds public CAs


def _java_store(ca: CA, directory: Path) -> Path | None:
    """A trust store for Java; None with a cryptography that cannot make one."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

    make = getattr(pkcs12, "serialize_java_truststore", None)
    if make is None:
        return None
    certificate = pkcs12.PKCS12Certificate(x509.load_der_x509_certificate(ca.der), b"pinio")
    path = directory / "cas.p12"
    path.write_bytes(make([certificate], BestAvailableEncryption(_PASSWORD.encode())))
    return path


def _public_cas() -> str:
    for path in (*SYSTEM, ssl.get_default_verify_paths().openssl_cafile):
        if path and Path(path).is_file():
            return Path(path).read_text("utf-8", "replace")
    return ""


def stores(command: str) -> Iterator[Path]:
    """Files of CAs that a program may read whatever its variables say.

    They are the system's, and certifi's in the environment of a Python program.

    Args:
        command: the program, as `shutil.which` finds it.
    """
    openssl = ssl.get_default_verify_paths().openssl_cafile
    for path in dict.fromkeys((*SYSTEM, openssl)):
        if path and Path(path).is_file():
            yield Path(path)
    found = shutil.which(command)
    if found is not None:
        prefixes = dict.fromkeys(
            each.parent.parent for each in (Path(found), Path(found).resolve())
        )
        for prefix in prefixes:
            yield from prefix.glob("lib/python*/site-packages/certifi/cacert.pem")
