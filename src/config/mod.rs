//! What the operator asked for, checked: options and file to a [`Config`] that cannot hold
//! nonsense.
//!
//! Pure: no file is opened and no name is resolved here. The command line beats the file, the file
//! beats the defaults. All mistakes are reported at once.

mod error;
mod file;
mod hooks;
mod logging;
mod policies;
mod responder;
mod sources;
pub mod stapled_file;
mod units;

use std::ops::RangeInclusive;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

pub use error::Error;
pub use file::{File, FileDirectory, InvalidFile, OnRevoked};
pub use hooks::{HookCommand, Hooks};
pub use logging::{LogFile, Logging};
pub use policies::{InvalidIssuer, Policies};
pub use responder::{AuthorityConfig, ResponderConfig, Statuses};
pub use sources::{Backups, ConfiguredSource, Origin, ResponderOverride};
pub use units::parse_duration;

use crate::discovery::source::{Directory, Naming, Source};
use crate::discovery::{Pattern, Selection};
use crate::fetch::{self, AddressRules, Overrides, Proxies};
use crate::haproxy::Address;
use crate::schedule;
use crate::store;

/// Where the daemon listens for its own commands, unless configured otherwise.
pub const CONTROL_SOCKET: &str = "/run/staplerd/control.sock";
/// The directory of the log file, where one is wanted and none is named.
pub const LOG_DIRECTORY: &str = "/var/log/staplerd";
/// The bounds of `verbosity`: nothing but errors, everything.
pub const VERBOSITY: RangeInclusive<u8> = 0..=4;
/// Time between scans, unless configured otherwise.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(60);
/// The bounds of `refresh_interval` in seconds: a scan a second at most, one a day at least.
const REFRESH_SECONDS: RangeInclusive<u64> = 1..=86_400;
/// The bounds of `renewal_threads`.
const RENEWAL_THREADS: RangeInclusive<u64> = 1..=512;
/// The bounds of the timeouts in seconds.
const TIMEOUT_SECONDS: RangeInclusive<u64> = 1..=300;

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
    /// Certificate files, or directories of them; sockets are counted after those of `directories`.
    pub certificate_paths: Vec<PathBuf>,
    /// No control sockets at all, whatever the file says.
    pub no_haproxy_sockets: bool,
    /// The daemon goes into the background.
    pub background: bool,
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
            no_haproxy_sockets: self.no_haproxy_sockets || below.no_haproxy_sockets,
            background: self.background || below.background,
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
    /// Where the daemon listens for its own commands; nowhere where it is none.
    pub control_socket: Option<PathBuf>,
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
    /// When responses are renewed.
    pub schedule: schedule::Settings,
    /// Staples found on disk are used.
    pub recycle: bool,
    /// What is accepted of whom.
    pub policies: Policies,
    /// Programs to be told of what happens.
    pub hooks: Hooks,
    /// Copies of new staples, with the time in their names.
    pub backups: Option<Backups>,
    /// A single run ends at its first error.
    pub stop_on_error: bool,
    /// Where a single run writes what it did, in place of standard output.
    pub output_log: Option<LogFile>,
    /// Where a single run writes what went wrong, in place of standard error.
    pub error_log: Option<LogFile>,
    /// What the daemon logs, and where.
    pub logging: Logging,
    /// What `staplerd responder` answers for.
    pub responder: Option<ResponderConfig>,
}

impl Config {
    /// Where the names of the certificates come from.
    pub fn origin(&self) -> Origin {
        if !self.sources.is_empty() || !self.haproxy_config.is_empty() {
            Origin::Named
        } else if !self.sockets.is_empty() {
            Origin::Processes
        } else {
            Origin::Nothing
        }
    }

