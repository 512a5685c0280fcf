//! An authority that is answered for: its certificate, who signs, and where statuses come from.
//!
//! Pure. Refuses what no client would accept (a key that does not belong to the certificate, a
//! delegate of another authority) and warns about what some clients refuse (RFC 6960 §4.2.2.2).
//! Certificates are told apart by the issuer hashes of their CertIDs, in every hash algorithm.

use std::fmt;

use aws_lc_rs::digest;

use super::key::{SigningFailed, SigningKey};
use super::status::StatusSource;
use crate::ocsp::cert_id::ReceivedCertId;
use crate::time::Timestamp;
use crate::x509::Certificate;
use crate::x509::signature::{self, Acceptance};

use super::answer::ResponseContent;

/// The hash algorithms of CertIDs, the content octets of their object identifiers first.
static HASHES: [(&[u8], &digest::Algorithm); 5] = [
    (b"\x2b\x0e\x03\x02\x1a", &digest::SHA1_FOR_LEGACY_USE_ONLY),
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x01", &digest::SHA256),
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x02", &digest::SHA384),
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x03", &digest::SHA512),
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x04", &digest::SHA224),
];

/// Why a signer cannot answer for an authority.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The key is another one's.
    #[error("the key does not belong to the certificate '{signer}'")]
    KeyMismatch {
        /// The subject of the signer's certificate.
        signer: String,
    },
    /// The delegate was issued by another CA (RFC 6960 §4.2.2.2).
    #[error(
        "'{signer}' was issued by another CA than '{issuer}', so no client accepts its answers (RFC 6960 section 4.2.2.2)"
    )]
    OtherIssuer {
        /// The subject of the delegate.
        signer: String,
        /// The subject of the authority.
        issuer: String,
    },
    /// The authority's key did not sign the delegate's certificate (RFC 6960 §4.2.2.2).
    #[error("the signature of '{signer}' is not by '{issuer}': {error}")]
    Signature {
        /// The subject of the delegate.
        signer: String,
        /// The subject of the authority.
        issuer: String,
        /// What the check says.
        error: signature::Error,
    },
}

/// What some clients have against a signer. Clients decide, so it is a warning.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Warning {
    /// No id-kp-OCSPSigning: nearly all clients refuse (RFC 6960 §4.2.2.2).
    #[error(
        "the signer '{0}' lacks the extended key usage OCSPSigning: clients will refuse its answers (RFC 6960 section 4.2.2.2)"
    )]
    NoOcspSigning(String),
    /// No id-pkix-ocsp-nocheck: some clients want to check the signer, too (RFC 6960 §4.2.2.2.1).
    #[error(
        "the signer '{0}' lacks id-pkix-ocsp-nocheck: some clients will ask for its own status (RFC 6960 section 4.2.2.2.1)"
    )]
    NoNocheck(String),
    /// keyUsage without digitalSignature (RFC 5280 §4.2.1.3).
    #[error(
        "the signer '{0}' has a keyUsage without digitalSignature: clients may refuse its answers (RFC 5280 section 4.2.1.3)"
    )]
    NoDigitalSignature(String),
    /// It is outside its validity.
    #[error("the signer '{signer}' is valid from {not_before} to {not_after} only, it is {now}")]
    OutsideValidity {
        /// The signer's subject.
        signer: String,
        /// Start of its validity.
        not_before: Timestamp,
        /// End of its validity.
        not_after: Timestamp,
        /// The time of the warning.
        now: Timestamp,
    },
}

/// An authority with its signer and its source.
pub struct Authority {
    issuer: Certificate,
    signer: Certificate,
    key: SigningKey,
    source: Box<dyn StatusSource>,
    issuer_hashes: Vec<IssuerHashes>,
    key_hash: [u8; 20],
}

struct IssuerHashes {
    algorithm: &'static [u8],
    name: digest::Digest,
    key: digest::Digest,
}

