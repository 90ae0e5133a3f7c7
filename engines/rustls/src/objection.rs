//! Why the engine itself refuses a certificate that webpki and rustls take.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use rustls::{CertificateError, Error, OtherError};

/// What the engine objects to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objection {
    /// An RSA key of so many bits.
    RsaBits(usize),
    /// A key of an algorithm, or on a curve, that is not supported.
    KeyAlgorithm,
    /// A key whose usages leave out `digitalSignature`.
    LeafUsage,
}

impl fmt::Display for Objection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RsaBits(bits) => write!(
                out,
                "the certificate's RSA key has {bits} bits, and 2048 to 8192 are accepted"
            ),
            Self::KeyAlgorithm => write!(
                out,
                "the certificate's key is none of RSA, ECDSA on P-256, P-384 or P-521, and Ed25519"
            ),
            Self::LeafUsage => write!(
                out,
                "the certificate's key usages leave out digitalSignature (RFC 8446 section 4.4.2.2)"
            ),
        }
    }
}

impl StdError for Objection {}

impl From<Objection> for Error {
    fn from(objection: Objection) -> Self {
        CertificateError::Other(OtherError(Arc::new(objection))).into()
    }
}
