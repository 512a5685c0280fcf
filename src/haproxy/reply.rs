//! What HAProxy's replies mean: facts read out of listings, and typed outcomes of commands.
//!
//! Pure. The texts are those of HAProxy's `src/ssl_ocsp.c`, `src/ssl_ckch.c` and `src/cli.c` from
//! 2.2 on; they carry no codes, so each is known by the words that stayed the same over the
//! versions. A success is believed only in exactly the words of that success; whatever is not known
//! becomes [`DeliveryError::UnexpectedReply`] with its first line.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::outcome::DeliveryError;

/// The SHA-1 hash of a certificate's DER, by which HAProxy shows what a store holds.
pub type Fingerprint = [u8; 20];

/// HAProxy's version, as far as it decides what can be asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version {
    /// As in the 3 of 3.2.
    pub major: u16,
    /// As in the 2 of 3.2.
    pub minor: u16,
}

/// How much a connection to HAProxy may do (`level` on the `stats socket` line).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Level {
    /// Looking at counters.
    User,
    /// Looking at everything, changing little: the default.
    Operator,
    /// Everything.
    Admin,
}

impl Level {
    /// The word haproxy.cfg has for it.
    pub fn word(self) -> &'static str {
        match self {
            Level::User => "user",
            Level::Operator => "operator",
            Level::Admin => "admin",
        }
    }
}

/// What `show info` says about the process at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Info {
    /// Its version.
    pub version: Version,
    /// Its process id.
    pub pid: u32,
    /// It has been told to go and only finishes its connections.
    pub stopping: bool,
}

/// What `show ssl cert <store>` says about a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreDetails {
    /// Which certificate it holds; `None` for an empty store.
    pub fingerprint: Option<Fingerprint>,
    /// Whether it has a place for a staple.
    pub slot: Slot,
}

/// Whether a certificate store has a place for a staple.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slot {
    /// It has.
    Present,
    /// It has none, so that a staple must be attached.
    Absent,
    /// HAProxy before 2.5 does not say.
    Unknown,
}

/// Reads the reply to `show info`; `None` where a field is missing, as from what is no HAProxy.
pub fn info(reply: &str) -> Option<Info> {
    Some(Info {
        version: version(field(reply, "Version:")?)?,
        pid: field(reply, "Pid:")?.parse().ok()?,
        stopping: field(reply, "Stopping:")? != "0",
    })
}

/// Reads the reply to `show cli level`.
pub fn cli_level(reply: &str) -> Option<Level> {
    [Level::User, Level::Operator, Level::Admin]
        .into_iter()
        .find(|level| reply.trim() == level.word())
}

/// The store names in the reply to `show ssl cert`; an open transaction's name is not among them.
pub fn certificates(reply: &str) -> Vec<String> {
    reply
        .lines()
        .skip_while(|line| *line != "# filename")
        .skip(1)
        .map(str::to_owned)
        .collect()
}

/// Reads the reply to `show ssl cert <store>`; `None` where there is no such store.
pub fn certificate(reply: &str) -> Option<StoreDetails> {
    field(reply, "Filename:")?;
    Some(StoreDetails {
        fingerprint: field(reply, "SHA1 FingerPrint:").and_then(fingerprint),
        slot: match field(reply, "OCSP Response Key:") {
            None => Slot::Unknown,
            Some("") => Slot::Absent,
            Some(_) => Slot::Present,
        },
    })
}