impl fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (issuer, signer) = (&self.issuer, &self.signer);
        write!(formatter, "Authority({issuer:?}, signed by {signer:?})")
    }
}

impl Authority {
    /// Answers for the certificates of `issuer`, signed by `signer` with `key`. The signer is the
    /// issuer itself, or a delegate that the issuer issued.
    ///
    /// # Errors
    /// [`AuthorityError`] where no client could accept the answers.
    pub fn new(
        issuer: Certificate,
        signer: Certificate,
        key: SigningKey,
        source: impl StatusSource,
    ) -> Result<Self, AuthorityError> {
        let names = || {
            let name = |certificate: &Certificate| certificate.subject_display().to_owned();
            (name(&signer), name(&issuer))
        };
        if key.public_key_bits() != signer.public_key_bits() {
            return Err(AuthorityError::KeyMismatch { signer: names().0 });
        }
        if !signs_itself(&issuer, &signer) {
            let (signer_name, issuer_name) = names();
            if signer.issuer_name() != issuer.subject_name() {
                return Err(AuthorityError::OtherIssuer {
                    signer: signer_name,
                    issuer: issuer_name,
                });
            }
            // How strong the certificate's signature has to be is for the clients to say.
            signer
                .verify_signature(&issuer, Acceptance::Legacy)
                .map_err(|error| AuthorityError::Signature {
                    signer: signer_name,
                    issuer: issuer_name,
                    error,
                })?;
        }
        let issuer_hashes = HASHES
            .iter()
            .map(|(identifier, algorithm)| IssuerHashes {
                algorithm: identifier,
                name: digest::digest(algorithm, issuer.subject_name()),
                key: digest::digest(algorithm, issuer.public_key_bits()),
            })
            .collect();
        let mut key_hash = [0; 20];
        let sha1 = &digest::SHA1_FOR_LEGACY_USE_ONLY;
        key_hash.copy_from_slice(digest::digest(sha1, signer.public_key_bits()).as_ref());
        Ok(Authority {
            issuer,
            signer,
            key,
            source: Box::new(source),
            issuer_hashes,
            key_hash,
        })
    }

    /// What clients may have against the signer at `now`.
    pub fn warnings(&self, now: Timestamp) -> Vec<Warning> {
        let signer = &self.signer;
        let name = || signer.subject_display().to_owned();
        let mut warnings = Vec::new();
        if !signs_itself(&self.issuer, signer) {
            if !signer.has_ocsp_signing() {
                warnings.push(Warning::NoOcspSigning(name()));
            }
            if !signer.has_ocsp_nocheck() {
                warnings.push(Warning::NoNocheck(name()));
            }
        }
        if signer.allows_digital_signature() == Some(false) {
            warnings.push(Warning::NoDigitalSignature(name()));
        }
        if now < signer.not_before() || now > signer.not_after() {
            warnings.push(Warning::OutsideValidity {
                signer: name(),
                not_before: signer.not_before(),
                not_after: signer.not_after(),
                now,
            });
        }
        warnings
    }

    /// The authority's certificate.
    pub fn issuer(&self) -> &Certificate {
        &self.issuer
    }

    /// The certificate that answers are signed with.
    pub fn signer(&self) -> &Certificate {
        &self.signer
    }

    /// SHA-1 of the signer's public key bits, its name in responses.
    pub fn key_hash(&self) -> [u8; 20] {
        self.key_hash
    }

    /// Where statuses come from.
    pub fn source(&self) -> &dyn StatusSource {
        &*self.source
    }

    /// Whether `cert_id` is one of this authority's certificates.
    pub fn issued(&self, cert_id: &ReceivedCertId<'_>) -> bool {
        cert_id.hash_algorithm.has_no_parameters()
            && self.issuer_hashes.iter().any(|hashes| {
                hashes.algorithm == cert_id.hash_algorithm.algorithm
                    && hashes.name.as_ref() == cert_id.issuer_name_hash
                    && hashes.key.as_ref() == cert_id.issuer_key_hash
            })
    }

