//! One frozen TLS configuration.

use std::sync::Arc;

#[cfg(feature = "python")]
use pyo3::exceptions::PyValueError;
#[cfg(feature = "python")]
use pyo3::prelude::*;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};

use crate::anchors::Anchors;
use crate::sessions::Hints;
use crate::verifier::{Trust, Verifier};

/// Most bytes of all ALPN protocols, which share the hello with much else.
const MOST_ALPN: usize = 8 << 10;

/// What is the same for many connections: trust, client identity, ALPN, versions.
#[cfg_attr(feature = "python", pyclass(frozen, module = "pinio_rustls"))]
pub struct Config {
    /// With everything but the store of sessions, which each connection has of its own.
    pub tls: ClientConfig,
    /// Key exchange groups that servers chose.
    pub hints: Arc<Hints>,
    verifier: Arc<Verifier>,
}

#[cfg(feature = "python")]
#[pymethods]
impl Config {
    /// `anchors` are DER certificates; None pins the leaf alone, and verifies no path.
    #[new]
    #[pyo3(signature = (
        anchors, *, alpn=vec![], identity=None, tls12=true, tls13=true, remember_paths=true
    ))]
    fn new(
        anchors: Option<Vec<Vec<u8>>>,
        alpn: Vec<Vec<u8>>,
        identity: Option<(Vec<Vec<u8>>, Vec<u8>)>,
        tls12: bool,
        tls13: bool,
        remember_paths: bool,
    ) -> PyResult<Self> {
        let versions = (tls12, tls13);
        let built = crate::engine::contained(|| {
            Ok(Self::build(
                anchors,
                alpn,
                identity,
                versions,
                remember_paths,
            ))
        });
        built
            .map_err(crate::failure::raised)?
            .map_err(PyValueError::new_err)
    }

    /// How many of the anchors a path may end in: not intermediates beside a root, nor what webpki
    /// cannot read.
    #[getter]
    fn ends(&self) -> usize {
        self.verifier.ends()
    }

    /// How many verified paths are remembered.
    #[getter]
    fn remembered_paths(&self) -> usize {
        self.verifier.remembered()
    }
}

/// Says which protocol ALPN cannot carry (RFC 7301 section 3.1).
fn offerable(alpn: &[Vec<u8>]) -> Result<(), String> {
    for name in alpn {
        if !(1..=255).contains(&name.len()) {
            return Err(format!(
                "an ALPN protocol has 1 to 255 bytes, and one here has {}",
                name.len()
            ));
        }
    }
    let all: usize = alpn.iter().map(|name| 1 + name.len()).sum();
    if all > MOST_ALPN {
        return Err(format!(
            "the ALPN protocols take more than {MOST_ALPN} bytes"
        ));
    }
    Ok(())
}

/// A certificate chain and its private key, as DER.
type Identity = (Vec<Vec<u8>>, Vec<u8>);

impl Config {
    /// Builds it, or says what cannot be used. `versions` are TLS 1.2 and TLS 1.3.
    pub fn build(
        anchors: Option<Vec<Vec<u8>>>,
        alpn: Vec<Vec<u8>>,
        identity: Option<Identity>,
        versions: (bool, bool),
        remember_paths: bool,
    ) -> Result<Self, String> {
        offerable(&alpn)?;
        let trust = match anchors {
            Some(certificates) => Trust::Pkix(Anchors::new(certificates)?),
            None => Trust::LeafPin,
        };
        let offered: &[&'static SupportedProtocolVersion] = match versions {
            (true, true) => &[&TLS13, &TLS12],
            (false, true) => &[&TLS13],
            (true, false) => &[&TLS12],
            (false, false) => return Err("neither TLS 1.2 nor TLS 1.3 is offered".to_owned()),
        };
        let provider = Arc::new(default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let verifier = Arc::new(Verifier::new(trust, algorithms, remember_paths));
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(offered)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone() as Arc<dyn ServerCertVerifier>);
        let mut tls = match identity {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = chain.into_iter().map(CertificateDer::from).collect();
                let key = PrivateKeyDer::try_from(key)?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| format!("the client's certificate or key: {error}"))?
            }
        };
        tls.alpn_protocols = alpn;
        Ok(Self {
            tls,
            hints: Arc::default(),
            verifier,
        })
    }
}
