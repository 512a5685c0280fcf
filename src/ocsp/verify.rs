//! The judgement: received bytes in, assessment and perhaps a staple out.
//!
//! Two verdicts, kept apart in the types: what the response says about the certificate (an
//! [`Assessment`], or a [`Rejection`] when nothing in it may be believed), and whether HAProxy can
//! staple it (its `stapling`). This is the only place that makes a [`Staple`]. The rules are
//! RFC 6960 §3.2 and §4.2.2, RFC 9919 §4, RFC 9654 §2.1; the certificate's issuer, given by the
//! caller, is the trust anchor, and its own validity is not judged.

use std::time::Duration;

use super::cert_id::{CertId, Mismatch};
use super::extension::{self, EXTENDED_REVOKE, Extension, NONCE, SIGNED_CERTIFICATE_TIMESTAMPS};
use super::rejection::{NotStapleable, Rejection};
use super::request::NONCE_BYTES;
use super::responder::{self, Authorisation, Signer};
use super::response::{self, BasicResponse, CertificateStatus, SingleResponse};
use super::staple::{Standing, Staple};
use crate::text::shown_hexadecimal;
use crate::time::Timestamp;
use crate::x509::certificate::display_name;
use crate::x509::signature::{Acceptance, Strength};
use crate::x509::{Certificate, der};

/// How far thisUpdate and producedAt may lie in the future: clocks differ. HAProxy's own value.
pub const CLOCK_SKEW: Duration = Duration::from_secs(300);

/// How old thisUpdate may be where there is no nextUpdate.
pub const MAX_AGE_WITHOUT_NEXT_UPDATE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Least life of a staple: HAProxy drops it 300 seconds before nextUpdate, the rest is margin.
pub const SHORTEST_LIFE: Duration = Duration::from_secs(600);

/// How long after thisUpdate clients accept a response, even before nextUpdate: Firefox's ten days
/// (mozilla::pkix), to which it adds one for clocks that differ.
pub const CLIENT_MAXIMUM_AGE: Duration = Duration::from_secs(10 * 24 * 3600);

/// Largest staple: base64 of it fits every HAProxy's command line (`tune.bufsize` 16384).
pub const MAX_STAPLE_BYTES: usize = 11 * 1024;

/// Shortest and longest time from thisUpdate to nextUpdate (Baseline Requirements 4.9.9).
const BASELINE_PERIOD: (Duration, Duration) = (
    Duration::from_secs(8 * 3600),
    Duration::from_secs(10 * 24 * 3600),
);

/// What the operator allows beyond the rules.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// Accept SHA-1 signatures and RSA keys of 1024 to 2047 bits, on the response and on the
    /// delegate's certificate: for private CAs.
    pub allow_sha1: bool,
    /// Let a revoked response become a staple.
    pub staple_revoked: bool,
}

/// Whose status is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The certificate.
    pub certificate: &'a Certificate,
    /// Its issuer: the trust anchor of the judgement.
    pub issuer: &'a Certificate,
}

/// What an accepted response says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assessment {
    /// The status of the certificate.
    pub status: CertificateStatus,
    /// The staple, or why there is none.
    pub stapling: Result<Staple, NotStapleable>,
    /// What an operator may want to know although it refuses nothing.
    pub notes: Vec<Note>,
    /// Who signed it.
    pub signer: Signer,
    /// When it was signed.
    pub produced_at: Timestamp,
    /// When the status was known to be correct.
    pub this_update: Timestamp,
    /// When newer information will be available at the latest.
    pub next_update: Option<Timestamp>,
    /// The effective end: the first of nextUpdate (or seven days after thisUpdate), the
    /// delegate's notAfter, the certificate's notAfter.
    pub expires: Timestamp,
}

impl Assessment {
    /// What [`super::check_succession`] compares.
    pub fn standing(&self) -> Standing {
        Standing {
            status: self.status,
            this_update: self.this_update,
            expires: self.expires,
        }
    }
}

/// A peculiarity of an accepted response.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Note {
    /// The delegate's certificate lacks id-pkix-ocsp-nocheck (RFC 6960 §4.2.2.2.1).
    #[error(
        "the delegated responder's certificate lacks id-pkix-ocsp-nocheck; its own revocation was not checked"
    )]
    DelegateWithoutNocheck,
    /// SHA-1 or a short RSA key, accepted because the policy allows it.
    #[error("signed with SHA-1 or an RSA key below 2048 bits, which the policy allows")]
    WeakSignature,
    /// thisUpdate to nextUpdate is shorter than 8 hours or longer than 10 days.
    #[error("valid for less than 8 hours or more than 10 days (Baseline Requirements 4.9.9)")]
    UnusualPeriod,
    /// nextUpdate lies more than [`CLIENT_MAXIMUM_AGE`] after thisUpdate.
    #[error(
        "clients refuse it from {refused_from} on, ten days after thisUpdate, even before nextUpdate; let the CA sign more often"
    )]
    OutlivesClients {
        /// When they begin to.
        refused_from: Timestamp,
    },
    /// Signed before the certificate's validity began.
    #[error("produced before the certificate became valid")]
    ProducedBeforeCertificate,
    /// nextUpdate lies after the certificate's end, or after its delegate's.
    #[error("nextUpdate lies after the end of the certificate or of the delegated responder")]
    OutlivesCertificates,
}

