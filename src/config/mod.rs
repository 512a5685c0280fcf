//! What the operator asked for, checked: options and file to a [`Config`] that cannot hold
//! nonsense.
//!
//! Pure: no file is opened and no name is resolved here; what the world has to say is asked for
//! through [`Surroundings`]. The command line beats the file, the file beats the defaults. All
//! mistakes are reported at once.

mod document;
mod error;
mod file;
mod hooks;
mod invocation;
mod logging;
mod ocspbot;
mod policies;
pub mod responder;
mod responder_override;
mod sockets;
mod sources;
pub mod stapled_file;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

pub use document::{DocumentRemark, Location};
pub use error::Error;
pub use hooks::Hooks;
pub use invocation::Invocation;
pub use logging::{InvalidLogFile, LogFilePattern, Logging};
pub use policies::{InvalidIssuer, OnRevoked, Policies};
pub use responder::{AuthorityConfig, ResponderConfig, Statuses};
pub use responder_override::ResponderOverride;
pub use sources::{Backups, ConfiguredSource, Origin};
pub use yaml::MAX_BYTES;

use crate::discovery::source::Source;
use crate::discovery::{Pattern, Selection};
use crate::fetch::{self, AddressRules, Overrides, Proxies};
use crate::haproxy::{Address, Push};
use crate::schedule;
use crate::store;
use crate::text::Printable;
use document::{lasting, within};
use file::{ConfigFile, FileDirectory, FileReading};
use sources::SourceBuilder;

/// Where the daemon listens for its own commands, unless configured otherwise.
pub const CONTROL_SOCKET: &str = "/run/staplerd/control.sock";
/// The word in place of that path that turns it off, as in the file; `./null` is a path.
const NO_CONTROL_SOCKET: &str = "null";
/// The directory of the log file, where one is wanted and none is named.
pub const LOG_DIRECTORY: &str = "/var/log/staplerd";
/// The bounds of `verbosity`: nothing but errors, everything.
pub const VERBOSITY: RangeInclusive<u8> = 0..=4;
/// Time between scans, unless configured otherwise.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// Files with their texts.
pub type Texts = Vec<(PathBuf, String)>;

/// What is asked of the world while a configuration is read.
pub struct Surroundings<'a> {
    /// The value of an environment variable.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Whether there is a regular file of this name.
    pub is_file: &'a dyn Fn(&Path) -> bool,
    /// The names and texts of the files in a folder that end in .yml or .yaml, in their order.
    pub read_folder: &'a dyn Fn(&Path) -> io::Result<Texts>,
}

/// The options as they were given on the command line; what was not given is absent or empty.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Directories with certificates.
    pub directories: Vec<PathBuf>,
    /// Control sockets; the n-th belongs to the n-th directory.
    pub sockets: Vec<String>,
    /// Words and networks whose addresses may be asked although they are refused by default.
    pub allow_addresses: Vec<String>,
    /// Folders in the directories are scanned as well.
    pub recursive: bool,
    /// The extensions of certificate files.
    pub file_extensions: Vec<String>,
    /// Patterns of files that are passed over.
    pub ignore: Vec<String>,
    /// Time between scans.
    pub refresh_interval: Option<Duration>,
    /// Life below which a staple is renewed.
    pub minimum_validity: Option<Duration>,
    /// Requests in flight at once.
    pub renewal_threads: Option<usize>,
    /// Staples found on disk are not used but renewed.
    pub no_recycle: bool,
    /// HAProxy's configuration files, or directories of them.
    pub haproxy_config: Vec<PathBuf>,
    /// Where the daemon listens for its own commands; nowhere where it is `NO_CONTROL_SOCKET`.
    pub control_socket: Option<PathBuf>,
    /// Certificate files, or directories of them; sockets are counted after those of `directories`.
    pub certificate_paths: Vec<PathBuf>,
    /// No control sockets at all, even if the file names some.
    pub no_haproxy_sockets: bool,
    /// The daemon goes into the background.
    pub background: bool,
    /// Everything that is due is done once.
    pub one_off: bool,
    /// What is logged, and where.
    pub logging: Logging,
}

