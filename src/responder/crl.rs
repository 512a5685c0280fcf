//! A certificate revocation list, read and checked.
//!
//! Pure. Strict DER, the issuer's name and signature are checked, and what changes the list's
//! meaning (delta lists, lists of a part of the certificates: any critical extension) is refused.
//! Whether it is still current is for the caller to see. Governed by RFC 5280 §5.

// What strangers have written is read here.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use std::collections::HashMap;

use crate::ocsp::extension;
use crate::ocsp::{CertificateStatus, RevocationReason};
use crate::time::Timestamp;
use crate::x509::Certificate;
use crate::x509::der::{self, Reader};
use crate::x509::signature::{self, Acceptance, AlgorithmIdentifier};

/// Identifier octet of UTCTime.
const UTC_TIME: u8 = 0x17;
/// id-ce-cRLReasons (RFC 5280 §5.3.1).
const REASON_CODE: &[u8] = b"\x55\x1d\x15";

/// The revoked certificates of one authority.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RevocationList {
    /// When it was made.
    pub this_update: Timestamp,
    /// When the next one will be there at the latest.
    pub next_update: Option<Timestamp>,
    revoked: HashMap<Box<[u8]>, CertificateStatus>,
}

/// Why a list is not accepted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CrlError {
    /// Not the DER of a CertificateList (RFC 5280 §5.1).
    #[error("the revocation list is malformed (RFC 5280 section 5.1): {0}")]
    Malformed(#[from] der::Error),
    /// It has another issuer.
    #[error("the revocation list is of another issuer")]
    OtherIssuer,
    /// The issuer's key did not sign it.
    #[error("the revocation list's signature is not the issuer's: {0}")]
    Signature(#[from] signature::Error),
    /// A critical extension: a delta list, a partial list, or something unknown (§5.2).
    #[error("the revocation list has the critical extension {0}: it is no complete list")]
    CriticalExtension(String),
}

/// A list that any key may have signed.
#[derive(Clone, Debug)]
pub struct ReceivedList<'a> {
    issuer_name: &'a [u8],
    signed: &'a [u8],
    algorithm: AlgorithmIdentifier<'a>,
    signature: &'a [u8],
    list: RevocationList,
}

impl<'a> ReceivedList<'a> {
    /// Reads the DER of a list.
    ///
    /// # Errors
    /// [`CrlError::Malformed`], [`CrlError::CriticalExtension`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CrlError> {
        let mut list = Reader::new(der::only(bytes, der::SEQUENCE)?);
        let signed = list.element(der::SEQUENCE)?;
        let algorithm = AlgorithmIdentifier::from_content(list.content(der::SEQUENCE)?)?;
        let signature = der::bit_string(list.content(der::BIT_STRING)?)?;
        list.end()?;

        let mut fields = Reader::new(signed.content);
        fields.optional(der::INTEGER)?;
        fields.content(der::SEQUENCE)?;
        let issuer_name = fields.element(der::SEQUENCE)?.raw;
        let this_update = time(fields.any()?)?;
        let next_update = optional_time(&mut fields)?;
        let mut entries = Reader::new(fields.optional(der::SEQUENCE)?.unwrap_or_default());
        refuse_critical(fields.optional(der::context_constructed(0))?)?;
        fields.end()?;

        let mut revoked = HashMap::new();
        while !entries.is_empty() {
            let mut entry = Reader::new(entries.content(der::SEQUENCE)?);
            let serial = der::integer(entry.content(der::INTEGER)?)?;
            let at = time(entry.any()?)?;
            let reason = read_reason(entry)?;
            revoked.insert(serial.into(), CertificateStatus::Revoked { at, reason });
        }
        Ok(ReceivedList {
            issuer_name,
            signed: signed.raw,
            algorithm,
            signature,
            list: RevocationList {
                this_update,
                next_update,
                revoked,
            },
        })
    }

    /// The list, where `issuer` signed it.
    ///
    /// # Errors
    /// [`CrlError::OtherIssuer`], [`CrlError::Signature`].
    pub fn verified(self, issuer: &Certificate) -> Result<RevocationList, CrlError> {
        if self.issuer_name != issuer.subject_name() {
            return Err(CrlError::OtherIssuer);
        }
        signature::verify(
            issuer.public_key_info(),
            self.algorithm,
            self.signed,
            self.signature,
            Acceptance::Modern,
        )?;
        Ok(self.list)
    }
}

impl RevocationList {
    /// Reads the DER of a list that `issuer` signed.
    ///
    /// # Errors
    /// [`CrlError`].
    pub fn read(bytes: &[u8], issuer: &Certificate) -> Result<Self, CrlError> {
        ReceivedList::decode(bytes)?.verified(issuer)
    }

    /// The revocation of the certificate with this serial number, the content octets of its
    /// INTEGER; `None` where it is not revoked.
    pub fn revocation(&self, serial: &[u8]) -> Option<CertificateStatus> {
        self.revoked.get(serial).copied()
    }
}