    /// Checks options and file; `variable` reads the environment, for the proxies.
    ///
    /// # Errors
    /// Every mistake that was found, not only the first.
    pub fn new(
        options: Options,
        file: File,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, Vec<Error>> {
        let mut mistakes = Mistakes::default();
        let mut options = options;
        options.directories.append(&mut options.certificate_paths);
        let mut given = if options.directories.is_empty() {
            file.directories.unwrap_or_default()
        } else {
            let paths = options.directories.into_iter();
            paths.map(FileDirectory::from).collect()
        };
        if options.no_haproxy_sockets {
            options.sockets.clear();
            given.iter_mut().for_each(|place| place.sockets.clear());
        }
        let mut sockets = Vec::new();
        if given.is_empty() {
            for socket in &options.sockets {
                mistakes.socket(&mut sockets, socket);
            }
        } else if !options.sockets.is_empty() {
            mistakes.pair(&mut given, &options.sockets);
        }
        let recursive = options.recursive || file.recursive == Some(true);
        let sources = mistakes.join(given, recursive, &mut sockets);
        let extensions = given_or(options.file_extensions, file.file_extensions);
        let ignored = given_or(options.ignore, file.ignore).unwrap_or_default();
        let selection = Selection {
            extensions: extensions.map(|list| mistakes.extensions(&list)),
            ignored: ignored.iter().map(|text| Pattern::new(text)).collect(),
        };
        let allow_addresses =
            given_or(options.allow_addresses, file.allow_addresses).unwrap_or_default();
        let mut address_rules =
            mistakes.value("allow_addresses", AddressRules::parse(&allow_addresses));
        if file.refuse_private_addresses == Some(true) {
            address_rules = address_rules.refuse_private();
        }
        let proxies = match (&file.http_proxy, &file.https_proxy, &file.no_proxy) {
            (None, None, None) => Proxies::from_environment(variable),
            (http, https, exceptions) => Proxies::parse(
                http.as_deref(),
                https.as_deref(),
                &exceptions.clone().unwrap_or_default().join(","),
            ),
        };
        let responders = file.responders.unwrap_or_default();
        let overrides = Overrides::parse(
            responders
                .iter()
                .map(|(key, url)| (key.as_str(), url.as_deref())),
        );
        let config = Config {
            sources,
            haproxy_config: options.haproxy_config,
            sockets,
            control_socket: Some(PathBuf::from(CONTROL_SOCKET)),
            selection,
            file_mode: file.file_mode.map_or(store::DEFAULT_MODE, |text| {
                mistakes.value("file_mode", store::parse_mode(&text))
            }),
            file_group: file.file_group,
            address_rules,
            proxies: mistakes.value("http_proxy, https_proxy", proxies),
            overrides: mistakes.value("responders", overrides),
            connect_timeout: mistakes.seconds(
                "connect_timeout",
                file.connect_timeout,
                fetch::CONNECT_TIMEOUT,
                TIMEOUT_SECONDS,
            ),
            request_timeout: mistakes.seconds(
                "request_timeout",
                file.request_timeout,
                fetch::REQUEST_TIMEOUT,
                TIMEOUT_SECONDS,
            ),
            renewal_threads: options
                .renewal_threads
                .or(file.renewal_threads)
                .unwrap_or(fetch::RENEWAL_THREADS),
            refresh_interval: mistakes.seconds(
                "refresh_interval",
                options.refresh_interval.or(file.refresh_interval),
                REFRESH_INTERVAL,
                REFRESH_SECONDS,
            ),
            schedule: schedule::Settings {
                minimum_validity: options
                    .minimum_validity
                    .or(file.minimum_validity)
                    .unwrap_or(schedule::Settings::default().minimum_validity),
                minimum_validity_percentage: mistakes
                    .percentage(file.minimum_validity_percentage.unwrap_or_default()),
            },
            recycle: !options.no_recycle,
            policies: mistakes.value(
                "allow_sha1",
                Policies::parse(
                    &file.allow_sha1.unwrap_or_default(),
                    file.on_revoked.unwrap_or_default(),
                ),
            ),
            hooks: Hooks::default(),
            backups: None,
            stop_on_error: false,
            output_log: None,
            error_log: None,
            logging: options.logging,
            responder: None,
        };
        let threads = u64::try_from(config.renewal_threads).unwrap_or(u64::MAX);
        mistakes.within("renewal_threads", threads, RENEWAL_THREADS);
        mistakes.none_or(config)
    }
}

/// The mistakes found so far; the checks go on with a default in place of what is wrong.
#[derive(Default)]
struct Mistakes(Vec<Error>);

impl Mistakes {
    fn none_or(self, config: Config) -> Result<Config, Vec<Error>> {
        if self.0.is_empty() {
            Ok(config)
        } else {
            Err(self.0)
        }
    }

