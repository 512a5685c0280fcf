//! Faults on request: a testing aid, never for a responder that clients rely on.
//!
//! Pure: reads what the operator wants (`KIND[=VALUE][,share=PERCENT][,serial=HEX]`), decides by a
//! random number that is given, and changes answers before they are signed, so that all but the
//! intended fault is right. What concerns the connection (delay, reset, …) is done in `http`.

use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::digest;

use super::answer::{ResponseContent, SingleAnswer};
use super::key::SigningKey;
use super::serial::from_hexadecimal;
use crate::ocsp::{CertificateStatus, ResponderError, RevocationReason};
use crate::x509::Certificate;
use crate::x509::der::{self, Reader, encode};

/// How much larger than any response is read an oversized one is, in bytes.
const OVERSIZE: usize = 100_000;
/// How long ago an expired answer ended, and how far ahead a future one begins.
const DISTANCE: Duration = Duration::from_secs(24 * 3600);
/// The time between the bytes of an answer that trickles.
pub const TRICKLE_INTERVAL: Duration = Duration::from_millis(200);
/// The length of garbage, in bytes.
const GARBAGE_BYTES: usize = 300;
/// The longest delay that can be asked for.
const MAX_DELAY: Duration = Duration::from_secs(300);

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `delay=MILLISECONDS`: the answer comes later.
    Delay(Duration),
    /// `never-answer`: the connection stays open, nothing comes.
    NeverAnswer,
    /// `trickle`: the answer comes byte by byte.
    Trickle,
    /// `reset`: the connection is reset.
    Reset,
    /// `http=CODE[:SECONDS]`: an HTTP status instead of an answer, with Retry-After.
    Http {
        /// The status code, from 300 to 599.
        code: u16,
        /// The seconds of Retry-After.
        retry_after: Option<u32>,
    },
    /// `malformed-request`, `internal-error`, `try-later`, `sig-required`, `unauthorized`: an OCSP
    /// error.
    Error(ResponderError),
    /// `garbage`: bytes that are no DER.
    Garbage,
    /// `truncated`: the first half of the answer.
    Truncated,
    /// `oversized`: 100 kB of an extension without meaning.
    Oversized,
    /// `status=good|revoked|unknown`: another status.
    Status(&'static str),
    /// `wrong-serial`: about the certificate with another serial number.
    WrongSerial,
    /// `wrong-issuer`: about a certificate of another issuer.
    WrongIssuer,
    /// `sha256-certid`: with a SHA-256 CertID, for a request with any CertID.
    Sha256CertId,
    /// `several-responses`: a second SingleResponse, about another certificate.
    SeveralResponses,
    /// `foreign-signature`: signed with a key that belongs to no certificate.
    ForeignSignature,
    /// `expired`: nextUpdate was yesterday.
    Expired,
    /// `future`: thisUpdate is tomorrow.
    Future,
    /// `no-next-update`: without nextUpdate.
    NoNextUpdate,
}

/// The kinds without a value.
const PLAIN: [(&str, Kind); 19] = [
    ("never-answer", Kind::NeverAnswer),
    ("trickle", Kind::Trickle),
    ("reset", Kind::Reset),
    (
        "malformed-request",
        Kind::Error(ResponderError::MalformedRequest),
    ),
    ("internal-error", Kind::Error(ResponderError::InternalError)),
    ("try-later", Kind::Error(ResponderError::TryLater)),
    ("sig-required", Kind::Error(ResponderError::SigRequired)),
    ("unauthorized", Kind::Error(ResponderError::Unauthorized)),
    ("garbage", Kind::Garbage),
    ("truncated", Kind::Truncated),
    ("oversized", Kind::Oversized),
    ("wrong-serial", Kind::WrongSerial),
    ("wrong-issuer", Kind::WrongIssuer),
    ("sha256-certid", Kind::Sha256CertId),
    ("several-responses", Kind::SeveralResponses),
    ("foreign-signature", Kind::ForeignSignature),
    ("expired", Kind::Expired),
    ("future", Kind::Future),
    ("no-next-update", Kind::NoNextUpdate),
];

/// A fault, and which requests it strikes.
#[derive(Clone, PartialEq, Debug)]
pub struct Fault {
    /// What goes wrong.
    pub kind: Kind,
    /// The share of requests, from 0 to 1.
    pub share: f64,
    /// Only requests about this serial number, the content octets of its INTEGER.
    pub serial: Option<Vec<u8>>,
}

/// Why a text is no fault.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "'{0}' is no fault: expected KIND[=VALUE][,share=PERCENT][,serial=HEX] with a KIND of delay=MILLISECONDS, http=CODE[:RETRY_AFTER], status=good|revoked|unknown, never-answer, trickle, reset, malformed-request, internal-error, try-later, sig-required, unauthorized, garbage, truncated, oversized, wrong-serial, wrong-issuer, sha256-certid, several-responses, foreign-signature, expired, future, no-next-update"
)]
pub struct InvalidFault(pub String);

