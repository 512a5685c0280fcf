//! Signals an operator or systemd sends, as a stream of what they mean.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;

use futures_core::Stream;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignalRequest {
    /// SIGTERM, SIGINT: end.
    Stop,
    /// SIGHUP: read the configuration and look at all directories again.
    Reload,
    /// SIGUSR1: renew every response now.
    RenewAll,
}

/// The signals that have arrived.
pub struct Signals(signal_hook_tokio::Signals);

impl Signals {
    /// Takes over the signals from their default actions.
    ///
    /// # Errors
    /// The system's error when a handler cannot be installed.
    pub fn new() -> io::Result<Self> {
        signal_hook_tokio::Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1]).map(Signals)
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> SignalRequest {
        loop {
            match poll_fn(|context| Pin::new(&mut self.0).poll_next(context)).await {
                Some(SIGHUP) => return SignalRequest::Reload,
                Some(SIGUSR1) => return SignalRequest::RenewAll,
                Some(_) => return SignalRequest::Stop,
                // The stream ends only when its handle is closed, which does not happen.
                None => std::future::pending::<()>().await,
            }
        }
    }
}
