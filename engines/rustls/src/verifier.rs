//! Verification of the peer: the path, the name, and the signature over the handshake.
//!
//! One verifier serves all connections of a configuration, since rustls resumes a session only
//! under the very verifier that it was made under. What a verification found is therefore not kept
//! here: rustls verifies on the thread that feeds the connection, so the finding is laid in a slot
//! of this thread, which is empty before and after each step of a connection.

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, PeerMisbehaved, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage, RawPublicKeyEntity};

use crate::anchors::Anchors;
use crate::certificate::Fields;
use crate::objection::Objection;
use crate::paths::{Key, Path, Paths};

/// Bits of the RSA keys whose signatures aws-lc verifies.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

/// How a certificate is verified.
#[derive(Debug)]
pub enum Trust {
    /// By a path to an anchor, and by name (RFC 5280).
    Pkix(Anchors),
    /// Not at all: the caller pins the key of the leaf. The handshake's signature is verified
    /// still.
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

/// Runs `work`, and returns with its result what a verification found that ran in it, on this
/// thread.
///
/// A finding never outlives the call, so that no other connection can take it for its own: not when
/// `work` panics either.
pub fn observed<R>(work: impl FnOnce() -> R) -> (R, Option<Finding>) {
    struct Emptied;
    impl Drop for Emptied {
        fn drop(&mut self) {
            SLOT.set(None);
        }
    }
    SLOT.set(None);
    let _emptied = Emptied;
    let result = work();
    (result, SLOT.take())
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
        Self {
            trust,
            algorithms,
            paths: remember.then(Paths::default),
        }
    }

    /// How many certificates a path may end in.
    pub fn ends(&self) -> usize {
        match &self.trust {
            Trust::Pkix(anchors) => anchors.trusted.len(),
            Trust::LeafPin => 0,
        }
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
            let fields = Fields::read(leaf).ok_or(CertificateError::BadEncoding)?;
            self.usable(&fields)?;
            return Ok(Arc::new(Path {
                chain: vec![leaf.clone().into_owned()],
                valid: (0, u64::MAX),
                key: fields.spki,
            }));
        };
        let memory = self
            .paths
            .as_ref()
            .map(|paths| (paths, Key::of(leaf, others, &name.to_str())));
        if let Some(path) = memory.as_ref().and_then(|(paths, key)| paths.get(key, now)) {
            return Ok(path);
        }
        let fields = Fields::read(leaf).ok_or(CertificateError::BadEncoding)?;
        self.usable(&fields)?;
        let path = Arc::new(verify(
            anchors,
            fields,
            self.algorithms.all,
            leaf,
            others,
            name,
            now,
        )?);
        if let Some((paths, key)) = memory {
            paths.put(key, path.clone(), now);
        }
        Ok(path)
    }

    /// Refuses in words a key whose signature no algorithm would accept.
    fn usable(&self, fields: &Fields) -> Result<(), Error> {
        let known = self
            .algorithms
            .all
            .iter()
            .any(|algorithm| algorithm.public_key_alg_id().as_ref() == fields.key_algorithm);
        if !known {
            return Err(Objection::KeyAlgorithm.into());
        }
        match fields.rsa_bits {
            Some(bits) if !RSA_BITS.contains(&bits) => Err(Objection::RsaBits(bits).into()),
            _ => Ok(()),
        }
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
        if algorithms.iter().any(|algorithm| {
            key.verify_signature(*algorithm, message, dss.signature())
                .is_ok()
        }) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        Err(CertificateError::BadSignature.into())
    }
}

