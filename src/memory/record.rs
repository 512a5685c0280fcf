//! The records, and the lines of JSON that they are kept as.
//!
//! Pure. The first line names the form and its version; each other line remembers a record or
//! forgets the one with a key, and a later line goes before an earlier one.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::ocsp::Standing;
use crate::time::Timestamp;
use crate::x509::CertificateReference;

/// The first line of a file that can be read here.
pub(super) const HEADER: &str = "{\"staplerd_memory\":1}";

/// SHA-256 of something; in JSON, base64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut octets = [0; 32];
        let hashed = digest::digest(&digest::SHA256, bytes);
        for (octet, hashed) in octets.iter_mut().zip(hashed.as_ref()) {
            *octet = *hashed;
        }
        Digest(octets)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        STANDARD_NO_PAD.encode(digest.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = STANDARD_NO_PAD.decode(text).ok();
        let digest = bytes.and_then(|bytes| bytes.try_into().ok()).map(Digest);
        digest.ok_or("expected the base64 of 32 octets")
    }
}

/// What is remembered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// What a responder said of a certificate last.
    Certificate(CertificateRecord),
    /// A staple's file that was written.
    StapleFile(StapleFileRecord),
    /// A transaction that was opened in a HAProxy process and not seen to end.
    Transaction(TransactionRecord),
}

/// What a responder said of a certificate last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CertificateRecord {
    /// What the certificate and its CertID are known by.
    pub identity: Digest,
    /// The end of the certificate: after it the record is useless.
    pub not_after: Timestamp,
    /// What was said.
    pub standing: Standing,
}

/// A staple's file that was written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StapleFileRecord {
    /// The file.
    pub path: String,
    /// Of what was written.
    pub content: Digest,
}

/// A transaction that was opened in a HAProxy process (`set ssl cert`). There is one at most in a
/// process, over all of its sockets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TransactionRecord {
    /// The process.
    pub process: ProcessRecord,
    /// The name of the certificate store.
    pub store: String,
    /// How far it came.
    pub stage: Stage,
    /// The certificate that the store is to hold afterwards; none where nothing else can be in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificate: Vec<CertificateReference>,
}

/// A process among all that ever were: its number comes back.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct ProcessRecord {
    /// Its number.
    pub pid: u32,
    /// When it was started, as far as it says.
    pub started: Option<Timestamp>,
    /// What it calls its machine.
    pub node: String,
}

/// How far a transaction came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// `set ssl cert` was sent, or is about to be.
    Begun,
    /// `commit ssl cert` was sent, or is about to be.
    CommitSent,
    /// It is committed, and the store has not been looked at since.
    Committed,
    /// HAProxy said that the commit failed.
    CommitFailed,
}

/// What a record is found by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKey {
    /// The certificate's identity.
    Certificate(Digest),
    /// The path of a staple's file.
    StapleFile(String),
    /// The process of a transaction.
    Transaction(ProcessRecord),
}

impl Record {
    /// What it is found by.
    pub fn key(&self) -> RecordKey {
        match self {
            Record::Certificate(record) => RecordKey::Certificate(record.identity),
            Record::StapleFile(record) => RecordKey::StapleFile(record.path.clone()),
            Record::Transaction(record) => RecordKey::Transaction(record.process.clone()),
        }
    }
}

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RecordLine<R, K> {
    Remember(R),
    Forget(K),
}

pub(super) fn line_to_remember(record: &Record) -> Option<String> {
    line(&RecordLine::<_, RecordKey>::Remember(record))
}

pub(super) fn line_to_forget(key: &RecordKey) -> Option<String> {
    line(&RecordLine::<Record, _>::Forget(key))
}

fn line(line: &impl Serialize) -> Option<String> {
    let mut text = serde_json::to_string(line).ok()?;
    text.push('\n');
    Some(text)
}

/// What a file says.
#[derive(Default, Debug)]
pub(super) struct RecordsReading {
    pub(super) records: BTreeMap<RecordKey, Record>,
    /// What is wrong with the first line that could not be read.
    pub(super) mistake: Option<String>,
}

/// Reads a file's bytes. A line that makes no sense is passed over, as is an end without line feed:
/// the process ended while it was written.
pub(super) fn read(bytes: &[u8]) -> RecordsReading {
    let mut reading = RecordsReading::default();
    let mut lines = bytes.split_inclusive(|byte| *byte == b'\n');
    let header = lines.next().unwrap_or_default();
    if header.strip_suffix(b"\n") != Some(HEADER.as_bytes()) {
        reading.mistake = Some(format!("the first line is not {HEADER}"));
        return reading;
    }
    for (place, line) in lines.enumerate() {
        let whole = line.strip_suffix(b"\n").ok_or("it has no end".to_owned());
        let parsed = whole.and_then(|line| {
            serde_json::from_slice::<RecordLine<Record, RecordKey>>(line)
                .map_err(|error| error.to_string())
        });
        match parsed {
            Ok(RecordLine::Remember(record)) => {
                reading.records.insert(record.key(), record);
            }
            Ok(RecordLine::Forget(key)) => {
                reading.records.remove(&key);
            }
            Err(reason) => {
                let mistake = || format!("line {}: {reason}", place + 2);
                reading.mistake.get_or_insert_with(mistake);
            }
        }
    }
    reading
}

/// A file that says just this.
pub(super) fn write<'a>(records: impl Iterator<Item = &'a Record>) -> String {
    let mut text = format!("{HEADER}\n");
    for record in records {
        text.extend(line_to_remember(record));
    }
    text
}
