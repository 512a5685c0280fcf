//! The daemon's options: `stapled`'s, with its names and short forms, and a few more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgAction, Args};

use crate::cli::configuration::duration;
use crate::config::{LOG_DIRECTORY, Logging, Options, VERBOSITY};

/// stapled's default for `--file-extensions`.
const FILE_EXTENSIONS: &str = "crt,pem,cer";
/// The verbosity without any option: what was done.
const NORMAL: u8 = 2;

/// The daemon's command line.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct DaemonArguments {
    /// Directories with certificates
    #[arg(value_name = "DIR")]
    positional: Vec<PathBuf>,

    #[command(flatten)]
    given: DaemonOptions,
}

/// The daemon's options; the names are those of `stapled`.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct DaemonOptions {
    /// Configuration file; the command line goes before it
    ///
    /// YAML, or stapled's own form. Without this option the first there is of
    /// /etc/staplerd/staplerd.yaml, ~/.staplerd.yaml, and the places of stapled and ocspd.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Directories with certificates (the same as DIR)
    #[arg(short, long, value_name = "DIR", num_args = 1.., help_heading = "Certificates")]
    directories: Vec<PathBuf>,

    /// Certificate files, or directories of them
    #[arg(short = 'p', long, value_name = "PATH", num_args = 1.., help_heading = "Certificates")]
    cert_paths: Vec<PathBuf>,

    /// HAProxy's configuration files, which name certificates and sockets
    #[arg(long, value_name = "FILE", num_args = 1.., help_heading = "Certificates")]
    haproxy_config: Vec<PathBuf>,

    /// Look into the folders in the directories, too
    #[arg(short = 'R', long, help_heading = "Certificates")]
    recursive: bool,

    /// Only files with these extensions [without a list: crt,pem,cer]
    ///
    /// Comma-separated. Without this option, every file is looked at that HAProxy would load.
    #[arg(
        long, value_name = "LIST", value_delimiter = ',', num_args = 0..=1,
        default_missing_value = FILE_EXTENSIONS, help_heading = "Certificates"
    )]
    file_extensions: Vec<String>,

    /// Files to pass over; * stands for any characters, ? for one
    ///
    /// A pattern that begins with / is compared with the whole path, any other with its end.
    #[arg(short, long, value_name = "PATTERN", num_args = 1.., help_heading = "Certificates")]
    ignore: Vec<String>,

    /// Look at the directories this often, besides being told of changes [default: 60]
    #[arg(
        short, long, value_name = "DURATION", value_parser = duration,
        help_heading = "Certificates"
    )]
    refresh_interval: Option<Duration>,

    /// HAProxy control sockets; the n-th belongs to the n-th directory
    ///
    /// A path, tcp://ADDRESS:PORT, abns@NAME, or master:PATH for the master CLI.
    #[arg(short = 's', long, value_name = "SOCKET", num_args = 1.., help_heading = "HAProxy")]
    haproxy_sockets: Vec<String>,

    /// Write staples to disk only, even if the configuration names sockets
    #[arg(long, help_heading = "HAProxy")]
    no_haproxy_sockets: bool,

    /// Accepted for stapled's sake: connections are watched all the time
    #[arg(long, value_name = "SECONDS", help_heading = "HAProxy")]
    haproxy_socket_keepalive: Option<u64>,

    /// Renew a staple that is valid for less than this, in seconds or as 1d 12h [default: 2h]
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = "Renewal")]
    minimum_validity: Option<Duration>,

    /// Renew everything at start, also what has a valid staple on disk
    #[arg(long, help_heading = "Renewal")]
    no_recycle: bool,

    /// Requests to responders in flight at once [default: 160]
    #[arg(short = 't', long, value_name = "N", help_heading = "Renewal")]
    renewal_threads: Option<usize>,

    /// Responder addresses to allow although they are refused by default
    ///
    /// Comma-separated networks (192.0.2.0/24), addresses with a port (10.0.0.5:8080), or the words
    /// loopback and private.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        help_heading = "Renewal"
    )]
    allow_addresses: Vec<String>,

    /// Do everything that is due, once, and end; 1 if anything failed
    #[arg(long, conflicts_with = "daemon", help_heading = "Process and log")]
    one_off: bool,

    /// Go into the background as soon as everything has been looked at once
    #[arg(
        short = 'D',
        long,
        conflicts_with = "interactive",
        help_heading = "Process and log"
    )]
    daemon: bool,

    /// Stay in the foreground (the default)
    #[arg(long, visible_alias = "no-daemon", help_heading = "Process and log")]
    interactive: bool,

    /// Where status and renew reach this daemon [default: /run/staplerd/control.sock]
    ///
    /// The word null stands for nowhere, as in the file.
    #[arg(long, value_name = "PATH", help_heading = "Process and log")]
    control_socket: Option<PathBuf>,

    /// Log more; twice, what the libraries say as well
    #[arg(short, action = ArgAction::Count, help_heading = "Process and log")]
    verbose: u8,

    /// Log this much: 0 errors, 1 warnings, 2 what was done, up to 4; -v goes before it
    #[arg(
        long, value_name = "0..4", help_heading = "Process and log",
        value_parser = clap::value_parser!(u8).range(0..=4)
    )]
    verbosity: Option<u8>,

    /// Errors only on standard error; file and syslog get everything
    #[arg(short, long, help_heading = "Process and log")]
    quiet: bool,

    /// Log to DIR/staplerd.log, too [without DIR: /var/log/staplerd]
    #[arg(
        short, long, value_name = "DIR", num_args = 0..=1, default_missing_value = LOG_DIRECTORY,
        help_heading = "Process and log"
    )]
    logdir: Option<PathBuf>,

    /// Log to the system's log, too
    #[arg(long, help_heading = "Process and log")]
    syslog: bool,
}

