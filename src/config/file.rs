//! The configuration file: every key, read into what it means, with every mistake it has.
//!
//! Pure: the text is handed in. What a key means by itself is decided here, its bounds included;
//! how the keys, the command line and the defaults make a configuration is the room's business.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::Error;
use super::document::{Document, DocumentRemark, Location, Table, Value};
use super::hooks::Hooks;
use super::logging::{LogFilePattern, Logging};
use super::ocspbot::{Domain, Include, ScanKey};
use super::policies::{OnRevoked, Policies};
use super::responder::ResponderConfig;
use super::sockets::sockets;
use crate::fetch::{AddressRules, Overrides, Proxies};
use crate::haproxy::{Address, Push};
use crate::store;

/// The bounds of `renewal_threads`.
pub(super) const RENEWAL_THREADS: RangeInclusive<u64> = 1..=512;
/// The bounds of `refresh_interval`: a scan a second at most, one a day at least.
pub(super) const REFRESH: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(86_400);
/// The bounds of `minimum_validity`: no response lives longer than a year.
pub(super) const MINIMUM_VALIDITY: RangeInclusive<Duration> =
    Duration::ZERO..=Duration::from_secs(366 * 86_400);
/// The bounds of `maximum_age`.
const MAXIMUM_AGE: RangeInclusive<Duration> =
    Duration::from_secs(86_400)..=Duration::from_secs(366 * 86_400);
/// The bounds of the timeouts.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);
/// The bounds of `keep_backups`.
const BACKUPS: RangeInclusive<u64> = 1..=1_000_000;
/// stapled's levels of verbosity.
const VERBOSITY: RangeInclusive<u64> = 0..=4;

/// What a configuration file says; what it does not say is absent or empty.
#[derive(Debug, Default)]
pub(super) struct ConfigFile {
    pub directories: Vec<FileDirectory>,
    pub recursive: bool,
    pub file_extensions: Option<Vec<String>>,
    pub ignore: Option<Vec<String>>,
    pub file_mode: Option<u32>,
    pub file_group: Option<String>,
    pub haproxy_config: Vec<PathBuf>,
    /// The processes that load the certificates of every source that names no socket itself.
    pub haproxy_sockets: Vec<Address>,
    /// `Some(None)`: explicitly none.
    pub control_socket: Option<Option<PathBuf>>,
    pub state_directory: Option<PathBuf>,
    pub minimum_validity: Option<Duration>,
    pub minimum_validity_percentage: Option<f64>,
    pub maximum_age: Option<Duration>,
    pub push: Push,
    pub on_revoked: OnRevoked,
    pub refresh_interval: Option<Duration>,
    pub no_recycle: bool,
    /// `renewal_threads` or `parallel_threads`.
    pub renewal_threads: Option<usize>,
    pub connect_timeout: Option<Duration>,
    pub request_timeout: Option<Duration>,
    pub allow_addresses: Option<Vec<String>>,
    pub allow_ports: Vec<RangeInclusive<u16>>,
    pub refuse_private_addresses: bool,
    pub http_proxy: Option<String>,
    pub https_proxy: Option<String>,
    pub no_proxy: Option<Vec<String>>,
    pub responders: Vec<(String, Option<String>)>,
    pub allow_sha1: Vec<String>,
    pub hooks: Hooks,
    pub responder: Option<ResponderConfig>,
    pub logging: Logging,
    pub ocsp_folder: PathBuf,
    pub stop_on_error: bool,
    /// Where `make_backups: true` stands.
    pub make_backups: Option<Location>,
    pub keep_backups: Option<usize>,
    pub output_log: Option<LogFilePattern>,
    pub error_log: Option<LogFilePattern>,
    pub domains: Vec<Domain>,
    pub scan_keys: Vec<ScanKey>,
    pub includes: Vec<Include>,
    /// One of ocspbot's keys for certificates is there, filled or not.
    pub has_ocspbots_places: bool,
}

/// One entry of `directories`.
#[derive(Clone, Debug)]
pub(super) struct FileDirectory {
    pub path: PathBuf,
    pub sockets: Vec<Address>,
    /// The key `recursive` of the file where it is not said.
    pub recursive: Option<bool>,
    /// Where it stands in a file; from the command line, nowhere.
    pub place: Option<Location>,
}

impl From<PathBuf> for FileDirectory {
    /// A directory of which only the path is said.
    fn from(path: PathBuf) -> Self {
        FileDirectory {
            path,
            sockets: Vec::new(),
            recursive: None,
            place: None,
        }
    }
}

/// A file with the mistakes and the warnings about it.
pub(super) struct FileReading {
    pub file: ConfigFile,
    pub mistakes: Vec<Error>,
    pub warnings: Vec<DocumentRemark>,
}

