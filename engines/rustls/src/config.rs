//! One frozen TLS configuration.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};

use crate::anchors::Anchors;
use crate::sessions::Hints;
use crate::verifier::{Trust, Verifier};

/// What is the same for many connections: trust, client identity, ALPN, versions.
#[pyclass(frozen, module = "pinio_rustls")]
pub struct Config {
    /// With everything but the store of sessions, which each connection has of its own.
    pub tls: ClientConfig,
    /// Key exchange groups that servers chose.
    pub hints: Arc<Hints>,
    verifier: Arc<Verifier>,
}

#[pymethods]
impl Config {
    /// `anchors` are DER certificates; None pins the leaf alone, and verifies no path.
    #[new]
    #[pyo3(signature = (anchors, *, alpn=vec![], identity=None, tls12=true, tls13=true, remember_paths=true))]
    fn new(
        anchors: Option<Vec<Vec<u8>>>,
        alpn: Vec<Vec<u8>>,
        identity: Option<(Vec<Vec<u8>>, Vec<u8>)>,
        tls12: bool,
        tls13: bool,
        remember_paths: bool,
    ) -> PyResult<Self> {
        let trust = match anchors {
            Some(certificates) => {
                Trust::Pkix(Anchors::new(certificates).map_err(PyValueError::new_err)?)
            }
            None => Trust::LeafPin,
        };
        let provider = Arc::new(default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let verifier = Arc::new(Verifier::new(trust, algorithms, remember_paths));
        let mut versions: Vec<&'static SupportedProtocolVersion> = Vec::new();
        if tls13 {
            versions.push(&TLS13);
        }
        if tls12 {
            versions.push(&TLS12);
        }
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| PyValueError::new_err(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone() as Arc<dyn ServerCertVerifier>);
        let mut tls = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = chain.into_iter().map(CertificateDer::from).collect();
                let key = PrivateKeyDer::try_from(key).map_err(PyValueError::new_err)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| PyValueError::new_err(error.to_string()))?
            }
        };
        tls.alpn_protocols = alpn;
        Ok(Self {
            tls,
            hints: Arc::default(),
            verifier,
        })
    }

    /// How many verified paths are remembered.
    #[getter]
    fn remembered_paths(&self) -> usize {
        self.verifier.remembered()
    }
}