impl DaemonArguments {
    /// What they say about the log.
    pub(in crate::cli) fn logging(&self) -> Logging {
        self.given.logging()
    }

    /// The configuration file, where one is named.
    pub(super) fn config(&self) -> Option<&Path> {
        self.given.config()
    }

    /// Whether an option was given that does nothing here.
    pub(super) fn has_keepalive(&self) -> bool {
        self.given.haproxy_socket_keepalive.is_some()
    }

    /// Whether the foreground is insisted on.
    pub(super) fn is_interactive(&self) -> bool {
        self.given.interactive
    }

    /// A word among the directories that is no path and names nothing here: a command that is
    /// misspelt, or that stands after options.
    pub(in crate::cli) fn misplaced_word(&self) -> Option<&str> {
        let mut words = self.positional.iter().filter_map(|path| path.to_str());
        words.find(|word| !word.contains('/') && !Path::new(word).exists())
    }

    /// What they say about everything.
    pub(super) fn options(&self) -> Options {
        self.given.options(&self.positional)
    }
}

impl DaemonOptions {
    /// The configuration file, where one is named.
    pub(in crate::cli) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    fn logging(&self) -> Logging {
        let counted = NORMAL.saturating_add(self.verbose).min(*VERBOSITY.end());
        Logging {
            verbosity: (self.verbose > 0).then_some(counted).or(self.verbosity),
            quiet: self.quiet,
            directory: self.logdir.clone(),
            syslog: self.syslog,
        }
    }

