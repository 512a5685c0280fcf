//! Who signed a response, and whether they may (RFC 6960 §4.2.2.2).
//!
//! The signer is the certificate's issuer itself, or a delegate that the issuer's key signed
//! directly and marked with id-kp-OCSPSigning. There is no third way: no locally trusted
//! responders, no delegates of ancestors, no chains. Certificates in the response that are not the
//! responder it names are not looked at. Revocation of delegates is not checked; a delegate
//! without id-pkix-ocsp-nocheck is accepted and noted (§4.2.2.2.1).

use aws_lc_rs::digest;

use super::rejection::Rejection;
use super::response::{BasicResponse, ResponderId};
use crate::text::shown_hexadecimal;
use crate::time::Timestamp;
use crate::x509::Certificate;
use crate::x509::certificate::display_name;
use crate::x509::signature::{self, Acceptance, Strength};

/// Who signed a response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signer {
    /// The issuer of the certificate.
    Issuer,
    /// A delegate of that issuer.
    Delegate(Certificate),
}

/// The signer that was found, and the weakest signature on the way from the issuer's key.
pub(super) struct Authorisation {
    pub(super) signer: Signer,
    pub(super) strength: Strength,
}

/// Finds the signer of `response` and checks both its signature and its right to sign.
pub(super) fn authorise(
    response: &BasicResponse<'_>,
    issuer: &Certificate,
    now: Timestamp,
    acceptance: Acceptance,
) -> Result<Authorisation, Rejection> {
    let mut rejection = None;
    if is_named(response.responder_id, issuer) {
        match check_signature(response, issuer, acceptance) {
            Ok(strength) => {
                return Ok(Authorisation {
                    signer: Signer::Issuer,
                    strength,
                });
            }
            Err(error) => rejection = Some(error),
        }
    }
    // Certificates that cannot be read are junk, as are those of others than the responder.
    let delegates = response
        .certificates
        .iter()
        .filter_map(|der| Certificate::from_der(der).ok())
        .filter(|certificate| is_named(response.responder_id, certificate));
    for delegate in delegates {
        match check_delegate(response, &delegate, issuer, now, acceptance) {
            Ok(strength) => {
                return Ok(Authorisation {
                    signer: Signer::Delegate(delegate),
                    strength,
                });
            }
            // The first reason stays: it is about the issuer, or the certificate sent first.
            Err(error) => rejection = rejection.or(Some(error)),
        }
    }
    Err(rejection.unwrap_or_else(|| Rejection::ResponderIdMismatch {
        responder: describe(response.responder_id),
    }))
}

fn is_named(responder_id: ResponderId<'_>, certificate: &Certificate) -> bool {
    match responder_id {
        ResponderId::ByName(name) => name == certificate.subject_name(),
        ResponderId::ByKey(key_hash) => {
            digest::digest(
                &digest::SHA1_FOR_LEGACY_USE_ONLY,
                certificate.public_key_bits(),
            )
            .as_ref()
                == key_hash
        }
    }
}

fn check_signature(
    response: &BasicResponse<'_>,
    signer: &Certificate,
    acceptance: Acceptance,
) -> Result<Strength, Rejection> {
    signature::verify(
        signer.public_key_info(),
        response.signature_algorithm,
        response.tbs_response_data,
        response.signature,
        acceptance,
    )
    .map_err(|error| match error {
        signature::Error::Invalid => Rejection::BadSignature {
            signer: signer.label(),
        },
        signature::Error::Weak { algorithm } => Rejection::WeakSignature { algorithm },
        error @ (signature::Error::Unsupported { .. } | signature::Error::SaltLength { .. }) => {
            Rejection::UnsupportedSignature { error }
        }
    })
}

fn check_delegate(
    response: &BasicResponse<'_>,
    certificate: &Certificate,
    issuer: &Certificate,
    now: Timestamp,
    acceptance: Acceptance,
) -> Result<Strength, Rejection> {
    let delegate = || certificate.label();
    if certificate.issuer_name() != issuer.subject_name() {
        return Err(Rejection::DelegateWrongIssuer {
            delegate: delegate(),
            found: display_name(certificate.issuer_name()),
            expected: issuer.subject_display().to_owned(),
        });
    }
    let certified =
        certificate
            .verify_signature(issuer, acceptance)
            .map_err(|error| match error {
                signature::Error::Weak { algorithm } => Rejection::WeakSignature { algorithm },
                error => Rejection::DelegateBadSignature {
                    delegate: delegate(),
                    error,
                },
            })?;
    if !certificate.has_ocsp_signing() {
        return Err(Rejection::DelegateNoOcspSigning {
            delegate: delegate(),
        });
    }
    if certificate.is_certificate_authority() {
        return Err(Rejection::DelegateIsAuthority {
            delegate: delegate(),
        });
    }
    if certificate.allows_digital_signature() == Some(false) {
        return Err(Rejection::DelegateNoDigitalSignature {
            delegate: delegate(),
        });
    }
    if let Some(identifier) = certificate.unknown_critical_extension() {
        return Err(Rejection::DelegateUnknownCriticalExtension {
            delegate: delegate(),
            identifier: identifier.to_owned(),
        });
    }
    if now < certificate.not_before() {
        return Err(Rejection::DelegateNotYetValid {
            delegate: delegate(),
            not_before: certificate.not_before(),
            now,
        });
    }
    if now > certificate.not_after() {
        return Err(Rejection::DelegateExpired {
            delegate: delegate(),
            not_after: certificate.not_after(),
            now,
        });
    }
    let signed = check_signature(response, certificate, acceptance)?;
    Ok(signed.max(certified))
}

fn describe(responder_id: ResponderId<'_>) -> String {
    match responder_id {
        ResponderId::ByName(name) => format!("'{}'", display_name(name)),
        ResponderId::ByKey(key_hash) => format!("with key hash {}", shown_hexadecimal(key_hash)),
    }
}