    /// Signs with the signer's key. A delegate's certificate is sent along, because clients know
    /// the issuer's only (RFC 6960 §4.2.2.2).
    ///
    /// # Errors
    /// [`SigningFailed`].
    pub fn sign(&self, data: &ResponseContent) -> Result<Vec<u8>, SigningFailed> {
        self.sign_with(data, &self.key)
    }

    /// The same response with the signature of any key.
    ///
    /// # Errors
    /// [`SigningFailed`].
    pub fn sign_with(
        &self,
        data: &ResponseContent,
        key: &SigningKey,
    ) -> Result<Vec<u8>, SigningFailed> {
        let certificates = if signs_itself(&self.issuer, &self.signer) {
            &[]
        } else {
            self.signer.der()
        };
        data.sign(key, certificates)
    }
}

/// Whether the issuer signs with its own key, also under another certificate.
fn signs_itself(issuer: &Certificate, signer: &Certificate) -> bool {
    issuer.subject_name() == signer.subject_name()
        && issuer.public_key_bits() == signer.public_key_bits()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ocsp::CertificateStatus;
    use crate::pki::{
        CertificateBuilder, DAY, Key, OCSP_SIGNING, World, extended_key_usage, key_usage, nocheck,
    };
    use crate::responder::{Inquiry, SourceError};

    fn good(_: Inquiry<'_>) -> Result<CertificateStatus, SourceError> {
        Ok(CertificateStatus::Good)
    }

    /// A certificate for a key that signs answers, of "Issuer".
    fn certified(
        world: &World,
        key: &SigningKey,
        change: impl Fn(CertificateBuilder) -> CertificateBuilder,
    ) -> Certificate {
        let mut public = Key::p256();
        let bits = public.public_key_info.len() - key.public_key_bits().len();
        public.public_key_info.truncate(bits);
        public.public_key_info.extend(key.public_key_bits());
        let builder = CertificateBuilder::new("Issuer", "Responder", &[4]);
        change(builder).sign(&public, &world.issuer_key)
    }

    #[test]
    fn a_proper_delegate_gives_no_warning_and_an_improper_one_each() {
        let world = World::new();
        let key = SigningKey::generate().unwrap();
        let proper = certified(&world, &key, |builder| {
            builder
                .with(key_usage(0x80))
                .with(extended_key_usage(&[OCSP_SIGNING]))
                .with(nocheck())
        });
        let authority = Authority::new(world.issuer.clone(), proper, key, good).unwrap();
        assert_eq!(authority.warnings(world.now), []);
        let late = world.now.saturating_add(100 * DAY);
        assert!(matches!(
            authority.warnings(late)[..],
            [Warning::OutsideValidity { .. }]
        ));

        let key = SigningKey::generate().unwrap();
        let bare = certified(&world, &key, |builder| builder.with(key_usage(0x04)));
        let authority = Authority::new(world.issuer.clone(), bare, key, good).unwrap();
        assert!(matches!(
            authority.warnings(world.now)[..],
            [
                Warning::NoOcspSigning(_),
                Warning::NoNocheck(_),
                Warning::NoDigitalSignature(_)
            ]
        ));
    }

    #[test]
    fn signers_that_no_client_accepts_are_refused() {
        let world = World::new();
        let key = || SigningKey::generate().unwrap();
        let foreign = Authority::new(world.issuer.clone(), world.delegate.clone(), key(), good);
        assert!(matches!(foreign, Err(AuthorityError::KeyMismatch { .. })));

        let own = key();
        let delegate = certified(&world, &own, |builder| builder);
        let other = Authority::new(world.root.clone(), delegate, own, good);
        assert!(matches!(other, Err(AuthorityError::OtherIssuer { .. })));
    }
}
