"""Certificate authorities and certificates that live in memory.

Real keys and real chains, made by `trustme`: nothing here is mocked, so a test that passes against
these certificates exercises the same OpenSSL code as production does. Nothing is trusted by anybody
who was not told to.
"""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Literal, cast

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from pinio.testing.device import general_name
from pinio.testing.leaf import NOT_AFTER, NOT_BEFORE, Leaf, fix_version, public_key_pin

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

    from pinio.core.anchors import Anchors
    from pinio.core.pinset import PinsLike
    from pinio.core.policy import Policy

KeyType = Literal["ecdsa", "rsa"]

_KEY_TYPES = {"ecdsa": trustme.KeyType.ECDSA, "rsa": trustme.KeyType.RSA}
_ORGANIZATION = "pinio testing"
_LONGEST_COMMON_NAME = 64  # RFC 5280, appendix A.1: ub-common-name


class CA:
    """A certificate authority that nobody trusts until told to.

    Args:
        name: shown as the organizational unit of its subject.
        key_type: `"ecdsa"` (P-256) or `"rsa"` (2048 bits, slower to make).
        parent: the CA that signs this one's certificate; a root signs its own.
    """

    def __init__(
        self,
        name: str = "pinio test root",
        *,
        key_type: KeyType = "ecdsa",
        parent: CA | None = None,
    ) -> None:
        self.name = name
        self._parent = parent
        self._authority: trustme.CA = trustme.CA(
            parent_cert=parent._authority if parent else None,  # noqa: SLF001 - of the same class
            organization_name=_ORGANIZATION,
            organization_unit_name=name,
            key_type=_KEY_TYPES[key_type],
        )

    def __repr__(self) -> str:
        return f"<CA {self.name!r} {self.pin}>"

    def intermediate(self, name: str | None = None, *, key_type: KeyType = "ecdsa") -> CA:
        """A subordinate CA signed by this one; what it issues is served with its certificate."""
        return CA(name or f"{self.name} intermediate", key_type=key_type, parent=self)

    def issue(
        self,
        *identities: str,
        key_type: KeyType = "ecdsa",
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
    ) -> Leaf:
        """A certificate with a fresh key, valid for host names, wildcards and IP addresses.

        Args:
            identities: at least one; they become subject alternative names, the first one the
                common name too.
            key_type: of the fresh key.
            not_before: start of validity, the year 2000 unless told. Naive values are UTC.
            not_after: end of validity, the year 3000 unless told.

        Returns:
            A leaf that is served with this CA's certificate if this is an intermediate, and never
            with the root.

        Raises:
            ValueError: no identity, or the end lies before the start.
        """
        if not identities:
            raise ValueError("a certificate needs at least one identity")
        issued = self._authority.issue_cert(
            *identities,
            common_name=identities[0] if len(identities[0]) <= _LONGEST_COMMON_NAME else None,
            organization_name=_ORGANIZATION,
            organization_unit_name="server",
            not_before=not_before,
            not_after=not_after,
            key_type=_KEY_TYPES[key_type],
        )
        return _leaf(issued)

    def renew(
        self,
        leaf: Leaf,
        *identities: str,
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
    ) -> Leaf:
        """Certify the *same key* once more; `leaf` may come from another CA.

        What most renewals are. The certificate is another one, a pin on its key still matches.

        Args:
            leaf: whose key it is.
            identities: the names of the new certificate; those of the old one unless told.
            not_before: start of validity, the year 2000 unless told.
            not_after: end of validity, the year 3000 unless told.
        """
        names = x509.SubjectAlternativeName([general_name(each) for each in identities])
        certificate = self._certify(
            leaf.der, not_before, not_after, instead=names if identities else None
        )
        return Leaf(leaf.private_key_pem, certificate + self._issuers_pem)

    def cross_sign(self, other: CA) -> bytes:
        """Certify the key and the name of another CA, and return that certificate as DER.

        Served behind a chain of `other`, it leads a client that trusts this CA alone to this CA.
        """
        return ssl.PEM_cert_to_DER_cert(self._certify(other.der))

    def rebase(self, policy: Policy, pins: Mapping[str, PinsLike] | None = None) -> Policy:
        """The same policy with this CA alone as its anchors, for a program that is tested.

        Patterns, modes, expiry dates and all else stay as they are. Nothing becomes trusted beyond
        the policy that is returned.

        Args:
            policy: the policy that the program ships.
            pins: by pattern of that policy, the pins of test keys which take the place of its own.

        Raises:
            PolicyError: `pins` has a pattern that the policy has not.
        """
        from pinio.testing.rebase import rebase

        return rebase(policy, self.anchors, pins or {})

    def _certify(
        self,
        subject: bytes,
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
        *,
        instead: x509.SubjectAlternativeName | None = None,
    ) -> str:
        """A certificate (PEM) for the key and the names of another one (DER)."""
        old = x509.load_der_x509_certificate(subject)
        authority = x509.load_der_x509_certificate(self.der)
        identifier = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            x509.CertificateBuilder()
            .subject_name(old.subject)
            .issuer_name(authority.subject)
            .public_key(old.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(not_before or NOT_BEFORE)
            .not_valid_after(not_after or NOT_AFTER)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
                critical=False,
            )
        )
        for extension in old.extensions:
            value: x509.ExtensionType = extension.value
            if isinstance(value, x509.SubjectAlternativeName) and instead is not None:
                value = instead
            if not isinstance(value, x509.AuthorityKeyIdentifier):
                builder = builder.add_extension(value, extension.critical)
        key = load_pem_private_key(self._authority.private_key_pem.bytes(), password=None)
        certificate = builder.sign(cast("CertificateIssuerPrivateKeyTypes", key), hashes.SHA256())
        return certificate.public_bytes(Encoding.PEM).decode("ascii")

    def issue_client(self, name: str = "client@pinio.test") -> Leaf:
        """A certificate for the client's side of mutual TLS.

        `name` is a host name or a mail address.
        """
        return _leaf(
            self._authority.issue_cert(
                name,
                common_name=name,
                organization_name=_ORGANIZATION,
                organization_unit_name="client",
            )
        )

    def client_context(
        self, *, tls_version: ssl.TLSVersion | None = None, identity: Leaf | None = None
    ) -> ssl.SSLContext:
        """A stock, *unpinned* client context that trusts this CA alone and checks host names.

        It is what a program without pinning would use, for comparison.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.certificate_pem)
        fix_version(context, tls_version)
        if identity is not None:
            identity.load_into(context)
        return context

    @property
    def _issuers_pem(self) -> str:
        """What is served behind a leaf: the CAs below the root, this one first."""
        parent = self._parent
        return self.certificate_pem + parent._issuers_pem if parent else ""  # noqa: SLF001 - of the same class

    @cached_property
    def certificate_pem(self) -> str:
        """This CA's certificate as PEM text."""
        return self._authority.cert_pem.bytes().decode("ascii")

    @cached_property
    def der(self) -> bytes:
        """This CA's certificate as DER bytes."""
        return ssl.PEM_cert_to_DER_cert(self.certificate_pem)

    @cached_property
    def pin(self) -> str:
        """`sha256/BASE64` of this CA's public key."""
        return public_key_pin(self.der)

    @property
    def anchors(self) -> Anchors:
        """Trust anchors that hold this CA alone."""
        from pinio.core.anchors import Anchors

        return Anchors.from_pem(self.certificate_pem)


def _leaf(issued: trustme.LeafCert) -> Leaf:
    return Leaf(
        private_key_pem=issued.private_key_pem.bytes().decode("ascii"),
        chain_pem="".join(blob.bytes().decode("ascii") for blob in issued.cert_chain_pems),
    )