impl FromStr for Fault {
    type Err = InvalidFault;

    fn from_str(text: &str) -> Result<Self, InvalidFault> {
        let invalid = || InvalidFault(text.to_owned());
        let mut parts = text.split(',');
        let mut fault = Fault {
            kind: parts.next().and_then(kind).ok_or_else(invalid)?,
            share: 1.0,
            serial: None,
        };
        for part in parts {
            match part.split_once('=').ok_or_else(invalid)? {
                ("share", percent) => {
                    let number: f64 = percent
                        .trim_end_matches('%')
                        .parse()
                        .map_err(|_| invalid())?;
                    if !(0.0..=100.0).contains(&number) {
                        return Err(invalid());
                    }
                    fault.share = number / 100.0;
                }
                ("serial", hexadecimal) => {
                    let serial = from_hexadecimal(hexadecimal);
                    fault.serial = Some(serial.ok_or_else(invalid)?);
                }
                _ => return Err(invalid()),
            }
        }
        Ok(fault)
    }
}

fn kind(text: &str) -> Option<Kind> {
    if let Some((_, kind)) = PLAIN.into_iter().find(|(name, _)| *name == text) {
        return Some(kind);
    }
    match text.split_once('=')? {
        ("delay", milliseconds) => {
            let delay = Duration::from_millis(milliseconds.parse().ok()?);
            (delay <= MAX_DELAY).then_some(Kind::Delay(delay))
        }
        ("http", value) => {
            let (code, seconds) = match value.split_once(':') {
                Some((code, seconds)) => (code, Some(seconds.parse().ok()?)),
                None => (value, None),
            };
            let code = code.parse().ok().filter(|code| (300..600).contains(code))?;
            Some(Kind::Http {
                code,
                retry_after: seconds,
            })
        }
        ("status", name) => {
            let names = ["good", "revoked", "unknown"];
            names
                .into_iter()
                .find(|known| *known == name)
                .map(Kind::Status)
        }
        _ => None,
    }
}

/// The faults of a responder.
#[derive(Debug)]
pub struct Faults {
    faults: Vec<Fault>,
    /// The key that belongs to no certificate.
    pub foreign_key: SigningKey,
}

impl Faults {
    /// These faults, with a key that no certificate is for.
    pub fn new(faults: Vec<Fault>, foreign_key: SigningKey) -> Self {
        Faults {
            faults,
            foreign_key,
        }
    }

    /// What goes wrong for a request about these serial numbers; `draw` gives random numbers from
    /// 0 up to, not including, 1.
    pub fn strike(&self, serials: &[&[u8]], mut draw: impl FnMut() -> f64) -> Vec<Kind> {
        let struck = self.faults.iter().filter(|fault| {
            let meant = fault
                .serial
                .as_ref()
                .is_none_or(|serial| serials.contains(&serial.as_slice()));
            meant && draw() < fault.share
        });
        struck.map(|fault| fault.kind).collect()
    }
}

/// Makes `data`, an answer for `issuer`'s certificates, wrong before it is signed.
pub fn spoil(kind: Kind, data: &mut ResponseContent, issuer: &Certificate) {
    if kind == Kind::Oversized {
        data.padding = OVERSIZE;
    }
    for answer in &mut data.answers {
        spoil_one(kind, answer, issuer);
    }
    if kind == Kind::SeveralResponses
        && let Some(mut second) = data.answers.first().cloned()
    {
        spoil_one(Kind::WrongSerial, &mut second, issuer);
        data.answers.push(second);
    }
}

fn spoil_one(kind: Kind, answer: &mut SingleAnswer, issuer: &Certificate) {
    match kind {
        Kind::Status(name) => answer.status = status(name, answer),
        Kind::WrongSerial => change_cert_id(answer, |parts| {
            if let Some(last) = parts.serial.last_mut() {
                *last ^= 1;
            }
        }),
        Kind::WrongIssuer => change_cert_id(answer, |parts| {
            for octet in parts.name_hash.iter_mut().chain(&mut parts.key_hash) {
                *octet ^= 0xff;
            }
        }),
        Kind::Sha256CertId => change_cert_id(answer, |parts| {
            const SHA256_WITH_NULL: &[u8] =
                b"\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00";
            let sha256 = |bytes| digest::digest(&digest::SHA256, bytes).as_ref().to_vec();
            parts.algorithm = SHA256_WITH_NULL.to_vec();
            parts.name_hash = sha256(issuer.subject_name());
            parts.key_hash = sha256(issuer.public_key_bits());
        }),
        Kind::Expired => {
            let length = answer.next_update.map(|end| end.since(answer.this_update));
            let end = answer.this_update.saturating_sub(DISTANCE);
            answer.next_update = Some(end);
            answer.this_update = end.saturating_sub(length.unwrap_or(DISTANCE));
        }
        Kind::Future => {
            answer.this_update = answer.this_update.saturating_add(DISTANCE);
            answer.next_update = answer.next_update.map(|end| end.saturating_add(DISTANCE));
        }
        Kind::NoNextUpdate => answer.next_update = None,
        _ => {}
    }
}

