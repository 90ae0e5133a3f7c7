"""Everything that the command says while it runs, and the codes that it exits with.

What `--help` says stands with the verbs.

Rules of the house:

- Answers go to standard output, warnings and errors to standard error.
- Nothing is told by colour alone; `NO_COLOR` and pipes take it away and lose nothing.
- Pins are printed in the spelling that a policy takes, and no line is wrapped, so that they can be
  copied.
- What a peer wrote is escaped before it is printed.
- Exit 0 means yes, and never that nothing was looked at.
"""

from __future__ import annotations

import difflib
import os
import socket
import ssl
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from typing import IO, TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.text import Text

from pinio.core.wording import escape, pin_lines
from pinio.errors import TLSFailedError
from pinio.sources.reading import shown

if TYPE_CHECKING:
    from pathlib import Path

    from pinio.audit.run import Audit
    from pinio.cli.demo import Attempt, Scene
    from pinio.core.policy import Policy
    from pinio.errors import PinError, PinVerificationError
    from pinio.sources.comparison import Difference
    from pinio.tampering.environment import Answer
    from pinio.tampering.findings import SelfTest
    from pinio.tls.probe import Probe
    from pinio.tuf.repository import Repository


class Exit(IntEnum):
    """What the shell is told."""

    OK = 0
    """The answer is yes."""
    NO = 1
    """The answer is no: not verified, refused by the policy, not observed."""
    ERROR = 2
    """There is no answer: nobody reached, a file that cannot be read, wrong arguments."""


class Failure(click.ClickException):
    """There is no answer, and why."""

    exit_code = Exit.ERROR

    def show(self, file: IO[Any] | None = None) -> None:
        _say(f"pinio: {self.message}", "red", error=True)


def _say(text: str = "", style: str = "", *, error: bool = False) -> None:
    console = Console(stderr=error, soft_wrap=True, highlight=False)
    console.print(Text(text, style))


def _say_lines(lines: Iterable[str], indent: str = "", style: str = "") -> None:
    if text := "\n".join(indent + line for line in lines):
        _say(text, style)


# pins

NOT_A_TARGET: Final = "write HOST, HOST:PORT or [IPV6]:PORT, with a port from 1 to 65535"
NO_CERTIFICATE: Final = "the server showed no certificate"


def no_answer(host: str, port: int, error: OSError) -> str:
    """Why there is nothing to show."""
    return f"{escape(host)} port {port}: {_why(error)}"


def _why(error: OSError) -> str:
    """asyncio says "Connect call failed" where the system has a better word."""
    if isinstance(error, TLSFailedError):
        words = error.reason.replace("_", " ").lower()
        return f"TLS failed: {words}; {error.refusal.hint()}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"TLS failed: {error.reason.replace('_', ' ').lower()}"
    if error.errno and not isinstance(error, ssl.SSLError | socket.gaierror):
        return os.strerror(error.errno)
    return escape(error.strerror or str(error) or "no answer in time")


def show_chain(seen: Probe) -> None:
    """The chain, and a warning if nobody vouches for it."""
    _say_lines(str(seen).splitlines())
    if seen.verified is None:
        _say(
            f"NOT VERIFIED. Anybody between you and {seen.host} could have sent this chain. Compare the leaf's pin with what\n"
            'the device itself shows, and pin it with trust="leaf-pin". If a CA of your own issued it: --cafile FILE.',
            "bold red",
            error=True,
        )


# check


def show_policy(file: str, policy: Policy, warnings: Iterable[str], now: float) -> None:
    """What a policy says, and what is fragile about it or over at `now`, in POSIX seconds."""
    revision = f", revision {escape(policy.revision)}" if policy.revision else ""
    _say(f"{shown(file)}: a valid policy{revision}", "bold green")
    _say_lines(_policy_lines(policy), "  ")
    _say(f"  digest {policy.digest}")
    for warning in (*warnings, *_expired(policy, now)):
        _say(f"warning: {warning}", "yellow", error=True)  # in words of our own, and whole


