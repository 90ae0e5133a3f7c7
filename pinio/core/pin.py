"""One expectation about a key: selector, algorithm, digest, role; and its spellings.

Canonical text is `[leaf:|ca:][cert-]ALGORITHM/BASE64`, and `Pin.parse(str(pin)) == pin` for every
pin. Parsing is strict: the algorithm is named, never guessed from a length; Base64 is decoded,
encoded again and compared, because decoders accept several texts for the same bytes (`AA==` and
`AB==`); digests that a script prints when it hashed nothing are refused.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from dataclasses import dataclass
from typing import Final, Literal, NoReturn, cast, get_args

from pinio.core import hexadecimal, pem
from pinio.core.certificate import Certificate
from pinio.core.der import DERError, check_public_key
from pinio.errors import PinFormatError

Selector = Literal["spki", "cert"]
Algorithm = Literal["sha256", "sha384", "sha512"]
Role = Literal["leaf", "ca", "any"]

SIZES: Final[dict[str, int]] = {"sha256": 32, "sha384": 48, "sha512": 64}
"""Digest lengths in bytes."""
SELECTORS: Final = get_args(Selector)
ROLES: Final = get_args(Role)
_LONGEST: Final = 1024  # characters; every spelling of every pin is far shorter

_CANONICAL = re.compile(
    r"(?:(?P<role>leaf|ca):)?(?P<cert>cert-)?(?P<algorithm>sha\d+)/(?P<text>.*)", re.DOTALL
)
_HPKP = re.compile(r'pin-(?P<algorithm>sha\d+)="(?P<text>[^"]*)"')
_FINGERPRINT = re.compile(r"cert-(?P<algorithm>sha\d+):(?P<text>[0-9A-Fa-f:]*)")
# The data may be in groups, on several lines within parentheses (RFC 6698 section 2.2, RFC 1035
# section 5.1): `dig` and zone files write it so.
_TLSA = re.compile(
    r"(?P<usage>\d)[ \t]+(?P<selector>\d)[ \t]+(?P<matching>\d)\s+"
    r"(?P<open>\()?(?P<text>[0-9A-Fa-f\s]+)(?(open)\))"
)


@dataclass(frozen=True, slots=True, order=True, repr=False)
class Pin:
    """A digest that a certificate, or the public key in it, is expected to have.

    `selector` says what is hashed: `"spki"`, the SubjectPublicKeyInfo (RFC 7469 section 2.4), or
    `"cert"`, the whole certificate. `role` says where it may match: `"leaf"` is position 0 of the
    verified chain, `"ca"` any other position, `"any"` all of them. Raises `PinFormatError` for what
    cannot be a pin.
    """

    digest: bytes
    selector: Selector = "spki"
    algorithm: Algorithm = "sha256"
    role: Role = "any"

    def __post_init__(self) -> None:
        _check_algorithm(self.algorithm, str(self.algorithm))
        # What is no text may equal anything.
        words = isinstance(self.selector, str) and isinstance(self.role, str)
        if not words or self.selector not in SELECTORS or self.role not in ROLES:
            raise PinFormatError(
                f"a pin's selector is one of {SELECTORS} and its role one of {ROLES}"
            )
        if not isinstance(self.digest, bytes) or len(self.digest) != SIZES[self.algorithm]:
            raise PinFormatError(
                f"a {self.algorithm} digest has {SIZES[self.algorithm]} bytes; use Pin.parse for text"
            )
        if hexadecimal.is_text(self.digest):
            raise PinFormatError(
                "these bytes are the text of a digest in hexadecimal, and no digest; use bytes.fromhex"
            )
        if self.digest in _EMPTY or self.digest == self.digest[:1] * len(self.digest):
            raise PinFormatError(
                f"{self} is a placeholder: the digest of nothing, or one byte repeated; find the real one with: pinio pins HOST"
            )

    @classmethod
    def parse(cls, text: str) -> Pin:
        """Read one pin in any spelling.

        They are: canonical, curl's `sha256//…`, `pin-sha256="…"` (RFC 7469), `cert-sha256:HEX` with
        or without colons, and the data of a TLSA record, `3 1 1 HEX` (RFC 6698), in groups and with
        tabs too. Raises `PinFormatError`.
        """
        if not isinstance(text, str):
            raise PinFormatError(f"a pin is text such as 'sha256/…', not {type(text).__name__}")
        if len(text) > _LONGEST:
            raise PinFormatError(f"a pin of {len(text)} characters is too long to be one")
        if match := _FINGERPRINT.fullmatch(text):
            return cls(
                _hex(match["text"], text), "cert", _check_algorithm(match["algorithm"], text)
            )
        if (hint := hexadecimal.hint(text)) is not None:
            _fail(text, hint)
        if match := _CANONICAL.fullmatch(text):
            algorithm = _check_algorithm(match["algorithm"], text)
            selector: Selector = "cert" if match["cert"] else "spki"
            encoded = match["text"]
            # A '/' is a Base64 digit too: only the length tells curl's '//' from a digest that
            # starts with one.
            if encoded.startswith("/") and len(encoded) == 1 + _base64_length(algorithm):
                if match["role"] or match["cert"]:
                    _fail(text, "the '//' spelling is curl's and has no role; use one '/'")
                encoded = encoded[1:]
            return cls(
                _base64(encoded, algorithm, text),
                selector,
                algorithm,
                cast(Role, match["role"] or "any"),
            )
        if match := _HPKP.fullmatch(text):
            algorithm = _check_algorithm(match["algorithm"], text)
            return cls(_base64(match["text"], algorithm, text), "spki", algorithm)
        if match := _TLSA.fullmatch(text):
            return _tlsa(match, text)
        return _fail(
            text,
            f"expected [leaf:|ca:][cert-]sha256/BASE64; the algorithm is always named{_hint(text)}",
        )

    @classmethod
    def of_certificate(
        cls,
        data: bytes | str,
        *,
        selector: Selector = "spki",
        algorithm: Algorithm = "sha256",
        role: Role = "any",
    ) -> Pin:
        """The pin of a certificate given as DER bytes or PEM.

        Raises `PinFormatError` if it is not strict DER.
        """
        certificate = Certificate(_unwrap(data, pem.CERTIFICATE))
        _check_algorithm(algorithm, str(algorithm))
        digest = certificate.digest(selector, algorithm)
        if digest is None:
            raise PinFormatError("this is not one certificate in strict DER (RFC 5280 section 4.1)")
        return cls(digest, selector, algorithm, role)

    @classmethod
    def of_public_key(
        cls, data: bytes | str, *, algorithm: Algorithm = "sha256", role: Role = "any"
    ) -> Pin:
        """The pin of a public key given as a SubjectPublicKeyInfo, DER bytes or PEM (`BEGIN PUBLIC KEY`).

        Raises `PinFormatError` if it is not strict DER.
        """
        spki = _unwrap(data, pem.PUBLIC_KEY)
        try:
            check_public_key(spki)
        except DERError as error:
            raise PinFormatError(
                f"this is not a SubjectPublicKeyInfo in strict DER: {error}"
            ) from None
        return cls(
            hashlib.new(_check_algorithm(algorithm, str(algorithm)), spki).digest(),
            "spki",
            algorithm,
            role,
        )

    def __repr__(self) -> str:
        return f"Pin.parse({str(self)!r})"

    def __str__(self) -> str:
        role = "" if self.role == "any" else f"{self.role}:"
        selector = "cert-" if self.selector == "cert" else ""
        return f"{role}{selector}{self.algorithm}/{b64encode(self.digest).decode()}"


_EMPTY: Final = frozenset(hashlib.new(name).digest() for name in SIZES)


def _fail(text: str, why: str) -> NoReturn:
    shown = ascii(text if len(text) <= 120 else text[:117] + "...")
    raise PinFormatError(f"{shown} is not a pin: {why}")


def _hint(text: str) -> str:
    """What to change in a text that comes close."""
    if text != text.strip():
        return ", and no white space stands around it"
    if _CANONICAL.fullmatch(text.lower()):
        return ", and all before the '/' is in small letters"
    return ""


def _check_algorithm(name: str, text: str) -> Algorithm:
    if not isinstance(name, str) or name not in SIZES:
        _fail(text, f"the algorithm is one of {', '.join(SIZES)}")
    return cast(Algorithm, name)


def _base64_length(algorithm: str) -> int:
    return 4 * -(-SIZES[algorithm] // 3)


def _base64(encoded: str, algorithm: str, text: str) -> bytes:
    try:
        digest = b64decode(encoded.encode("ascii"), validate=True)
    except (UnicodeEncodeError, Base64Error):
        _fail(text, "not Base64 (RFC 4648 section 4, with '+', '/' and the padding)")
    if b64encode(digest).decode() != encoded:
        _fail(text, "not canonical Base64 (RFC 4648 section 3.5)")
    return _sized(digest, algorithm, text)


def _hex(encoded: str, text: str) -> bytes:
    algorithm = text.removeprefix("cert-").partition(":")[0]
    plain = encoded
    if ":" in encoded:
        pairs = encoded.split(":")
        if any(len(pair) != 2 for pair in pairs):
            _fail(text, "colons stand between pairs of hexadecimal digits")
        plain = "".join(pairs)
    if len(plain) % 2:
        _fail(text, "an odd number of hexadecimal digits")
    return _sized(bytes.fromhex(plain), _check_algorithm(algorithm, text), text)


def _sized(digest: bytes, algorithm: str, text: str) -> bytes:
    if len(digest) != SIZES[algorithm]:
        _fail(text, f"{len(digest)} bytes; a {algorithm} digest has {SIZES[algorithm]}")
    return digest


def _tlsa(match: re.Match[str], text: str) -> Pin:
    """TLSA data (RFC 6698 section 2.1).

    The usage becomes a role and never changes what is trusted.
    """
    usage, selector, matching = match["usage"], match["selector"], match["matching"]
    if usage == "2":
        _fail(
            text, "usage 2 (DANE-TA) names a trust anchor, not a key to pin; use anchors= for that"
        )
    roles: dict[str, Role] = {"0": "ca", "1": "leaf", "3": "leaf"}
    selectors: dict[str, Selector] = {"0": "cert", "1": "spki"}
    algorithms: dict[str, Algorithm] = {"1": "sha256", "2": "sha512"}
    if usage not in roles or selector not in selectors:
        _fail(text, "TLSA usage is 0, 1 or 3 and its selector 0 or 1")
    if matching not in algorithms:
        _fail(text, "TLSA matching type is 1 (SHA-256) or 2 (SHA-512)")
    hexadecimal = "".join(match["text"].split())
    if len(hexadecimal) % 2:
        _fail(text, "an odd number of hexadecimal digits")
    algorithm = algorithms[matching]
    digest = _sized(bytes.fromhex(hexadecimal), algorithm, text)
    return Pin(digest, selectors[selector], algorithm, roles[usage])


def _unwrap(data: bytes | str, label: str) -> bytes:
    """DER from DER or from one PEM block (RFC 7468) with `label`; blocks with others may be there."""
    if isinstance(data, bytes):
        if not pem.is_pem(data):
            return data
        data = pem.decode(data)
    if not isinstance(data, str):
        raise PinFormatError(f"expected DER bytes or PEM text, not {type(data).__name__}")
    try:
        found = pem.blocks(data)
        blocks = [block for block in found if block.label == label]
        if len(blocks) == 1:
            return blocks[0].der()
    except pem.PEMError as error:
        raise PinFormatError(f"the PEM text cannot be read: {error}") from None
    if not found:
        raise PinFormatError(
            f"expected DER bytes or PEM text ('BEGIN {label}'): what is in the file, not its name"
        )
    other = next((f" and a 'BEGIN {block.label}'" for block in found if block.label != label), "")
    raise PinFormatError(f"expected one PEM block 'BEGIN {label}', found {len(blocks)}{other}")