/// Judges `response` for `subject` at the time `now`. `nonce` is the one sent with the request, if
/// any: the response must then carry the same or none (RFC 9654 §2.1).
///
/// # Errors
/// [`Rejection`] where nothing in it may be believed.
pub fn verify(
    response: &[u8],
    subject: Subject<'_>,
    nonce: Option<&[u8; NONCE_BYTES]>,
    now: Timestamp,
    policy: Policy,
) -> Result<Assessment, Rejection> {
    if subject.certificate.issuer_name() != subject.issuer.subject_name() {
        return Err(Rejection::IssuerMismatch {
            given: subject.issuer.subject_display().to_owned(),
            named: display_name(subject.certificate.issuer_name()),
        });
    }
    let basic = response::decode(response)?;
    let entries = matching_entries(&basic, subject)?;
    let acceptance = if policy.allow_sha1 {
        Acceptance::Legacy
    } else {
        Acceptance::Modern
    };
    let authorisation = responder::authorise(&basic, subject.issuer, now, acceptance)?;
    check_extensions(&basic)?;
    check_nonce(&basic.extensions, nonce)?;
    check_times(&basic, &entries, now)?;
    let entry = strictest(&entries).ok_or(Rejection::NoSingleResponse)?;

    let mut expires = entry.next_update.unwrap_or_else(|| {
        entry
            .this_update
            .saturating_add(MAX_AGE_WITHOUT_NEXT_UPDATE)
    });
    if let Signer::Delegate(delegate) = &authorisation.signer {
        expires = expires.min(delegate.not_after());
    }
    expires = expires.min(subject.certificate.not_after());

    let standing = Standing {
        status: entry.status,
        this_update: entry.this_update,
        expires,
    };
    Ok(Assessment {
        status: entry.status,
        stapling: staple(response, &basic, entry, standing, subject, now, policy),
        notes: notes(&basic, entry, &authorisation, expires, subject),
        signer: authorisation.signer,
        produced_at: basic.produced_at,
        this_update: entry.this_update,
        next_update: entry.next_update,
        expires,
    })
}