impl Options {
    /// These options, and what they do not say from `below`.
    #[must_use]
    pub fn or(self, below: Options) -> Options {
        fn list<T>(above: Vec<T>, below: Vec<T>) -> Vec<T> {
            if above.is_empty() { below } else { above }
        }
        let has_places = !self.directories.is_empty() || !self.certificate_paths.is_empty();
        let places = |above, below| if has_places { above } else { below };
        Options {
            directories: places(self.directories, below.directories),
            certificate_paths: places(self.certificate_paths, below.certificate_paths),
            sockets: list(self.sockets, below.sockets),
            allow_addresses: list(self.allow_addresses, below.allow_addresses),
            recursive: self.recursive || below.recursive,
            file_extensions: list(self.file_extensions, below.file_extensions),
            ignore: list(self.ignore, below.ignore),
            refresh_interval: self.refresh_interval.or(below.refresh_interval),
            minimum_validity: self.minimum_validity.or(below.minimum_validity),
            renewal_threads: self.renewal_threads.or(below.renewal_threads),
            no_recycle: self.no_recycle || below.no_recycle,
            haproxy_config: list(self.haproxy_config, below.haproxy_config),
            control_socket: self.control_socket.or(below.control_socket),
            no_haproxy_sockets: self.no_haproxy_sockets || below.no_haproxy_sockets,
            background: self.background || below.background,
            one_off: self.one_off || below.one_off,
            logging: self.logging.or(below.logging),
        }
    }
}

/// What the daemon runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where certificates are looked for, each place once.
    pub sources: Vec<ConfiguredSource>,
    /// HAProxy's configuration files, or directories of them, that name further certificates and
    /// control sockets.
    pub haproxy_config: Vec<PathBuf>,
    /// The control sockets, each once, those that belong to no source included.
    pub sockets: Vec<Address>,
    /// The control sockets that are named, also where none is used.
    pub named_sockets: Vec<Address>,
    /// The sockets that HAProxy's configuration files name are not used either.
    pub no_haproxy_sockets: bool,
    /// Where the daemon listens for its own commands; nowhere where it is none.
    pub control_socket: Option<PathBuf>,
    /// Where what must outlive the daemon is kept, if that is said.
    pub state_directory: Option<PathBuf>,
    /// Which of the files in the directories are looked at.
    pub selection: Selection,
    /// The permissions of staples' files.
    pub file_mode: u32,
    /// The group of staples' files, by name or number; the directory's where it is none.
    pub file_group: Option<String>,
    /// Which addresses responders may have.
    pub address_rules: AddressRules,
    /// The way requests take.
    pub proxies: Proxies,
    /// Which URLs are asked instead of those that certificates name.
    pub overrides: Overrides,
    /// Time to connect to a responder.
    pub connect_timeout: Duration,
    /// Time for one whole request.
    pub request_timeout: Duration,
    /// Requests in flight at once.
    pub renewal_threads: usize,
    /// Time between scans.
    pub refresh_interval: Duration,
    /// Whether staples are pushed into running HAProxy processes.
    pub push: Push,
    /// When the daemon renews responses.
    pub schedule: schedule::Settings,
    /// When a single run renews responses.
    pub single_run: schedule::SingleRun,
    /// Staples found on disk are used.
    pub recycle: bool,
    /// What is accepted from which issuer.
    pub policies: Policies,
    /// Programs to be told of what happens.
    pub hooks: Hooks,
    /// Copies of new staples, with the time in their names.
    pub backups: Option<Backups>,
    /// A single run ends at its first error.
    pub stop_on_error: bool,
    /// Where a single run writes what it did, in place of standard output.
    pub output_log: Option<LogFilePattern>,
    /// Where a single run writes what went wrong, in place of standard error.
    pub error_log: Option<LogFilePattern>,
    /// What the daemon logs, and where.
    pub logging: Logging,
    /// What `staplerd responder` answers for.
    pub responder: Option<ResponderConfig>,
    /// What the operator should know about the file.
    pub warnings: Vec<DocumentRemark>,
    /// One of ocspbot's keys for certificates is there, filled or not.
    has_ocspbots_places: bool,
}

