//! OpenSSL's `index.txt`, the database of `openssl ca`, read to a map.
//!
//! Pure: text in, statuses out; the file is read in [`super::sources`]. A row is one certificate,
//! six fields parted by tabs: V, R or E; notAfter; when and why revoked; the serial number in
//! hexadecimal; a file name; the subject (openssl-ca(1), FILES). A row that cannot be read refuses
//! the whole file, because an overlooked revocation is worse than no answer.

use std::collections::HashMap;

use super::serial;
use crate::ocsp::{CertificateStatus, RevocationReason};
use crate::time::Timestamp;
use crate::x509::der;

/// The statuses of the certificates in an index, by serial number.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Index {
    statuses: HashMap<Box<[u8]>, CertificateStatus>,
}

/// Why a row cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RowError {
    /// Not six fields.
    #[error("expected six fields parted by tabs")]
    Fields,
    /// The first field.
    #[error("the first field is none of V, R, E")]
    Status,
    /// The third field of a revoked certificate.
    #[error("the third field is no time of revocation such as 260115120000Z,keyCompromise")]
    Revocation,
    /// The fourth field.
    #[error("the fourth field is no serial number in hexadecimal")]
    Serial,
    /// A serial number that an earlier row has.
    #[error("the serial number is there twice")]
    Duplicate,
}

/// A row that cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {error}")]
pub struct IndexError {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub error: RowError,
}

impl Index {
    /// Reads the file's text; empty lines and lines that start with `#` do not count.
    ///
    /// # Errors
    /// [`IndexError`] for the first row that cannot be read.
    pub fn parse(text: &str) -> Result<Self, IndexError> {
        let rows = || {
            let lines = text.lines().enumerate();
            lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        };
        let mut statuses = HashMap::with_capacity(rows().count());
        for (number, line) in rows() {
            let failed = |error| IndexError {
                line: number + 1,
                error,
            };
            let (serial, status) = row(line).map_err(failed)?;
            if statuses.insert(serial, status).is_some() {
                return Err(failed(RowError::Duplicate));
            }
        }
        Ok(Index { statuses })
    }

    /// The status of the certificate with this serial number, the content octets of its INTEGER.
    pub fn status(&self, serial: &[u8]) -> CertificateStatus {
        let status = self.statuses.get(serial).copied();
        status.unwrap_or(CertificateStatus::Unknown)
    }

    /// How many certificates there are.
    pub fn len(&self) -> usize {
        self.statuses.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.statuses.is_empty()
    }
}

fn row(line: &str) -> Result<(Box<[u8]>, CertificateStatus), RowError> {
    let mut fields = line.split('\t');
    let mut next = || fields.next().ok_or(RowError::Fields);
    let (letter, _not_after, revocation, number) = (next()?, next()?, next()?, next()?);
    let (_file, _subject) = (next()?, next()?);
    let status = match letter {
        // An expired certificate was not revoked while it counted.
        "V" | "E" => CertificateStatus::Good,
        "R" => revoked(revocation).ok_or(RowError::Revocation)?,
        _ => return Err(RowError::Status),
    };
    let serial = serial::from_hexadecimal(number).ok_or(RowError::Serial)?;
    Ok((serial.into(), status))
}

/// `TIME[,REASON[,MORE]]`.
fn revoked(field: &str) -> Option<CertificateStatus> {
    let mut parts = field.split(',');
    let at = openssl_time(parts.next()?)?;
    let reason = match parts.next() {
        None => None,
        Some(name) => Some(reason(name)?),
    };
    Some(CertificateStatus::Revoked { at, reason })
}

/// UTCTime or GeneralizedTime as text (RFC 5280 §4.1.2.5.1: years from 50 on are 19xx).
fn openssl_time(text: &str) -> Option<Timestamp> {
    const UTC_TIME: usize = "YYMMDDHHMMSSZ".len();
    let text = text.as_bytes();
    let whole = if text.len() == UTC_TIME {
        let century: &[u8] = if text < b"50".as_slice() {
            b"20"
        } else {
            b"19"
        };
        [century, text].concat()
    } else {
        text.to_vec()
    };
    der::generalized_time(&whole).ok()
}

/// The names of `openssl ca -crl_reason`, and of its options that imply a reason.
fn reason(name: &str) -> Option<RevocationReason> {
    Some(match name {
        "unspecified" => RevocationReason::Unspecified,
        "keyCompromise" | "keyTime" => RevocationReason::KeyCompromise,
        "CACompromise" | "CAkeyTime" => RevocationReason::CaCompromise,
        "affiliationChanged" => RevocationReason::AffiliationChanged,
        "superseded" => RevocationReason::Superseded,
        "cessationOfOperation" => RevocationReason::CessationOfOperation,
        "certificateHold" | "holdInstruction" => RevocationReason::CertificateHold,
        "removeFromCRL" => RevocationReason::RemoveFromCrl,
        "privilegeWithdrawn" => RevocationReason::PrivilegeWithdrawn,
        "AACompromise" => RevocationReason::AaCompromise,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "V\t361120000000Z\t\t03A2EF\tunknown\t/CN=good\n\
        R\t361120000000Z\t260115120000Z,keyCompromise\t80\tunknown\t/CN=revoked\n\
        R\t361120000000Z\t20260115120000Z\t1000\tunknown\t/CN=revoked\n\
        R\t361120000000Z\t260115120000Z,keyTime,20260101000000Z\t0F\tunknown\t/CN=x\n\
        E\t200101000000Z\t\t01\tunknown\t/CN=expired\n";

    const AT: Timestamp = Timestamp::from_unix(1_768_478_400);

    fn revoked_for(reason: Option<RevocationReason>) -> CertificateStatus {
        CertificateStatus::Revoked { at: AT, reason }
    }

    #[test]
    fn every_kind_of_row_is_read() {
        let index = Index::parse(TEXT).unwrap();
        assert_eq!(index.len(), 5);
        assert_eq!(index.status(&[3, 0xa2, 0xef]), CertificateStatus::Good);
        assert_eq!(
            index.status(&[0, 0x80]),
            revoked_for(Some(RevocationReason::KeyCompromise))
        );
        assert_eq!(index.status(&[0x10, 0]), revoked_for(None));
        assert_eq!(
            index.status(&[0x0f]),
            revoked_for(Some(RevocationReason::KeyCompromise))
        );
        assert_eq!(index.status(&[1]), CertificateStatus::Good);
        assert_eq!(index.status(&[2]), CertificateStatus::Unknown);
    }

    #[test]
    fn a_negative_serial_is_not_taken_for_the_positive_one() {
        let index = Index::parse(TEXT).unwrap();
        assert_eq!(index.status(&[0x80]), CertificateStatus::Unknown);
    }

    #[test]
    fn a_row_that_cannot_be_read_is_named() {
        let cases = [
            ("V\t361120000000Z\t\t03", RowError::Fields),
            ("X\t361120000000Z\t\t03\tu\t/CN=a", RowError::Status),
            ("R\t361120000000Z\t\t03\tu\t/CN=a", RowError::Revocation),
            (
                "R\t361120000000Z\t260115120000Z,boredom\t03\tu\t/CN=a",
                RowError::Revocation,
            ),
            ("V\t361120000000Z\t\t-3\tu\t/CN=a", RowError::Serial),
            ("V\t361120000000Z\t\t1\tu\t/CN=a", RowError::Duplicate),
        ];
        for (line, error) in cases {
            let text = format!("{TEXT}{line}\n");
            assert_eq!(Index::parse(&text), Err(IndexError { line: 6, error }));
        }
    }
}