/// The entries about the subject; at least one.
fn matching_entries<'r, 'a>(
    basic: &'r BasicResponse<'a>,
    subject: Subject<'_>,
) -> Result<Vec<&'r SingleResponse<'a>>, Rejection> {
    let mut entries = Vec::new();
    let mut closest: Option<(Mismatch, &SingleResponse<'_>)> = None;
    for single in &basic.single_responses {
        match single.cert_id.check(subject.certificate, subject.issuer) {
            Ok(()) => entries.push(single),
            Err(mismatch) => {
                if closest.is_none_or(|(other, _)| other == Mismatch::Serial) {
                    closest = Some((mismatch, single));
                }
            }
        }
    }
    match (entries.is_empty(), closest) {
        (false, _) => Ok(entries),
        (true, None) => Err(Rejection::NoSingleResponse),
        (true, Some((mismatch, single))) => Err(Rejection::CertidMismatch {
            mismatch,
            found: shown_hexadecimal(single.cert_id.serial),
            expected: shown_hexadecimal(subject.certificate.serial()),
        }),
    }
}

/// Refuses critical extensions that are not understood, also in entries about others: the signer
/// meant the reader to know them.
fn check_extensions(basic: &BasicResponse<'_>) -> Result<(), Rejection> {
    const OF_RESPONSE: &[&[u8]] = &[NONCE, EXTENDED_REVOKE];
    const OF_ENTRY: &[&[u8]] = &[SIGNED_CERTIFICATE_TIMESTAMPS];
    check_known(&basic.extensions, OF_RESPONSE)?;
    basic
        .single_responses
        .iter()
        .try_for_each(|single| check_known(&single.extensions, OF_ENTRY))
}

fn check_known(extensions: &[Extension<'_>], known: &[&[u8]]) -> Result<(), Rejection> {
    let unknown = extensions
        .iter()
        .find(|extension| extension.critical && !known.contains(&extension.identifier));
    match unknown {
        Some(extension) => Err(Rejection::UnknownCriticalExtension {
            identifier: der::dotted(extension.identifier),
        }),
        None => Ok(()),
    }
}

fn check_nonce(
    extensions: &[Extension<'_>],
    sent: Option<&[u8; NONCE_BYTES]>,
) -> Result<(), Rejection> {
    let (Some(sent), Some(received)) = (sent, extension::find(extensions, NONCE)) else {
        return Ok(());
    };
    match der::only(received, der::OCTET_STRING) {
        Ok(received) if received == sent => Ok(()),
        _ => Err(Rejection::NonceMismatch),
    }
}

/// Checks producedAt and the times of every entry about the subject: one that is out of date makes
/// the whole response doubtful.
fn check_times(
    basic: &BasicResponse<'_>,
    entries: &[&SingleResponse<'_>],
    now: Timestamp,
) -> Result<(), Rejection> {
    let latest_start = now.saturating_add(CLOCK_SKEW);
    for entry in entries {
        let this_update = entry.this_update;
        if this_update > latest_start {
            return Err(Rejection::NotYetValid { this_update, now });
        }
        match entry.next_update {
            Some(next_update) if next_update <= this_update => {
                return Err(Rejection::NextUpdateNotAfterThisUpdate {
                    this_update,
                    next_update,
                });
            }
            Some(next_update) if next_update <= now => {
                return Err(Rejection::Expired { next_update, now });
            }
            None if now.since(this_update) > MAX_AGE_WITHOUT_NEXT_UPDATE => {
                return Err(Rejection::TooOld { this_update, now });
            }
            _ => {}
        }
    }
    if basic.produced_at > latest_start {
        return Err(Rejection::ProducedInFuture {
            produced_at: basic.produced_at,
            now,
        });
    }
    Ok(())
}

/// Of several entries about one certificate the one that says the worst.
fn strictest<'r, 'a>(entries: &[&'r SingleResponse<'a>]) -> Option<&'r SingleResponse<'a>> {
    entries
        .iter()
        .copied()
        .max_by_key(|entry| match entry.status {
            CertificateStatus::Good => 0,
            CertificateStatus::Unknown => 1,
            CertificateStatus::Revoked { .. } => 2,
        })
}

fn staple(
    response: &[u8],
    basic: &BasicResponse<'_>,
    entry: &SingleResponse<'_>,
    standing: Standing,
    subject: Subject<'_>,
    now: Timestamp,
    policy: Policy,
) -> Result<Staple, NotStapleable> {
    match standing.status {
        CertificateStatus::Good => {}
        CertificateStatus::Revoked { .. } if policy.staple_revoked => {}
        CertificateStatus::Revoked { .. } => return Err(NotStapleable::Revoked),
        CertificateStatus::Unknown => return Err(NotStapleable::Unknown),
    }
    if basic.single_responses.len() > 1 {
        return Err(NotStapleable::SeveralSingleResponses {
            count: basic.single_responses.len(),
        });
    }
    if !entry.cert_id.is_sha1() {
        return Err(NotStapleable::CertidForm {
            found: entry.cert_id.hash_name(),
        });
    }
    let next_update = entry.next_update.ok_or(NotStapleable::NoNextUpdate)?;
    if standing.expires.since(now) < SHORTEST_LIFE {
        return Err(NotStapleable::LifeTooShort {
            expires: standing.expires,
            minimum: SHORTEST_LIFE.as_secs(),
        });
    }
    if response.len() > MAX_STAPLE_BYTES {
        return Err(NotStapleable::TooLarge {
            bytes: response.len(),
            maximum: MAX_STAPLE_BYTES,
        });
    }
    let cert_id = CertId::new(subject.certificate, subject.issuer);
    Ok(Staple {
        der: response.into(),
        matches_by_cert_id: cert_id.der() == entry.cert_id.raw,
        cert_id,
        certificate_fingerprint: subject.certificate.sha1_fingerprint(),
        produced_at: basic.produced_at,
        next_update,
        standing,
    })
}

fn notes(
    basic: &BasicResponse<'_>,
    entry: &SingleResponse<'_>,
    authorisation: &Authorisation,
    expires: Timestamp,
    subject: Subject<'_>,
) -> Vec<Note> {
    let without_nocheck = matches!(
        &authorisation.signer,
        Signer::Delegate(delegate) if !delegate.has_ocsp_nocheck()
    );
    let (shortest, longest) = BASELINE_PERIOD;
    let unusual_period = entry.next_update.is_some_and(|next_update| {
        let period = next_update.since(entry.this_update);
        period < shortest || period > longest
    });
    let refused_from = entry.this_update.saturating_add(CLIENT_MAXIMUM_AGE);
    [
        (without_nocheck, Note::DelegateWithoutNocheck),
        (
            authorisation.strength == Strength::Legacy,
            Note::WeakSignature,
        ),
        (unusual_period, Note::UnusualPeriod),
        (
            entry
                .next_update
                .is_some_and(|next_update| next_update > refused_from),
            Note::OutlivesClients { refused_from },
        ),
        (
            basic.produced_at < subject.certificate.not_before(),
            Note::ProducedBeforeCertificate,
        ),
        (
            entry
                .next_update
                .is_some_and(|next_update| next_update > expires),
            Note::OutlivesCertificates,
        ),
    ]
    .into_iter()
    .filter_map(|(applies, note)| applies.then_some(note))
    .collect()
}
