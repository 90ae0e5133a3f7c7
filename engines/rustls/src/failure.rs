//! The one exception of the engine.

use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use rustls::{AlertDescription, CertificateError, Error};

create_exception!(
    pinio_rustls,
    TLSFailure,
    PyException,
    "TLS failed. `args` are the kind (\"certificate\", \"alert\", \"protocol\", \"internal\"), the \
     reason as a short name, and a text."
);

/// The exception for what rustls says.
pub fn failure(error: &Error) -> PyErr {
    let (kind, reason) = match error {
        Error::InvalidCertificate(problem) => ("certificate", certificate(problem).to_owned()),
        Error::NoCertificatesPresented => ("certificate", "no_certificate".to_owned()),
        Error::AlertReceived(alert) => ("alert", alert_name(*alert)),
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
    TLSFailure::new_err((kind, reason, error.to_string()))
}

/// The exception for what must not happen.
pub fn internal(text: impl Into<String>) -> PyErr {
    TLSFailure::new_err(("internal", "error", text.into()))
}

fn alert_name(alert: AlertDescription) -> String {
    format!("{alert:?}")
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
        _ => "other",
    }
}
