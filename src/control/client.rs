//! The commands' end of the control socket: one request, one reply.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::protocol::{ControlReply, ControlRequest};
use crate::text::Printable;

/// Time for the daemon to answer: it may be busy, and serves so many clients at once.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest reply: hundreds of thousands of certificates.
const MAX_REPLY_BYTES: u64 = 512 << 20;

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No process listens.
    #[error(
        "no staplerd answers on its control socket {0}: does it run, and with this control_socket?"
    )]
    NotRunning(String),
    /// Not for this user.
    #[error("control socket {0}: permission denied; be root or in the group of its directory")]
    Denied(String),
    /// It did not answer in time.
    #[error("control socket {0}: staplerd does not answer within {seconds} seconds", seconds = TIMEOUT.as_secs())]
    TimedOut(String),
    /// The connection failed, or broke.
    #[error("control socket {0}: {1}")]
    Connection(String, io::Error),
    /// It speaks, but otherwise.
    #[error(
        "control socket {0}: the answer is not understood ({1}); is staplerd of another version?"
    )]
    NotUnderstood(String, String),
}

impl AskError {
    fn new(path: &Path, error: io::Error) -> Self {
        let path = path.printable().to_string();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                AskError::NotRunning(path)
            }
            io::ErrorKind::PermissionDenied => AskError::Denied(path),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AskError::TimedOut(path),
            _ => AskError::Connection(path, error),
        }
    }
}

/// Asks the daemon that listens at `path`.
///
/// # Errors
/// [`AskError`] when there is no reply.
pub fn ask(path: &Path, request: &ControlRequest) -> Result<ControlReply, AskError> {
    let line = exchange(path, request).map_err(|error| AskError::new(path, error))?;
    serde_json::from_slice(&line)
        .map_err(|error| AskError::NotUnderstood(path.printable().to_string(), error.to_string()))
}

fn exchange(path: &Path, request: &ControlRequest) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut reply = Vec::new();
    BufReader::new(stream.take(MAX_REPLY_BYTES)).read_until(b'\n', &mut reply)?;
    if reply.is_empty() {
        return Err(io::Error::other(
            "staplerd has closed the connection without a reply",
        ));
    }
    Ok(reply)
}
