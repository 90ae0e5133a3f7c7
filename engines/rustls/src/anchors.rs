//! The trust anchors of one configuration, and what webpki does not check of them.
//!
//! webpki ends a path at any certificate that it is given as an anchor. OpenSSL, as pinio uses it,
//! ends a path at an intermediate only where no anchor is self-issued, for a bundle of root and
//! intermediate would otherwise cut the chain short and pins on the root would stop matching. So
//! that both engines give the same path, the intermediates of such a bundle only help to build it.

use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::VerifiedPath;

use crate::certificate::Fields;

/// One certificate that a path may end in.
#[derive(Debug)]
struct Anchor {
    der: CertificateDer<'static>,
    fields: Fields,
}

/// Where paths may end, and what helps to build them.
#[derive(Debug, Default)]
pub struct Anchors {
    /// In the order of `ends`, for webpki.
    pub trusted: Vec<TrustAnchor<'static>>,
    ends: Vec<Anchor>,
    /// Intermediates that were given beside roots.
    pub helpers: Vec<CertificateDer<'static>>,
}

impl Anchors {
    /// From DER certificates. Says which one cannot be read.
    pub fn new(certificates: Vec<Vec<u8>>) -> Result<Self, String> {
        let mut read = Vec::with_capacity(certificates.len());
        for (number, der) in certificates.into_iter().enumerate() {
            let fields = Fields::read(&der).ok_or_else(|| {
                format!("anchor {number} is not strict DER (RFC 5280 section 4.1)")
            })?;
            read.push(Anchor {
                der: der.into(),
                fields,
            });
        }
        let rooted = read.iter().any(|anchor| anchor.fields.self_issued);
        let (ends, helpers): (Vec<_>, Vec<_>) = read
            .into_iter()
            .partition(|anchor| !rooted || anchor.fields.self_issued);
        let mut anchors = Self {
            helpers: helpers.into_iter().map(|helper| helper.der).collect(),
            ..Self::default()
        };
        for anchor in ends {
            // One that webpki cannot read can end no path: the others still may.
            if let Ok(trusted) = webpki::anchor_from_trusted_cert(&anchor.der) {
                anchors.trusted.push(trusted.to_owned());
                anchors.ends.push(anchor);
            }
        }
        Ok(anchors)
    }

    /// Checks of a path what webpki does not: the anchor's dates, constraints, usages and critical
    /// extensions, and that every intermediate may sign certificates by its key usage.
    ///
    /// A leaf that is itself the anchor signs nothing but itself, and needs no basic constraints.
    pub fn accepts(
        &self,
        path: &VerifiedPath<'_>,
        leaf: &[u8],
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let anchor = self.end(path).ok_or(webpki::Error::UnknownIssuer)?;
        if now.as_secs() < anchor.fields.valid.0 {
            return Err(webpki::Error::CertNotValidYet {
                time: now,
                not_before: time(anchor.fields.valid.0),
            });
        }
        if !anchor.fields.is_valid_at(now) {
            return Err(webpki::Error::CertExpired {
                time: now,
                not_after: time(anchor.fields.valid.1),
            });
        }
        if anchor.der.as_ref() == leaf {
            return Ok(());
        }
        if !anchor.fields.may_sign {
            return Err(webpki::Error::EndEntityUsedAsCa);
        }
        if !anchor.fields.understood {
            return Err(webpki::Error::UnsupportedCriticalExtension);
        }
        if !anchor.fields.for_servers {
            return Err(webpki::Error::RequiredEkuNotFoundContext(
                webpki::RequiredEkuNotFoundContext {
                    required: webpki::KeyUsage::server_auth(),
                    present: vec![],
                },
            ));
        }
        for found in path.intermediate_certificates() {
            let fields = Fields::read(&found.der()).ok_or(webpki::Error::BadDer)?;
            if !fields.may_sign {
                return Err(webpki::Error::EndEntityUsedAsCa);
            }
        }
        let between = path
            .intermediate_certificates()
            .filter(|certificate| certificate.subject() != certificate.issuer())
            .count();
        if anchor
            .fields
            .path_len
            .is_some_and(|most| between > usize::from(most))
        {
            return Err(webpki::Error::PathLenConstraintViolated);
        }
        Ok(())
    }

    /// The certificates of a path, leaf first, and the time within which all of them are valid.
    pub fn certificates(
        &self,
        path: &VerifiedPath<'_>,
        leaf: &CertificateDer<'_>,
    ) -> Option<(Vec<CertificateDer<'static>>, (u64, u64))> {
        let anchor = self.end(path)?;
        let mut chain = vec![leaf.clone().into_owned()];
        chain.extend(
            path.intermediate_certificates()
                .map(|found| found.der().into_owned()),
        );
        let mut valid = anchor.fields.valid;
        for certificate in &chain {
            let fields = Fields::read(certificate)?;
            valid = (valid.0.max(fields.valid.0), valid.1.min(fields.valid.1));
        }
        if anchor.der.as_ref() != leaf.as_ref() {
            chain.push(anchor.der.clone());
        }
        Some((chain, valid))
    }

    fn end(&self, path: &VerifiedPath<'_>) -> Option<&Anchor> {
        let found = self
            .trusted
            .iter()
            .position(|anchor| std::ptr::eq(anchor, path.anchor()))?;
        self.ends.get(found)
    }
}

fn time(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}