/// Builds and verifies a path (RFC 5280 section 6), and checks the name (RFC 6125).
fn verify(
    anchors: &Anchors,
    fields: Fields,
    algorithms: &[&dyn rustls::pki_types::SignatureVerificationAlgorithm],
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<Path, Error> {
    let certificate = EndEntityCert::try_from(leaf).map_err(problem)?;
    let intermediates: Vec<CertificateDer<'_>> = others
        .iter()
        .chain(&anchors.helpers)
        .map(|found| CertificateDer::from(found.as_ref()))
        .collect();
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
    certificate
        .verify_is_valid_for_subject_name(name)
        .map_err(problem)?;
    if !fields.may_authenticate {
        return Err(Objection::LeafUsage.into());
    }
    let (chain, valid) = anchors
        .certificates(&path, leaf)
        .ok_or(CertificateError::BadEncoding)?;
    Ok(Path {
        chain,
        valid,
        key: fields.spki,
    })
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

/// The key of a leaf: as this thread has just found it, or read now.
fn key_of(leaf: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, Error> {
    let found = SLOT.with_borrow(|slot| {
        let path = slot.as_ref()?.path.as_ref()?;
        (path.chain.first() == Some(leaf)).then(|| path.key.clone())
    });
    if let Some(key) = found {
        return Ok(key);
    }
    let fields = Fields::read(leaf).ok_or(CertificateError::BadEncoding)?;
    Ok(fields.spki)
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
        let served = std::iter::once(end_entity)
            .chain(intermediates)
            .map(|item| item.clone().into_owned());
        let (path, result) = match found {
            Ok(path) => (Some(path), Ok(ServerCertVerified::assertion())),
            Err(error) => (None, Err(error)),
        };
        SLOT.set(Some(Finding {
            served: served.collect(),
            path,
        }));
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use rcgen::{
        BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
        SigningKey,
    };
    use rustls::crypto::aws_lc_rs::default_provider;

    const HOUR: u64 = 3600;

    struct World {
        anchors: Vec<Vec<u8>>,
        leaf: CertificateDer<'static>,
        key: KeyPair,
    }

    /// A root that issued `server.test`, both valid from 0 to `end`.
    fn world(end: u64) -> World {
        let mut root = CertificateParams::new(vec![]).unwrap();
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (root.not_before, root.not_after) = (date(0), date(1_000_000));
        let root_key = KeyPair::generate().unwrap();
        let anchor = root.self_signed(&root_key).unwrap().der().to_vec();
        let mut leaf = CertificateParams::new(vec!["server.test".to_owned()]).unwrap();
        (leaf.not_before, leaf.not_after) = (date(0), date(end));
        let key = KeyPair::generate().unwrap();
        let leaf = leaf
            .signed_by(&key, &Issuer::new(root, root_key))
            .unwrap()
            .der()
            .clone();
        World {
            anchors: vec![anchor],
            leaf,
            key,
        }
    }

    fn date(seconds: u64) -> time::OffsetDateTime {
        time::OffsetDateTime::from_unix_timestamp(seconds as i64).unwrap()
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    fn verifier(anchors: &[Vec<u8>]) -> Verifier {
        let algorithms = default_provider().signature_verification_algorithms;
        Verifier::new(
            Trust::Pkix(Anchors::new(anchors.to_vec()).unwrap()),
            algorithms,
            true,
        )
    }

    fn found(
        verifier: &Verifier,
        leaf: &CertificateDer<'_>,
        name: &str,
        now: u64,
    ) -> Result<usize, Error> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let (result, finding) =
            observed(|| verifier.verify_server_cert(leaf, &[], &name, &[], at(now)));
        let finding = finding.unwrap();
        result.map(|_| finding.path.unwrap().chain.len())
    }

    #[test]
    fn a_remembered_path_is_found_again_for_the_same_name_and_certificates_alone() {
        let world = world(10 * HOUR);
        let verifier = verifier(&world.anchors);
        assert_eq!(found(&verifier, &world.leaf, "server.test", HOUR), Ok(2));
        assert_eq!(verifier.remembered(), 1);
        assert_eq!(
            found(&verifier, &world.leaf, "server.test", HOUR + 1),
            Ok(2)
        );
        assert_eq!(verifier.remembered(), 1);
        assert!(found(&verifier, &world.leaf, "other.test", HOUR).is_err());
        let mut changed = world.leaf.to_vec();
        *changed.last_mut().unwrap() ^= 1;
        assert!(found(&verifier, &changed.into(), "server.test", HOUR).is_err());
    }

    #[test]
    fn other_anchors_remember_nothing_of_these() {
        let world = world(10 * HOUR);
        let mine = verifier(&world.anchors);
        found(&mine, &world.leaf, "server.test", HOUR).unwrap();
        let other = verifier(&self::world(HOUR).anchors);
        assert!(found(&other, &world.leaf, "server.test", HOUR).is_err());
    }

    #[test]
    fn a_certificate_that_expired_meanwhile_is_refused_though_its_path_was_remembered() {
        let world = world(HOUR);
        let verifier = verifier(&world.anchors);
        found(&verifier, &world.leaf, "server.test", HOUR - 1).unwrap();
        found(&verifier, &world.leaf, "server.test", HOUR).unwrap();
        assert_eq!(
            found(&verifier, &world.leaf, "server.test", HOUR + 1),
            Err(CertificateError::Expired.into())
        );
    }

    #[test]
    fn a_refused_path_is_not_remembered() {
        let world = world(HOUR);
        let verifier = verifier(&world.anchors);
        assert!(found(&verifier, &world.leaf, "server.test", 2 * HOUR).is_err());
        assert_eq!(verifier.remembered(), 0);
    }

    fn signed(key: &KeyPair, message: &[u8]) -> DigitallySignedStruct {
        let signature = key.sign(message).unwrap();
        let mut encoded = vec![0x04, 0x03]; // ecdsa_secp256r1_sha256
        encoded.extend((signature.len() as u16).to_be_bytes());
        encoded.extend(signature);
        rustls::internal::msgs::codec::Codec::read_bytes(&encoded).unwrap()
    }

    #[test]
    fn the_signature_over_the_handshake_is_checked_under_each_trust_each_time() {
        let world = world(10 * HOUR);
        let algorithms = default_provider().signature_verification_algorithms;
        let stranger = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let leaf_pin = Verifier::new(Trust::LeafPin, algorithms, true);
        for verifier in [&verifier(&world.anchors), &leaf_pin] {
            for _ in 0..2 {
                found(verifier, &world.leaf, "server.test", HOUR).unwrap();
                let good = signed(&world.key, b"transcript");
                let forged = signed(&stranger, b"transcript");
                assert!(
                    verifier
                        .verify_tls13_signature(b"transcript", &world.leaf, &good)
                        .is_ok()
                );
                assert!(
                    verifier
                        .verify_tls12_signature(b"transcript", &world.leaf, &good)
                        .is_ok()
                );
                assert!(
                    verifier
                        .verify_tls13_signature(b"another", &world.leaf, &good)
                        .is_err()
                );
                assert!(
                    verifier
                        .verify_tls13_signature(b"transcript", &world.leaf, &forged)
                        .is_err()
                );
                assert!(
                    verifier
                        .verify_tls12_signature(b"transcript", &world.leaf, &forged)
                        .is_err()
                );
            }
        }
    }

    #[test]
    fn a_signature_scheme_that_was_not_offered_is_refused_under_tls_1_2() {
        let world = world(10 * HOUR);
        let verifier = verifier(&world.anchors);
        let offered = verifier.supported_verify_schemes();
        for scheme in [
            SignatureScheme::ECDSA_SHA1_Legacy,
            SignatureScheme::RSA_PKCS1_SHA1,
        ] {
            assert!(!offered.contains(&scheme));
            let mut encoded = u16::from(scheme).to_be_bytes().to_vec();
            let signature = world.key.sign(b"transcript").unwrap();
            encoded.extend((signature.len() as u16).to_be_bytes());
            encoded.extend(signature);
            let dss = rustls::internal::msgs::codec::Codec::read_bytes(&encoded).unwrap();
            let result = verifier.verify_tls12_signature(b"transcript", &world.leaf, &dss);
            let expected = PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme;
            assert_eq!(result.err(), Some(expected.into()));
        }
    }

    #[test]
    fn a_finding_is_gone_when_its_step_is_over_even_by_a_panic() {
        let world = world(10 * HOUR);
        let verifier = verifier(&world.anchors);
        let name = ServerName::try_from("server.test").unwrap();
        let verify = || verifier.verify_server_cert(&world.leaf, &[], &name, &[], at(HOUR));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            observed(|| {
                verify().unwrap();
                panic!("on purpose");
            })
        }));
        assert!(panicked.is_err());
        assert!(SLOT.take().is_none());
        verify().unwrap(); // outside of every step
        assert!(observed(|| ()).1.is_none());
        assert!(observed(verify).1.is_some());
        assert!(SLOT.take().is_none());
    }

    #[test]
    fn one_verifier_keeps_the_findings_of_threads_apart() {
        let (one, two) = (world(10 * HOUR), world(10 * HOUR));
        let anchors = [one.anchors.clone(), two.anchors.clone()].concat();
        let verifier = verifier(&anchors);
        let name = ServerName::try_from("server.test").unwrap();
        std::thread::scope(|scope| {
            for leaf in [&one.leaf, &two.leaf, &one.leaf, &two.leaf] {
                let (verifier, name) = (&verifier, &name);
                scope.spawn(move || {
                    for _ in 0..200 {
                        let (result, finding) = observed(|| {
                            verifier.verify_server_cert(leaf, &[], name, &[], at(HOUR))
                        });
                        result.unwrap();
                        let path = finding.unwrap().path.unwrap();
                        assert_eq!(path.chain.first(), Some(leaf));
                    }
                });
            }
        });
    }
}