    fn value<T: Default, E: ToString>(&mut self, setting: &'static str, result: Result<T, E>) -> T {
        result.unwrap_or_else(|error| {
            self.0.push(Error::Value {
                setting,
                reason: error.to_string(),
            });
            T::default()
        })
    }

    /// Extensions without their dots.
    fn extensions(&mut self, given: &[String]) -> Vec<String> {
        let mut extensions = Vec::new();
        for text in given {
            let extension = text.trim().trim_start_matches('.');
            if extension.is_empty() || extension.contains('/') {
                self.0.push(Error::Value {
                    setting: "file_extensions",
                    reason: format!("'{text}': expected an extension, such as pem"),
                });
            }
            extensions.push(extension.to_owned());
        }
        extensions
    }

    fn within(&mut self, setting: &'static str, value: u64, bounds: RangeInclusive<u64>) {
        if !bounds.contains(&value) {
            self.0.push(Error::OutOfBounds {
                setting,
                value,
                smallest: *bounds.start(),
                largest: *bounds.end(),
            });
        }
    }

    fn percentage(&mut self, value: f64) -> f64 {
        if !(0.0..=100.0).contains(&value) {
            self.0.push(Error::Value {
                setting: "minimum_validity_percentage",
                reason: format!("{value} is not between 0 and 100"),
            });
        }
        value
    }

    fn seconds(
        &mut self,
        setting: &'static str,
        given: Option<Duration>,
        default: Duration,
        bounds: RangeInclusive<u64>,
    ) -> Duration {
        let duration = given.unwrap_or(default);
        self.within(setting, duration.as_secs(), bounds);
        duration
    }

    /// Gives the n-th of these sockets to the n-th directory, in place of its own.
    fn pair(&mut self, directories: &mut [FileDirectory], sockets: &[String]) {
        if directories.len() != sockets.len() {
            self.0.push(Error::SocketCount {
                directories: directories.len(),
                sockets: sockets.len(),
            });
        }
        for (directory, socket) in directories.iter_mut().zip(sockets) {
            directory.sockets = vec![socket.clone()];
        }
    }

    /// The place of this socket in the list of all.
    fn socket(&mut self, sockets: &mut Vec<Address>, text: &str) -> Option<usize> {
        match text.parse::<Address>() {
            Ok(address) => Some(position_or_push(
                sockets,
                |known| *known == address,
                || address.clone(),
            )),
            Err(error) => {
                self.0.push(Error::Value {
                    setting: "haproxy_sockets",
                    reason: error.to_string(),
                });
                None
            }
        }
    }

