"""An audit for machines: JSON, and JUnit's XML."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from xml.sax.saxutils import quoteattr

from pinio.audit.run import Audit
from pinio.audit.verdict import FAILED, MEANINGS, Verdict

VERSION = 1


def to_json(audit: Audit) -> str:
    """The audit as one JSON object; fields are only ever added within a version."""
    return json.dumps(
        {
            "version": VERSION,
            "command": list(audit.command),
            "exit_status": audit.status,
            "led_by": audit.led,
            "why_no_namespace": audit.why_proxy,
            "pinned": audit.pinned,
            "quic_datagrams": audit.quic,
            "hosts": [asdict(finding) for finding in audit.findings],
        },
        indent=2,
    )


def to_junit(audit: Audit) -> str:
    """One test case for each host: a failure if it is not pinned, an error if that is unknown."""
    cases: list[str] = []
    failed = errors = 0
    for finding in audit.findings:
        said = quoteattr(f"{MEANINGS[finding.verdict]}: {finding.detail}")
        inner = ""
        if finding.verdict in FAILED:
            failed += 1
            inner = f"<failure type={quoteattr(finding.verdict)} message={said}/>"
        elif finding.verdict is not Verdict.PINNED:
            errors += 1
            inner = f"<error type={quoteattr(finding.verdict)} message={said}/>"
        name = quoteattr(_printable(finding.host))
        cases.append(f'  <testcase classname="pinio.audit" name={name}>{inner}</testcase>')
    if not cases:
        errors = 1
        why = '<error type="unknown" message="the program connected to nobody"/>'
        cases.append(f'  <testcase classname="pinio.audit" name="no host">{why}</testcase>')
    suite = quoteattr(_printable(shlex.join(audit.command)))
    counts = f'tests="{len(cases)}" failures="{failed}" errors="{errors}"'
    head = '<?xml version="1.0" encoding="utf-8"?>'
    return "\n".join([head, f"<testsuite name={suite} {counts}>", *cases, "</testsuite>", ""])


def _printable(text: str) -> str:
    """Without what XML cannot hold."""
    return "".join(character if character.isprintable() else "?" for character in text)