def _expired(policy: Policy, now: float) -> Iterator[str]:
    for pattern, pins in policy.hosts.items():
        if pins.expires_at is not None and now >= pins.expires_at:
            waived = pins.mode == "report-only" or pins.on_expiry == "report"
            yield f"{pattern}: its pins have expired; {'every key is let through' if waived else 'connections are refused'}"


def _policy_lines(policy: Policy) -> Iterator[str]:
    for pattern, pins in policy.hosts.items():
        expires = f", until {pins.expires:%Y-%m-%dT%H:%M:%SZ}" if pins.expires else ""
        yield f"{pattern}  ({pins.mode}, trust {pins.trust}{expires})"
        yield from pin_lines(pins.pins, pins.backup)
    for pattern, reason in policy.exempt.items():
        yield f"{pattern}  exempt: {escape(reason)}"
    for pin in policy.deny:
        yield f"denied: {pin}"
    yield {
        "refuse": "every other host is refused",
        "allow": "every other host is allowed, without pins",
    }[policy.unpinned]


def show_explanation(text: str) -> None:
    """Which pattern applies to a host."""
    _say_lines(text.splitlines())


def show_allowed_url(url: str, pattern: str | None) -> None:
    """A URL that may be fetched."""
    _say(
        f"{escape(url)}: may be fetched, {f'by pattern {pattern}' if pattern else 'without pins'}",
        "green",
    )


def show_refused_url(url: str, error: PinVerificationError) -> None:
    """A URL that may not."""
    _say(f"{escape(url)}: refused", "bold red")
    _say_lines(error.refusal.text().splitlines(), "  ")


# diff


def show_difference(found: Difference) -> None:
    """What a new policy changes for hosts."""
    _say_lines((f"gained: {pattern}" for pattern in found.gained), style="green")
    _say_lines((f"lost: {pattern}" for pattern in found.lost), style="yellow")
    if found.looser:
        _say("looser:", "bold red")
        _say_lines(map(escape, found.looser), "  ")
    if found.undoing:
        _say("tighter; the way back would mean:", "green")
        _say_lines(map(escape, found.undoing), "  ")
    if not (found.gained or found.lost or found.looser or found.undoing):
        _say("no host is treated otherwise")


# demo

OBSERVATIONS: Final[Mapping[str, str]] = {
    "unpinned_answered": "without pins: the client talked to the interceptor and noticed nothing",
    "secret_captured": "without pins: the interceptor read the client's secret",
    "identity_captured": "without pins: the interceptor received the client's certificate",
    "interceptor_reached": "with pins: the client reached the interceptor",
    "pinned_refused": "with pins: the client refused the interceptor",
    "no_application_byte": "with pins: the interceptor received 0 application bytes",
    "handshake_unfinished": "with pins: the interceptor never saw the handshake finish",
    "identity_kept": "with pins: the interceptor received no client certificate",
    "bank_answered": "with pins: the client reached the bank, because a pin matched",
}


def no_stage(error: OSError) -> str:
    """Why there was no demo."""
    return f"the demo could not play on this machine: {_why(error)}"


def show_scene(scene: Scene) -> None:
    """The three acts."""
    _say("A bank, its client, and somebody in between. All of them run on this machine.", "bold")
    _say(f"  the bank's key         {scene.bank_pin}")
    _say(f"  the interceptor's key  {scene.interceptor_pin}")
    _say(
        "  The same CA, which everybody trusts, has given both of them a certificate for bank.example."
    )
    _say()
    _say("1. A client without pins is led to the interceptor", "bold")
    _say("   The CA is trusted and the name is right, so the client speaks.")
    _show_saw("interceptor", scene.unpinned)
    _say()
    _say("2. A client with pins is led to the interceptor", "bold")
    _show_outcome(scene.pinned)
    _show_saw("interceptor", scene.pinned)
    _say()
    _say("3. The same client is led to the bank", "bold")
    _show_outcome(scene.genuine)
    _show_saw("bank", scene.genuine)
    _say()


def _show_outcome(attempt: Attempt) -> None:
    if attempt.error is not None:
        text = attempt.error.strerror or str(attempt.error) or "no answer in time"
        _say_lines(f"{type(attempt.error).__name__}: {text}".splitlines(), "   ", "yellow")
    elif attempt.permit is None or attempt.permit.pin is None:
        _say("   It was let through although no pin matched.", "bold red")
    else:
        _say(
            f"   {attempt.permit.pin} matched at position {attempt.permit.position} of the verified chain."
        )