impl Config {
    /// The control sockets that belong to no source.
    pub fn free_sockets(&self) -> impl Iterator<Item = &Address> {
        self.sockets
            .iter()
            .enumerate()
            .filter_map(|(place, address)| {
                let mut sources = self.sources.iter();
                let is_free = !sources.any(|source| source.sockets.contains(&place));
                is_free.then_some(address)
            })
    }

    /// The responders' URLs that the operator wrote himself.
    pub fn responder_urls(&self) -> BTreeSet<String> {
        let of_sources =
            self.sources
                .iter()
                .filter_map(|configured| match configured.responder.as_ref()? {
                    ResponderOverride::Url(url) => Some(url.clone()),
                    ResponderOverride::Certificate => None,
                });
        let of_all = self.overrides.urls().map(str::to_owned);
        of_sources.chain(of_all).collect()
    }

    /// Whether ocspbot's keys name certificates: then a single run renews by ocspbot's rule.
    pub fn has_ocspbots_keys(&self) -> bool {
        self.sources.iter().any(|source| match &source.source {
            Source::Directory(_) => false,
            Source::File(file) => file.companions.issuer.is_none(),
            Source::Masks(_) => true,
        })
    }

    /// Where the names of the certificates come from.
    pub fn origin(&self) -> Origin {
        if !self.sources.is_empty() || !self.haproxy_config.is_empty() {
            Origin::Named
        } else if !self.sockets.is_empty() {
            Origin::Processes
        } else if self.has_ocspbots_places {
            Origin::NoneYet
        } else {
            Origin::Nothing
        }
    }

    /// The same for a command that connects to no HAProxy.
    #[must_use]
    pub fn without_sockets(mut self) -> Self {
        self.no_haproxy_sockets = true;
        self.sockets.clear();
        let sources = self.sources.iter_mut();
        sources.for_each(|source| source.sockets.clear());
        self
    }

    /// Where a single run writes what goes wrong, told by a file that has mistakes in other places.
    pub fn error_log(name: &str, text: &str) -> Option<LogFilePattern> {
        FileReading::of(name, text).file.error_log
    }

