//! What the reader of a configuration has to say about its lines.
//!
//! Pure. A notice never ends the reading: one bad line does not lose the others. HAProxy itself
//! refuses some of these lines; then the notice says what it would not accept.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::haproxy::Level;
use crate::text::Printable;

/// A line of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineLocation {
    /// The file, as it was named.
    pub file: Arc<Path>,
    /// Its line, from 1.
    pub line: usize,
}

impl fmt::Display for LineLocation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file.printable(), self.line)
    }
}

/// Something an operator should know about a line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigNotice {
    /// The line.
    pub place: LineLocation,
    /// What about it.
    pub remark: Remark,
}

/// At most so many notices are kept of one reading; how many more there are is counted.
pub const MOST_NOTICES: usize = 1000;
/// At most so many characters of a notice are shown.
const LONGEST_NOTICE: usize = 1000;

/// Adds a notice, or counts it where there are enough.
pub fn note(notices: &mut Vec<ConfigNotice>, notice: ConfigNotice) {
    if notices.len() < MOST_NOTICES {
        notices.push(notice);
        return;
    }
    match notices.last_mut().map(|last| &mut last.remark) {
        Some(Remark::MoreNotices(count)) => *count += 1,
        _ => notices.push(ConfigNotice {
            place: notice.place,
            remark: Remark::MoreNotices(1),
        }),
    }
}

impl fmt::Display for ConfigNotice {
    /// `file:line: what, what to do`, in one line with any names in it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = format!("{}: {}", self.place, self.remark);
        if let Some((end, _)) = line.char_indices().nth(LONGEST_NOTICE) {
            line.truncate(end);
            line.push('…');
        }
        line.printable().fmt(formatter)
    }
}

/// What there is to say about a line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Remark {
    /// A quote is opened and not closed.
    #[error("a quote is not closed, so this line is passed over: close it")]
    UnclosedQuote,
    /// `\x` without two hexadecimal digits.
    #[error(r"\x needs two hexadecimal digits, so this line is passed over: correct it")]
    InvalidEscape,
    /// A dollar sign within double quotes and no variable's name after it, or no closing brace.
    #[error(
        "a $ within double quotes is not followed by a variable, so this line is passed over: \
         write \"${{NAME}}\", or \\$ for the character itself"
    )]
    InvalidVariable,
    /// With its variables in place the line is too long.
    #[error("longer than {0} bytes with its variables in place: passed over")]
    LineTooLong(usize),
    /// Bytes that are no UTF-8.
    #[error("not UTF-8: names that contain such bytes are not found; rename those files")]
    NotUtf8,
    /// A variable that this program does not have.
    #[error(
        "the environment variable {0} is not set for this program, so what the line says with it \
         is not known: set it here as it is set for HAProxy, or give it a default \
         (\"${{{0}-default}}\")"
    )]
    UnknownVariable(String),
    /// A condition that cannot be evaluated from outside of HAProxy.
    #[error(
        "whether HAProxy finds '{0}' true cannot be known here: what depends on it is read \
         either way"
    )]
    Undecided(String),
    /// `.elif`, `.else` or `.endif` without its `.if`, or after `.else`.
    #[error("{0} is out of place: it needs an .if before it")]
    StrayDirective(String),
    /// The file ends within a `.if`.
    #[error("the .if of this line has no .endif: add one")]
    Unended,
    /// A keyword without its value.
    #[error("'{0}' needs a value")]
    MissingValue(String),
    /// `default-path` with an unknown policy.
    #[error("default-path '{0}' is none of current, config, parent and origin: passed over")]
    UnknownDefaultPath(String),
    /// A certificate by the name of a store that no `crt-store` line has loaded.
    #[error("'{0}' names a certificate that no crt-store section before this line loads")]
    UnknownStore(String),
    /// A line of a crt-list that opens a bracket and does not close it.
    #[error("a [ is not closed: close it")]
    UnclosedBracket,
    /// A line of a crt-list without a certificate before its options.
    #[error("no certificate is named before the options: passed over")]
    NoCertificate,
    /// A crt-list that cannot be read.
    #[error("the crt-list {} cannot be read: {reason}", path.printable())]
    UnreadableList {
        /// Its path.
        path: PathBuf,
        /// The system's words.
        reason: String,
    },
    /// A path that depends on where HAProxy was started.
    #[error(
        "'{path}' depends on the folder in which HAProxy was started and is looked for in {}: write \
         the whole path, or set default-path",
        folder.printable()
    )]
    RelativePath {
        /// As it is written.
        path: String,
        /// Where it is looked for.
        folder: PathBuf,
    },
    /// `ssl-load-extra-files` without `ocsp`.
    #[error(
        "without 'ocsp' in ssl-load-extra-files HAProxy starts without the staples on disk and has \
         none until they are pushed: add 'ocsp', and 'issuer' where chains are incomplete"
    )]
    StaplesNotRead,
    /// A `load` line of a `crt-store` without `ocsp`.
    #[error(
        "HAProxy looks for no {} because this line has no 'ocsp': after each start the certificate \
         is without a staple until one is pushed; once that file exists, add 'ocsp {}'",
        staple.printable(),
        staple.printable()
    )]
    StapleNotNamed {
        /// Where the staple is written.
        staple: PathBuf,
    },
    /// HAProxy renews this certificate's staple itself.
    #[error("HAProxy renews the staple of '{0}' itself (ocsp-update on)")]
    RenewedByHaproxy(String),
    /// HAProxy renews all staples itself.
    #[error("HAProxy renews its staples itself ({0} on), but never writes them to disk")]
    AllRenewedByHaproxy(String),
    /// A control socket without an address to connect to.
    #[error("the control socket '{0}' cannot be connected to by its address: passed over")]
    UnusableSocket(String),
    /// A control socket that speaks TLS.
    #[error("the control socket '{0}' speaks TLS, which this program does not there: passed over")]
    TlsSocket(String),
    /// The best control socket does not allow what has to be done.
    #[error(
        "this control socket has level {}, which does not suffice for all versions of HAProxy and \
         never for a certificate's first staple: add 'level admin'",
        .0.word()
    )]
    LevelTooLow(Level),
    /// No line names a certificate.
    #[error(
        "no certificate is named here, so there is nothing to staple for: HAProxy's are named on a \
         'bind' line, as in 'bind :443 ssl crt /etc/haproxy/certs'"
    )]
    NoneNamed,
    /// There is no control socket that could be connected to.
    #[error(
        "no 'stats socket' can be connected to: staples are written to disk, and none goes live before HAProxy is reloaded; add 'stats socket /run/haproxy/admin.sock level admin' to the global section"
    )]
    NoControlSocket,
    /// What HAProxy 2.2 cannot be given over its socket.
    #[error(
        "HAProxy 2.2 takes the first staple of a certificate whose only filter is '*' and does not use it: once {} is there, reload HAProxy, or name no filter",
        staple.printable()
    )]
    FirstStapleNotUsed {
        /// Where the staple is written.
        staple: PathBuf,
    },
    /// The variables that a configuration sets are too large.
    #[error(
        "the variables set up to here hold more than {0} bytes: what this one holds is not known"
    )]
    EnvironmentTooLarge(usize),
    /// There is more to say than is said.
    #[error("{0} more notices about the lines from here on are not shown: mend those above first")]
    MoreNotices(usize),
    /// The configuration names more certificates than are looked after.
    #[error("more than {0} certificates and folders: this one and those after it are passed over")]
    TooManyCertificates(usize),
}

