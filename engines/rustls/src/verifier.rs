//! Verification of the peer: the path, the name, and the signature over the handshake.
//!
//! One verifier serves all connections of a configuration, since rustls resumes a session only under the
//! very verifier that it was made under. What a verification found is therefore not kept here: rustls
//! verifies on the thread that feeds the connection, so the finding is laid in a slot of this thread,
//! and the connection takes it as soon as rustls returns.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, PeerMisbehaved, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage, RawPublicKeyEntity};

use crate::anchors::Anchors;
use crate::certificate::Fields;
use crate::paths::{Key, Path, Paths};

/// How a certificate is verified.
#[derive(Debug)]
pub enum Trust {
    /// By a path to an anchor, and by name (RFC 5280).
    Pkix(Anchors),
    /// Not at all: the caller pins the key of the leaf. The handshake's signature is verified still.
    LeafPin,
}

/// What verification saw of a peer.
#[derive(Debug, Default)]
pub struct Finding {
    /// The certificates as the peer sent them; nothing was verified about them.
    pub served: Vec<CertificateDer<'static>>,
    /// The path that was verified; under [`Trust::LeafPin`] the leaf alone.
    pub path: Option<Arc<Path>>,
}

thread_local! {
    static SLOT: RefCell<Option<Finding>> = const { RefCell::new(None) };
}

/// Takes what a verification on this thread found since the last call.
pub fn take_finding() -> Option<Finding> {
    SLOT.with_borrow_mut(Option::take)
}

/// The verifier of one configuration.
#[derive(Debug)]
pub struct Verifier {
    trust: Trust,
    algorithms: WebPkiSupportedAlgorithms,
    paths: Option<Paths>,
}

impl Verifier {
    /// A verifier that remembers paths if `remember` says so.
    pub fn new(trust: Trust, algorithms: WebPkiSupportedAlgorithms, remember: bool) -> Self {
        Self { trust, algorithms, paths: remember.then(Paths::default) }
    }

    /// How many paths are remembered.
    pub fn remembered(&self) -> usize {
        self.paths.as_ref().map_or(0, Paths::len)
    }

    fn path(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<Arc<Path>, Error> {
        let Trust::Pkix(anchors) = &self.trust else {
            Fields::read(leaf).ok_or(CertificateError::BadEncoding)?;
            return Ok(Arc::new(Path { chain: vec![leaf.clone().into_owned()], valid: (0, u64::MAX) }));
        };
        let memory = self.paths.as_ref().map(|paths| (paths, Key::of(leaf, others, &name.to_str())));
        if let Some(path) = memory.as_ref().and_then(|(paths, key)| paths.get(key, now)) {
            return Ok(path);
        }
        let path = Arc::new(verify(anchors, self.algorithms.all, leaf, others, name, now)?);
        if let Some((paths, key)) = memory {
            paths.put(key, path.clone(), now);
        }
        Ok(path)
    }

    fn check_signature_tls12(
        &self,
        message: &[u8],
        spki: &SubjectPublicKeyInfoDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = RawPublicKeyEntity::try_from(spki).map_err(|_| CertificateError::BadEncoding)?;
        let (_, algorithms) = self
            .algorithms
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == dss.scheme)
            .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        // Under TLS 1.2 a scheme does not name the curve (RFC 8422 section 5.1.1).
        if algorithms.iter().any(|algorithm| key.verify_signature(*algorithm, message, dss.signature()).is_ok()) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        Err(CertificateError::BadSignature.into())
    }
}

/// Builds and verifies a path (RFC 5280 section 6), and checks the name (RFC 6125).
fn verify(
    anchors: &Anchors,
    algorithms: &[&dyn rustls::pki_types::SignatureVerificationAlgorithm],
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<Path, Error> {
    let certificate = EndEntityCert::try_from(leaf).map_err(problem)?;
    let intermediates: Vec<CertificateDer<'_>> =
        others.iter().chain(&anchors.helpers).map(|found| CertificateDer::from(found.as_ref())).collect();
    let accepts = |path: &webpki::VerifiedPath<'_>| anchors.accepts(path, leaf, now);
    let path = certificate
        .verify_for_usage(
            algorithms,
            &anchors.trusted,
            &intermediates,
            now,
            KeyUsage::server_auth(),
            None,
            Some(&accepts),
        )
        .map_err(problem)?;
    certificate.verify_is_valid_for_subject_name(name).map_err(problem)?;
    let (chain, valid) = anchors.certificates(&path, leaf).ok_or(CertificateError::BadEncoding)?;
    Ok(Path { chain, valid })
}

/// What webpki says, as rustls says it.
fn problem(error: webpki::Error) -> Error {
    use webpki::Error::{
        CertExpired, CertNotValidForName, CertNotValidYet, InvalidSignatureForPublicKey,
        RequiredEkuNotFoundContext, UnknownIssuer, UnsupportedCriticalExtension,
    };
    match error {
        CertExpired { .. } => CertificateError::Expired,
        CertNotValidYet { .. } => CertificateError::NotValidYet,
        CertNotValidForName(_) => CertificateError::NotValidForName,
        UnknownIssuer => CertificateError::UnknownIssuer,
        InvalidSignatureForPublicKey => CertificateError::BadSignature,
        RequiredEkuNotFoundContext(_) => CertificateError::InvalidPurpose,
        UnsupportedCriticalExtension => CertificateError::UnhandledCriticalExtension,
        other => CertificateError::Other(OtherError(Arc::new(other))),
    }
    .into()
}

/// The key of a certificate that this thread has just found, or that is read now.
fn key_of(leaf: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, Error> {
    Ok(Fields::read(leaf).ok_or(CertificateError::BadEncoding)?.spki)
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = self.path(end_entity, intermediates, server_name, now);
        let served = std::iter::once(end_entity).chain(intermediates).map(|item| item.clone().into_owned());
        let (path, result) = match found {
            Ok(path) => (Some(path), Ok(ServerCertVerified::assertion())),
            Err(error) => (None, Err(error)),
        };
        SLOT.set(Some(Finding { served: served.collect(), path }));
        result
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature_tls12(message, &key_of(cert)?, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature_with_raw_key(message, &key_of(cert)?, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
