//! Makes connections for ureq: dials, tunnels through a proxy, and watches what comes back.
//!
//! Three links of a chain: [`Dial`] connects to one of a host's addresses and opens the proxy's
//! CONNECT tunnel where one is needed, ureq's own connector adds TLS, [`Watch`] tells a kept
//! connection that died unnoticed from a responder that closes on us, and puts requests to a
//! forward proxy into absolute form (RFC 9112 §3.2.2), which ureq does not. HTTP itself is ureq's.

use std::fmt;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

use super::acquaintance::{Acquaintance, Acquaintances, Party};
use super::outcome::shown;
use super::proxy::{Proxies, Proxy, Route};
use super::race::race;
use super::resolver::{AddressBook, as_ureq_error};
use super::tcp::Tcp;
use super::{CONNECT_TIMEOUT, Error};

/// A kept connection that was idle for longer is not used again; many responders close theirs a
/// little later. At most `renewal_threads` are kept.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(15);
/// The proxy's answer to CONNECT is not read further than this.
const TUNNEL_ANSWER_MAX: usize = 8 * 1024;

/// A kept connection turned out to be dead before a byte of the answer arrived: the request may be
/// sent again on a fresh one (RFC 9112 §9.3.1).
#[derive(Debug, thiserror::Error)]
#[error("the kept connection is dead")]
pub(super) struct StaleConnection;

/// Opens TCP connections, to the responder or to its proxy.
pub(super) struct Dial {
    pub(super) book: Arc<AddressBook>,
    pub(super) proxies: Arc<Proxies>,
    pub(super) acquaintances: Arc<Acquaintances>,
}

impl fmt::Debug for Dial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Dial").finish()
    }
}

impl Connector<()> for Dial {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let deadline = Instant::now().checked_add(*details.timeout.after);
        match self.proxies.route(details.uri).map_err(as_ureq_error)? {
            Route::Direct { host, .. } => self.dial(host, None, details, deadline).map(Some),
            Route::Proxied { proxy, host, port } => {
                let behind = format!("{host}:{port}");
                let mut transport = self.dial(&proxy.host, Some(behind), details, deadline)?;
                if details.needs_tls() {
                    let timeout = left_until(deadline, details.timeout);
                    open_tunnel(&mut *transport, proxy, host, port, timeout)?;
                }
                Ok(Some(transport))
            }
        }
    }
}

impl Dial {
    /// Connects to whichever of the host's addresses answers first, and remembers it. `behind` is
    /// the host that a proxy has to find.
    fn dial(
        &self,
        host: &str,
        behind: Option<String>,
        details: &ConnectionDetails<'_>,
        deadline: Option<Instant>,
    ) -> Result<Box<dyn Transport>, ureq::Error> {
        let addresses: Vec<SocketAddr> = details.addrs.iter().copied().collect();
        let deadline = deadline.unwrap_or_else(|| Instant::now() + CONNECT_TIMEOUT);
        let (stream, address) = race(&addresses, deadline).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => ureq::Error::Timeout(details.timeout.reason),
            _ => error.into(),
        })?;
        if addresses.first() != Some(&address) {
            self.book.prefer(host, address.ip());
        }
        let config = details.config;
        let buffers = LazyBuffers::new(config.input_buffer_size(), config.output_buffer_size());
        let acquaintance = (!details.needs_tls()).then(|| {
            let party = behind.map_or(Party::At(address), Party::Behind);
            Acquaintance::new(Arc::clone(&self.acquaintances), party)
        });
        let transport = Tcp::new(stream, buffers, acquaintance);
        (details.register_shutdown)(transport.shutdown_handle())?;
        Ok(Box::new(transport))
    }
}

/// `timeout` shortened to what is left until `deadline`.
fn left_until(deadline: Option<Instant>, mut timeout: NextTimeout) -> NextTimeout {
    if let Some(deadline) = deadline {
        timeout.after = deadline.saturating_duration_since(Instant::now()).into();
    }
    timeout
}

