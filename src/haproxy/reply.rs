//! What HAProxy's replies mean: facts read out of listings, and typed outcomes of commands.
//!
//! Pure. The texts are those of HAProxy's `src/ssl_ocsp.c`, `src/ssl_ckch.c` and `src/cli.c` from
//! 2.2 on; they carry no codes, so each is known by the words that stayed the same over the
//! versions. A success is believed only in exactly the words of that success; whatever is not known
//! becomes [`DeliveryError::UnexpectedReply`] with its first line.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::outcome::DeliveryError;
use super::versions::Release;
use crate::time::Timestamp;
use crate::x509::CertificateReference;

/// The SHA-1 hash of a certificate's DER, by which HAProxy shows what a store holds.
pub type Fingerprint = [u8; 20];

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
    Ok(lines.map(str::to_owned).collect())
}

/// Reads the reply to `show ssl cert <store>`.
///
/// # Errors
/// [`DeliveryError::StoreGone`], [`DeliveryError::Locked`], or what else HAProxy said instead.
pub fn certificate(reply: &str) -> Result<StoreDetails, DeliveryError> {
    if field(reply, "Filename:").is_none() {
        return Err(refusal(reply));
    }
    Ok(StoreDetails {
        certificate: shown_certificate(reply),
        // Not always at the start of a line: for an Ed25519 key it follows an empty algorithm.
        slot: match reply.split_once("OCSP Response Key:") {
            None => Slot::Unknown,
            Some((_, key)) if key.lines().next().is_none_or(|key| key.trim().is_empty()) => {
                Slot::Absent
            }
            Some(_) => Slot::Present,
        },
    })
}

/// The fingerprint, or the serial number where HAProxy shows no more (Ed25519 keys).
fn shown_certificate(reply: &str) -> Option<CertificateReference> {
    if let Some(shown) = field(reply, "SHA1 FingerPrint:") {
        let octets = hexadecimal(shown)?.try_into().ok()?;
        return Some(CertificateReference::Fingerprint(octets));
    }
    let octets = hexadecimal(field(reply, "Serial:")?)?;
    Some(CertificateReference::serial(&octets)).filter(|_| !octets.is_empty())
}

/// Whether HAProxy refused because another command works on certificates at this moment.
pub fn locked(reply: &str) -> bool {
    reply.contains("are currently locked")
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
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
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

/// The outcome of the first `set ssl cert <store>.…` of a transaction: only a transaction created for exactly this store is
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

/// Whether a transaction for this store was created, whatever else the reply says.
pub fn mentions_creation(reply: &str, store: &str) -> bool {
    let created = format!("Transaction created for certificate {store}!");
    reply.lines().any(|line| line.trim() == created)
}

/// Whether the reply to `abort ssl cert` shows that this store's transaction is open no more: it was
/// aborted, there is none, or the one there is is another's.
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
/// [`ask_for_transaction`](super::command::ask_for_transaction); `None` only where HAProxy says that
/// there is none.
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

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len())
        .step_by(2)
        .map(|position| u8::from_str_radix(text.get(position..position + 2)?, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let reply = |key: &str| {
            format!(
                "Filename: /c/a.pem\nStatus: Used\nSHA1 FingerPrint: \
                 00112233445566778899AABBCCDDEEFF00112233\nSubject: /CN=a{key}"
            )
        };
        let mut print = [0; 20];
        for (position, byte) in print.iter_mut().enumerate() {
            *byte = 0x11 * u8::try_from(position % 16).unwrap();
        }
        for (key, slot) in [
            ("", Slot::Unknown),
            ("\nOCSP Response Key: ", Slot::Absent),
            ("\nOCSP Response Key: 30413009", Slot::Present),
        ] {
            let expected = StoreDetails {
                certificate: Some(CertificateReference::Fingerprint(print)),
                slot,
            };
            assert_eq!(certificate(&reply(key)), Ok(expected));
        }
        let missing = "Can't display the certificate: Not found or the certificate is a bundle!";
        assert_eq!(certificate(missing), Err(DeliveryError::StoreGone));
        let locked = "Can't display the certificate: Not found or the certificate is a bundle!\nOperations on certificates are currently locked!";
        assert_eq!(certificate(locked), Err(DeliveryError::Locked));
        let empty = certificate("Filename: new.pem\nStatus: Empty").unwrap();
        assert_eq!(empty.certificate, None);
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
            };
            assert_eq!(certificate(&reply(key)), Ok(expected));
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
}
