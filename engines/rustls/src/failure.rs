//! The one exception of the engine, and how what went wrong is said in it.

use std::error::Error as StdError;

use pyo3::create_exception;
use pyo3::exceptions::{PyBufferError, PyException};
use pyo3::prelude::*;
use rustls::{CertificateError, Error, OtherError};

use crate::engine::Broken;
use crate::objection::Objection;

create_exception!(
    pinio_rustls,
    TLSFailure,
    PyException,
    "TLS failed. `args` are the kind (\"certificate\", \"alert\", \"protocol\", \"internal\"), the \
     reason as a short name, and a text."
);

/// The exception for a call that did not succeed.
pub fn raised(broken: Broken) -> PyErr {
    match broken {
        Broken::Tls(error) => failure(&error),
        Broken::Before => internal("failed_before", "the connection has failed"),
        Broken::Panicked => internal("panic", "the TLS engine panicked"),
        Broken::NotNow(why) => internal("not_now", why),
        Broken::Full => PyBufferError::new_err("too much ciphertext waits: read plaintext first"),
    }
}

fn internal(reason: &str, text: &str) -> PyErr {
    TLSFailure::new_err(("internal", reason.to_owned(), text.to_owned()))
}

/// The exception for what rustls says.
fn failure(error: &Error) -> PyErr {
    let (kind, reason) = match error {
        Error::InvalidCertificate(problem) => ("certificate", certificate(problem).to_owned()),
        Error::NoCertificatesPresented => ("certificate", "no_certificate".to_owned()),
        Error::AlertReceived(alert) => ("alert", format!("{alert:?}")),
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. } => {
            ("protocol", "unexpected_message".to_owned())
        }
        Error::DecryptError => ("protocol", "bad_record_mac".to_owned()),
        Error::PeerIncompatible(why) => ("protocol", format!("{why:?}")),
        Error::PeerMisbehaved(why) => ("protocol", format!("{why:?}")),
        Error::PeerSentOversizedRecord => ("protocol", "record_overflow".to_owned()),
        _ => ("internal", "error".to_owned()),
    };
    let text = match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => inner.to_string(),
        _ => error.to_string(),
    };
    TLSFailure::new_err((kind, reason, text))
}

fn certificate(problem: &CertificateError) -> &'static str {
    match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "not_yet_valid"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "wrong_name"
        }
        CertificateError::UnknownIssuer => "unknown_issuer",
        CertificateError::BadEncoding => "bad_encoding",
        CertificateError::BadSignature => "bad_signature",
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "wrong_purpose"
        }
        CertificateError::UnhandledCriticalExtension => "critical_extension",
        CertificateError::Other(OtherError(inner)) => objection(&**inner),
        _ => "other",
    }
}

fn objection(inner: &(dyn StdError + Send + Sync + 'static)) -> &'static str {
    if let Some(objection) = inner.downcast_ref() {
        return match objection {
            Objection::RsaBits(_) => "key_size",
            Objection::KeyAlgorithm => "key_algorithm",
            Objection::LeafUsage => "key_usage",
        };
    }
    match inner.downcast_ref() {
        Some(webpki::Error::EndEntityUsedAsCa) => "not_a_ca",
        Some(webpki::Error::CaUsedAsEndEntity) => "ca_as_leaf",
        Some(webpki::Error::PathLenConstraintViolated) => "path_length",
        Some(webpki::Error::NameConstraintViolation) => "name_constraint",
        _ => "other",
    }
}
