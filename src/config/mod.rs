//! What the operator asked for, checked: from the options as given to a [`Config`] that cannot
//! hold nonsense.
//!
//! Pure: no file is opened and no name is resolved here. All mistakes are reported at once.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use crate::fetch::AddressRules;
use crate::haproxy::Address;

/// The bounds of `--refresh-interval` in seconds: a scan a second at most, one a day at least.
const REFRESH_SECONDS: std::ops::RangeInclusive<u64> = 1..=86_400;
/// The bounds of `--renewal-threads`.
const RENEWAL_THREADS: std::ops::RangeInclusive<usize> = 1..=512;

/// The options as they were given.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directories with certificates.
    pub directories: Vec<PathBuf>,
    /// Control sockets; the n-th belongs to the n-th directory.
    pub sockets: Vec<String>,
    /// Words and networks whose addresses may be asked although they are refused by default.
    pub allow_addresses: Vec<String>,
    /// Seconds between scans.
    pub refresh_interval: u64,
    /// Seconds of life below which a staple is renewed.
    pub minimum_validity: u64,
    /// Requests in flight at once.
    pub renewal_threads: usize,
    /// Staples found on disk are used.
    pub recycle: bool,
}

/// What the daemon runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directories, each once.
    pub directories: Vec<Directory>,
    /// The control sockets, each once.
    pub sockets: Vec<Address>,
    /// Which addresses responders may have.
    pub address_rules: AddressRules,
    /// Time between scans.
    pub refresh_interval: Duration,
    /// Life below which a staple is renewed.
    pub minimum_validity: Duration,
    /// Requests in flight at once.
    pub renewal_threads: usize,
    /// Staples found on disk are used.
    pub recycle: bool,
}

/// One directory with certificates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Directory {
    /// Its path, without a trailing slash, as HAProxy forms the names of the files in it.
    pub path: PathBuf,
    /// The control sockets of the processes that load it, as places in [`Config::sockets`].
    pub sockets: Vec<usize>,
}

/// A mistake in the configuration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to do.
    #[error(
        "no certificate directory given: name at least one, as in: staplerd -d /etc/haproxy/certs -s /run/haproxy/admin.sock"
    )]
    NoDirectories,
    /// The n-th socket belongs to the n-th directory.
    #[error(
        "{directories} certificate {} but {sockets} HAProxy {}: the n-th socket belongs to the \
         n-th directory, so give one socket for each directory, or none at all",
        plural(*directories, "directory", "directories"),
        plural(*sockets, "socket", "sockets")
    )]
    SocketCount {
        /// Directories given.
        directories: usize,
        /// Sockets given.
        sockets: usize,
    },
    /// A control socket's address cannot be one.
    #[error("--haproxy-sockets {address}: {reason}")]
    Socket {
        /// As given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A word in the list of allowed addresses is none.
    #[error("--allow-addresses: {0}")]
    AllowAddresses(String),
    /// A number outside its bounds.
    #[error("{option} {value}: must be between {smallest} and {largest}")]
    OutOfBounds {
        /// The option.
        option: &'static str,
        /// As given.
        value: u64,
        /// The smallest value that makes sense.
        smallest: u64,
        /// The largest.
        largest: u64,
    },
}

fn plural<'a>(count: usize, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

impl Config {
    /// Checks the options.
    ///
    /// # Errors
    /// Every mistake that was found, not only the first.
    pub fn from_options(options: &Options) -> Result<Self, Vec<Error>> {
        let mut errors = Vec::new();
        if options.directories.is_empty() {
            errors.push(Error::NoDirectories);
        }
        let counts = (options.directories.len(), options.sockets.len());
        if counts.0 > 0 && counts.1 > 0 && counts.0 != counts.1 {
            errors.push(Error::SocketCount {
                directories: counts.0,
                sockets: counts.1,
            });
        }
        let mut sockets: Vec<Address> = Vec::new();
        let mut places: Vec<usize> = Vec::new();
        for given in &options.sockets {
            match given.parse::<Address>() {
                Ok(address) => places.push(place_of(&mut sockets, address)),
                Err(error) => errors.push(Error::Socket {
                    address: given.clone(),
                    reason: error.to_string(),
                }),
            }
        }
        let address_rules = AddressRules::parse(&options.allow_addresses)
            .map_err(|error| errors.push(Error::AllowAddresses(error.to_string())))
            .unwrap_or_default();
        let refresh = *REFRESH_SECONDS.start()..=*REFRESH_SECONDS.end();
        check_bounds(
            "--refresh-interval",
            options.refresh_interval,
            refresh,
            &mut errors,
        );
        let threads = *RENEWAL_THREADS.start() as u64..=*RENEWAL_THREADS.end() as u64;
        check_bounds(
            "--renewal-threads",
            options.renewal_threads as u64,
            threads,
            &mut errors,
        );
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Config {
            directories: join(&options.directories, &places),
            sockets,
            address_rules,
            refresh_interval: Duration::from_secs(options.refresh_interval),
            minimum_validity: Duration::from_secs(options.minimum_validity),
            renewal_threads: options.renewal_threads,
            recycle: options.recycle,
        })
    }
}

