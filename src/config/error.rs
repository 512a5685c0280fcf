//! What can be wrong with a configuration, each in a line that says what, where and what to do.

use super::document::DocumentRemark;
use crate::text::plural;

/// A mistake in the configuration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The configuration file cannot be read.
    #[error("{path}: {reason}")]
    Unreadable {
        /// Its path.
        path: String,
        /// The system's words.
        reason: String,
    },
    /// The configuration file is no YAML, or there is nothing in it.
    #[error("{0}")]
    NotYaml(DocumentRemark),
    /// The configuration file says something that it cannot say.
    #[error("{0}")]
    File(DocumentRemark),
    /// A line of a file in stapled's form is not what it should be.
    #[error("{file}:{line}: {reason}")]
    Line {
        /// The file's name.
        file: String,
        /// The line's number.
        line: usize,
        /// Its key, what is wrong, and what is expected.
        reason: String,
    },
    /// A file names nothing to look after.
    #[error(
        "{file}: it names no certificates and no control sockets: list them under 'directories', \
         'haproxy_config' or 'haproxy_sockets'"
    )]
    NothingNamed {
        /// The file.
        file: String,
    },
    /// Nothing is configured at all, and HAProxy's configuration is not in its place.
    #[error(
        "nothing says where the certificates are: there are no options and no configuration file, \
         and {haproxy_config}: {reason}; name a directory, as in: staplerd -d /etc/haproxy/certs -s \
         /run/haproxy/admin.sock, or HAProxy's configuration, with --haproxy-config"
    )]
    NothingThere {
        /// The place of HAProxy's configuration.
        haproxy_config: &'static str,
        /// The system's words.
        reason: String,
    },
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
    /// An option, or a group of keys, has a value that it cannot have.
    #[error("{setting}: {reason}")]
    Value {
        /// The option or key.
        setting: &'static str,
        /// What is wrong with it and what is expected.
        reason: String,
    },
}