/// Asks the proxy for a tunnel to `host` (RFC 9110 §9.3.6).
fn open_tunnel(
    transport: &mut dyn Transport,
    proxy: &Proxy,
    host: &str,
    port: u16,
    timeout: NextTimeout,
) -> Result<(), ureq::Error> {
    let refused = |reason: String| as_ureq_error(Error::Proxy { reason });
    let mut request = Vec::new();
    write!(
        request,
        "CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n"
    )?;
    if let Some(authorization) = &proxy.authorization {
        write!(request, "Proxy-Authorization: {authorization}\r\n")?;
    }
    request.extend_from_slice(b"\r\n");
    transport
        .buffers()
        .output()
        .get_mut(..request.len())
        .ok_or_else(|| refused("the host's name is too long".to_owned()))?
        .copy_from_slice(&request);
    transport.transmit_output(request.len(), timeout)?;

    let deadline = Instant::now().checked_add(*timeout.after);
    loop {
        let answer = transport.buffers().input();
        if let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            let line = answer
                .split(|byte| *byte == b'\r')
                .next()
                .unwrap_or_default();
            let line = shown(line);
            transport.buffers().input_consume(end + 4);
            return match line.split(' ').nth(1) {
                Some(status) if status.starts_with('2') => Ok(()),
                _ => Err(refused(line)),
            };
        }
        if answer.len() > TUNNEL_ANSWER_MAX {
            return Err(refused("its answer is too long".to_owned()));
        }
        if !transport.await_input(left_until(deadline, timeout))? {
            return Err(refused("it closed the connection".to_owned()));
        }
    }
}

/// The last link: wraps every connection in a [`WatchedConnection`] one.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) proxies: Arc<Proxies>,
}

impl<In: Transport> Connector<In> for Watch {
    type Out = WatchedConnection<In>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let route = self.proxies.route(details.uri).map_err(as_ureq_error)?;
        let origin = match (route, details.uri.authority()) {
            (Route::Proxied { .. }, Some(authority)) if !details.needs_tls() => {
                Some(format!("http://{authority}"))
            }
            _ => None,
        };
        Ok(chained.map(|inner| WatchedConnection {
            inner,
            origin,
            was_used: false,
            answer_began: false,
        }))
    }
}

/// A connection that knows whether it was used before and whether an answer has begun.
#[derive(Debug)]
pub(super) struct WatchedConnection<In> {
    inner: In,
    /// `http://host:port` to be put before the path, when a forward proxy is spoken to.
    origin: Option<String>,
    was_used: bool,
    answer_began: bool,
}

impl<In: Transport> WatchedConnection<In> {
    /// The error to report instead of one that came before any byte of the answer.
    fn explain(&self, error: ureq::Error) -> ureq::Error {
        let connection_is_gone = matches!(&error, ureq::Error::Io(error) if is_gone(error));
        if connection_is_gone && self.was_used && !self.answer_began {
            ureq::Error::Other(Box::new(StaleConnection))
        } else {
            error
        }
    }

    /// Turns `GET /path` in the output buffer into `GET http://host/path`; returns the new length.
    fn rewrite_to_absolute_form(&mut self, amount: usize) -> Result<usize, ureq::Error> {
        let output = self.inner.buffers().output();
        let begins = |method: &[u8]| output.get(..amount).is_some_and(|o| o.starts_with(method));
        let place = match &self.origin {
            // The only other thing sent is a POST's body, which is DER.
            Some(_) if begins(b"GET /") => b"GET ".len(),
            Some(_) if begins(b"POST /") => b"POST ".len(),
            _ => return Ok(amount),
        };
        let origin = self.origin.as_deref().unwrap_or_default().as_bytes();
        let after = place + origin.len();
        if amount + origin.len() > output.len() {
            return Err(io::Error::other("the request is too long for a proxy").into());
        }
        output.copy_within(place..amount, after);
        output[place..after].copy_from_slice(origin);
        Ok(amount + origin.len())
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::NotConnected
    )
}

impl<In: Transport> Transport for WatchedConnection<In> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.was_used |= self.answer_began;
        self.answer_began = false;
        let amount = self.rewrite_to_absolute_form(amount)?;
        self.inner
            .transmit_output(amount, timeout)
            .map_err(|error| self.explain(error))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let arrived = self
            .inner
            .await_input(timeout)
            .map_err(|error| self.explain(error))?;
        if !arrived && !self.answer_began {
            let closed = io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(self.explain(closed.into()));
        }
        self.answer_began |= arrived;
        Ok(arrived)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