def _show_saw(who: str, attempt: Attempt) -> None:
    received = b"".join(bytes(record.application_bytes) for record in attempt.seen)
    finished = any(record.handshake_finished for record in attempt.seen)
    identified = any(record.client_certificate for record in attempt.seen)
    style = "red" if who == "interceptor" and (received or finished or identified) else "green"
    _say(f"   The {who} saw:")
    _say(
        f"     application bytes   {len(received)}  {escape(received.decode('ascii', 'replace').rstrip())}".rstrip(),
        style,
    )
    _say(f"     handshake           {'finished' if finished else 'never finished'}", style)
    _say(f"     client certificate  {'received' if identified else 'none'}", style)


def show_observations(observations: Mapping[str, bool]) -> None:
    """What was observed, one by one, and in sum."""
    for name, held in observations.items():
        _say(
            f"  {'ok    ' if held else 'FAILED'}  {OBSERVATIONS[name]}",
            "green" if held else "bold red",
        )
    failed = [OBSERVATIONS[name] for name, held in observations.items() if not held]
    if failed:
        _say(f"Not observed: {'; '.join(failed)}.", "bold red", error=True)
    else:
        _say(
            "All of it was observed: with the same CA, name and network, the pin made the difference.",
            "bold green",
        )


# policy

SIGN_IT: Final = "Sign it?"


def show_new_repository(folder: Path, keys: Path, signers: int, threshold: int) -> None:
    """What was made, and what to do with it."""
    where = shown(str(folder))
    _say(f"{where}: a repository; {threshold} of {signers} keys must sign", "bold green")
    _say(f"  ship with programs  {where}/metadata/1.root.json")
    _say(f"  keep offline        {shown(str(keys))}/root-*.pem, targets-*.pem, each elsewhere")
    _say(f"  for publishing      {shown(str(keys))}/online.pem")


def show_signing(
    file: str, old: Policy | None, new: Policy, looser: list[str], warnings: Iterable[str]
) -> None:
    """What a policy changes, before it is signed."""
    if old is None:
        _say(f"{shown(file)}: revision {escape(str(new.revision))}, the first", "bold")
        _say_lines(_policy_lines(new), "  ")
    else:
        revisions = f"revision {escape(str(new.revision))} after {escape(str(old.revision))}"
        _say(f"{shown(file)}: {revisions}", "bold")
        before, after = list(_policy_lines(old)), list(_policy_lines(new))
        changes = difflib.unified_diff(before, after, lineterm="", n=2)
        _say_lines((line for line in changes if not line.startswith(("---", "+++"))), "  ")
        _say_lines((f"loosens  {entry}" for entry in looser), "  ", "bold yellow")
        if not looser:
            _say("  it loosens nothing", "green")
    for warning in warnings:
        _say(f"warning: {warning}", "yellow", error=True)


def show_refused_signing(why: str) -> None:
    """Why a policy is not signed."""
    _say(f"not signed: {escape(why)}", "bold red", error=True)


def show_staged(missing: int) -> None:
    """What a signature led to."""
    if missing:
        _say(f"signed; {missing} more signature(s) are needed", "yellow")
    else:
        _say("signed by enough keys: ready to be published", "green")


def show_published(repository: Repository) -> None:
    """What clients see from now on."""
    assert repository.timestamp is not None  # noqa: S101  it was just published
    until = repository.timestamp.signed.expires
    _say(f"published; fresh until {until:%Y-%m-%dT%H:%M:%SZ}", "green")


def show_rotated(role: str, old: str, repository: Repository) -> None:
    """What a rotation led to."""
    version = repository.root.signed.version
    _say(f"root {version}: {role} key {escape(old)} is retired", "green")


