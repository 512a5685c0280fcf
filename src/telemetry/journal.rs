//! The journal, in its native form: a datagram of fields for each record
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>).
//!
//! The message says everything, as a line on standard error does; what can be searched for
//! (certificate, socket, reason) is a field of its own besides, `STAPLERD_CERTIFICATE=` and the
//! like. A journal that does not take anything loses records; the program goes on.

use std::fmt::{self, Write as _};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::text::Printable;

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";
/// The longest value of a field, in characters; the rest of a longer one is cut off.
const VALUE_MAX: usize = 16 * 1024;
/// How long a full journal is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// A way to the journal. It is looked up for each record, so it may be restarted.
#[derive(Debug)]
pub(super) struct Journal {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Journal {
    /// # Errors
    /// When no socket can be made, or the journal does not listen.
    pub(super) fn new() -> io::Result<Self> {
        UnixDatagram::unbound()?.connect(SOCKET)?;
        Self::at(Path::new(SOCKET))
    }

    fn at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Journal {
            socket,
            path: path.to_owned(),
        })
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut record = JournalRecord::default();
        event.record(&mut record);
        let datagram = record.datagram(*event.metadata().level());
        // There is no place left to report it.
        let _ = self.socket.send_to(&datagram, &self.path);
    }
}

/// The priority that syslog(3) has for a level.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

/// A record while it is put together.
#[derive(Default)]
struct JournalRecord {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for JournalRecord {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, value.to_owned());
    }
}

impl JournalRecord {
    fn take(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            name => self.fields.push((name, value)),
        }
    }

    fn datagram(mut self, level: Level) -> Vec<u8> {
        for (name, value) in &self.fields {
            // Writing to a String cannot fail.
            let _ = write!(self.message, " {name}={value}");
        }
        let mut datagram = Vec::new();
        append(&mut datagram, "MESSAGE", &self.message);
        append(&mut datagram, "PRIORITY", priority(level));
        append(&mut datagram, "SYSLOG_IDENTIFIER", "staplerd");
        for (name, value) in &self.fields {
            let name = format!("STAPLERD_{}", name.to_ascii_uppercase());
            append(&mut datagram, &name, value);
        }
        datagram
    }
}

/// Appends one field, whose value is shown in one line.
fn append(datagram: &mut Vec<u8>, name: &str, value: &str) {
    let value = value.printable().to_string();
    let value: String = value.chars().take(VALUE_MAX).collect();
    datagram.extend_from_slice(format!("{name}={value}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn a_record_names_its_certificate_in_the_message_and_in_a_field_and_info_is_info() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let subscriber = tracing_subscriber::registry().with(Journal::at(&path).unwrap());
        let path = Path::new("/certs/a b.pem");
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(certificate = %path.display(), "renewed: good until {}", 5);
            tracing::warn!(
                reason = "timeout",
                failures = 3,
                "no response\nPRIORITY=0\n\nx"
            );
            tracing::error!("{}", "e".repeat(70_000));
        });
        let mut datagram = vec![0; 100_000];
        let mut next = || {
            let length = journal.recv(&mut datagram).unwrap();
            String::from_utf8_lossy(&datagram[..length]).into_owned()
        };
        assert_eq!(
            next(),
            "MESSAGE=renewed: good until 5 certificate=/certs/a b.pem\nPRIORITY=6\n\
             SYSLOG_IDENTIFIER=staplerd\nSTAPLERD_CERTIFICATE=/certs/a b.pem\n"
        );
        assert_eq!(
            next(),
            "MESSAGE=no response\\nPRIORITY=0\\n\\nx reason=timeout failures=3\nPRIORITY=4\n\
             SYSLOG_IDENTIFIER=staplerd\nSTAPLERD_REASON=timeout\nSTAPLERD_FAILURES=3\n"
        );
        let long = next();
        assert!(long.len() < VALUE_MAX + 100 && long.contains("\nPRIORITY=3\n"));
    }
}