    /// Checks options and a file, given by its name and text.
    ///
    /// # Errors
    /// Every mistake that was found, not only the first.
    pub fn read(
        mut options: Options,
        file: Option<(&str, &str)>,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, Vec<Error>> {
        let mut mistakes = Mistakes::default();
        let (mut file, warnings) = match file {
            None => (ConfigFile::default(), Vec::new()),
            Some((name, text)) => mistakes.file(name, text, surroundings),
        };
        if options.no_haproxy_sockets {
            options.sockets.clear();
        }
        let (mut sources, mut sockets) = mistakes.sources(&options, &mut file, surroundings);
        let named_sockets = sockets.clone();
        if options.no_haproxy_sockets {
            sockets.clear();
            sources.iter_mut().for_each(|source| source.sockets.clear());
        }
        let extensions = match options.file_extensions.is_empty() {
            true => file.file_extensions,
            false => Some(mistakes.extensions(&options.file_extensions)),
        };
        let ignored = given_or(options.ignore, file.ignore).unwrap_or_default();
        let may_be_private = options.allow_addresses.iter().any(|word| word == "private");
        let allowed = given_or(options.allow_addresses, file.allow_addresses).unwrap_or_default();
        let mut address_rules = mistakes.value("--allow-addresses", AddressRules::parse(&allowed));
        if file.refuse_private_addresses && !may_be_private {
            address_rules = address_rules.refuse_private();
        }
        address_rules = address_rules.only_ports(file.allow_ports);
        let proxies = match (&file.http_proxy, &file.https_proxy, &file.no_proxy) {
            (None, None, None) => Proxies::from_environment(surroundings.variable),
            (http, https, exceptions) => Proxies::parse(
                http.as_deref(),
                https.as_deref(),
                &exceptions.clone().unwrap_or_default().join(","),
            ),
        };
        let responders = file.responders.iter();
        let overrides =
            Overrides::parse(responders.map(|(key, url)| (key.as_str(), url.as_deref())));
        let policies = Policies::parse(&file.allow_sha1, file.on_revoked);
        if let Some(threads) = options.renewal_threads {
            let count = u64::try_from(threads).unwrap_or(u64::MAX);
            mistakes.value("--renewal-threads", within(count, &file::RENEWAL_THREADS));
        }
        let minimum_validity = options.minimum_validity.map(|given| {
            let checked = lasting(given, &file::MINIMUM_VALIDITY);
            mistakes.value("--minimum-validity", checked)
        });
        let refresh_interval = options.refresh_interval.map(|given| {
            let checked = lasting(given, &file::REFRESH);
            mistakes.value("--refresh-interval", checked)
        });
        let minimum_validity = minimum_validity.or(file.minimum_validity);
        let config = Config {
            sources,
            haproxy_config: match options.haproxy_config.is_empty() {
                true => file.haproxy_config,
                false => options.haproxy_config,
            },
            sockets,
            named_sockets,
            no_haproxy_sockets: options.no_haproxy_sockets,
            control_socket: options
                .control_socket
                .map(|path| Some(path).filter(|path| path != Path::new(NO_CONTROL_SOCKET)))
                .or(file.control_socket)
                .unwrap_or_else(|| Some(PathBuf::from(CONTROL_SOCKET))),
            state_directory: file.state_directory.or_else(|| {
                let given = (surroundings.variable)("STATE_DIRECTORY")?;
                // systemd separates several by colons (systemd.exec(5)).
                let first = given.split(':').next().filter(|path| !path.is_empty());
                first.map(PathBuf::from)
            }),
            selection: Selection {
                extensions,
                ignored: ignored.iter().map(|text| Pattern::new(text)).collect(),
            },
            file_mode: file.file_mode.unwrap_or(store::DEFAULT_MODE),
            file_group: file.file_group,
            address_rules,
            proxies: mistakes.value("http_proxy, https_proxy", proxies),
            overrides: mistakes.value("responders", overrides),
            connect_timeout: file.connect_timeout.unwrap_or(fetch::CONNECT_TIMEOUT),
            request_timeout: file.request_timeout.unwrap_or(fetch::REQUEST_TIMEOUT),
            renewal_threads: options
                .renewal_threads
                .or(file.renewal_threads)
                .unwrap_or(fetch::RENEWAL_THREADS),
            refresh_interval: refresh_interval
                .or(file.refresh_interval)
                .unwrap_or(REFRESH_INTERVAL),
            push: file.push,
            schedule: schedule::Settings {
                minimum_validity: minimum_validity
                    .unwrap_or(schedule::Settings::default().minimum_validity),
                minimum_validity_percentage: file.minimum_validity_percentage.unwrap_or_default(),
                maximum_age: file.maximum_age.unwrap_or(schedule::MAXIMUM_AGE),
            },
            single_run: schedule::SingleRun::new(
                minimum_validity,
                file.minimum_validity_percentage,
            ),
            recycle: !(options.no_recycle || file.no_recycle),
            policies: mistakes.value("allow_sha1", policies),
            hooks: file.hooks,
            backups: file.make_backups.map(|_| Backups {
                keep: file.keep_backups,
            }),
            stop_on_error: file.stop_on_error,
            output_log: file.output_log,
            error_log: file.error_log,
            logging: options.logging.or(file.logging),
            responder: file.responder,
            warnings,
            has_ocspbots_places: file.has_ocspbots_places,
        };
        match mistakes.0.is_empty() {
            true => Ok(config),
            false => Err(mistakes.0),
        }
    }
}

/// The mistakes found so far; the checks go on with a default in place of what is wrong.
#[derive(Default)]
struct Mistakes(Vec<Error>);

impl Mistakes {
    fn value<T: Default, E: ToString>(&mut self, setting: &'static str, result: Result<T, E>) -> T {
        result.unwrap_or_else(|error| {
            self.0.push(Error::Value {
                setting,
                reason: error.to_string(),
            });
            T::default()
        })
    }

    fn extensions(&mut self, given: &[String]) -> Vec<String> {
        let checked = given.iter().map(|text| file::extension(text));
        checked
            .map(|extension| self.value("--file-extensions", extension))
            .collect()
    }