def show_status(repository: Repository, policy: Policy | None, days: int) -> bool:
    """What clients see, and until when; whether all of it is as it should be."""
    soon = datetime.now(UTC) + timedelta(days=days)
    good = policy is not None
    if policy is None:
        _say("clients see no policy yet", "bold red")
    else:
        revision, hosts = escape(str(policy.revision)), len(policy.hosts)
        _say(f"clients see policy {revision}, which pins {hosts} pattern(s)", "bold green")
    for role in (repository.root, repository.targets, repository.snapshot, repository.timestamp):
        if role is None:
            continue
        signed = role.signed
        fresh = signed.expires > soon
        good = good and fresh
        date = f"{signed.expires:%Y-%m-%dT%H:%M:%SZ}"
        line = f"  {signed.type:<10} version {signed.version:<4} until {date}"
        _say(line if fresh else f"{line}  RENEW IT", "" if fresh else "bold red")
    root = repository.root.signed
    for name in ("root", "targets", "timestamp"):
        role_of = root.roles[name]
        ids = ", ".join(keyid[:12] for keyid in role_of.keyids)
        word = "online" if name == "timestamp" else name
        _say(f"  {word:<10} {role_of.threshold} of {len(role_of.keyids)} keys: {ids}")
    if repository.staged is not None:
        missing = repository.missing(repository.staged)
        _say(f"  staged     a policy that needs {missing} more signature(s)", "yellow")
    return good


# selftest


def show_selftest(result: SelfTest) -> None:
    """Nothing was found, by which checks, and what was not checked."""
    checks = ", ".join(result.checks)
    _say(f"nothing found in {result.seconds * 1000:.0f} ms: {checks}", "green")
    if result.policy_digest is not None:
        _say(f"  digest {result.policy_digest}")
    if not result.witnessed:
        why = "cryptography is not installed, so a hooked verifier opens pins above the leaf"
        _say(f"warning: {why}", "yellow", error=True)
    if not result.independent_hash:
        _say("warning: this Python has one implementation of SHA-256", "yellow", error=True)


def show_tampering(error: PinError) -> None:
    """What the self-test found."""
    _say(escape_lines(str(error)), "bold red")


def escape_lines(text: str) -> str:
    """Each line escaped: a replaced function may say what it likes."""
    return "\n".join(map(escape, text.split("\n")))


def show_answer(answer: Answer) -> None:
    """What one detector saw, what that means and what to do."""
    cost = f"{answer.seconds * 1000:.1f} ms"
    if not answer.signs:
        _say(f"  {answer.question.name}: nothing  ({cost})")
        return
    _say(f"  {answer.question.name}: {answer.question.meaning}  ({cost})", "bold red")
    _say_lines(map(escape, answer.signs), "    ")
    _say(f"    hint: {answer.question.remedy}")


# audit


def no_audit(program: str, error: OSError) -> str:
    """Why nothing was audited."""
    return f"{escape(program)} could not be audited: {error.strerror or error}"


def show_audit(audit: Audit) -> None:
    """The verdict on each host, and in sum."""
    from pinio.audit.verdict import FAILED, MEANINGS, Verdict

    for finding in audit.findings:
        style = {True: "bold red", False: "green"}[finding.verdict in FAILED]
        if finding.verdict in (Verdict.UNTRUSTED, Verdict.UNKNOWN):
            style = "yellow"
        _say(
            f"  {finding.verdict.upper():10}  {escape(finding.host)}: {MEANINGS[finding.verdict]}",
            style,
        )
        _say(f"              {finding.connections} connections; {finding.detail}")
    if audit.quic:
        _say(
            f"  QUIC        tried {audit.quic} times and stopped: connections may leave that way",
            "yellow",
        )
    if audit.why_proxy is not None:
        _say(
            f"Led by proxy variables ({audit.why_proxy}): a program that ignores them is not seen, nor is QUIC.",
            "yellow",
            error=True,
        )
    _say(
        {
            True: "PINNED: an interceptor with a CA that the program trusts is refused.",
            False: "NOT PINNED: an interceptor with a CA that the program trusts reads what it says.",
            None: "UNKNOWN: nothing that was seen proves that the program pins, or that it does not.",
        }[audit.pinned],
        {True: "bold green", False: "bold red", None: "bold yellow"}[audit.pinned],
    )
