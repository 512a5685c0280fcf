//! What HAProxy's replies mean: facts read out of listings, and typed outcomes of commands.
//!
//! Pure. The texts are those of HAProxy's `src/ssl_ocsp.c`, `src/ssl_ckch.c` and `src/cli.c` from
//! 2.2 on; they carry no codes, so each is known by the words that stayed the same over the
//! versions. A success is believed only in exactly the words of that success; an unknown reply
//! becomes [`DeliveryError::UnexpectedReply`] with its first line.

// What strangers have written is read here.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::command::CommandReply;
use super::error::DeliveryError;
use super::level::Level;
use super::versions::Release;
use crate::text::from_hexadecimal;
use crate::time::Timestamp;
use crate::x509::CertificateReference;

/// The SHA-1 hash of a certificate's DER, by which HAProxy shows what a store holds.
pub type Fingerprint = [u8; 20];

/// What `show info` says about the process at the other end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Info {
    /// Its version.
    pub release: Release,
    /// Its process id.
    pub pid: u32,
    /// When it was started, in seconds since 1970; 2.4 and later say it.
    pub started: Option<u64>,
    /// For how many seconds it has been running.
    pub uptime: Option<u64>,
    /// The machine's name, as HAProxy has it.
    pub node: String,
    /// Its threads.
    pub threads: Option<u32>,
    /// The processes that share its configuration and its work (`nbproc`, up to 2.4).
    pub processes: Option<u32>,
    /// It has been told to go and only finishes its connections.
    pub stopping: bool,
}

/// What `show ssl cert <store>` says about a store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreDetails {
    /// Which certificate it holds; `None` for an empty store.
    pub certificate: Option<CertificateReference>,
    /// Whether it has a place for a staple.
    pub slot: Slot,
    /// Why no more is believed of the reply than what stands before the names in the certificate,
    /// which are printed as they are: its serial number.
    pub doubt: Option<Doubt>,
}

/// Why a description of a certificate is not believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Doubt {
    /// It is as long as HAProxy's buffer, so that something may be missing anywhere.
    #[error("HAProxy cuts the description of this certificate at tune.bufsize")]
    Cut,
    /// A field that HAProxy prints once stands in it twice.
    #[error(
        "the certificate's names imitate HAProxy's own words: '{0}' stands twice in its description"
    )]
    Twice(&'static str),
    /// The fingerprint does not stand where HAProxy prints it.
    #[error(
        "the certificate's names imitate HAProxy's own words: a fingerprint stands where HAProxy prints none"
    )]
    Misplaced,
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

/// The smallest buffer HAProxy can be given (`tune.bufsize`), and what is assumed where it does
/// not tell.
pub const SMALLEST_BUFFER: usize = 1024;

/// How many bytes a buffer of HAProxy's has, from the reply to `show pools`.
pub fn buffer_size(reply: &str) -> Option<usize> {
    let (_, size) = reply.split_once("Pool buffer (")?;
    size.split(' ').next()?.parse().ok()
}

/// Reads the reply to `show info`; `None` where a field is missing, as from what is no HAProxy.
pub fn info(reply: &str) -> Option<Info> {
    Some(Info {
        release: Release::read(field(reply, "Version:")?, field(reply, "Release_date:"))?,
        pid: field(reply, "Pid:")?.parse().ok()?,
        started: number(reply, "Start_time_sec:"),
        uptime: number(reply, "Uptime_sec:"),
        node: field(reply, "node:").unwrap_or_default().to_owned(),
        threads: number(reply, "Nbthread:"),
        processes: number(reply, "Nbproc:"),
        stopping: field(reply, "Stopping:")? != "0",
    })
}

/// Reads the reply to `show env`. A line that begins as no variable does belongs to the one before.
/// A name that stands there twice stands in another variable's value once, and is left out.
pub fn environment(reply: &str) -> Option<BTreeMap<String, String>> {
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut twice: Vec<String> = Vec::new();
    let mut last: Option<String> = None;
    for line in reply.lines() {
        let variable = line.split_once('=').filter(|(name, _)| is_variable(name));
        match (variable, &last) {
            (Some((name, value)), _) => {
                let before = variables.insert(name.to_owned(), value.to_owned());
                twice.extend(before.map(|_| name.to_owned()));
                last = Some(name.to_owned());
            }
            (None, Some(name)) => {
                let value = variables.entry(name.clone()).or_default();
                value.push('\n');
                value.push_str(line);
            }
            (None, None) => return None,
        }
    }
    variables.retain(|name, _| !twice.contains(name));
    last.is_some().then_some(variables)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || it == b'_')
}

