//! The system's log: a datagram for each record to `/dev/log`, in the form of RFC 3164.
//!
//! Facility daemon. No timestamp is sent: the form has local times only, and the daemon at
//! `/dev/log` knows the time itself (RFC 3164 §4.3.2). A log that is not there, or does not take
//! anything for a while, loses records; the program goes on.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Where the system's log listens (syslog(3)).
pub(super) const DEVICE: &str = "/dev/log";
/// The facility of daemons.
const DAEMON: u8 = 3;
/// The longest record, in bytes; the rest of a longer one is cut off.
const RECORD_MAX: usize = 8 * 1024;
/// How long a full log is waited for.
const PATIENCE: Duration = Duration::from_millis(100);

/// A way to the system's log. The log is looked up for each record, so it may be restarted.
#[derive(Debug)]
pub(super) struct Syslog {
    socket: UnixDatagram,
    device: PathBuf,
}

impl Syslog {
    /// # Errors
    /// When no socket can be made.
    pub(super) fn new(device: &str) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Syslog {
            socket,
            device: PathBuf::from(device),
        })
    }
}

/// Whether a process listens at [`DEVICE`].
///
/// # Errors
/// The system's, with the path in its words, if none does.
pub(super) fn listens() -> io::Result<()> {
    let connected = UnixDatagram::unbound()?.connect(DEVICE);
    connected.map_err(|error| io::Error::new(error.kind(), format!("{DEVICE}: {error}")))
}

/// The severity that RFC 3164 §4.1.1 has for a level.
fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

/// One record on its way.
pub(super) struct SyslogRecord<'a> {
    log: &'a Syslog,
    severity: u8,
}

impl<'a> MakeWriter<'a> for Syslog {
    type Writer = SyslogRecord<'a>;

    fn make_writer(&'a self) -> SyslogRecord<'a> {
        SyslogRecord {
            log: self,
            severity: severity(Level::INFO),
        }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> SyslogRecord<'a> {
        SyslogRecord {
            log: self,
            severity: severity(*about.level()),
        }
    }
}

impl Write for SyslogRecord<'_> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let priority = DAEMON * 8 + self.severity;
        let mut datagram = format!("<{priority}>staplerd[{}]: ", std::process::id()).into_bytes();
        datagram.extend_from_slice(record.trim_ascii_end());
        datagram.truncate(RECORD_MAX);
        // There is no place left to report it.
        let _ = self.log.socket.send_to(&datagram, &self.log.device);
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::super::fields::fields;
    use super::*;

    #[test]
    fn a_record_is_a_datagram_with_priority_name_and_process_id_and_the_log_may_be_restarted() {
        let directory = tempfile::tempdir().unwrap();
        let device = directory.path().join("log");
        let syslog = Syslog::new(device.to_str().unwrap()).unwrap();
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(syslog)
            .without_time()
            .with_level(false)
            .with_target(false)
            .with_ansi(false)
            .fmt_fields(fields());
        let subscriber = tracing_subscriber::registry().with(lines);
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!("nobody listens yet");
            for _ in 0..2 {
                let _ = std::fs::remove_file(&device);
                let log = UnixDatagram::bind(&device).unwrap();
                tracing::error!("two\nlines");
                tracing::info!(certificate = "/a.pem", "renewed");
                let mut datagram = [0; 1024];
                let expected = [(27, r"two\nlines"), (30, "renewed certificate=\"/a.pem\"")];
                for (priority, text) in expected {
                    let length = log.recv(&mut datagram).unwrap();
                    let expected = format!("<{priority}>staplerd[{}]: {text}", std::process::id());
                    assert_eq!(String::from_utf8_lossy(&datagram[..length]), expected);
                }
            }
        });
    }
}
