"""Detectors that look at the running process. What the system does not offer (`/proc`) is not asked."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pinio.tls.handshake import peer

VARIABLES: Final = (
    "LD_AUDIT", "LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "OPENSSL_CONF", "OPENSSL_ENGINES",
    "OPENSSL_MODULES", "PYTHONHOME", "PYTHONINSPECT", "PYTHONPATH", "PYTHONPYCACHEPREFIX",
    "PYTHONSTARTUP", "PYTHONUSERBASE", "SSLKEYLOGFILE", "SSL_CERT_DIR", "SSL_CERT_FILE",
)  # fmt: skip
FUNCTIONS: Final = (
    "X509_verify_cert", "SSL_get_verify_result", "SSL_get1_peer_certificate", "SSL_write_ex",
    "SSL_read_ex", "SSL_do_handshake", "SSL_get0_verified_chain", "EVP_DigestFinal_ex",
)  # fmt: skip
AGENTS: Final = ("frida", "gum-js", "gadget", "substrate")
MOST: Final = 64 << 20
"""Bytes of machine code that are compared at most."""

_LIBRARIES: Final = ("libssl", "libcrypto", "libpython", "python", "_ssl.", "_hashlib", "_sha")


class _Mapping(NamedTuple):
    start: int
    end: int
    permissions: str
    offset: int
    path: str


def _maps() -> list[_Mapping]:
    try:
        lines = Path("/proc/self/maps").read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    found: list[_Mapping] = []
    for line in lines:
        addresses, permissions, offset, _, _, *path = line.split(maxsplit=5)
        start, _, end = addresses.partition("-")
        found.append(
            _Mapping(int(start, 16), int(end, 16), permissions, int(offset, 16), "".join(path))
        )
    return found


def tracer() -> Iterator[str]:
    """A debugger that the kernel knows of."""
    try:
        status = Path("/proc/self/status").read_text("ascii", "replace")
    except OSError:
        return
    pid = status.partition("TracerPid:")[2].split(maxsplit=1)[:1]
    if pid and pid != ["0"]:
        yield f"process {pid[0]} traces this one"


def debugger() -> Iterator[str]:
    """Hooks of the interpreter; audit hooks cannot be listed."""
    for name, hook in (("trace", sys.gettrace()), ("profile", sys.getprofile())):
        if hook is not None:
            yield f"a {name} function is set: {type(hook).__module__}.{type(hook).__name__}"
    monitoring = getattr(sys, "monitoring", None)
    if monitoring is not None:
        yield from (
            f"sys.monitoring is used by {tool}"
            for tool in map(monitoring.get_tool, range(6))
            if tool
        )


def agents() -> Iterator[str]:
    """Names of known agents among the mapped files."""
    for path in sorted({mapping.path for mapping in _maps()}):
        if any(agent in path.rpartition("/")[2].lower() for agent in AGENTS):
            yield f"{path} is mapped"


def text() -> Iterator[str]:
    """Executable mappings of OpenSSL and Python against their files."""
    left = MOST
    for mapping in _maps():
        name = mapping.path.rpartition("/")[2]
        size = mapping.end - mapping.start
        if "x" in mapping.permissions and name.startswith(_LIBRARIES) and size <= left:
            left -= size
            changed = _changed(mapping)
            if changed:
                yield f"{changed} bytes of {mapping.path} differ from the file"


def _changed(mapping: _Mapping) -> int:
    """Bytes that differ; 0 where the file is gone, as after an upgrade."""
    size = mapping.end - mapping.start
    try:
        with Path(mapping.path).open("rb") as file:
            file.seek(mapping.offset)
            disk = file.read(size)
    except OSError:
        return 0
    # The kernel fills the last page with zeros.
    memory = ctypes.string_at(mapping.start, len(disk))
    return 0 if memory == disk else sum(a != b for a, b in zip(memory, disk, strict=True))


class _Information(ctypes.Structure):
    _fields_ = (
        ("path", ctypes.c_char_p), ("base", ctypes.c_void_p),
        ("name", ctypes.c_char_p), ("address", ctypes.c_void_p),
    )  # fmt: skip


def interposed() -> Iterator[str]:
    """Functions of OpenSSL for which a library of the global scope answers, and not OpenSSL.

    An entry of a table (GOT) that was written over is not seen.
    """
    if peer.LIBRARY is None or not hasattr(os, "RTLD_LAZY"):
        return
    everywhere, ours = ctypes.CDLL(None), ctypes.CDLL(peer.LIBRARY)
    for name in FUNCTIONS:
        first, genuine = (_home(library, name) for library in (everywhere, ours))
        if first and genuine and first != genuine:
            yield f"{name} is answered by {first}"


def _home(library: ctypes.CDLL, name: str) -> str | None:
    """The file that a library's function is in."""
    try:
        function = getattr(library, name)
        locate = ctypes.CDLL(None).dladdr
    except AttributeError:
        return None
    found = _Information()
    address = ctypes.cast(function, ctypes.c_void_p)
    return os.fsdecode(found.path) if locate(address, ctypes.byref(found)) and found.path else None


def variables() -> Iterator[str]:
    """Variables of the environment, by name alone: a value may be a secret."""
    for name in VARIABLES:
        if os.environ.get(name):
            yield f"{name} is set"
    try:
        if Path("/etc/ld.so.preload").read_bytes().strip():
            yield "/etc/ld.so.preload names a library"
    except OSError:
        return