    /// The file with the domains and scan keys of those that it includes, and the warnings.
    fn file(
        &mut self,
        name: &str,
        text: &str,
        surroundings: &Surroundings<'_>,
    ) -> (ConfigFile, Vec<DocumentRemark>) {
        let mut whole = FileReading::of(name, text);
        for include in std::mem::take(&mut whole.file.includes) {
            let found = include
                .candidates(name)
                .into_iter()
                .find_map(|folder| match (surroundings.read_folder)(&folder) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                    result => Some(result),
                });
            match found {
                None => whole
                    .warnings
                    .push(include.place.remark("there is no such folder")),
                Some(Err(error)) => {
                    let mistake = Error::File(include.place.remark(error));
                    whole.mistakes.push(mistake);
                }
                Some(Ok(files)) => {
                    let is_other = |path: &Path| comparable(path) != comparable(Path::new(name));
                    let others = files.iter().filter(|(path, _)| is_other(path));
                    for (path, text) in others {
                        let part = FileReading::of_included(&path.printable().to_string(), text);
                        whole.file.domains.extend(part.file.domains);
                        whole.file.scan_keys.extend(part.file.scan_keys);
                        whole.mistakes.extend(part.mistakes);
                        whole.warnings.extend(part.warnings);
                    }
                }
            }
        }
        self.0.extend(whole.mistakes);
        (whole.file, whole.warnings)
    }

    /// Where certificates are looked for, and all control sockets.
    fn sources(
        &mut self,
        options: &Options,
        file: &mut ConfigFile,
        surroundings: &Surroundings<'_>,
    ) -> (Vec<ConfiguredSource>, Vec<Address>) {
        let given = options.directories.iter().chain(&options.certificate_paths);
        let mut directories: Vec<FileDirectory> = given.cloned().map(FileDirectory::from).collect();
        if directories.is_empty() {
            directories = std::mem::take(&mut file.directories);
        }
        let sockets = options.sockets.iter().map(|text| text.parse::<Address>());
        let sockets: Vec<Option<Address>> = sockets
            .map(|parsed| self.value("--haproxy-sockets", parsed.map(Some)))
            .collect();
        if directories.is_empty() && !sockets.is_empty() {
            file.haproxy_sockets = sockets.into_iter().flatten().collect();
        } else if !sockets.is_empty() {
            if directories.len() != sockets.len() {
                self.0.push(Error::SocketCount {
                    directories: directories.len(),
                    sockets: sockets.len(),
                });
            }
            for (directory, socket) in directories.iter_mut().zip(sockets) {
                directory.sockets = socket.into_iter().collect();
            }
        }
        let mut builder = SourceBuilder::default();
        let recursive = options.recursive || file.recursive;
        for directory in &directories {
            let may_be_file = options.certificate_paths.contains(&directory.path);
            let is_file = may_be_file && (surroundings.is_file)(&directory.path);
            builder.add_directory(directory, is_file, recursive);
        }
        for domain in &file.domains {
            builder.add_domain(domain, &file.ocsp_folder);
        }
        for scan_key in &file.scan_keys {
            builder.add_scan_key(scan_key, &file.ocsp_folder);
        }
        builder.give_the_rest(&file.haproxy_sockets);
        let haproxy_names_some =
            !file.haproxy_config.is_empty() || !options.haproxy_config.is_empty();
        builder.refuse_backups_among_certificates(file, haproxy_names_some);
        self.0.append(&mut builder.mistakes);
        (builder.sources, builder.sockets)
    }
}

/// A list from the command line, or the file's where nothing was given there.
fn given_or(options: Vec<String>, file: Option<Vec<String>>) -> Option<Vec<String>> {
    if options.is_empty() {
        file
    } else {
        Some(options)
    }
}

/// The path as it is compared with others: `./site.pem` is `site.pem`.
fn comparable(path: &Path) -> PathBuf {
    let named = |component: &Component<'_>| *component != Component::CurDir;
    path.components().filter(named).collect()
}

/// The path by its components, without trailing slashes: HAProxy cuts them off a `crt` directory's
/// name.
fn by_components(path: &Path) -> PathBuf {
    let cut: PathBuf = path.components().collect();
    if cut.as_os_str().is_empty() {
        PathBuf::from(Component::CurDir.as_os_str())
    } else {
        cut
    }
}

/// The path with its folder: the working directory, `.`, where a file is given by its bare name.
fn with_folder(path: PathBuf) -> PathBuf {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new(".").join(path),
        _ => path,
    }
}
