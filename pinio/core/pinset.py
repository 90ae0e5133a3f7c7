"""The pins of one host pattern, and how a chain is held against them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import ClassVar, Final, Literal, Never, TypeAlias, Union, get_args

from pinio.core.anchors import Anchors
from pinio.core.certificate import Certificate
from pinio.core.pin import Algorithm, Pin, Selector
from pinio.core.value import Value, warn
from pinio.errors import PinFormatError, PolicyError

Mode = Literal["enforce", "report-only"]
OnExpiry = Literal["refuse", "report"]
Trust = Literal["pkix", "leaf-pin"]
PinsLike: TypeAlias = Union["str", Pin, Iterable["str | Pin"], "PinSet"]

_Found = tuple[Pin, bool]
_What = tuple[Selector, Algorithm]
_Table = dict[bytes | None, _Found]
_DigestTables = tuple[_What, _Table, _Table]

MAX_PINS: Final = 1000
"""Pins in one set, backups included."""

USUAL: Final[_What] = ("spki", "sha256")
"""What nearly every pin is a digest of; certificates have it at hand."""


_CHOICES: Final = (
    ("on_expiry", get_args(OnExpiry)),
    ("mode", get_args(Mode)),
    ("trust", get_args(Trust)),
)


class _TooManyError(PolicyError, TypeError):
    """What Python itself would say of another positional argument, and pinio of a wrong policy."""


class PinSet(Value):
    """Expected keys of one host pattern; one match is enough.

    Args:
        pins: one pin or several, as `Pin` or text. One that stands there twice, or in `backup` as
            well, counts once, and brings a `PinWarning`.
        more: nothing; a second pin goes into the list, or into `backup`.
        backup: pins not in service yet. They match like the others; that one did is told by
            `Permit.backup`.
        single: the reason why fewer than two distinct pins are meant; without it they bring a
            `PinWarning`.
        expires: when the set stops counting; an aware datetime.
        on_expiry: "refuse" connections from then on, or "report" and let them through (this fails
            open).
        mode: "enforce", or "report-only", which waives a mismatch and an expiry, never certificate
            verification.
        trust: "pkix": certificate verification *and* the pins decide. "leaf-pin": the pinned leaf
            key is the trust; name, dates and issuer of the certificate are not looked at
            (self-signed devices; DANE-EE in RFC 7671 section 5.1).
        anchors: the CAs that verification may end in; certifi's if None.
        resumption: whether TLS sessions with these hosts may be resumed.

    Raises `PinFormatError` or `PolicyError`.
    """

    __slots__ = (
        "_wanted", "anchors", "backup", "expires", "expires_at", "mode", "on_expiry", "pins", "resumption", "single", "trust"
    )  # fmt: skip
    _arguments: ClassVar = (
        "pins", "backup", "single", "expires", "on_expiry", "mode", "trust", "anchors", "resumption"
    )  # fmt: skip

    pins: tuple[Pin, ...]
    backup: tuple[Pin, ...]
    single: str | None
    expires: datetime | None
    on_expiry: OnExpiry
    mode: Mode
    trust: Trust
    anchors: Anchors | None
    resumption: bool
    expires_at: float | None
    """`expires` in POSIX seconds."""
    _wanted: tuple[_DigestTables, ...]

    def __init__(
        self,
        pins: str | Pin | Iterable[str | Pin],
        *more: Never,
        backup: str | Pin | Iterable[str | Pin] = (),
        single: str | None = None,
        expires: datetime | None = None,
        on_expiry: OnExpiry = "refuse",
        mode: Mode = "enforce",
        trust: Trust = "pkix",
        anchors: Anchors | None = None,
        resumption: bool = True,
    ) -> None:
        if more:
            raise _TooManyError(
                "PinSet takes the pins as one argument: PinSet([A, B]), "
                "or PinSet(A, backup=B) if B is not in service yet"
            )
        if expires is not None:
            expires = _aware(expires)
        in_service, spare = _each_once(pin_tuple(pins), pin_tuple(backup))
        self._store(
            pins=in_service, backup=spare, single=single, expires=expires, on_expiry=on_expiry,
            mode=mode, trust=trust, anchors=anchors, resumption=resumption,
            expires_at=None if expires is None else expires.timestamp(),
        )  # fmt: skip
        self._check_choices()
        self._check_trust()
        self._check_pins()
        self._store(_wanted=_compile(self.pins, self.backup))

    def _check_choices(self) -> None:
        for name, choices in _CHOICES:
            value = getattr(self, name)
            if (
                not isinstance(value, str) or value not in choices
            ):  # what is no text may equal anything
                raise PolicyError(f"{name} is one of {choices}, not {value!r}")
        if self.anchors is not None and not isinstance(self.anchors, Anchors):
            raise PolicyError("anchors is an Anchors value, such as Anchors.from_file(path)")
        if not isinstance(self.resumption, bool):
            raise PolicyError("resumption is True or False")
        if self.single is not None and (
            not isinstance(self.single, str) or not self.single.strip()
        ):
            raise PolicyError("single is the reason why one pin is enough, in words")

    def _check_trust(self) -> None:
        if self.trust == "pkix":
            return
        if self.mode == "report-only" or self.on_expiry == "report":
            raise PolicyError(
                'under trust="leaf-pin" the pin is the only authentication; it cannot be waived'
            )
        if self.anchors is not None:
            raise PolicyError('under trust="leaf-pin" no CA decides; anchors would mean nothing')
        for pin in self.pins + self.backup:
            if pin.role == "ca":
                raise PolicyError(
                    f'{pin}: under trust="leaf-pin" nobody verified the chain, so a ca pin proves nothing'
                )

    def _check_pins(self) -> None:
        everything = self.pins + self.backup
        if not self.pins:
            raise PolicyError(
                "a pin set without pins would refuse everybody; add a pin, or exempt the host"
            )
        if len(everything) > MAX_PINS:
            raise PolicyError(f"{len(everything)} pins; a set holds at most {MAX_PINS}")
        digests = {pin.digest for pin in everything}
        if len(digests) < len(everything):
            _check_shadows(everything)
        if len(digests) < 2 and self.single is None:
            warn(
                "one pin and no backup: losing that key locks every client out; add a backup, or say single='why'"
            )

    def match(self, chain: Sequence[Certificate]) -> tuple[Pin, int, bool] | None:
        """The first pin that a certificate of a verified chain has, its position, and whether it is a backup.

        Under `trust="leaf-pin"` only position 0 is looked at: the rest is whatever the peer liked
        to send.
        """
        for position, certificate in enumerate(chain):
            for what, leaf, ca in self._wanted:
                digest = certificate.spki_sha256 if what is USUAL else certificate.digest(*what)
                found = (ca if position else leaf).get(digest)
                if found is not None:
                    return found[0], position, found[1]
            if self.trust == "leaf-pin":
                return None
        return None

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._arguments[3:7])
        return f"<PinSet {len(self.pins)} pins, {len(self.backup)} backup, {shown}>"


def pin_tuple(pins: str | Pin | Iterable[str | Pin]) -> tuple[Pin, ...]:
    """Pins from one pin or several. Raises `PinFormatError`."""
    if isinstance(pins, str | Pin):
        pins = (pins,)
    if isinstance(pins, bytes | bytearray) or not isinstance(
        pins, Iterable
    ):  # bytes would be read as numbers
        raise PinFormatError(f"pins are text, Pin, or several of them, not {type(pins).__name__}")
    return tuple(pin if isinstance(pin, Pin) else Pin.parse(pin) for pin in pins)


def distinct(pins: tuple[Pin, ...], known: Iterable[Pin] = (), *, where: str) -> tuple[Pin, ...]:
    """The pins that are not `known`, each once. Warns of those that stand `where` they do twice."""
    kept: dict[Pin, None] = {}
    twice: dict[Pin, None] = {}
    known = frozenset(known)
    for pin in pins:
        (twice if pin in kept or pin in known else kept)[pin] = None
    if twice:
        first, more = next(iter(twice)), len(twice) - 1
        others = f"; so do {more} more" if more else ""
        warn(f"{first} stands {where}, and counts once{others}")
    return tuple(kept)


def _each_once(
    pins: tuple[Pin, ...], backup: tuple[Pin, ...]
) -> tuple[tuple[Pin, ...], tuple[Pin, ...]]:
    # Nearly always all are different, and a policy may have a million sets.
    if len({pin.digest for pin in pins + backup}) == len(pins) + len(backup):
        return pins, backup
    pins = distinct(pins, where="in the set twice")
    backup = distinct(backup, where="in the set twice, as a backup")
    return pins, distinct(backup, pins, where="in the set twice, in service and as a backup")


def _check_shadows(pins: tuple[Pin, ...]) -> None:
    """Warn of a pin that says nothing beside the same pin without a role."""
    anywhere = {(pin.selector, pin.algorithm, pin.digest) for pin in pins if pin.role == "any"}
    for pin in pins:
        if pin.role != "any" and (pin.selector, pin.algorithm, pin.digest) in anywhere:
            warn(f"{pin} is shadowed by the same pin without a role")


def _aware(moment: datetime) -> datetime:
    if not isinstance(moment, datetime) or moment.utcoffset() is None:
        raise PolicyError(
            f"expires is a datetime with a time zone, such as datetime(2027, 6, 30, tzinfo=UTC), not {moment!r}"
        )
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:  # the first and the last day there is, in a zone that leaves them
        raise PolicyError("expires lies outside the years 1 to 9999 in UTC") from None
    return datetime.combine(
        moment.date(), moment.time(), UTC
    )  # a plain one, whatever subclass came in


def _compile(pins: tuple[Pin, ...], backup: tuple[Pin, ...]) -> tuple[_DigestTables, ...]:
    """Digest tables by selector and algorithm: one for position 0, one for every other."""
    tables: dict[_What, _DigestTables] = {}
    for pin, spare in [(pin, False) for pin in pins] + [(pin, True) for pin in backup]:
        key = USUAL if (pin.selector, pin.algorithm) == USUAL else (pin.selector, pin.algorithm)
        _, leaf, ca = tables.setdefault(key, (key, {}, {}))
        for table, excluded in ((leaf, "ca"), (ca, "leaf")):
            if pin.role != excluded:
                table.setdefault(pin.digest, (pin, spare))
    # Where no pin has a role both tables are one, which a policy of a million hosts feels.
    return tuple((key, leaf, leaf if ca == leaf else ca) for key, leaf, ca in tables.values())
