"""pinio's own policy file: TOML with the nouns of the API.

    version  = 1
    revision = "2026-11-02#7"
    unpinned = "refuse"

    [hosts."**.example.com"]
    pins    = ["sha256/…"]
    backup  = ["sha256/…"]
    expires = 2027-06-30T00:00:00Z

`loads(dumps(policy)) == policy` for every policy, so what is written here needs no file beside it:
private anchors are written as PEM. What is read may name a file of anchors instead, which the
caller loads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, get_args

from pinio.core import pem
from pinio.core.anchors import Anchors
from pinio.core.host import Pattern
from pinio.core.pinset import Mode, OnExpiry, PinSet, Trust
from pinio.core.policy import Policy, Unpinned
from pinio.core.value import about
from pinio.errors import PolicyError
from pinio.formats import toml
from pinio.formats.table import Table, quoted

VERSION: Final = 1

_TOP: Final = (
    "version", "revision", "unpinned", "deny", "unpinned_anchors", "no_hosts", "hosts", "exempt"
)  # fmt: skip
_HOST: Final = (
    "pins",
    "backup",
    "single",
    "expires",
    "on_expiry",
    "mode",
    "trust",
    "anchors",
    "resumption",
)
_Load = Callable[[str], Anchors]


def loads(text: str, *, where: str = "<policy>", anchors: _Load | None = None) -> Policy:
    """Read a policy file's text.

    Args:
        text: TOML 1.0.
        where: what errors call the text: the path of the file, most often.
        anchors: turns a path in the text into the anchors in that file; without it, a path is an
            error.

    Raises `PolicyError`, or `PinFormatError` where a pin is wrong. The message names place, table,
    key and value. Warns with `PinWarning` as `PinSet` and `Policy` do.
    """
    top = Table(toml.parse(text, where), where)
    _check_version(top)
    top.only(_TOP)
    hosts, exempt = top.table("hosts"), top.table("exempt")
    read_anchors = _AnchorsReader(anchors)
    pin_sets = {pattern: _pin_set(table, read_anchors) for pattern, table in hosts.tables()}
    reasons = exempt.texts()
    unpinned: Unpinned = top.word("unpinned", get_args(Unpinned), "refuse")
    deny = top.pins("deny")
    unpinned_anchors = read_anchors(top, "unpinned_anchors")
    revision = _revision(top)
    no_hosts = _no_hosts(top, pin_sets)
    try:
        with about(lambda: where):
            return Policy(
                pin_sets,
                unpinned=unpinned,
                exempt=reasons,
                deny=deny,
                unpinned_anchors=unpinned_anchors,
                revision=revision,
                no_hosts=no_hosts,
            )
    except PolicyError as error:
        _check_patterns(where, {hosts.name: pin_sets, exempt.name: reasons})
        raise PolicyError(f"{where}: {error}") from None


def _check_version(top: Table) -> None:
    # Before anything else: in a file of another version, every other key may be right.
    version = top.integer("version")
    if version is None:
        raise PolicyError(
            f"{top.place()}: version is missing; begin the file with version = {VERSION}"
        )
    if version != VERSION:
        raise top.wrong("version", f"this pinio reads version {VERSION}")


def _revision(top: Table) -> str | None:
    revision = top.text("revision")
    if revision is not None and not revision.isprintable():
        raise top.wrong("revision", "it is one line of text, and may hold no control character")
    return revision


def _no_hosts(top: Table, hosts: Mapping[str, PinSet]) -> str | None:
    reason = top.text("no_hosts")
    if reason is not None and not (reason.strip() and reason.isprintable()):
        raise top.wrong("no_hosts", "it is the reason in words: one line of text, and not empty")
    if reason is not None and hosts:
        pattern = quoted(next(iter(hosts)))
        raise top.wrong(
            "no_hosts", f"it says that no host is pinned, and there is [hosts.{pattern}]"
        )
    return reason


def _check_patterns(where: str, tables: Mapping[str, Iterable[str]]) -> None:
    """Name the table of the first pattern that is none, or that another spelling of it came before."""
    seen: dict[Pattern, str] = {}
    for name, patterns in tables.items():
        for text in patterns:
            place = f"{where}: {name} {quoted(text)}"
            try:
                pattern = Pattern.parse(text)
            except PolicyError as error:
                raise PolicyError(f"{place}: {error}") from None
            if pattern in seen:
                raise PolicyError(f"{place}: {seen[pattern]} stands for the same hosts")
            seen[pattern] = f"{name} {quoted(text)}"


def _pin_set(table: Table, read_anchors: _AnchorsReader) -> PinSet:
    table.only(_HOST, top=_TOP)
    pins = table.pins("pins")
    backup = table.pins("backup")
    single = table.text("single")
    expires = table.moment("expires")
    on_expiry: OnExpiry = table.word("on_expiry", get_args(OnExpiry), "refuse")
    mode: Mode = table.word("mode", get_args(Mode), "enforce")
    trust: Trust = table.word("trust", get_args(Trust), "pkix")
    anchors = read_anchors(table, "anchors")
    resumption = table.flag("resumption")
    try:
        with about(table.place):
            return PinSet(
                pins,
                backup=backup,
                single=single,
                expires=expires,
                on_expiry=on_expiry,
                mode=mode,
                trust=trust,
                anchors=anchors,
                resumption=True if resumption is None else resumption,
            )
    except PolicyError as error:
        raise PolicyError(f"{table.place()}: {error}") from None


class _AnchorsReader:
    """Anchors by their text in the file, each made once: a thousand hosts may name the same ones."""

    def __init__(self, load: _Load | None) -> None:
        self._load = load
        self._made: dict[str, Anchors] = {}

    def __call__(self, table: Table, key: str) -> Anchors | None:
        text = table.text(key)
        if text is None:
            return None
        if text not in self._made:
            try:
                self._made[text] = self._make(text)
            except PolicyError as error:
                raise table.wrong(key, str(error)) from None
        return self._made[text]

    def _make(self, text: str) -> Anchors:
        if text == "certifi":
            return Anchors()
        if text == "system":
            return Anchors.system()
        if pem.is_meant(text):
            return Anchors.from_pem(text)
        if not text.strip():
            raise PolicyError('write "certifi", "system", the path of a PEM file, or its text')
        if self._load is None:
            raise PolicyError("a path, where there is no file that it could be relative to")
        return self._load(text)


def dumps(policy: Policy) -> str:
    """Write a policy as text.

    Defaults are left out, hosts are sorted by domain, private anchors are written as PEM.

    Raises `PolicyError` for a `single` with a lone surrogate in it, which no file in UTF-8 can
    hold.
    """
    return "\n".join([*_top(policy), *_hosts(policy), *_exempt(policy), ""])


def _top(policy: Policy) -> Iterator[str]:
    yield f"version = {VERSION}"
    if policy.revision is not None:
        yield f"revision = {toml.string(policy.revision)}"
    yield f"unpinned = {toml.string(policy.unpinned)}"
    if policy.no_hosts is not None:
        yield f"no_hosts = {toml.string(policy.no_hosts)}"
    if policy.deny:
        yield f"deny = {toml.array(map(str, policy.deny))}"
    if policy.unpinned_anchors != Anchors():
        yield f"unpinned_anchors = {_anchors(policy.unpinned_anchors)}"


def _hosts(policy: Policy) -> Iterator[str]:
    for pattern in sorted(policy.hosts, key=_by_domain):
        yield f"\n[hosts.{toml.string(pattern)}]"
        yield from _host(policy.hosts[pattern])


def _host(pins: PinSet) -> Iterator[str]:
    yield f"pins = {toml.array(map(str, pins.pins))}"
    if pins.backup:
        yield f"backup = {toml.array(map(str, pins.backup))}"
    if pins.single is not None:
        yield f"single = {toml.string(pins.single)}"
    if pins.expires is not None:
        yield f"expires = {toml.moment(pins.expires)}"
    if pins.on_expiry != "refuse":
        yield f"on_expiry = {toml.string(pins.on_expiry)}"
    if pins.mode != "enforce":
        yield f"mode = {toml.string(pins.mode)}"
    if pins.trust != "pkix":
        yield f"trust = {toml.string(pins.trust)}"
    if pins.anchors is not None:
        yield f"anchors = {_anchors(pins.anchors)}"
    if not pins.resumption:
        yield "resumption = false"


def _exempt(policy: Policy) -> Iterator[str]:
    if policy.exempt:
        yield "\n[exempt]"
    for pattern in sorted(policy.exempt, key=_by_domain):
        yield f"{toml.string(pattern)} = {toml.string(policy.exempt[pattern])}"


def _by_domain(pattern: str) -> list[str]:
    """Names of one domain stand together, its wildcards first."""
    return pattern.split(".")[::-1]


def _anchors(anchors: Anchors) -> str:
    if anchors.origin != "private":
        return toml.string(anchors.origin)
    return f'"""\n{anchors.pem}"""'