/// The CertIDs, in lower-case hexadecimal, in the reply to `show ssl ocsp-updates`.
pub fn ocsp_updates(reply: &str) -> Vec<String> {
    reply
        .lines()
        .filter_map(|line| line.split_once(" | "))
        .map(|(cert_id, _)| cert_id.trim().to_ascii_lowercase())
        .filter(|cert_id| {
            !cert_id.is_empty() && cert_id.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
        .collect()
}

/// The bytes in the reply to `show ssl ocsp-response base64`; `None` where HAProxy holds nothing.
pub fn ocsp_response_base64(reply: &str) -> Option<Vec<u8>> {
    STANDARD
        .decode(reply.trim())
        .ok()
        .filter(|response| !response.is_empty())
}

/// The signature in a response as OpenSSL prints it; `None` where HAProxy holds nothing.
///
/// The signature covers every fact in the response, so a response with the same signature is the
/// same response. OpenSSL 3 prints `Signature Value:` above it, OpenSSL 1.1 does not.
pub fn ocsp_response_signature(reply: &str) -> Option<Vec<u8>> {
    let mut signature = Vec::new();
    let lines = reply
        .lines()
        .skip_while(|line| !line.trim().starts_with("Signature Algorithm:"))
        .skip(1)
        .skip_while(|line| line.trim() == "Signature Value:");
    for line in lines {
        let bytes: Option<Vec<u8>> = line
            .trim()
            .split(':')
            .filter(|digits| !digits.is_empty())
            .map(|digits| u8::from_str_radix(digits, 16).ok())
            .collect();
        match bytes.filter(|bytes| !bytes.is_empty()) {
            Some(bytes) => signature.extend(bytes),
            None => break,
        }
    }
    Some(signature).filter(|signature| !signature.is_empty())
}

/// The outcome of `set ssl ocsp-response`.
///
/// # Errors
/// What HAProxy said instead of `OCSP Response updated!`.
pub fn updated(reply: &str) -> Result<(), DeliveryError> {
    match reply.trim() {
        "OCSP Response updated!" => Ok(()),
        other => Err(refusal(other)),
    }
}

/// The outcome of `set ssl cert <store>.ocsp`: only a transaction created for exactly this store is
/// ours. `Transaction updated` means that somebody else's was open.
///
/// # Errors
/// What HAProxy said instead.
pub fn transaction_created(reply: &str, store: &str) -> Result<(), DeliveryError> {
    if reply.trim() == format!("Transaction created for certificate {store}!") {
        return Ok(());
    }
    Err(refusal(reply))
}

/// The outcome of `commit ssl cert`.
///
/// # Errors
/// What HAProxy said instead of a line `Success!`, or the warning that it ignored the response
/// although it says so.
pub fn committed(reply: &str) -> Result<(), DeliveryError> {
    let ignored = reply
        .lines()
        .any(|line| line.contains("Content will be ignored"));
    let success = reply.lines().any(|line| line.trim() == "Success!");
    if success && !ignored {
        return Ok(());
    }
    Err(refusal(reply))
}

/// The store whose transaction is open, from the reply to
/// [`ask_for_transaction`](super::command::ask_for_transaction).
pub fn open_transaction(reply: &str) -> Option<&str> {
    let (_, rest) = reply.split_once("ongoing transaction is about '")?;
    rest.split_once('\'').map(|(store, _)| store)
}

/// The first line of a reply: what fits into a log line.
pub fn first_line(reply: &str) -> String {
    /// Enough for every message of HAProxy's with a long file name in it.
    const MAX_CHARACTERS: usize = 400;
    let line = reply.trim().lines().next().unwrap_or_default();
    line.chars().take(MAX_CHARACTERS).collect()
}

/// Words that tell a refusal, and what it is; the first match counts.
const REFUSALS: &[(&str, DeliveryError)] = &[
    (
        "does not match any certificate or issuer",
        DeliveryError::NoSlot,
    ),
    ("Permission denied", DeliveryError::PermissionDenied),
    ("currently locked", DeliveryError::Locked),
    (
        "ongoing transaction is about",
        DeliveryError::ForeignTransaction,
    ),
    (
        "Transaction updated for certificate",
        DeliveryError::ForeignTransaction,
    ),
    ("No ongoing transaction", DeliveryError::TransactionLost),
    (
        "not referenced by the configuration",
        DeliveryError::StoreGone,
    ),
    ("too big for the buffer", DeliveryError::TooBig),
    ("Must be valid during at least", DeliveryError::ShortLived),
    ("no longer valid", DeliveryError::Expired),
    (
        "certificate status is unknown",
        DeliveryError::StatusUnknown,
    ),
    ("missing nextupdate", DeliveryError::NextUpdateMissing),
    ("Invalid \"Next Update\"", DeliveryError::NextUpdateMissing),
    ("multiple single responses", DeliveryError::SeveralResponses),
    (
        "Certificate ID does not match",
        DeliveryError::OtherCertificate,
    ),
    ("Certificate ID", DeliveryError::CertIdUnusable),
    ("base64", DeliveryError::Malformed),
    ("Unable to parse OCSP response", DeliveryError::Malformed),
    ("status not successful", DeliveryError::Malformed),
    ("Failed to get", DeliveryError::Malformed),
    ("doesn't support OCSP stapling", DeliveryError::Unsupported),
    ("Unknown command", DeliveryError::Unsupported),
    ("Memory allocation", DeliveryError::OutOfMemory),
    ("memory", DeliveryError::OutOfMemory),
    ("issuer", DeliveryError::IssuerMissing),
];

fn refusal(reply: &str) -> DeliveryError {
    REFUSALS
        .iter()
        .find(|(words, _)| reply.contains(words))
        .map_or_else(
            || DeliveryError::UnexpectedReply(first_line(reply)),
            |(_, error)| error.clone(),
        )
}

fn field<'a>(reply: &'a str, name: &str) -> Option<&'a str> {
    reply
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::trim)
}

fn version(text: &str) -> Option<Version> {
    let mut numbers = text.split(['.', '-']);
    Some(Version {
        major: numbers.next()?.parse().ok()?,
        minor: numbers.next()?.parse().ok()?,
    })
}

fn fingerprint(text: &str) -> Option<Fingerprint> {
    let mut bytes = [0; 20];
    if text.len() != 2 * bytes.len() || !text.is_ascii() {
        return None;
    }
    for (position, byte) in bytes.iter_mut().enumerate() {
        let digits = text.get(2 * position..2 * position + 2)?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}
