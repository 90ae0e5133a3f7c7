"""Runs one program under the interceptor."""

from __future__ import annotations

import errno
import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pinio.audit import namespace
from pinio.audit.interceptor import Auditor
from pinio.audit.names import Names
from pinio.audit.trust import PROXIES, TrustFile, stores
from pinio.audit.verdict import FAILED, Finding, Verdict, judge
from pinio.testing import CA

Led = Literal["namespace", "proxy"]


@dataclass(frozen=True)
class Audit:
    """What came of it.

    Attributes:
        command: the program.
        status: what it exited with; negative for a signal.
        led: how its connections came to the interceptor.
        why_proxy: why a namespace did not lead them; None if one did.
        findings: by host.
        quic: datagrams that it sent to port 443; None where that cannot be seen.
    """

    command: tuple[str, ...]
    status: int
    led: Led
    why_proxy: str | None
    findings: tuple[Finding, ...]
    quic: int | None

    @property
    def pinned(self) -> bool | None:
        """Whether the program is pinned; None if nothing that was seen can tell."""
        verdicts = {finding.verdict for finding in self.findings}
        if verdicts & FAILED:
            return False
        return True if verdicts == {Verdict.PINNED} else None


def audit(
    command: Sequence[str],
    *,
    led: Led | None = None,
    cafile: str | None = None,
    stdout: int | None = None,
) -> Audit:
    """Run a program under the interceptor, and tell what it did.

    Args:
        command: the program and its arguments.
        led: how to lead its connections; a namespace where there can be one unless told.
        cafile: CAs that the genuine servers are verified with, beside the system's.
        stdout: where the program's output goes; this process's unless told.

    Raises:
        OSError: the program cannot be started, or there can be no namespace.
    """
    why = namespace.missing() if led != "proxy" else "a proxy was asked for"
    if led == "namespace" and why is not None:
        raise OSError(why)
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command[0])
    upstream = ssl.create_default_context(cafile=cafile)
    if cafile is not None:
        upstream.load_default_certs()
    ca = CA("pinio audit")
    with tempfile.TemporaryDirectory(prefix="pinio-audit-") as directory:
        Path(directory).chmod(0o755)  # the program may give its privileges up
        trust = TrustFile(ca, Path(directory))
        if why is None:
            status, auditor, quic = _in_a_namespace(command, trust, ca, upstream, stdout)
        else:
            status, auditor, quic = *_by_proxy(command, trust, ca, upstream, stdout), None
        findings = judge(auditor.observations, trusted=trust.was_read)
    how: Led = "proxy" if why else "namespace"
    return Audit(tuple(command), status, how, why, tuple(findings), quic)


def _by_proxy(
    command: Sequence[str],
    trust: TrustFile,
    ca: CA,
    upstream: ssl.SSLContext,
    stdout: int | None,
) -> tuple[int, Auditor]:
    with Auditor(ca, upstream) as auditor:
        url = f"http://127.0.0.1:{auditor.port}"
        variables = {
            **dict.fromkeys(PROXIES, url),
            **trust.variables(),
            "no_proxy": "",
            "NO_PROXY": "",
            "NODE_USE_ENV_PROXY": "1",
        }
        port = auditor.port
        java = " ".join(
            f"-D{scheme}.proxyHost=127.0.0.1 -D{scheme}.proxyPort={port}"
            for scheme in ("http", "https")
        )
        java += " -Dhttp.nonProxyHosts="
        if "JAVA_TOOL_OPTIONS" in variables:
            variables["JAVA_TOOL_OPTIONS"] += f" {java}"
        env = {**os.environ, **variables}
        status = subprocess.run(command, env=env, stdout=stdout, check=False).returncode
    return status, auditor


def _in_a_namespace(
    command: Sequence[str],
    trust: TrustFile,
    ca: CA,
    upstream: ssl.SSLContext,
    stdout: int | None,
) -> tuple[int, Auditor, int]:
    variables = {**trust.variables(), **dict.fromkeys(PROXIES, "")}
    found = list(stores(command[0]))
    inside = namespace.enter(command, variables, trust.path, found, stdout)
    names = Names(inside.names)
    try:
        auditor = Auditor(ca, upstream, listening=inside.listening, name_of=names.name_of)
        with auditor:
            inside.go()
            status = inside.process.wait()
        return status, auditor, inside.quic()
    finally:
        names.close()  # with its socket
        inside.close()
