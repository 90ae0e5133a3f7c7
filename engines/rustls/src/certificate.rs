//! What the engine reads of a certificate itself, beside webpki.
//!
//! webpki checks no trust anchor, and it reads no certificate of version 1. Both are read here, by
//! a strict DER parser: a certificate that does not encode to the very bytes that came in, up to
//! its extensions, is refused, so that no other parser can see another key in it. Extensions stand
//! behind the key, and some issuers write out a default there that DER leaves out.

use std::time::Duration;

use rustls::pki_types::{SubjectPublicKeyInfoDer, UnixTime};
use x509_cert::certificate::{CertificateInner, Raw, TbsCertificateInner};
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, Uint};
use x509_cert::der::oid::AssociatedOid;
use x509_cert::der::{Decode, Encode, SliceReader};
use x509_cert::ext::pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage};
use x509_cert::spki::SubjectPublicKeyInfoOwned;

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const ID_KP_SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const CERTIFICATE_EXTENSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29");
const ANY_EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37.0");

/// The fields of a certificate (RFC 5280 section 4.1) that decide.
///
/// An extension that cannot be read permits nothing. Where no path is verified it does not matter.
#[derive(Debug, Clone)]
pub struct Fields {
    /// Seconds since 1970 from which on it is valid, and until when, both included.
    pub valid: (u64, u64),
    /// Whether subject and issuer are one name.
    pub self_issued: bool,
    /// The exact `SubjectPublicKeyInfo`.
    pub spki: SubjectPublicKeyInfoDer<'static>,
    /// What stands in the key's `AlgorithmIdentifier`.
    pub key_algorithm: Vec<u8>,
    /// Bits of the modulus of an RSA key.
    pub rsa_bits: Option<usize>,
    /// Whether it may sign certificates: `cA`, and `keyCertSign` where key usages are named.
    pub may_sign: bool,
    /// Whether it may sign a handshake: `digitalSignature` where key usages are named.
    pub may_authenticate: bool,
    /// Whether it stands for TLS servers: `serverAuth`, or any, where extended usages are named.
    pub for_servers: bool,
    /// Whether each critical extension is one of RFC 5280 section 4.2.1.
    pub understood: bool,
    /// `pathLenConstraint`.
    pub path_len: Option<u8>,
}

impl Fields {
    /// Reads a certificate; `None` if it is not strict DER.
    pub fn read(der: &[u8]) -> Option<Self> {
        let mut tbs = CertificateInner::<Raw>::from_der(der).ok()?.tbs_certificate;
        let constraints = extension::<BasicConstraints>(&tbs);
        let usage = extension::<KeyUsage>(&tbs);
        let purposes = extension::<ExtendedKeyUsage>(&tbs);
        let understood =
            tbs.extensions.iter().flatten().all(|found| {
                !found.critical || found.extn_id.parent() == Some(CERTIFICATE_EXTENSION)
            });
        tbs.extensions = None;
        let before = tbs.to_der().ok()?;
        let fields = AnyRef::from_der(&before).ok()?.value();
        if !signed_part(der)?.value().starts_with(fields) {
            return None;
        }
        let ca = matches!(&constraints, Ok(Some(found)) if found.ca);
        let uses = |asked: fn(&KeyUsage) -> bool| match &usage {
            Ok(found) => found.as_ref().is_none_or(asked),
            Err(_) => false,
        };
        let key = &tbs.subject_public_key_info;
        Some(Self {
            valid: (
                seconds(tbs.validity.not_before.to_unix_duration()),
                seconds(tbs.validity.not_after.to_unix_duration()),
            ),
            self_issued: tbs.subject == tbs.issuer,
            spki: key.to_der().ok()?.into(),
            key_algorithm: algorithm(key)?,
            rsa_bits: rsa_bits(key),
            may_sign: ca && uses(KeyUsage::key_cert_sign),
            may_authenticate: uses(KeyUsage::digital_signature),
            for_servers: match purposes {
                Ok(found) => found.is_none_or(|purposes| {
                    let any = [ID_KP_SERVER_AUTH, ANY_EXTENDED_KEY_USAGE];
                    purposes.0.iter().any(|purpose| any.contains(purpose))
                }),
                Err(_) => false,
            },
            understood,
            path_len: constraints
                .ok()
                .flatten()
                .and_then(|found| found.path_len_constraint),
        })
    }

    /// Whether `now` lies within the validity (RFC 5280 section 4.1.2.5).
    pub fn is_valid_at(&self, now: UnixTime) -> bool {
        (self.valid.0..=self.valid.1).contains(&now.as_secs())
    }
}

/// The `TBSCertificate` of a certificate that was parsed before.
fn signed_part(der: &[u8]) -> Option<AnyRef<'_>> {
    let content = AnyRef::from_der(der).ok()?.value();
    AnyRef::decode(&mut SliceReader::new(content).ok()?).ok()
}

fn extension<'a, T: Decode<'a> + AssociatedOid>(
    tbs: &'a TbsCertificateInner<Raw>,
) -> Result<Option<T>, x509_cert::der::Error> {
    Ok(tbs.get::<T>()?.map(|(_, value)| value))
}

fn algorithm(key: &SubjectPublicKeyInfoOwned) -> Option<Vec<u8>> {
    let mut content = key.algorithm.oid.to_der().ok()?;
    if let Some(parameters) = &key.algorithm.parameters {
        content.extend(parameters.to_der().ok()?);
    }
    Some(content)
}

fn rsa_bits(key: &SubjectPublicKeyInfoOwned) -> Option<usize> {
    if key.algorithm.oid != RSA_ENCRYPTION {
        return None;
    }
    let numbers = Vec::<Uint>::from_der(key.subject_public_key.as_bytes()?).ok()?;
    let modulus = numbers.first()?.as_bytes();
    let unused = modulus.first()?.leading_zeros() as usize;
    Some(8 * modulus.len() - unused)
}

fn seconds(duration: Duration) -> u64 {
    duration.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, KeyPair};

    fn certificate(extension: &[u64], content: &[u8]) -> Vec<u8> {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.custom_extensions = vec![CustomExtension::from_oid_content(
            extension,
            content.to_vec(),
        )];
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn an_extension_that_cannot_be_read_permits_nothing() {
        let null = [5, 0];
        let plain = Fields::read(&certificate(&[1, 2, 3, 4], &null)).unwrap();
        assert!(plain.may_sign && plain.may_authenticate && plain.for_servers);
        let usage = Fields::read(&certificate(&[2, 5, 29, 15], &null)).unwrap();
        assert!(!usage.may_sign && !usage.may_authenticate);
        let purposes = Fields::read(&certificate(&[2, 5, 29, 37], &null)).unwrap();
        assert!(!purposes.for_servers);
        let twice = Fields::read(&certificate(&[2, 5, 29, 19], &[0x30, 0])).unwrap();
        assert!(!twice.may_sign);
    }

    #[test]
    fn bytes_that_der_does_not_allow_are_no_certificate() {
        let good = certificate(&[1, 2, 3, 4], &[5, 0]);
        assert!(Fields::read(&good).is_some());
        assert!(Fields::read(&[&good[..], &[0]].concat()).is_none());
        assert!(Fields::read(&good[..good.len() - 1]).is_none());
        let mut long = good.clone(); // a length in one octet more than it needs
        assert_eq!(long[1], 0x82);
        long[1] = 0x83;
        long.insert(2, 0);
        assert!(Fields::read(&long).is_none());
    }
}