    /// Every directory and every socket once; a directory named twice gets the sockets of both.
    fn join(
        &mut self,
        given: Vec<FileDirectory>,
        recursive: bool,
        sockets: &mut Vec<Address>,
    ) -> Vec<ConfiguredSource> {
        let mut paths: Vec<PathBuf> = Vec::new();
        let mut sources: Vec<ConfiguredSource> = Vec::new();
        for given in given {
            let path = without_trailing_slash(&given.path);
            let place = position_or_push(&mut paths, |known| *known == path, || path.clone());
            if place == sources.len() {
                sources.push(ConfiguredSource {
                    source: Source::Directory(Directory {
                        path,
                        recursive: given.recursive.unwrap_or(recursive),
                        naming: Naming::default(),
                    }),
                    sockets: Vec::new(),
                    responder: None,
                });
            }
            for text in given.sockets {
                if let Some(socket) = self.socket(sockets, &text)
                    && let Some(source) = sources.get_mut(place)
                    && !source.sockets.contains(&socket)
                {
                    source.sockets.push(socket);
                }
            }
        }
        sources
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

/// The place of what is `wanted`; what is `new` is appended when it is not there yet.
fn position_or_push<T>(
    list: &mut Vec<T>,
    wanted: impl FnMut(&T) -> bool,
    new: impl FnOnce() -> T,
) -> usize {
    list.iter().position(wanted).unwrap_or_else(|| {
        list.push(new());
        list.len() - 1
    })
}

/// The path by its components: HAProxy cuts trailing slashes off a `crt` directory's name.
fn without_trailing_slash(path: &Path) -> PathBuf {
    let cut: PathBuf = path.components().collect();
    if cut.as_os_str().is_empty() {
        PathBuf::from(Component::CurDir.as_os_str())
    } else {
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(directories: &[&str], sockets: &[&str]) -> Options {
        Options {
            directories: directories.iter().map(PathBuf::from).collect(),
            sockets: sockets.iter().map(ToString::to_string).collect(),
            ..Options::default()
        }
    }

    fn file(text: &str) -> File {
        File::parse("staplerd.yaml", text).unwrap()
    }

    fn check(options: Options) -> Result<Config, Vec<Error>> {
        Config::new(options, File::default(), |_| None)
    }

    /// The n-th source, which is a directory.
    fn directory(config: &Config, place: usize) -> &Directory {
        match &config.sources[place].source {
            Source::Directory(directory) => directory,
            other => panic!("{other:?} is no directory"),
        }
    }

    #[test]
    fn the_nth_socket_belongs_to_the_nth_directory() {
        let config = check(options(&["/a/", "/b"], &["/1.sock", "/2.sock"])).unwrap();
        assert_eq!(directory(&config, 0).path, Path::new("/a"));
        assert_eq!(config.sources[0].sockets, [0]);
        assert_eq!(config.sources[1].sockets, [1]);
        assert_eq!(config.sockets.len(), 2);
    }

    #[test]
    fn one_socket_for_two_directories_is_opened_once() {
        let config = check(options(&["/a", "/b"], &["/1.sock", "/1.sock"])).unwrap();
        assert_eq!(config.sockets.len(), 1);
        assert_eq!(config.sources[1].sockets, [0]);
    }

    #[test]
    fn a_directory_named_twice_serves_both_sockets() {
        let config = check(options(&["/a", "/a/"], &["/1.sock", "/2.sock"])).unwrap();
        assert_eq!(config.sources.len(), 1);
        assert_eq!(config.sources[0].sockets, [0, 1]);
    }

    #[test]
    fn directories_without_sockets_are_files_only() {
        let config = check(options(&["/a"], &[])).unwrap();
        assert!(config.sources[0].sockets.is_empty());
    }

    #[test]
    fn counts_that_differ_are_named_and_all_mistakes_come_at_once() {
        let mut wrong = options(&["/a", "/b"], &["/1.sock"]);
        wrong.allow_addresses = vec!["neighbours".into()];
        wrong.refresh_interval = Some(Duration::ZERO);
        wrong.renewal_threads = Some(100_000);
        let errors = check(wrong).unwrap_err();
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), 4, "{text:?}");
        assert!(
            text[0].contains("2 certificate directories but 1 HAProxy socket:"),
            "{text:?}"
        );
        assert!(text[1].contains("neighbours"), "{text:?}");
        assert_eq!(text[2], "refresh_interval 0: must be between 1 and 86400");
        assert_eq!(text[3], "renewal_threads 100000: must be between 1 and 512");
    }

    #[test]
    fn recursion_and_selection_come_from_either_and_a_directory_may_differ() {
        let text = "recursive: true\nfile_extensions: [.pem]\nignore: [old.pem]\n\
                    file_mode: 0644\nfile_group: haproxy\n\
                    directories:\n- path: /f\n- path: /g\n  recursive: false\n";
        let config = Config::new(Options::default(), file(text), |_| None).unwrap();
        assert!(directory(&config, 0).recursive && !directory(&config, 1).recursive);
        assert_eq!(config.selection.extensions, Some(vec!["pem".to_owned()]));
        assert_eq!(config.selection.ignored, [Pattern::new("old.pem")]);
        assert_eq!(config.file_mode, 0o644);
        let mut given = options(&["/a"], &[]);
        given.recursive = true;
        given.file_extensions = vec!["crt".into()];
        let both = Config::new(given, file(text), |_| None).unwrap();
        assert!(directory(&both, 0).recursive);
        assert_eq!(both.selection.extensions, Some(vec!["crt".to_owned()]));
        let plain = check(options(&["/a"], &[])).unwrap();
        assert!(!directory(&plain, 0).recursive);
        assert_eq!(plain.selection, Selection::default());
        assert_eq!(plain.file_mode, 0o640);
    }

    #[test]
    fn modes_and_extensions_that_make_no_sense_are_mistakes() {
        let wrong = file("file_mode: 0666\nfile_extensions: ['', a/b]\n");
        let errors = Config::new(options(&["/a"], &[]), wrong, |_| None).unwrap_err();
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), 3, "{text:?}");
        assert!(
            text.iter()
                .any(|line| line.starts_with("file_mode: '0666'"))
        );
    }

