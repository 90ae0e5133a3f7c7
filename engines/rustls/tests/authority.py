"""Certificates of any shape, and a TLS server in memory."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import pinio_rustls
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


def name_of(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass(frozen=True)
class Issued:
    """A certificate, its key, and who issued it."""

    certificate: x509.Certificate
    key: Key
    issuer: Issued | None = None
    raw: bytes | None = None

    @cached_property
    def der(self) -> bytes:
        return self.raw or self.certificate.public_bytes(Encoding.DER)

    @cached_property
    def pem(self) -> bytes:
        return ssl.DER_cert_to_PEM_cert(self.der).encode()

    @cached_property
    def key_der(self) -> bytes:
        return self.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def issue(
    subject: str,
    issuer: Issued | None = None,
    *,
    ca: bool = True,
    days: tuple[int, int] = (-1, 30),
    constraints: x509.BasicConstraints | str | None = "as it should be",
    usage: x509.KeyUsage | None = None,
    purposes: tuple[x509.ObjectIdentifier, ...] = (),
    names: tuple[str, ...] = (),
    unknown: bool | None = None,
    key: Key | None = None,
) -> Issued:
    """Issue a certificate; one without an issuer is self-signed.

    `unknown` adds an unknown extension, and says whether it is critical.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(name_of(subject))
        .issuer_name(issuer.certificate.subject if issuer else name_of(subject))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + days[0] * DAY)
        .not_valid_after(NOW + days[1] * DAY)
    )
    if isinstance(constraints, str):
        constraints = x509.BasicConstraints(ca=True, path_length=None) if ca else None
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    if usage is not None:
        builder = builder.add_extension(usage, critical=True)
    if unknown is not None:
        strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
        builder = builder.add_extension(strange, critical=unknown)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    if names:
        general = [x509.DNSName(name) for name in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(general), critical=False)
    signer = issuer.key if issuer else key
    return Issued(builder.sign(signer, _digest(signer)), key, issuer)


def _digest(key: Key) -> hashes.SHA256 | None:
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def ders(pem: str) -> list[bytes]:
    """The certificates in a PEM text."""
    end = "-----END CERTIFICATE-----"
    texts = [text[text.index("-----BEGIN") :] for text in pem.split(end)[:-1]]
    return [ssl.PEM_cert_to_DER_cert(f"{text}{end}") for text in texts]


def wrapped(tag: int, content: bytes) -> bytes:
    """DER of a tag and its content."""
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8 or 1, "big")
    return bytes([tag, *((size,) if size < 128 else (0x80 | len(octets), *octets))]) + content


def parts(der: bytes) -> list[bytes]:
    """The elements in a DER sequence."""
    found = []
    rest = _content(der)
    while rest:
        size = len(rest) - len(_after(rest))
        found.append(rest[:size])
        rest = rest[size:]
    return found


def _header(der: bytes) -> tuple[int, int]:
    if der[1] < 0x80:
        return 2, der[1]
    octets = der[1] & 0x7F
    return 2 + octets, int.from_bytes(der[2 : 2 + octets], "big")


def _content(der: bytes) -> bytes:
    at, size = _header(der)
    return der[at : at + size]


def _after(der: bytes) -> bytes:
    return der[sum(_header(der)) :]


def signed(tbs: list[bytes], like: Issued) -> Issued:
    """The same certificate with other fields, signed by its own key."""
    body = wrapped(0x30, b"".join(tbs))
    algorithm = parts(like.der)[1]
    match like.key:
        case ec.EllipticCurvePrivateKey():
            signature = like.key.sign(body, ec.ECDSA(hashes.SHA256()))
        case rsa.RSAPrivateKey():
            signature = like.key.sign(body, padding.PKCS1v15(), hashes.SHA256())
        case _:
            signature = like.key.sign(body)
    raw = wrapped(0x30, body + algorithm + wrapped(0x03, b"\0" + signature))
    return Issued(like.certificate, like.key, raw=raw)


def version_1(issued: Issued) -> Issued:
    """The same certificate without version and extensions, as old devices have it."""
    return signed(
        [part for part in parts(parts(issued.der)[0]) if part[0] not in {0xA0, 0xA3}], issued
    )


ROOT = issue("Root")
INTERMEDIATE = issue("Intermediate", ROOT)
LEAF = issue("leaf", INTERMEDIATE, ca=False, names=("server.test",))


class Server:
    """`ssl`'s own server over memory BIOs."""

    def __init__(
        self,
        leaf: Issued = LEAF,
        *others: Issued,
        version: str = "1.3",
        asks: Issued | None = None,
        alpn: tuple[str, ...] = (),
    ) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.set_ciphers("DEFAULT:@SECLEVEL=0")  # loads keys that are too small as well
        if alpn:
            self.context.set_alpn_protocols(alpn)
        self.context.minimum_version = self.context.maximum_version = VERSIONS[version]
        pem = leaf.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with tempfile.NamedTemporaryFile() as file:
            file.write(pem + b"".join(item.pem for item in (leaf, *others)))
            file.flush()
            self.context.load_cert_chain(file.name)
        if asks is not None:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(cadata=asks.der)
        self.begin()

    def begin(self) -> None:
        """Wait for the next connection."""
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = self.context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.done = False

    def answer(self, data: bytes) -> bytes:
        """Take what the client sent; return what the server says to it."""
        self.incoming.write(data)
        if not self.done:
            try:
                self.tls.do_handshake()
                self.done = True
            except ssl.SSLWantReadError:
                pass
        return self.outgoing.read()

    def say(self, data: bytes) -> bytes:
        """Return the records of `data`, behind those of the tickets that wait."""
        self.tls.write(data)
        return self.outgoing.read()


def connect(
    config: pinio_rustls.Config,
    server: Server,
    name: str = "server.test",
    session: pinio_rustls.Session | None = None,
) -> pinio_rustls.Connection:
    """Shake hands until both sides have nothing more to say."""
    server.begin()
    connection = pinio_rustls.Connection(config, name, session)
    while True:
        sent = connection.take()
        answer = server.answer(sent)
        if answer:
            connection.feed(answer)
        if not answer and not connection.wants_write:
            return connection
