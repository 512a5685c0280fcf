//! The text of every command this program gives HAProxy (management guide §9.3), one function each,
//! and what a reply consists of.
//!
//! Pure: nothing is sent here. Arguments are escaped as the command line's parser wants it: space,
//! tab, `;` and `\` by a `\`, and a leading `*`, which would mean a transaction, too. Base64 needs
//! none of it. What the replies mean is read in [`reply`](super::reply).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio_util::bytes::Bytes;

use crate::text::hexadecimal;
use crate::x509::Certificate;

/// One command, ready to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    line: String,
    payload: Option<String>,
}

impl Command {
    /// The command line, without line feed and payload mark.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The command without its arguments, for messages.
    pub fn name(&self) -> String {
        /// As in `set ssl ocsp-response`.
        const WORDS: usize = 3;
        self.line
            .split(' ')
            .take(WORDS)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The lines that follow the command.
    pub fn payload(&self) -> Option<&str> {
        self.payload.as_deref()
    }

    /// Whether it is answered the same by a worker and by its master, which then need not ask it.
    pub(super) fn is_for_any_process(&self) -> bool {
        self.line.starts_with(ECHO)
    }

    fn text(line: impl Into<String>) -> Self {
        Command {
            line: line.into(),
            payload: None,
        }
    }
}

/// One reply.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommandReply {
    /// Its text, without line feeds at its end, continuation marks and severity mark.
    pub text: String,
    /// Its bytes as they came, with the prompt behind them.
    pub raw: Bytes,
    /// How many bytes HAProxy gave for it, without the prompt.
    pub length: usize,
}

/// A name that no certificate store can have, for asking whether a transaction is open.
const NO_STORE: &str = "/dev/null/no-such-certificate";

/// What HAProxy since 3.1 answers with its argument.
const ECHO: &str = "echo ";

/// A word that is the name of nothing.
const NOTHING: &str = "/dev/null/nothing";

/// Asks to have `word` said back (3.1 and later).
pub(super) fn echo(word: &str) -> Command {
    Command::text(format!("{ECHO}{word}"))
}

/// Questions with short answers that stay the same as long as a connection lasts and differ from
/// each other. They take no lock, and are there in every version before 3.1.
pub(super) fn constant_questions() -> Vec<Command> {
    let unanswerable = [
        "show env",
        "show table",
        "show resolvers",
        "show servers state",
        "show errors",
        "show peers",
        "get weight",
        "show map",
        "show acl",
        "show tls-keys",
    ];
    let unanswerable = unanswerable.map(|question| format!("{question} {NOTHING}"));
    let lines = ["show cli level".to_owned()]
        .into_iter()
        .chain(unanswerable);
    lines.map(Command::text).collect()
}

/// How large HAProxy's buffers are (`match`: 2.7 and later; earlier versions show all pools).
pub(super) fn show_buffers() -> Command {
    Command::text("show pools match buffer 9")
}

/// Asks for silent interactive mode (3.2 and later); earlier versions turn their prompt on.
pub fn interactive() -> Command {
    Command::text("prompt i")
}

/// Messages without severity marks, however the socket is configured.
pub fn without_severity() -> Command {
    Command::text("set severity-output none")
}

/// The variables that the process has in its environment (level operator).
pub fn show_environment() -> Command {
    Command::text("show env")
}

/// What the process was built with (seen from 3.0 on).
pub fn show_build() -> Command {
    Command::text("show dev")
}

/// The level of this connection.
pub fn show_cli_level() -> Command {
    Command::text("show cli level")
}

/// Version, process id and whether the process is on its way out.
pub fn show_info() -> Command {
    Command::text("show info")
}

/// The names of all certificate stores.
pub fn show_certificates() -> Command {
    Command::text("show ssl cert")
}

/// What one certificate store holds.
pub fn show_certificate(store: &str) -> Command {
    // From 3.2 on, a `*` with a backslash that arrives with it means the character itself.
    let backslash = if store.starts_with('*') { r"\\" } else { "" };
    Command::text(format!("show ssl cert {backslash}{}", escape(store)))
}

/// What the open transaction on a certificate store would put there.
pub fn show_transaction(store: &str) -> Command {
    Command::text(format!("show ssl cert *{}", escape(store)))
}

/// The response HAProxy holds for a CertID, in base64 (2.8 and later).
pub fn show_ocsp_response_base64(cert_id: &[u8]) -> Command {
    Command::text(format!(
        "show ssl ocsp-response base64 {}",
        hexadecimal(cert_id)
    ))
}