/// The features in the reply to `show dev`, and whether each is built in.
pub fn features(reply: &str) -> Option<BTreeMap<String, bool>> {
    let mut lines = reply
        .lines()
        .skip_while(|line| !line.starts_with("Features"));
    let words = lines.nth(1)?.split_whitespace();
    let features = words.filter_map(|word| {
        let without = word.strip_prefix('-').map(|name| (name, false));
        let (name, is_there) = word
            .strip_prefix('+')
            .map(|name| (name, true))
            .or(without)?;
        Some((name.to_owned(), is_there))
    });
    Some(features.collect()).filter(|features: &BTreeMap<_, _>| !features.is_empty())
}

/// The TLS library in the reply to `show dev`.
pub fn library(reply: &str) -> Option<String> {
    let mut lines = reply.lines().map(str::trim);
    let line = lines.find(|line| line.starts_with("Running on "))?;
    Some(line.split_once(" version : ")?.1.to_owned())
}

/// Reads the reply to `show cli level`.
pub fn cli_level(reply: &str) -> Option<Level> {
    [Level::User, Level::Operator, Level::Admin]
        .into_iter()
        .find(|level| reply.trim() == level.word())
}

/// The store names in the reply to `show ssl cert`; an open transaction's name is not among them.
///
/// # Errors
/// What HAProxy said instead of a list: mostly [`DeliveryError::Locked`], while another command
/// works on certificates.
pub fn certificates(reply: &str) -> Result<Vec<String>, DeliveryError> {
    let mut lines = reply.lines().skip_while(|line| *line != "# filename");
    if lines.next().is_none() {
        return Err(refusal(reply));
    }
    let named = lines.filter(|line| !line.is_empty());
    Ok(named.map(str::to_owned).collect())
}

/// The parts of a bundle, as HAProxy 2.2 lists one: `a.pem: a.pem.ecdsa a.pem.rsa`.
pub fn bundle(listed: &str) -> Option<Vec<String>> {
    let (name, parts) = listed.rsplit_once(": ")?;
    let before_kind = format!(" {name}.");
    let spaced = format!(" {parts}");
    let (_, kinds) = spaced
        .split_once(&before_kind)
        .filter(|(before, _)| before.is_empty())?;
    let kinds: Vec<&str> = kinds.split(&before_kind).collect();
    let are_known = kinds
        .iter()
        .all(|kind| matches!(*kind, "rsa" | "ecdsa" | "dsa"));
    are_known.then(|| kinds.iter().map(|kind| format!("{name}.{kind}")).collect())
}

/// Fields that HAProxy prints at most once for a certificate, each at the start of a line.
const FIELDS: [&str; 6] = [
    "Filename:",
    "Status:",
    SERIAL,
    ALGORITHM,
    FINGERPRINT,
    RESPONSE_KEY,
];
const SERIAL: &str = "Serial:";
const NAMES: &str = "Subject Alternative Name:";
const ALGORITHM: &str = "Algorithm:";
const FINGERPRINT: &str = "SHA1 FingerPrint:";
const RESPONSE_KEY: &str = "OCSP Response Key:";

/// HAProxy leaves out a piece that has no room left, and goes on with the next. No piece that is
/// read here is longer than this, so that a reply with this much room left has them all.
const LONGEST_FIELD: usize = 512;

/// Reads the reply to `show ssl cert <store>` of a HAProxy whose buffers have `buffer_size` bytes.
///
/// # Errors
/// [`DeliveryError::StoreGone`], [`DeliveryError::Locked`], or what else HAProxy said instead.
pub fn certificate(
    reply: &CommandReply,
    buffer_size: usize,
) -> Result<StoreDetails, DeliveryError> {
    if !reply.text.starts_with("Filename:") {
        return Err(refusal(&reply.text));
    }
    let text = &reply.text;
    let is_cut = reply.length.saturating_add(LONGEST_FIELD) > buffer_size;
    let doubt = is_cut.then_some(Doubt::Cut).or_else(|| doubt(text));
    Ok(match doubt {
        Some(_) => StoreDetails {
            certificate: shown_serial(text),
            slot: Slot::Unknown,
            doubt,
        },
        None => StoreDetails {
            certificate: shown_fingerprint(text).or_else(|| shown_serial(text)),
            slot: shown_slot(text),
            doubt,
        },
    })
}

