"""A library that is loaded before OpenSSL and answers for its verifier."""

from __future__ import annotations

import _ssl
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
int X509_verify_cert(void *context) {
    int (*genuine)(void *) = dlsym(RTLD_NEXT, "X509_verify_cert");
    void (*set_error)(void *, int) = dlsym(RTLD_NEXT, "X509_STORE_CTX_set_error");
    genuine(context); /* it builds the chain, by names */
    set_error(context, 0);
    return 1;
}
"""


def build(folder: Path) -> Path:
    """The shim's path; skips the test where there is no compiler, or no libcrypto to preload against."""
    compiler = shutil.which("cc")
    crypto = _loaded("libcrypto")
    if compiler is None or crypto is None:
        pytest.skip("needs a C compiler, and a Python whose OpenSSL is a shared library")
    source, shim = folder / "shim.c", folder / "shim.so"
    source.write_text(SOURCE)
    subprocess.run(
        [
            compiler,
            "-shared",
            "-fPIC",
            "-o",
            shim,
            source,
            "-Wl,--no-as-needed",
            f"-Wl,-rpath,{Path(crypto).parent}",
            crypto,
            "-ldl",
        ],
        check=True,
        timeout=60,
    )
    return shim


def _loaded(name: str) -> str | None:
    """Where this process has a shared library from; `_ssl` is imported, so that it is there."""
    assert _ssl.OPENSSL_VERSION
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return None
    paths = (line.split(maxsplit=5)[-1] for line in maps.read_text().splitlines())
    return next((path for path in paths if Path(path).name.startswith(name)), None)