/// The response HAProxy holds for a CertID, as OpenSSL prints it (2.5 and later).
pub fn show_ocsp_response_text(cert_id: &[u8]) -> Command {
    Command::text(format!("show ssl ocsp-response {}", hexadecimal(cert_id)))
}

/// Replaces the response in the slot with the same CertID.
pub fn set_ocsp_response(response: &[u8]) -> Command {
    // On one line, not as payload: every version takes it, and none answers with `+ ` marks.
    Command::text(format!(
        "set ssl ocsp-response {}",
        STANDARD.encode(response)
    ))
}

/// Opens a transaction that gives `store` an OCSP response, and with it a slot.
pub fn set_certificate_ocsp(store: &str, response: &[u8]) -> Command {
    Command {
        payload: Some(STANDARD.encode(response)),
        ..Command::text(format!("set ssl cert {}.ocsp", escape(store)))
    }
}

/// Gives `store` the issuer of its certificate, in a transaction.
pub fn set_certificate_issuer(store: &str, issuer: &Certificate) -> Command {
    Command {
        // An empty line would end the payload, and one more would be a command of its own.
        payload: Some(issuer.pem().trim_end().to_owned()),
        ..Command::text(format!("set ssl cert {}.issuer", escape(store)))
    }
}

/// Carries out the transaction on `store`.
pub fn commit_certificate(store: &str) -> Command {
    Command::text(format!("commit ssl cert {}", escape(store)))
}

/// Gives up the transaction on `store`.
pub fn abort_certificate(store: &str) -> Command {
    Command::text(format!("abort ssl cert {}", escape(store)))
}

/// Asks which transaction is open, by giving up one that cannot exist: HAProxy refuses and names
/// the open one, in far fewer bytes than `show ssl cert` takes.
pub fn ask_for_transaction() -> Command {
    abort_certificate(NO_STORE)
}

/// Whether a store's name arrives as one argument in every version, in a command of at most
/// `longest` bytes. `<<` is taken for the mark of a payload however it is escaped.
pub(super) fn is_sendable(store: &str, longest: usize) -> bool {
    !store.is_empty()
        && !store.contains("<<")
        && !store.contains('\u{fffd}')
        && !store.contains(char::is_control)
        && set_certificate_ocsp(store, &[]).line().len() <= longest
}

fn escape(argument: &str) -> String {
    let mut escaped = String::with_capacity(argument.len());
    for (position, character) in argument.chars().enumerate() {
        let special =
            matches!(character, ' ' | '\t' | ';' | '\\') || (position == 0 && character == '*');
        if special {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_special_characters_stay_one_argument() {
        for (store, line) in [
            ("/c/a.pem", "show ssl cert /c/a.pem"),
            ("/c/a b;c\\d.pem", r"show ssl cert /c/a\ b\;c\\d.pem"),
            ("*a.pem", r"show ssl cert \\\*a.pem"),
            ("@web/alias", "show ssl cert @web/alias"),
            ("relative*.pem", "show ssl cert relative*.pem"),
        ] {
            assert_eq!(show_certificate(store).line(), line);
        }
    }

    #[test]
    fn a_name_that_would_not_arrive_as_one_argument_is_not_sent() {
        const LONGEST: usize = 1000;
        for name in ["/c/a b;c\\d.pem", "*a", "/c/ä.pem", "a<b", "a< <b", "'\"#$"] {
            assert!(is_sendable(name, LONGEST), "{name}");
        }
        let long = "x".repeat(LONGEST);
        for name in [
            "",
            "a <<x.pem",
            "a<<",
            "a\nb",
            "a\rb",
            "a\0b",
            "a\u{1b}b",
            &long,
        ] {
            assert!(!is_sendable(name, LONGEST), "{name:?}");
        }
    }

    #[test]
    fn a_staple_goes_on_one_line_and_an_attachment_as_payload() {
        let push = set_ocsp_response(&[0x30, 0x03, 0x0a, 0x01, 0x00]);
        assert_eq!(push.line(), "set ssl ocsp-response MAMKAQA=");
        assert_eq!(push.payload(), None);
        let attach = set_certificate_ocsp("/c/a b.pem", &[0x30, 0x00]);
        assert_eq!(attach.line(), r"set ssl cert /c/a\ b.pem.ocsp");
        assert_eq!(attach.payload(), Some("MAA="));
    }

    #[test]
    fn a_certid_is_written_as_haproxy_writes_it() {
        assert_eq!(
            show_ocsp_response_base64(&[0x30, 0x0a, 0xff]).line(),
            "show ssl ocsp-response base64 300aff"
        );
    }
}