impl Remark {
    /// The name in logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Remark::UnclosedQuote => "unclosed_quote",
            Remark::InvalidEscape => "invalid_escape",
            Remark::InvalidVariable => "invalid_variable",
            Remark::LineTooLong(_) => "line_too_long",
            Remark::NotUtf8 => "not_utf8",
            Remark::UnknownVariable(_) => "unknown_variable",
            Remark::Undecided(_) => "undecided",
            Remark::StrayDirective(_) => "stray_directive",
            Remark::Unended => "unended",
            Remark::MissingValue(_) => "missing_value",
            Remark::UnknownDefaultPath(_) => "unknown_default_path",
            Remark::UnknownStore(_) => "unknown_store",
            Remark::UnclosedBracket => "unclosed_bracket",
            Remark::NoCertificate => "no_certificate",
            Remark::UnreadableList { .. } => "unreadable_list",
            Remark::RelativePath { .. } => "relative_path",
            Remark::StaplesNotRead => "staples_not_read",
            Remark::StapleNotNamed { .. } => "staple_not_named",
            Remark::RenewedByHaproxy(_) => "renewed_by_haproxy",
            Remark::AllRenewedByHaproxy(_) => "all_renewed_by_haproxy",
            Remark::UnusableSocket(_) => "unusable_socket",
            Remark::TlsSocket(_) => "tls_socket",
            Remark::LevelTooLow(_) => "level_too_low",
            Remark::NoneNamed => "none_named",
            Remark::NoControlSocket => "no_control_socket",
            Remark::FirstStapleNotUsed { .. } => "first_staple_not_used",
            Remark::EnvironmentTooLarge(_) => "environment_too_large",
            Remark::MoreNotices(_) => "more_notices",
            Remark::TooManyCertificates(_) => "too_many_certificates",
        }
    }
}