    #[test]
    fn a_percentage_lies_between_nothing_and_all() {
        let checked = |value: &str| {
            let text =
                format!("directories: [{{path: /a}}]\nminimum_validity_percentage: {value}\n");
            Config::new(Options::default(), file(&text), |_| None)
        };
        let config = checked("42.8").unwrap();
        assert_eq!(config.schedule.minimum_validity_percentage, 42.8);
        for wrong in ["-1", "100.5", ".nan"] {
            let errors = checked(wrong).unwrap_err();
            assert!(
                errors[0].to_string().contains("between 0 and 100"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_socket_path_that_the_kernel_cannot_take_is_refused() {
        let long = format!("/{}", "x".repeat(200));
        let errors = check(options(&["/a"], &[&long])).unwrap_err();
        assert!(errors[0].to_string().contains("107"), "{}", errors[0]);
    }

    #[test]
    fn where_the_certificates_come_from_is_said() {
        let origin = |options| check(options).unwrap().origin();
        assert_eq!(origin(options(&["/a"], &["/1.sock"])), Origin::Named);
        assert_eq!(origin(options(&[], &["/1.sock"])), Origin::Processes);
        assert_eq!(origin(options(&[], &[])), Origin::Nothing);
        let read = Options {
            haproxy_config: vec!["/etc/haproxy/haproxy.cfg".into()],
            ..Options::default()
        };
        assert_eq!(origin(read), Origin::Named);
    }

    #[test]
    fn the_command_line_beats_the_file_and_the_file_the_default() {
        let text = "directories:\n- path: /f\n  sockets: [/1.sock, /2.sock]\nminimum_validity: 1h\nrefresh_interval: 5\n";
        let from_file = Config::new(Options::default(), file(text), |_| None).unwrap();
        assert_eq!(from_file.sources[0].sockets, [0, 1]);
        assert_eq!(
            from_file.schedule.minimum_validity,
            Duration::from_secs(3600)
        );
        assert_eq!(from_file.refresh_interval, Duration::from_secs(5));
        assert_eq!(from_file.connect_timeout, fetch::CONNECT_TIMEOUT);
        let mut given = options(&["/a"], &[]);
        given.refresh_interval = Some(Duration::from_secs(7));
        let both = Config::new(given, file(text), |_| None).unwrap();
        assert_eq!(directory(&both, 0).path, Path::new("/a"));
        assert_eq!(both.refresh_interval, Duration::from_secs(7));
        assert_eq!(both.schedule.minimum_validity, Duration::from_secs(3600));
    }

    #[test]
    fn proxies_come_from_the_environment_unless_the_file_has_any() {
        let environment =
            |name: &str| (name == "http_proxy").then(|| "http://outer:3128".to_owned());
        let outer = Config::new(options(&["/a"], &[]), File::default(), environment).unwrap();
        let expected = Proxies::parse(Some("http://outer:3128"), None, "").unwrap();
        assert_eq!(outer.proxies, expected);
        let own = file("http_proxy: http://own:3128\nno_proxy: [.internal, 10.0.0.0/8]\n");
        let own = Config::new(options(&["/a"], &[]), own, environment).unwrap();
        let expected =
            Proxies::parse(Some("http://own:3128"), None, ".internal,10.0.0.0/8").unwrap();
        assert_eq!(own.proxies, expected);
    }

    #[test]
    fn mistakes_in_the_values_of_the_file_name_their_key() {
        let wrong =
            "responders: {nonsense key: null}\nhttp_proxy: socks5://x\nrequest_timeout: 1d\n";
        let errors = Config::new(options(&["/a"], &[]), file(wrong), |_| None).unwrap_err();
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), 3, "{text:?}");
        assert!(
            text.iter().any(|line| line.starts_with("responders: ")),
            "{text:?}"
        );
        assert!(
            text.iter()
                .any(|line| line.starts_with("http_proxy, https_proxy: ")),
            "{text:?}"
        );
        assert!(
            text.iter()
                .any(|line| line.starts_with("request_timeout 86400: ")),
            "{text:?}"
        );
    }
}
