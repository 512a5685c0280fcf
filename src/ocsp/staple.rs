//! A staple: a response that was verified and that HAProxy can present.
//!
//! Only `verify` makes one; the holder of a [`Staple`] need not check anything again except the
//! clock. Also decides whether one response may follow another for the same certificate, which
//! keeps an attacker from replaying an older truth.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::cert_id::CertId;
use super::response::CertificateStatus;
use crate::time::Timestamp;

/// A verified response for one certificate, current when it was verified. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Staple {
    pub(super) der: Arc<[u8]>,
    pub(super) cert_id: CertId,
    pub(super) matches_by_cert_id: bool,
    pub(super) certificate_fingerprint: [u8; 20],
    pub(super) produced_at: Timestamp,
    pub(super) next_update: Timestamp,
    pub(super) standing: Standing,
}

impl Staple {
    /// The whole OCSPResponse as received: what is written and pushed.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The CertID HAProxy looks it up by.
    pub fn cert_id(&self) -> &CertId {
        &self.cert_id
    }

    /// Whether `set ssl ocsp-response` can find the certificate by the response alone. False where
    /// the response's CertID lacks the NULL parameters: then only the `.ocsp` file and
    /// `set ssl cert <name>.ocsp` work, which compare less exactly (`OCSP_id_cmp`).
    pub fn matches_by_cert_id(&self) -> bool {
        self.matches_by_cert_id
    }

    /// SHA-1 of the certificate it is for, as HAProxy prints it in `show ssl cert`.
    pub fn certificate_fingerprint(&self) -> [u8; 20] {
        self.certificate_fingerprint
    }

    /// Good, or revoked where the policy allows to staple that; never unknown.
    pub fn status(&self) -> CertificateStatus {
        self.standing.status
    }

    /// When the status was known to be correct.
    pub fn this_update(&self) -> Timestamp {
        self.standing.this_update
    }

    /// When the responder will have newer information at the latest.
    pub fn next_update(&self) -> Timestamp {
        self.next_update
    }

    /// When the response was signed.
    pub fn produced_at(&self) -> Timestamp {
        self.produced_at
    }

    /// The effective end: the first of nextUpdate, the delegate's notAfter, the certificate's
    /// notAfter.
    pub fn expires(&self) -> Timestamp {
        self.standing.expires
    }

    /// What [`check_succession`] compares.
    pub fn standing(&self) -> Standing {
        self.standing
    }
}

/// What must be remembered of an accepted response to judge the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Standing {
    /// What it said.
    pub status: CertificateStatus,
    /// When that was known to be correct.
    pub this_update: Timestamp,
    /// Its effective end.
    pub expires: Timestamp,
}

/// Why an accepted response may not take the place of the one held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SuccessionError {
    /// It states an older truth, and the newer one has not expired.
    #[error("its thisUpdate {offered} is older than the {held} of the response held")]
    OlderThisUpdate {
        /// thisUpdate of the response held.
        held: Timestamp,
        /// thisUpdate of the one offered.
        offered: Timestamp,
    },
    /// Revocation is final unless it was a certificateHold (RFC 5280 §5.3.1).
    #[error(
        "it says good, but the certificate was revoked at {revoked_at} for good; an operator has to decide"
    )]
    GoodAfterRevoked {
        /// The revocation time of the response held.
        revoked_at: Timestamp,
    },
}

impl SuccessionError {
    /// The variant's name in snake_case: the log reason.
    pub fn kind(&self) -> &'static str {
        match self {
            SuccessionError::OlderThisUpdate { .. } => "older_this_update",
            SuccessionError::GoodAfterRevoked { .. } => "good_after_revoked",
        }
    }
}

/// Checks that the response `offered` may take the place of the one `held` for the same
/// certificate: never an older thisUpdate unless what is held was good and has expired, and never
/// good after a revocation other than certificateHold, expired or not. Such a revocation is for
/// ever (RFC 5280 §5.3.1), so that it counts however old the response is that tells of it.
///
/// # Errors
/// [`SuccessionError`].
pub fn check_succession(
    held: &Standing,
    offered: &Standing,
    now: Timestamp,
) -> Result<(), SuccessionError> {
    if let (Some(revoked_at), CertificateStatus::Good) =
        (held.status.revoked_for_ever(), offered.status)
    {
        return Err(SuccessionError::GoodAfterRevoked { revoked_at });
    }
    let was_good = held.status == CertificateStatus::Good;
    if was_good && offered.status.revoked_for_ever().is_some() {
        return Ok(());
    }
    let still_counts = !was_good || now < held.expires;
    if still_counts && offered.this_update < held.this_update {
        return Err(SuccessionError::OlderThisUpdate {
            held: held.this_update,
            offered: offered.this_update,
        });
    }
    Ok(())
}