impl FileReading {
    /// Reads a configuration file's text; `name` is what it is called in remarks.
    pub fn of(name: &str, text: &str) -> Self {
        Self::with(name, text, ConfigFile::read)
    }

    /// Reads a file that another one includes: its domains and scan keys count, nothing else.
    pub fn of_included(name: &str, text: &str) -> Self {
        Self::with(name, text, |table| {
            let whole = ConfigFile::read(table);
            for (key, value) in table.entries() {
                if !["domains", "scan_keys"].contains(key) {
                    value.warn("passed over, because this file is included by another one");
                }
            }
            ConfigFile {
                domains: whole.domains,
                scan_keys: whole.scan_keys,
                ..ConfigFile::default()
            }
        })
    }

    fn with(name: &str, text: &str, read: impl FnOnce(&Table<'_>) -> ConfigFile) -> Self {
        let document = Document::new(name, text);
        let file = document
            .root()
            .and_then(|root| root.table(|table| Some(read(table))))
            .unwrap_or_default();
        let mistake = match document.is_yaml() {
            true => Error::File,
            false => Error::NotYaml,
        };
        let (mistakes, warnings) = document.remarks();
        FileReading {
            file,
            mistakes: mistakes.into_iter().map(mistake).collect(),
            warnings,
        }
    }
}

impl ConfigFile {
    fn read(table: &Table<'_>) -> Self {
        let texts = |key| table.read(key, |value| value.list(owned));
        let duration = |key, bounds| table.read(key, |value| value.duration(&bounds));
        // ocspbot's key for its openssl, which is not needed here: a cron job mails every line.
        table.read("openssl_executable", owned);
        ConfigFile {
            directories: table.read("directories", directories).unwrap_or_default(),
            recursive: table.is_set("recursive"),
            file_extensions: table.read("file_extensions", |value| {
                value.list(|item| item.parsed(extension))
            }),
            ignore: texts("ignore"),
            file_mode: table.read("file_mode", |value| value.parsed(mode)),
            file_group: table.read("file_group", owned),
            haproxy_config: table
                .read("haproxy_config", |value| {
                    value.one_or_more(|item| item.path())
                })
                .unwrap_or_default(),
            haproxy_sockets: sockets(table, "haproxy_sockets"),
            control_socket: table.nullable("control_socket").and_then(|value| {
                match value.is_null() {
                    true => Some(None),
                    false => value.path().map(Some),
                }
            }),
            state_directory: table.read("state_directory", |value| value.path()),
            minimum_validity: duration("minimum_validity", MINIMUM_VALIDITY),
            minimum_validity_percentage: table
                .read("minimum_validity_percentage", |value| value.percentage()),
            maximum_age: duration("maximum_age", MAXIMUM_AGE),
            push: table
                .read("push", |value| value.one_of(&Push::WORDS))
                .unwrap_or_default(),
            on_revoked: table
                .read("on_revoked", |value| value.one_of(&OnRevoked::WORDS))
                .unwrap_or_default(),
            refresh_interval: duration("refresh_interval", REFRESH),
            no_recycle: table.is_set("no_recycle"),
            renewal_threads: threads(table),
            connect_timeout: duration("connect_timeout", TIMEOUT),
            request_timeout: duration("request_timeout", TIMEOUT),
            allow_addresses: allowed_addresses(table),
            allow_ports: table
                .read("allow_ports", |value| value.list(|item| item.parsed(ports)))
                .unwrap_or_default(),
            refuse_private_addresses: table.is_set("refuse_private_addresses"),
            http_proxy: proxy(table, "http_proxy", |url| {
                Proxies::parse(Some(url), None, "")
            }),
            https_proxy: proxy(table, "https_proxy", |url| {
                Proxies::parse(None, Some(url), "")
            }),
            no_proxy: texts("no_proxy"),
            responders: table.read("responders", responders).unwrap_or_default(),
            allow_sha1: table
                .read("allow_sha1", |value| value.list(|item| item.parsed(issuer)))
                .unwrap_or_default(),
            hooks: table
                .read("hooks", |value| {
                    value.table(|hooks| Some(Hooks::read(hooks)))
                })
                .unwrap_or_default(),
            responder: table.read("responder", |value| value.table(ResponderConfig::read)),
            logging: logging(table),
            ocsp_folder: table.read("ocsp_folder", owned).unwrap_or_default().into(),
            stop_on_error: table.is_set("stop_on_error"),
            make_backups: table
                .get("make_backups")
                .filter(|value| value.boolean() == Some(true))
                .map(|value| value.place()),
            keep_backups: table.read("keep_backups", |value| {
                if !table.is_set("make_backups") {
                    value.wrong("has no effect without 'make_backups: true'");
                }
                value.count(BACKUPS)
            }),
            output_log: log_file(table, "output_log"),
            error_log: log_file(table, "error_log"),
            domains: table.read("domains", Domain::read_all).unwrap_or_default(),
            scan_keys: table
                .read("scan_keys", |value| value.list_or_none(ScanKey::read))
                .unwrap_or_default(),
            includes: table
                .read("includes", |value| value.list_or_none(Include::read))
                .unwrap_or_default(),
            has_ocspbots_places: ["domains", "scan_keys", "includes"]
                .iter()
                .any(|key| table.get(key).is_some()),
        }
    }
}

fn owned(value: Value<'_>) -> Option<String> {
    value.text().map(str::to_owned)
}

/// An extension without its dot.
pub(super) fn extension(text: &str) -> Result<String, String> {
    let extension = text.trim().trim_start_matches('.');
    if extension.is_empty() || extension.contains('/') {
        return Err(format!("'{text}': expected an extension, such as pem"));
    }
    Ok(extension.to_owned())
}

/// The octal number of YAML 1.2 means the same as that of YAML 1.1.
fn mode(text: &str) -> Result<u32, store::InvalidMode> {
    store::parse_mode(text.strip_prefix("0o").unwrap_or(text))
}

/// What names an issuer.
fn issuer(text: &str) -> Result<String, super::InvalidIssuer> {
    let issuer = text.to_owned();
    Policies::parse(std::slice::from_ref(&issuer), OnRevoked::default())?;
    Ok(issuer)
}

fn proxy<T, E: std::fmt::Display>(
    table: &Table<'_>,
    key: &'static str,
    check: impl FnOnce(&str) -> Result<T, E>,
) -> Option<String> {
    table.read(key, |value| {
        value.parsed(|text| check(text).map(|_| text.to_owned()))
    })
}

fn directories(value: Value<'_>) -> Option<Vec<FileDirectory>> {
    value.list(|item| {
        if item.is_scalar() {
            let place = Some(item.place());
            return Some(FileDirectory {
                place,
                ..FileDirectory::from(item.path()?)
            });
        }
        item.table(|table| {
            let directory = FileDirectory {
                path: PathBuf::new(),
                sockets: sockets(table, "sockets"),
                recursive: table.read("recursive", |value| value.boolean()),
                place: Some(item.place()),
            };
            Some(FileDirectory {
                path: table.required("path")?.path()?,
                ..directory
            })
        })
    })
}

/// Two names of one setting: ours, which is stapled's, and ocspbot's.
fn threads(table: &Table<'_>) -> Option<usize> {
    let ours = table.get("renewal_threads");
    let ocspbots = table.get("parallel_threads");
    if let (Some(_), Some(second)) = (&ours, &ocspbots) {
        second.wrong("means the same as renewal_threads: give one of them");
    }
    ours.or(ocspbots)?.count(RENEWAL_THREADS)
}

fn allowed_addresses(table: &Table<'_>) -> Option<Vec<String>> {
    let is_refused = table.is_set("refuse_private_addresses");
    table.get("allow_addresses")?.list(|item| {
        let word = item.parsed(|text| AddressRules::parse(&[text]).map(|_| text.to_owned()))?;
        if is_refused && word.trim() == "private" {
            item.wrong("contradicts refuse_private_addresses: leave one of them out");
        }
        Some(word)
    })
}

/// A port, or the first and the last of a range of them.
fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port != 0);
    match (port(first), port(last)) {
        (Some(first), Some(last)) if first <= last => Ok(first..=last),
        _ => Err(format!(
            "'{text}': expected a port, or a range such as 8000-8100"
        )),
    }
}

/// Each entry by itself, so that each mistake has its position.
fn responders(value: Value<'_>) -> Option<Vec<(String, Option<String>)>> {
    let checked = value.entries()?.into_iter().map(|(key, value)| {
        let url = match value.is_null() {
            true => None,
            false => Some(value.text()?),
        };
        match Overrides::parse([(key, url)]) {
            Ok(_) => Some((key.to_owned(), url.map(str::to_owned))),
            Err(error) => {
                value.wrong(error);
                None
            }
        }
    });
    Some(checked.flatten().collect())
}

fn logging(table: &Table<'_>) -> Logging {
    let verbosity = table.get("verbosity");
    let quiet = table.is_set("quiet");
    if let (Some(verbosity), true) = (&verbosity, quiet) {
        verbosity.wrong("contradicts quiet: leave one of them out");
    }
    Logging {
        verbosity: verbosity
            .and_then(|value| value.number(VERBOSITY))
            .and_then(|level| u8::try_from(level).ok()),
        quiet,
        directory: table.read("logdir", |value| value.path()),
        syslog: table.is_set("syslog"),
    }
}

fn log_file(table: &Table<'_>, key: &'static str) -> Option<LogFilePattern> {
    table.read(key, |value| value.parsed(LogFilePattern::parse))
}