/// The reason that the rest of an entry gives: its extensions, or nothing.
fn read_reason(mut entry: Reader<'_>) -> Result<Option<RevocationReason>, CrlError> {
    if entry.is_empty() {
        return Ok(None);
    }
    let list = entry.element(der::SEQUENCE)?.raw;
    entry.end()?;
    let extensions = extension::read(Some(list))?;
    // An entry of another issuer (§5.3.3), or something unknown.
    if let Some(critical) = extensions.iter().find(|extension| extension.critical) {
        return Err(CrlError::CriticalExtension(der::dotted(
            critical.identifier,
        )));
    }
    let Some(value) = extension::find(&extensions, REASON_CODE) else {
        return Ok(None);
    };
    let number = der::small_integer(der::only(value, der::ENUMERATED)?)?;
    Ok(super::answer::reason_of_number(number))
}

fn refuse_critical(tagged: Option<&[u8]>) -> Result<(), CrlError> {
    match extension::read(tagged)?
        .iter()
        .find(|extension| extension.critical)
    {
        Some(critical) => Err(CrlError::CriticalExtension(der::dotted(
            critical.identifier,
        ))),
        None => Ok(()),
    }
}

fn optional_time(fields: &mut Reader<'_>) -> Result<Option<Timestamp>, der::Error> {
    for tag in [UTC_TIME, der::GENERALIZED_TIME] {
        if let Some(content) = fields.optional(tag)? {
            return time_content(tag, content).map(Some);
        }
    }
    Ok(None)
}

fn time(element: der::Element<'_>) -> Result<Timestamp, der::Error> {
    time_content(element.tag, element.content)
}

/// Time (RFC 5280 §4.1.2.5): UTCTime stands for the years 1950 to 2049.
fn time_content(tag: u8, content: &[u8]) -> Result<Timestamp, der::Error> {
    match tag {
        UTC_TIME => {
            let century: &[u8] = if content < b"50".as_slice() {
                b"20"
            } else {
                b"19"
            };
            der::generalized_time(&[century, content].concat())
        }
        der::GENERALIZED_TIME => der::generalized_time(content),
        found => Err(der::Error::UnexpectedTag {
            expected: der::GENERALIZED_TIME,
            found,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{self, NOW, World, sequence};

    struct Draft {
        issuer: &'static str,
        entries: Vec<u8>,
        extensions: Vec<u8>,
    }

    fn entry(serial: &[u8], extensions: &[u8]) -> Vec<u8> {
        sequence(&[&pki::integer(serial), &pki::time(NOW), extensions])
    }

    fn signed(draft: &Draft, key: &pki::Key) -> Vec<u8> {
        let entries = sequence(&[&draft.entries]);
        let tbs = sequence(&[
            &pki::integer(&[1]),
            &key.algorithm,
            &pki::name(draft.issuer),
            &der::encode(UTC_TIME, &[b"260115120000Z"]),
            &der::encode(UTC_TIME, &[b"260122120000Z"]),
            &entries,
            &draft.extensions,
        ]);
        sequence(&[&tbs, &key.algorithm, &pki::bits(&key.sign(&tbs))])
    }

    fn draft() -> Draft {
        let reason = pki::extension("2.5.29.21", false, &[0x0a, 1, 4]);
        let entries = [entry(&[5], &[]), entry(&[6], &sequence(&[&reason]))];
        Draft {
            issuer: "Issuer",
            entries: entries.concat(),
            extensions: Vec::new(),
        }
    }

    #[test]
    fn revocations_are_found_with_their_reasons() {
        let world = World::new();
        let list =
            RevocationList::read(&signed(&draft(), &world.issuer_key), &world.issuer).unwrap();
        assert_eq!(list.this_update, NOW);
        assert_eq!(list.next_update, Some(NOW.saturating_add(7 * pki::DAY)));
        let revoked = |reason| Some(CertificateStatus::Revoked { at: NOW, reason });
        assert_eq!(list.revocation(&[5]), revoked(None));
        assert_eq!(
            list.revocation(&[6]),
            revoked(Some(RevocationReason::Superseded))
        );
        assert_eq!(list.revocation(&[7]), None);
    }

    #[test]
    fn lists_of_others_and_partial_lists_are_refused() {
        let world = World::new();
        let read = |draft: &Draft, key| RevocationList::read(&signed(draft, key), &world.issuer);
        assert_eq!(
            read(&draft(), &world.root_key),
            Err(CrlError::Signature(signature::Error::Invalid))
        );
        let mut other = draft();
        other.issuer = "Root";
        assert_eq!(read(&other, &world.issuer_key), Err(CrlError::OtherIssuer));
        let mut delta = draft();
        let indicator = pki::extension("2.5.29.27", true, &pki::integer(&[1]));
        delta.extensions = pki::tagged(0, &sequence(&[&indicator]));
        assert_eq!(
            read(&delta, &world.issuer_key),
            Err(CrlError::CriticalExtension("2.5.29.27".to_owned()))
        );
    }

    #[test]
    fn a_list_that_is_cut_off_is_malformed() {
        let world = World::new();
        let bytes = signed(&draft(), &world.issuer_key);
        for length in 0..bytes.len() {
            let cut = RevocationList::read(&bytes[..length], &world.issuer);
            assert!(matches!(cut, Err(CrlError::Malformed(_))), "{length}");
        }
    }
}