/// What in a complete description contradicts the way in which HAProxy writes them.
fn doubt(text: &str) -> Option<Doubt> {
    let twice = FIELDS
        .into_iter()
        .find(|name| fields(text, name).nth(1).is_some());
    if let Some(name) = twice {
        return Some(Doubt::Twice(name));
    }
    // For a key whose algorithm HAProxy has no name for, it prints neither name nor fingerprint.
    let mut lines = text.lines().skip_while(|line| !line.starts_with(ALGORITHM));
    let has_algorithm = lines.next().is_some_and(|line| {
        let algorithm = line.trim_start_matches(ALGORITHM).trim();
        !algorithm.is_empty() && !algorithm.starts_with(RESPONSE_KEY)
    });
    let is_next = lines
        .next()
        .is_some_and(|line| line.starts_with(FINGERPRINT));
    let is_there = fields(text, FINGERPRINT).next().is_some();
    (is_there != (has_algorithm && is_next)).then_some(Doubt::Misplaced)
}

fn shown_fingerprint(text: &str) -> Option<CertificateReference> {
    let octets = from_hexadecimal(fields(text, FINGERPRINT).next()?)?;
    Some(CertificateReference::Fingerprint(octets.try_into().ok()?))
}

/// The serial number stands before everything that others choose.
fn shown_serial(text: &str) -> Option<CertificateReference> {
    let mut lines = text.lines().take_while(|line| !line.starts_with(NAMES));
    let octets = from_hexadecimal(lines.find_map(|line| line.strip_prefix(SERIAL))?.trim())?;
    Some(CertificateReference::serial(&octets)).filter(|_| !octets.is_empty())
}

fn shown_slot(text: &str) -> Slot {
    match fields(text, RESPONSE_KEY).next() {
        None => Slot::Unknown,
        Some("") => Slot::Absent,
        Some(_) => Slot::Present,
    }
}

/// What stands behind `name` in all lines that begin with it. The response key is not always at the
/// start of a line: without a name for the algorithm it follows in the same.
fn fields<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter_map(move |line| {
        let line = match line.strip_prefix(ALGORITHM) {
            Some(rest) if name == RESPONSE_KEY => rest.trim_start(),
            _ => line,
        };
        line.strip_prefix(name).map(str::trim)
    })
}

