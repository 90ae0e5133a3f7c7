//! What the engine reads of a certificate itself, beside webpki.
//!
//! webpki checks no trust anchor, and it reads no certificate of version 1. Both are read here, by a
//! strict DER parser: a certificate that does not encode to the very bytes that came in is refused, so
//! that no other parser can see another key in it.

use std::time::Duration;

use rustls::pki_types::{SubjectPublicKeyInfoDer, UnixTime};
use x509_cert::certificate::{CertificateInner, Raw};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};

/// The fields of a certificate (RFC 5280 section 4.1) that decide.
#[derive(Debug, Clone)]
pub struct Fields {
    /// Seconds since 1970 from which on it is valid, and until when, both included.
    pub valid: (u64, u64),
    /// Whether subject and issuer are one name.
    pub self_issued: bool,
    /// The exact `SubjectPublicKeyInfo`.
    pub spki: SubjectPublicKeyInfoDer<'static>,
    /// Whether it may sign certificates: `cA`, and `keyCertSign` where key usages are named.
    pub may_sign: bool,
    /// `pathLenConstraint`.
    pub path_len: Option<u8>,
}

impl Fields {
    /// Reads a certificate; `None` if it is not strict DER.
    pub fn read(der: &[u8]) -> Option<Self> {
        let certificate = CertificateInner::<Raw>::from_der(der).ok()?;
        if certificate.to_der().ok()? != der {
            return None;
        }
        let tbs = &certificate.tbs_certificate;
        let constraints = match tbs.get::<BasicConstraints>() {
            Ok(found) => found.map(|(_, value)| value),
            Err(_) => return None,
        };
        let usage = match tbs.get::<KeyUsage>() {
            Ok(found) => found.map(|(_, value)| value),
            Err(_) => return None,
        };
        let signs = usage.is_none_or(|usage| usage.key_cert_sign());
        Some(Self {
            valid: (
                seconds(tbs.validity.not_before.to_unix_duration()),
                seconds(tbs.validity.not_after.to_unix_duration()),
            ),
            self_issued: tbs.subject == tbs.issuer,
            spki: tbs.subject_public_key_info.to_der().ok()?.into(),
            may_sign: constraints.as_ref().is_some_and(|found| found.ca) && signs,
            path_len: constraints.and_then(|found| found.path_len_constraint),
        })
    }

    /// Whether `now` lies within the validity (RFC 5280 section 4.1.2.5).
    pub fn is_valid_at(&self, now: UnixTime) -> bool {
        (self.valid.0..=self.valid.1).contains(&now.as_secs())
    }
}

fn seconds(duration: Duration) -> u64 {
    duration.as_secs()
}