    /// What they say about everything, with the directories that stand without an option.
    pub(in crate::cli) fn options(&self, directories: &[PathBuf]) -> Options {
        let given = self.clone();
        let directories = [&given.directories, directories].concat();
        Options {
            logging: self.logging(),
            directories,
            certificate_paths: given.cert_paths,
            haproxy_config: given.haproxy_config,
            sockets: given.haproxy_sockets,
            no_haproxy_sockets: given.no_haproxy_sockets,
            recursive: given.recursive,
            file_extensions: given.file_extensions,
            ignore: given.ignore,
            allow_addresses: given.allow_addresses,
            refresh_interval: given.refresh_interval,
            minimum_validity: given.minimum_validity,
            renewal_threads: given.renewal_threads,
            no_recycle: given.no_recycle,
            background: given.daemon,
            one_off: given.one_off,
            control_socket: given.control_socket,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches};

    use super::*;
    use crate::config::{CONTROL_SOCKET, REFRESH_INTERVAL};
    use crate::fetch::RENEWAL_THREADS;
    use crate::schedule;

    #[test]
    fn the_help_names_the_defaults_that_are_used() {
        let mut command = DaemonArguments::augment_args(Command::new("run"));
        let help = command.render_long_help().to_string();
        let minimum = schedule::Settings::default().minimum_validity.as_secs() / 3600;
        for default in [
            format!("at once [default: {RENEWAL_THREADS}]"),
            format!("of changes [default: {}]", REFRESH_INTERVAL.as_secs()),
            format!("1d 12h [default: {minimum}h]"),
            format!("[without DIR: {LOG_DIRECTORY}]"),
            format!("this daemon [default: {CONTROL_SOCKET}]"),
            format!("[without a list: {FILE_EXTENSIONS}]"),
        ] {
            assert!(help.contains(&default), "no '{default}' in {help}");
        }
    }

    fn parsed(line: &str) -> DaemonArguments {
        let command = DaemonArguments::augment_args(Command::new("stapled"));
        let matches = command
            .try_get_matches_from(line.split_whitespace())
            .unwrap();
        DaemonArguments::from_arg_matches(&matches).unwrap()
    }

    fn paths(paths: &[&str]) -> Vec<PathBuf> {
        paths.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn the_command_lines_in_stapleds_documentation_mean_what_they_meant() {
        let two =
            parsed("./ocspd /etc/haproxy1 /etc/haproxy2 -s /etc/haproxy1.sock /etc/haproxy2.sock")
                .options();
        assert_eq!(two.directories, paths(&["/etc/haproxy1", "/etc/haproxy2"]));
        assert_eq!(two.sockets, ["/etc/haproxy1.sock", "/etc/haproxy2.sock"]);
        let four = parsed("ocspd -vvvv -d testdata/a testdata/b").options();
        assert_eq!(four.directories, paths(&["testdata/a", "testdata/b"]));
        assert_eq!(four.logging.verbosity, Some(4));
        let usage = parsed(
            "ocspd -c /tmp/c.conf --minimum-validity 3600 -t 3 --verbosity 1 -D \
             --file-extensions crt,pem -r 30 -l /tmp/log --syslog -q /a /b --no-recycle -i *.old x",
        );
        assert_eq!(usage.config(), Some(Path::new("/tmp/c.conf")));
        let usage = usage.options();
        assert_eq!(usage.minimum_validity, Some(Duration::from_secs(3600)));
        assert_eq!(usage.renewal_threads, Some(3));
        assert_eq!(usage.refresh_interval, Some(Duration::from_secs(30)));
        assert_eq!(usage.file_extensions, ["crt", "pem"]);
        assert_eq!(usage.directories, paths(&["/a", "/b"]));
        assert_eq!(usage.ignore, ["*.old", "x"]);
        assert!(usage.no_recycle && usage.background);
        let expected = Logging {
            verbosity: Some(1),
            quiet: true,
            directory: Some("/tmp/log".into()),
            syslog: true,
        };
        assert_eq!(usage.logging, expected);
    }

    #[test]
    fn the_options_of_its_last_release_take_several_values() {
        let all = parsed(
            "stapled -d A B -s X Y -i P Q --haproxy-config F G -p C D -R --no-haproxy-sockets \
             --haproxy-socket-keepalive 10 --interactive -l",
        );
        assert!(all.has_keepalive() && all.is_interactive());
        let all = all.options();
        assert_eq!(all.directories, paths(&["A", "B"]));
        assert_eq!(all.sockets, ["X", "Y"]);
        assert_eq!(all.ignore, ["P", "Q"]);
        assert_eq!(all.haproxy_config, paths(&["F", "G"]));
        assert_eq!(all.certificate_paths, paths(&["C", "D"]));
        assert_eq!(all.logging.directory, Some(LOG_DIRECTORY.into()));
        assert!(all.recursive && all.no_haproxy_sockets && !all.background);
        let long = parsed(
            "stapled --directories A --cert-paths C --haproxy-sockets X --ignore P \
             --refresh-interval 5 --renewal-threads 1 --logdir /l --no-daemon --recursive --quiet",
        );
        assert!(long.is_interactive());
        let long = long.options();
        assert_eq!(long.directories, paths(&["A"]));
        assert_eq!(long.certificate_paths, paths(&["C"]));
        assert_eq!(long.logging.directory, Some("/l".into()));
    }

    #[test]
    fn counted_verbosity_goes_before_the_number() {
        let verbosity = |line: &str| parsed(line).logging().verbosity;
        assert_eq!(verbosity("stapled"), None);
        assert_eq!(verbosity("stapled --verbosity 0"), Some(0));
        assert_eq!(verbosity("stapled --verbosity 0 -v"), Some(3));
        assert_eq!(verbosity("stapled -vvvvvvv"), Some(4));
        assert_eq!(verbosity("stapled -q -v"), Some(3));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for line in [
            "stapled -D --interactive",
            "stapled -D --no-daemon",
            "stapled --verbosity 5",
            "stapled -s",
            "stapled -d",
        ] {
            let command = DaemonArguments::augment_args(Command::new("stapled"));
            let parsed = command.try_get_matches_from(line.split_whitespace());
            assert!(parsed.is_err(), "{line}");
        }
    }
}