/// Why a question for a response that HAProxy should hold does not bring it.
pub fn not_held(reply: &str) -> DeliveryError {
    match refusal(reply) {
        error @ (DeliveryError::Locked | DeliveryError::NoSlot) => error,
        _ => DeliveryError::NotHeld,
    }
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

/// thisUpdate and nextUpdate of the first single response, as OpenSSL prints them
/// (`Nov  5 08:30:00 2026 GMT`).
pub fn ocsp_response_period(reply: &str) -> Option<(Timestamp, Timestamp)> {
    let date = |name: &str| {
        let mut lines = reply.lines().map(str::trim);
        printed_time(lines.find_map(|line| line.strip_prefix(name))?)
    };
    Some((date("This Update:")?, date("Next Update:")?))
}

/// A time as OpenSSL's `ASN1_GENERALIZEDTIME_print` writes it.
fn printed_time(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let words: Vec<&str> = text.split_whitespace().collect();
    let &[month, day, time, year, "GMT"] = &words[..] else {
        return None;
    };
    let month = (1..).zip(MONTHS).find(|(_, name)| *name == month)?.0;
    // A fraction of a second is of no use here.
    let time = time.split('.').next()?;
    let (year, day): (u16, u8) = (year.parse().ok()?, day.parse().ok()?);
    Timestamp::parse_rfc3339(&format!("{year:04}-{month:02}-{day:02}T{time}Z")).ok()
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

/// The outcome of the first `set ssl cert <store>.…` of a transaction: only a transaction created
/// for exactly this store is ours. `Transaction updated` means that another client's was open.
///
/// # Errors
/// What HAProxy said instead.
pub fn transaction_created(reply: &str, store: &str) -> Result<(), DeliveryError> {
    if reply.trim() == format!("Transaction created for certificate {store}!") {
        return Ok(());
    }
    Err(refusal(reply))
}

/// Whether a transaction for this store was created. The rest of the reply is ignored.
pub fn mentions_creation(reply: &str, store: &str) -> bool {
    let created = format!("Transaction created for certificate {store}!");
    reply.lines().any(|line| line.trim() == created)
}

/// Whether the reply to `abort ssl cert` shows that this store's transaction is open no more: it
/// was aborted, there is none, or the one there is is another's.
pub fn transaction_is_over(reply: &str, store: &str) -> bool {
    reply.trim() == format!("Transaction aborted for certificate '{store}'!")
        || matches!(open_transaction(reply), Ok(open) if open != Some(store))
}

/// The store whose transaction is open, in the reply to `show ssl cert`.
pub fn listed_transaction(reply: &str) -> Option<&str> {
    let mut lines = reply.lines();
    let transaction = lines.next().filter(|line| *line == "# transaction");
    transaction.and(lines.next()?.strip_prefix('*'))
}

/// The outcome of a further `set ssl cert <store>.…` in this session's own transaction.
///
/// # Errors
/// What HAProxy said instead.
pub fn transaction_updated(reply: &str, store: &str) -> Result<(), DeliveryError> {
    if reply.trim() == format!("Transaction updated for certificate {store}!") {
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

/// Whether HAProxy tried to commit and could not, as distinct from not having tried.
pub fn commit_failed(reply: &str) -> bool {
    reply
        .lines()
        .any(|line| line.trim_end().ends_with("Failed!"))
}

/// The store whose transaction is open, from the reply to
/// [`ask_for_transaction`](super::command::ask_for_transaction); `None` only where HAProxy says
/// that there is none.
///
/// # Errors
/// What HAProxy said instead: mostly [`DeliveryError::Locked`], which says nothing about it.
pub fn open_transaction(reply: &str) -> Result<Option<&str>, DeliveryError> {
    if reply.trim() == "No ongoing transaction!" {
        return Ok(None);
    }
    let named = reply
        .split_once("ongoing transaction is about '")
        // A name may hold a quote of its own; the words after it are HAProxy's.
        .and_then(|(_, rest)| rest.split_once("' but you are trying to"));
    named.map_or_else(|| Err(refusal(reply)), |(store, _)| Ok(Some(store)))
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
    ("does not match any certificate", DeliveryError::NoSlot),
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
    (
        "Can't display the certificate: Not found",
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

fn number<T: std::str::FromStr>(reply: &str, name: &str) -> Option<T> {
    field(reply, name)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_known_by_its_parts() {
        for (listed, parts) in [
            (
                "/a b.pem: /a b.pem.ecdsa /a b.pem.rsa",
                Some(vec!["/a b.pem.ecdsa", "/a b.pem.rsa"]),
            ),
            ("a: a.dsa", Some(vec!["a.dsa"])),
            ("a: b.dsa", None),
            ("a: a.pem", None),
            ("a: ", None),
            ("a.pem.rsa", None),
        ] {
            let parts = parts.map(|parts| parts.into_iter().map(str::to_owned).collect());
            assert_eq!(bundle(listed), parts, "{listed}");
        }
    }

    #[test]
    fn what_a_process_says_of_itself_is_read() {
        let reply = "A=1\nB=a b\nc d\n\ne\nEMPTY=\n2=x\n";
        let variables = environment(reply).unwrap();
        let expected = [("A", "1"), ("B", "a b\nc d\n\ne"), ("EMPTY", "\n2=x")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(variables, expected.into());
        assert_eq!(environment("Permission denied\n"), None);
        let reply = "HAProxy version 3.0.11\nFeatures\n  -PCRE +QUIC\nBuild options\n  \
            Running on OpenSSL version : OpenSSL 3.5.7 9 Jun 2026\n";
        let expected = [("PCRE", false), ("QUIC", true)];
        let expected = expected.map(|(name, is_there)| (name.to_owned(), is_there));
        assert_eq!(features(reply), Some(expected.into()));
        assert_eq!(library(reply).as_deref(), Some("OpenSSL 3.5.7 9 Jun 2026"));
        assert_eq!(features("Unknown command.\n"), None);
    }

    #[test]
    fn info_tells_version_process_and_whether_it_is_stopping() {
        let reply = "Name: HAProxy\nVersion: 3.2.26-1\nRelease_date: 2026/10/14\nNbthread: 2\n\
                     Nbproc: 1\nPid: 11439\nUptime_sec: 7\nnode: vm\nStopping: 1\n\
                     Start_time_sec: 1795277792\n";
        let expected = Info {
            release: Release::read("3.2.26-1", Some("2026/10/14")).unwrap(),
            pid: 11439,
            started: Some(1_795_277_792),
            uptime: Some(7),
            node: "vm".to_owned(),
            threads: Some(2),
            processes: Some(1),
            stopping: true,
        };
        assert_eq!(info(reply), Some(expected));
        assert_eq!(info("Name: HAProxy\nVersion: 3.5-dev5\nPid: 1\n"), None);
        let reply = "Version: 3.5-dev5-abc\nPid: 1\nStopping: 0";
        let release = Release::read("3.5-dev5-abc", None);
        assert_eq!(info(reply).map(|info| info.release), release);
    }

    #[test]
    fn the_list_of_certificates_leaves_out_an_open_transaction() {
        let reply = "# transaction\n*/c/a.pem\n# filename\n/c/a.pem\n/c/b c.pem\n@store/alias\n";
        assert_eq!(
            certificates(reply).unwrap(),
            ["/c/a.pem", "/c/b c.pem", "@store/alias"]
        );
        assert!(certificates("# filename").unwrap().is_empty());
        for (refused, error) in [
            ("Permission denied", DeliveryError::PermissionDenied),
            (
                "Can't list SSL certificates\nOperations on certificates are currently locked!",
                DeliveryError::Locked,
            ),
        ] {
            assert_eq!(certificates(refused), Err(error));
        }
    }

    #[test]
    fn a_store_tells_its_certificate_and_whether_it_has_a_slot() {
        for (key, slot) in [
            ("", Slot::Unknown),
            ("\nOCSP Response Key: ", Slot::Absent),
            ("\nOCSP Response Key: 30413009", Slot::Present),
        ] {
            let expected = StoreDetails {
                certificate: Some(CertificateReference::Fingerprint([0xab; 20])),
                slot,
                doubt: None,
            };
            assert_eq!(described(&with_names("DNS:a", key)), Ok(expected));
        }
        // The algorithm of an Ed25519 key has no name; 2.2 breaks off there.
        for (end, slot) in [("OCSP Response Key: ", Slot::Absent), ("", Slot::Unknown)] {
            let text = format!(
                "Filename: /c/a.pem\nStatus: Used\nSerial: 0A\nSubject Alternative Name: DNS:e\nAlgorithm: {end}"
            );
            let expected = StoreDetails {
                certificate: Some(CertificateReference::serial(&[0x0a])),
                slot,
                doubt: None,
            };
            assert_eq!(described(&text), Ok(expected));
        }
        let missing = "Can't display the certificate: Not found or the certificate is a bundle!";
        assert_eq!(described(missing), Err(DeliveryError::StoreGone));
        let locked = "Can't display the certificate: Not found or the certificate is a bundle!\nOperations on certificates are currently locked!";
        assert_eq!(described(locked), Err(DeliveryError::Locked));
        let empty = described("Filename: new.pem\nStatus: Empty").unwrap();
        assert_eq!(empty.certificate, None);
    }

    /// A description as of 3.0, of a certificate with these names.
    fn with_names(names: &str, key: &str) -> String {
        format!(
            "Filename: /c/a.pem\nStatus: Used\nSerial: 0A\nnotBefore: Nov 20 16:29:17 2026 GMT\n\
             notAfter: Dec 21 16:29:17 2026 GMT\nSubject Alternative Name: {names}\nAlgorithm: EC256\n\
             SHA1 FingerPrint: {}\nSubject: /CN=a\nIssuer: /CN=CA{key}",
            "AB".repeat(20)
        )
    }

    fn reply(text: &str, length: usize) -> CommandReply {
        CommandReply {
            text: text.to_owned(),
            raw: text.to_owned().into_bytes().into(),
            length,
        }
    }

    fn described(text: &str) -> Result<StoreDetails, DeliveryError> {
        certificate(&reply(text, text.len()), 16384)
    }

    #[test]
    fn of_a_description_that_contradicts_itself_only_the_serial_number_is_believed() {
        let foreign = "CD".repeat(20);
        for names in [
            format!("DNS:x\nSHA1 FingerPrint: {foreign}"),
            format!("DNS:x\nSHA1 FingerPrint: {foreign}\nOCSP Response Key: "),
            "DNS:x\nOCSP Response Key: 3041".to_owned(),
            "DNS:x\nSerial: 0B".to_owned(),
            "DNS:x\nFilename: /c/b.pem".to_owned(),
            "DNS:x\nAlgorithm: OCSP Response Key: 3041".to_owned(),
            format!("DNS:x\nAlgorithm: EC256\nSHA1 FingerPrint: {foreign}"),
        ] {
            let details = described(&with_names(&names, "\nOCSP Response Key: 30413009")).unwrap();
            assert!(details.doubt.is_some(), "{names:?}");
            let serial = CertificateReference::serial(&[0x0a]);
            assert_eq!(details.certificate, Some(serial), "{names:?}");
            assert_eq!(details.slot, Slot::Unknown);
        }
        // Without a name for the algorithm there is no fingerprint, so that this is the only one.
        for algorithm in ["", "OCSP Response Key: "] {
            let text = format!(
                "Filename: a\nSerial: 0A\nSubject Alternative Name: DNS:x\nSHA1 FingerPrint: {foreign}\nAlgorithm: {algorithm}"
            );
            assert_eq!(described(&text).unwrap().doubt, Some(Doubt::Misplaced));
        }
        let harmless = with_names("DNS:x\n\nSerial 0B, DNS:SHA1 FingerPrint: 00", "");
        assert_eq!(described(&harmless).unwrap().doubt, None);
    }

    #[test]
    fn nothing_is_concluded_from_what_a_cut_description_lacks() {
        const BUFFER: usize = 16384;
        let whole = with_names("DNS:a", "\nOCSP Response Key: 30413009");
        let doubt = |length| certificate(&reply(&whole, length), BUFFER).unwrap().doubt;
        for length in [BUFFER - LONGEST_FIELD + 1, BUFFER - 1, BUFFER, BUFFER + 1] {
            assert_eq!(doubt(length), Some(Doubt::Cut));
        }
        assert_eq!(doubt(BUFFER - LONGEST_FIELD), None);
    }

    #[test]
    fn the_size_of_buffers_is_among_those_of_other_pools() {
        for (line, size) in [
            ("  - Pool buffer (16384 bytes) : 5 allocated", Some(16384)),
            ("  - Pool buffer (2048 bytes/64) : 16 allocated", Some(2048)),
            ("  - Pool trash (16416 bytes) : 2 allocated", None),
        ] {
            assert_eq!(
                buffer_size(&format!("Dumping pools usage.\n{line}\n")),
                size
            );
        }
    }

    #[test]
    fn where_haproxy_stops_after_the_serial_number_that_is_what_tells_the_certificate() {
        let reply = |key: &str| {
            format!(
                "Filename: /c/a.pem\nStatus: Used\nSerial: 1037AE\nnotBefore: Nov 19 09:14:06 2026 GMT\n\
                 Subject Alternative Name: DNS:a\nAlgorithm: OCSP Response Key: {key}\n"
            )
        };
        for (key, slot) in [("", Slot::Absent), ("30413009", Slot::Present)] {
            let expected = StoreDetails {
                certificate: Some(CertificateReference::serial(&[0x10, 0x37, 0xae])),
                slot,
                doubt: None,
            };
            assert_eq!(described(&reply(key)), Ok(expected));
        }
    }

    #[test]
    fn a_signature_is_read_from_what_either_openssl_prints() {
        let openssl_3 = "    Next Update: Nov 23 08:47:00 2026 GMT\n \n    Signature Algorithm: ecdsa-with-SHA256\n    Signature Value:\n        30:45:02:\n        01:ff\nCertificate:\n    Signature Algorithm: other\n        aa:bb";
        let openssl_1 = "    Signature Algorithm: sha256WithRSAEncryption\n         30:45:02:\n         01:ff\n";
        for text in [openssl_3, openssl_1] {
            assert_eq!(
                ocsp_response_signature(text),
                Some(vec![0x30, 0x45, 0x02, 0x01, 0xff])
            );
        }
        let nothing = "Certificate ID does not match any certificate.";
        assert_eq!(ocsp_response_signature(nothing), None);
        assert_eq!(ocsp_response_signature(""), None);
    }

    #[test]
    fn only_base64_is_taken_for_a_dump() {
        assert_eq!(ocsp_response_base64("MAA=\n"), Some(vec![0x30, 0x00]));
        for nothing in ["", "Certificate ID or path does not match any certificate."] {
            assert_eq!(ocsp_response_base64(nothing), None);
        }
    }

    #[test]
    fn every_known_answer_to_a_push_is_understood() {
        assert_eq!(updated("OCSP Response updated!"), Ok(()));
        for (reply, error) in [
            (
                "'set ssl ocsp-response' expects response in base64 encoding.",
                DeliveryError::Malformed,
            ),
            (
                "'set ssl ocsp-response' received invalid base64 encoded response.",
                DeliveryError::Malformed,
            ),
            ("Unable to parse OCSP response.", DeliveryError::Malformed),
            (
                "OCSP response status not successful.",
                DeliveryError::Malformed,
            ),
            (
                "Failed to get basic response from OCSP Response.",
                DeliveryError::Malformed,
            ),
            (
                "OCSP response ignored because contains multiple single responses (2).",
                DeliveryError::SeveralResponses,
            ),
            (
                "Failed to get OCSP single response.",
                DeliveryError::Malformed,
            ),
            (
                "OCSP single response: certificate status is unknown.",
                DeliveryError::StatusUnknown,
            ),
            (
                "OCSP single response: missing nextupdate.",
                DeliveryError::NextUpdateMissing,
            ),
            (
                "OCSP single response: no longer valid..",
                DeliveryError::Expired,
            ),
            (
                "OCSP single response: no longer valid. Must be valid during at least 300s..",
                DeliveryError::ShortLived,
            ),
            (
                "OCSP single response: Unable to encode Certificate ID.",
                DeliveryError::CertIdUnusable,
            ),
            (
                "OCSP single response: Certificate ID too long.",
                DeliveryError::CertIdUnusable,
            ),
            (
                "OCSP single response: Certificate ID does not match any certificate or issuer.",
                DeliveryError::NoSlot,
            ),
            (
                "OCSP response: Memory allocation error.",
                DeliveryError::OutOfMemory,
            ),
            (
                "OCSP single response: Invalid \"Next Update\" time.",
                DeliveryError::NextUpdateMissing,
            ),
            (
                "HAProxy was compiled against a version of OpenSSL that doesn't support OCSP stapling.",
                DeliveryError::Unsupported,
            ),
            ("Permission denied", DeliveryError::PermissionDenied),
            (
                "The command line is too big for the buffer size. Please change 'tune.bufsize' in the configuration to use a bigger command.",
                DeliveryError::TooBig,
            ),
            (
                "Unknown command: 'set ssl ocsp-response', but maybe one of the following ones is a better match:\n  quit",
                DeliveryError::Unsupported,
            ),
            (
                "Failed to update OCSP response.",
                DeliveryError::UnexpectedReply("Failed to update OCSP response.".to_owned()),
            ),
            ("", DeliveryError::UnexpectedReply(String::new())),
            (
                "OCSP Response updated! Or not.",
                DeliveryError::UnexpectedReply("OCSP Response updated! Or not.".to_owned()),
            ),
        ] {
            assert_eq!(updated(reply), Err(error), "{reply}");
        }
    }

    #[test]
    fn every_known_answer_to_a_transaction_is_understood() {
        let created = "Transaction created for certificate /c/a.pem!";
        assert_eq!(transaction_created(created, "/c/a.pem"), Ok(()));
        for (reply, error) in [
            (
                "Transaction created for certificate /c/b.pem!",
                DeliveryError::UnexpectedReply(
                    "Transaction created for certificate /c/b.pem!".to_owned(),
                ),
            ),
            (
                "Transaction updated for certificate /c/a.pem!",
                DeliveryError::ForeignTransaction,
            ),
            (
                "The ongoing transaction is about '/c/b.pem' but you are trying to set '/c/a.pem'\nCan't update /c/a.pem.ocsp!",
                DeliveryError::ForeignTransaction,
            ),
            (
                "Can't replace a certificate which is not referenced by the configuration!\nCan't update /c/a.pem.ocsp!",
                DeliveryError::StoreGone,
            ),
            (
                "Error reading OCSP response in base64 formatCan't load the payload\nCan't update /c/a.pem.ocsp!",
                DeliveryError::Malformed,
            ),
            (
                "Can't update the certificate!\nOperations on certificates are currently locked!",
                DeliveryError::Locked,
            ),
            ("Permission denied", DeliveryError::PermissionDenied),
        ] {
            assert_eq!(
                transaction_created(reply, "/c/a.pem"),
                Err(error),
                "{reply}"
            );
        }
    }

    #[test]
    fn every_known_answer_to_a_commit_is_understood() {
        assert_eq!(committed("Committing /c/a.pem..\nSuccess!"), Ok(()));
        for (reply, error) in [
            (
                "Committing /c/a.pem.\nLoading: OCSP single response: Certificate ID does not match certificate and issuer. Content will be ignored.\nSuccess!",
                DeliveryError::OtherCertificate,
            ),
            (
                "Committing /c/a.pem.\nLoading: OCSP single response: no longer valid.. Content will be ignored.\nSuccess!",
                DeliveryError::Expired,
            ),
            (
                "No ongoing transaction! !\nCan't commit /c/a.pem!",
                DeliveryError::TransactionLost,
            ),
            (
                "The ongoing transaction is about '/c/b.pem' but you are trying to set '/c/a.pem'\nCan't commit /c/a.pem!",
                DeliveryError::ForeignTransaction,
            ),
            (
                "Can't commit the certificate!\nOperations on certificates are currently locked!",
                DeliveryError::Locked,
            ),
            (
                "Committing /c/a.pem\n/c/a.pem: '/c/a.pem.issuer' has an OCSP URI but an issuer is missing\nFailed!",
                DeliveryError::IssuerMissing,
            ),
        ] {
            assert_eq!(committed(reply), Err(error), "{reply}");
        }
    }

    #[test]
    fn the_open_transaction_is_named_whoever_is_refused() {
        let reply = "The ongoing transaction is about '/c/b.pem' but you are trying to abort a transaction for '/dev/null/x'";
        assert_eq!(open_transaction(reply), Ok(Some("/c/b.pem")));
        let quote = "The ongoing transaction is about '/c/o'b.pem' but you are trying to abort a transaction for 'x'";
        assert_eq!(open_transaction(quote), Ok(Some("/c/o'b.pem")));
        assert_eq!(open_transaction("No ongoing transaction!"), Ok(None));
        let listed = "# transaction\n*/c/a b.pem\n# filename\n/c/a b.pem\n";
        assert_eq!(listed_transaction(listed), Some("/c/a b.pem"));
        assert_eq!(listed_transaction("# filename\n*a.pem\n"), None);
    }

    #[test]
    fn a_transaction_is_over_only_where_haproxy_says_so() {
        let locked = "Can't abort!\nOperations on certificates are currently locked!";
        assert_eq!(open_transaction(locked), Err(DeliveryError::Locked));
        for (reply, is_over) in [
            ("Transaction aborted for certificate '/c/a.pem'!", true),
            ("No ongoing transaction!", true),
            (
                "The ongoing transaction is about '/c/b.pem' but you are trying to abort a transaction for '/c/a.pem'",
                true,
            ),
            (locked, false),
            ("Permission denied", false),
            ("", false),
        ] {
            assert_eq!(transaction_is_over(reply, "/c/a.pem"), is_over, "{reply}");
        }
    }

    #[test]
    fn a_log_line_gets_one_line_of_a_reply() {
        assert_eq!(first_line("one\ntwo"), "one");
        assert_eq!(first_line(&"x".repeat(10_000)).len(), 400);
    }

    #[test]
    fn the_dates_of_a_response_are_read_as_openssl_prints_them() {
        let printed = |this_update: &str, next_update: &str| {
            let text = format!(
                "OCSP Response Data:\n    Produced At: Nov 20 08:00:00 2026 GMT\n    Cert Status: good\n    \
                 This Update: {this_update}\n    Next Update: {next_update}\n"
            );
            ocsp_response_period(&text).map(|(from, until)| format!("{from} {until}"))
        };
        assert_eq!(
            printed("Nov  5 08:30:00 2026 GMT", "Nov 12 08:30:00.5 2026 GMT").as_deref(),
            Some("2026-11-05T08:30:00Z 2026-11-12T08:30:00Z")
        );
        for nonsense in [
            "",
            "Bad time value",
            "Nov 31 08:30:00 2026 GMT",
            "Nov 5 08:30 2026 GMT",
        ] {
            assert_eq!(printed(nonsense, "Nov 12 08:30:00 2026 GMT"), None);
        }
        assert_eq!(
            ocsp_response_period("This Update: Nov  5 08:30:00 2026 GMT"),
            None
        );
    }

    /// Seen from 2.2 to 3.4: a value's line feeds are printed as they are.
    #[test]
    fn a_variable_that_another_ones_value_imitates_is_not_taken() {
        let read = environment("A=1\nB=x\nC=2\nC=3\nD=4").unwrap();
        let names: Vec<&str> = read.keys().map(String::as_str).collect();
        assert_eq!(names, ["A", "B", "D"]);
    }
}
