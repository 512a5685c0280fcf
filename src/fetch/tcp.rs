//! A TCP connection as ureq's transport.
//!
//! ureq's own comes only with its way of connecting, which tries one address after the other. A
//! request's body goes only to a server that has spoken HTTP before (`acquaintance`).

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, ShutdownHandle, Transport};

use super::acquaintance::Acquaintance;

/// A connection and its buffers.
pub(super) struct Tcp {
    /// Shared with the handle that closes it from elsewhere.
    stream: Arc<TcpStream>,
    buffers: LazyBuffers,
    /// The server at the other end; none with TLS, which says it.
    acquaintance: Option<Acquaintance>,
}

impl Tcp {
    pub(super) fn new(
        stream: TcpStream,
        buffers: LazyBuffers,
        acquaintance: Option<Acquaintance>,
    ) -> Self {
        Tcp {
            stream: Arc::new(stream),
            buffers,
            acquaintance,
        }
    }

    /// What closes the connection while it is in use.
    pub(super) fn shutdown_handle(&self) -> Weak<dyn ShutdownHandle> {
        let weak: Weak<TcpStream> = Arc::downgrade(&self.stream);
        weak
    }
}

impl fmt::Debug for Tcp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.stream.peer_addr().ok();
        formatter.debug_tuple("Tcp").field(&peer).finish()
    }
}

impl Transport for Tcp {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let timeout = timeout.for_write();
        let left = bounded(timeout)?;
        self.stream.set_write_timeout(Some(left))?;
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        if let Some(acquaintance) = &mut self.acquaintance {
            acquaintance
                .sends(output)
                .map_err(|error| ureq::Error::Other(Box::new(error)))?;
        }
        (&*self.stream)
            .write_all(output)
            .map_err(|error| explain(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let timeout = timeout.for_read();
        let deadline = Instant::now() + bounded(timeout)?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ureq::Error::Timeout(timeout.reason));
            }
            self.stream.set_read_timeout(Some(left))?;
            match (&*self.stream).read(self.buffers.input_append_buf()) {
                Ok(amount) => {
                    self.buffers.input_appended(amount);
                    if let Some(acquaintance) = &mut self.acquaintance {
                        acquaintance.hears(self.buffers.input());
                    }
                    return Ok(amount > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(explain(error, timeout)),
            }
        }
    }

    fn is_open(&mut self) -> bool {
        // Open, and no bytes have come that were not asked for.
        let silent = self.stream.set_nonblocking(true).and_then(|()| {
            let peeked = self.stream.peek(&mut [0]);
            self.stream.set_nonblocking(false)?;
            Ok(matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock))
        });
        silent.unwrap_or(false)
    }
}

/// The time that is left, if any; a day where there is no bound (a socket's timeout needs one).
fn bounded(timeout: NextTimeout) -> Result<Duration, ureq::Error> {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    match (*timeout.after).min(DAY) {
        Duration::ZERO => Err(ureq::Error::Timeout(timeout.reason)),
        left => Ok(left),
    }
}

fn explain(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    match error.kind() {
        // A socket whose timeout has passed says so.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ureq::Error::Timeout(timeout.reason),
        _ => error.into(),
    }
}
