//! The choice of a certificate's issuer among candidates.
//!
//! Name, key identifiers and signature decide, never the position: chains come in any order, with
//! cross-signed and duplicate certificates. It builds no path and trusts nothing by itself: the
//! candidates come from the operator's own files. Governed by RFC 5280 §4.1.2.4 and §4.2.1.1.

use super::Certificate;
use super::signature::{self, Acceptance};

/// The candidate that issued `certificate`: it has the issuer's name, may sign certificates, does
/// not contradict the authority key identifier, and its key made the signature. That is all that
/// HAProxy asks of an issuer (OpenSSL's `X509_check_issued`), and the signature besides. Legacy
/// signatures count here: this identifies a certificate that the operator chose to serve. Of
/// several (cross-certificates of one key) the one with the latest end.
pub fn find_issuer<'a>(
    certificate: &Certificate,
    candidates: impl IntoIterator<Item = &'a Certificate>,
) -> Option<&'a Certificate> {
    candidates
        .into_iter()
        .filter(|candidate| {
            may_have_issued(candidate, certificate)
                && certificate
                    .verify_signature(candidate, Acceptance::Legacy)
                    .is_ok()
        })
        .max_by_key(|candidate| candidate.not_after())
}

/// Why [`find_issuer`] finds none although a candidate fits: the certificate is signed with what
/// cannot be checked here. `None` where no candidate fits, or where the signature is another's.
pub fn unsupported_issuer<'a>(
    certificate: &Certificate,
    candidates: impl IntoIterator<Item = &'a Certificate>,
) -> Option<signature::Error> {
    candidates
        .into_iter()
        .filter(|candidate| may_have_issued(candidate, certificate))
        .find_map(|candidate| {
            let checked = certificate.verify_signature(candidate, Acceptance::Legacy);
            checked
                .err()
                .filter(|error| *error != signature::Error::Invalid)
        })
}

fn may_have_issued(candidate: &Certificate, certificate: &Certificate) -> bool {
    let agree = |wanted: Option<&[u8]>, found: Option<&[u8]>| match (wanted, found) {
        (Some(wanted), Some(found)) => wanted == found,
        _ => true,
    };
    candidate.subject_name() == certificate.issuer_name()
        && candidate.allows_certificate_signing() != Some(false)
        && agree(
            certificate.authority_key_identifier(),
            candidate.subject_key_identifier(),
        )
        && agree(certificate.authority_serial(), Some(candidate.serial()))
        && agree(certificate.authority_name(), Some(candidate.issuer_name()))
}