fn status(name: &str, answer: &SingleAnswer) -> CertificateStatus {
    match name {
        "good" => CertificateStatus::Good,
        "revoked" => CertificateStatus::Revoked {
            at: answer.this_update,
            reason: Some(RevocationReason::KeyCompromise),
        },
        _ => CertificateStatus::Unknown,
    }
}

struct CertIdParts {
    algorithm: Vec<u8>,
    name_hash: Vec<u8>,
    key_hash: Vec<u8>,
    serial: Vec<u8>,
}

/// Takes the CertID apart and puts it together again; one that cannot be read stays as it is.
fn change_cert_id(answer: &mut SingleAnswer, change: impl FnOnce(&mut CertIdParts)) {
    let read = |bytes: &[u8]| -> Result<CertIdParts, der::Error> {
        let mut fields = Reader::new(der::only(bytes, der::SEQUENCE)?);
        Ok(CertIdParts {
            algorithm: fields.element(der::SEQUENCE)?.raw.to_vec(),
            name_hash: fields.content(der::OCTET_STRING)?.to_vec(),
            key_hash: fields.content(der::OCTET_STRING)?.to_vec(),
            serial: fields.content(der::INTEGER)?.to_vec(),
        })
    };
    if let Ok(mut parts) = read(&answer.cert_id) {
        change(&mut parts);
        answer.cert_id = encode(
            der::SEQUENCE,
            &[
                &parts.algorithm,
                &encode(der::OCTET_STRING, &[&parts.name_hash]),
                &encode(der::OCTET_STRING, &[&parts.key_hash]),
                &encode(der::INTEGER, &[&parts.serial]),
            ],
        );
    }
}

/// Makes a signed answer wrong.
pub fn spoil_signed(kind: Kind, mut response: Vec<u8>) -> Vec<u8> {
    match kind {
        Kind::Truncated => response.truncate(response.len() / 2),
        Kind::Garbage => response = b"<html>garbage</html>\n".repeat(GARBAGE_BYTES / 20),
        _ => {}
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_with_share_and_serial() {
        let fault: Fault = "http=503:120,share=25%,serial=03a2ef".parse().unwrap();
        assert_eq!(
            fault,
            Fault {
                kind: Kind::Http {
                    code: 503,
                    retry_after: Some(120)
                },
                share: 0.25,
                serial: Some(vec![3, 0xa2, 0xef]),
            }
        );
        let delay: Fault = "delay=1500".parse().unwrap();
        assert_eq!(delay.kind, Kind::Delay(Duration::from_millis(1500)));
        let status: Fault = "status=revoked".parse().unwrap();
        assert_eq!(status.kind, Kind::Status("revoked"));
        for (name, kind) in PLAIN {
            assert_eq!(name.parse::<Fault>().unwrap().kind, kind);
        }
    }

    #[test]
    fn what_is_no_fault_is_refused_with_the_list_of_faults() {
        let texts = [
            "",
            "explode",
            "delay",
            "delay=1h",
            "delay=300001",
            "http=200",
            "http=503:soon",
            "status=bad",
            "expired,share=101",
            "expired,share=-1",
            "expired,share=NaN",
            "expired,serial=xyz",
            "expired,never",
        ];
        for text in texts {
            let error = text.parse::<Fault>().unwrap_err();
            assert!(error.to_string().contains("wrong-serial"), "{text}");
        }
    }

    #[test]
    fn a_fault_strikes_its_share_and_its_serial() {
        let faults = ["expired,share=50", "trickle,serial=05"];
        let faults = faults.map(|text| text.parse().unwrap()).to_vec();
        let faults = Faults::new(faults, SigningKey::generate().unwrap());
        assert_eq!(faults.strike(&[&[1]], || 0.49), [Kind::Expired]);
        assert_eq!(faults.strike(&[&[1]], || 0.5), []);
        assert_eq!(faults.strike(&[&[1], &[5]], || 0.9), [Kind::Trickle]);
        assert_eq!(
            faults.strike(&[&[5]], || 0.0),
            [Kind::Expired, Kind::Trickle]
        );
    }
}