fn check_bounds(
    option: &'static str,
    value: u64,
    bounds: std::ops::RangeInclusive<u64>,
    errors: &mut Vec<Error>,
) {
    if !bounds.contains(&value) {
        errors.push(Error::OutOfBounds {
            option,
            value,
            smallest: *bounds.start(),
            largest: *bounds.end(),
        });
    }
}

fn place_of(sockets: &mut Vec<Address>, address: Address) -> usize {
    match sockets.iter().position(|known| *known == address) {
        Some(place) => place,
        None => {
            sockets.push(address);
            sockets.len() - 1
        }
    }
}

/// Gives the n-th directory the n-th socket; a directory named twice gets both of its sockets.
fn join(paths: &[PathBuf], places: &[usize]) -> Vec<Directory> {
    let mut directories: Vec<Directory> = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let path = without_trailing_slash(path);
        let socket = places.get(index).copied();
        match directories.iter_mut().find(|known| known.path == path) {
            Some(known) => {
                if let Some(socket) = socket.filter(|socket| !known.sockets.contains(socket)) {
                    known.sockets.push(socket);
                }
            }
            None => directories.push(Directory {
                path,
                sockets: socket.into_iter().collect(),
            }),
        }
    }
    directories
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
            allow_addresses: Vec::new(),
            refresh_interval: 60,
            minimum_validity: 7200,
            renewal_threads: 8,
            recycle: true,
        }
    }

    #[test]
    fn the_nth_socket_belongs_to_the_nth_directory() {
        let config =
            Config::from_options(&options(&["/a/", "/b"], &["/1.sock", "/2.sock"])).unwrap();
        assert_eq!(config.directories[0].path, Path::new("/a"));
        assert_eq!(config.directories[0].sockets, [0]);
        assert_eq!(config.directories[1].sockets, [1]);
        assert_eq!(config.sockets.len(), 2);
    }

    #[test]
    fn one_socket_for_two_directories_is_opened_once() {
        let config =
            Config::from_options(&options(&["/a", "/b"], &["/1.sock", "/1.sock"])).unwrap();
        assert_eq!(config.sockets.len(), 1);
        assert_eq!(config.directories[1].sockets, [0]);
    }

    #[test]
    fn a_directory_named_twice_serves_both_sockets() {
        let config =
            Config::from_options(&options(&["/a", "/a/"], &["/1.sock", "/2.sock"])).unwrap();
        assert_eq!(config.directories.len(), 1);
        assert_eq!(config.directories[0].sockets, [0, 1]);
    }

    #[test]
    fn directories_without_sockets_are_files_only() {
        let config = Config::from_options(&options(&["/a"], &[])).unwrap();
        assert!(config.directories[0].sockets.is_empty());
    }

    #[test]
    fn counts_that_differ_are_named_and_all_mistakes_come_at_once() {
        let mut wrong = options(&["/a", "/b"], &["/1.sock"]);
        wrong.allow_addresses = vec!["neighbours".into()];
        wrong.refresh_interval = 0;
        let errors = Config::from_options(&wrong).unwrap_err();
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(errors.len(), 3, "{text:?}");
        assert!(
            text[0].contains("2 certificate directories but 1 HAProxy socket"),
            "{}",
            text[0]
        );
        assert!(text[1].contains("neighbours"), "{}", text[1]);
        assert!(text[2].contains("--refresh-interval 0"), "{}", text[2]);
    }

    #[test]
    fn a_socket_path_that_the_kernel_cannot_take_is_refused() {
        let long = format!("/{}", "x".repeat(200));
        let errors = Config::from_options(&options(&["/a"], &[&long])).unwrap_err();
        assert!(errors[0].to_string().contains("107"), "{}", errors[0]);
    }

    #[test]
    fn nothing_to_do_is_a_mistake() {
        let errors = Config::from_options(&options(&[], &[])).unwrap_err();
        assert_eq!(errors, [Error::NoDirectories]);
    }
}
