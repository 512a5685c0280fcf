//! The agent's reports as log lines: what happened, to which certificate, and what comes next.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use humantime::format_duration;
use tracing::{debug, error, info, warn};

use crate::agent::{Delivered, Notice, Outdated, State, TargetId};
use crate::haproxy::Address;
use crate::text::Printable;
use crate::time::Timestamp;

/// What things are called in the log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogNames {
    /// The control sockets by their numbers.
    pub sockets: BTreeMap<TargetId, Address>,
    /// Names that the operator has given to certificate files (ocspbot's domain identifiers).
    pub certificates: HashMap<PathBuf, String>,
}

impl LogNames {
    fn certificate(&self, path: &Path) -> String {
        match self.certificates.get(path) {
            Some(name) => format!("[{name}] {}", path.printable()),
            None => path.printable().to_string(),
        }
    }
}

/// What comes after what is reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outlook {
    /// What is announced is done: a daemon goes on.
    GoesOn,
    /// Only what comes within this time is done: a single run ends.
    EndsAfter(Duration),
}

impl Outlook {
    /// The announcement of a next attempt; nothing where there will be none.
    fn next_attempt(self, delay: Duration) -> String {
        match self {
            Outlook::EndsAfter(patience) if delay > patience => String::new(),
            _ => format!("; next attempt in {}", in_seconds(delay)),
        }
    }

    /// The announcement of a next request; nothing where there will be none.
    fn next_request(self, at: Timestamp) -> String {
        match self {
            Outlook::GoesOn => format!(", next request {at}"),
            Outlook::EndsAfter(_) => String::new(),
        }
    }
}

/// Logs one report.
pub fn log_report(report: &Notice, names: &LogNames, outlook: Outlook) {
    let socket = |target: &TargetId| {
        let address = names.sockets.get(target);
        address.map(ToString::to_string).unwrap_or_default()
    };
    match report {
        Notice::Excluded { path, exclusion } => {
            let (certificate, reason) = (names.certificate(path), exclusion.kind());
            if exclusion.is_normal() {
                debug!(%certificate, reason, "passed over: {exclusion}");
            } else {
                warn!(%certificate, reason, "passed over: {exclusion}");
            }
        }
        Notice::Adopted { path, staple_until } => {
            let certificate = names.certificate(path);
            match staple_until {
                Some(until) => info!(%certificate, "found, with a staple good until {until}"),
                None => info!(%certificate, "found, without a usable staple"),
            }
        }
        Notice::Forgotten { path } => {
            info!(
                certificate = %names.certificate(path),
                "gone; its .ocsp goes as well where it is staplerd's"
            );
        }
        Notice::StillServed { path } => {
            info!(
                certificate = %names.certificate(path),
                "HAProxy still serves what lay here before: its staple is renewed and pushed until \
                 HAProxy is reloaded"
            );
        }
        Notice::Renewed {
            path,
            this_update,
            until,
            next_request,
        } => info!(
            certificate = %names.certificate(path),
            "renewed: response of {this_update}, good until {until}{}",
            outlook.next_request(*next_request)
        ),
        Notice::Unchanged { path, next_request } => debug!(
            certificate = %names.certificate(path),
            "the responder has nothing newer yet{}",
            outlook.next_request(*next_request)
        ),
        Notice::Outdated {
            path,
            outdated,
            staple_until,
            next_request,
            repeated,
        } => {
            let (certificate, reason) = (names.certificate(path), Outdated::KIND);
            let rest = format!(
                "{outdated}; next request {next_request}; {}",
                held(Some(*staple_until))
            );
            match repeated {
                true => debug!(%certificate, reason, "{rest}"),
                false => warn!(%certificate, reason, "{rest}"),
            }
        }
        Notice::NotKnownYet {
            path,
            failure,
            retry_in,
        } => info!(
            certificate = %names.certificate(path),
            reason = failure.kind,
            "new, and not known to its responder yet: {}; next attempt in {}",
            failure.message,
            in_seconds(*retry_in)
        ),
        Notice::RequestFailed {
            path,
            failure,
            failures,
            retry_in,
            staple_until,
            repeated: _,
        } => warn!(
            certificate = %names.certificate(path),
            reason = failure.kind,
            failures,
            "no response: {}{}; {}",
            failure.message,
            outlook.next_attempt(*retry_in),
            held(*staple_until)
        ),
        Notice::RequestPostponed {
            path,
            failure,
            retry_in,
        } => debug!(
            certificate = %names.certificate(path),
            reason = failure.kind,
            "not asked: {}{}",
            failure.message,
            outlook.next_attempt(*retry_in)
        ),
        Notice::Revoked {
            path,
            at,
            reason,
            staple_until,
            repeated: false,
        } => {
            let state = State::Revoked {
                at: *at,
                reason: *reason,
            };
            error!(
                certificate = %names.certificate(path),
                reason = state.kind(),
                "{state}: replace it; {}",
                held(*staple_until)
            );
        }
        Notice::Revoked { path, .. } => {
            debug!(
                certificate = %names.certificate(path),
                reason = "revoked",
                "still revoked"
            );
        }
        Notice::Expiring {
            path,
            staple_until,
            failure,
        } => warn!(
            certificate = %names.certificate(path),
            reason = failure.as_ref().map_or("expiring", |failure| failure.kind),
            "no successor yet{}; {}",
            failure
                .as_ref()
                .map(|failure| format!(": {}", failure.message))
                .unwrap_or_default(),
            held(*staple_until)
        ),
        Notice::StapleExpired { path } => error!(
            certificate = %names.certificate(path),
            reason = "staple_expired",
            "the staple has come to its end and no new one could be had"
        ),
        Notice::CertificateExpired { path, not_after } => {
            let state = State::Expired {
                not_after: *not_after,
            };
            warn!(
                certificate = %names.certificate(path),
                reason = state.kind(),
                "{state}; nothing more is done for it"
            );
        }
        Notice::Written {
            path: _,
            staple_path,
        } => {
            debug!(staple = %staple_path.printable(), "written");
        }
        Notice::Cleared {
            path: _,
            staple_path,
        } => info!(
            staple = %staple_path.printable(),
            "removed: it had come to its end or was another certificate's, and would have kept \
             HAProxy from starting under zero-warning"
        ),
        Notice::WriteFailed {
            path: _,
            staple_path: _,
            failure,
            retry_in,
            repeated,
        } => {
            let (reason, next) = (failure.kind, outlook.next_attempt(*retry_in));
            if *repeated {
                debug!(reason, "staple not written: {}{next}", failure.message);
            } else {
                error!(reason, "staple not written: {}{next}", failure.message);
            }
        }
        Notice::Live { path, target, how } => {
            let (certificate, socket) = (names.certificate(path), socket(target));
            match how {
                Delivered::Pushed => info!(%certificate, %socket, "live: pushed"),
                Delivered::Attached => {
                    info!(%certificate, %socket, "live: attached, its first staple in this process")
                }
                Delivered::AlreadyHeld => debug!(%certificate, %socket, "live: already held"),
            }
        }
        Notice::DeliveryFailed {
            path,
            target,
            failure,
            retry_in,
            repeated,
        } => {
            let (certificate, socket, reason) =
                (names.certificate(path), socket(target), failure.kind);
            let next = match retry_in {
                Some(delay) => outlook.next_attempt(*delay),
                None => "; not tried again with this staple".to_owned(),
            };
            if *repeated {
                debug!(%certificate, %socket, reason, "not live: {}{next}", failure.message);
            } else {
                warn!(%certificate, %socket, reason, "not live: {}{next}", failure.message);
            }
        }
    }
}

/// How it stands with all certificate files, in one line: `12 certificate files: 1 failing, 11
/// fresh`.
pub fn status_line<'a>(states: impl Iterator<Item = (&'a Path, State)>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, state) in states {
        *counts.entry(state.kind()).or_default() += 1;
    }
    let all: usize = counts.values().sum();
    let parts: Vec<String> = counts
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    let noun = if all == 1 {
        "certificate file"
    } else {
        "certificate files"
    };
    match parts.is_empty() {
        true => format!("{all} {noun}"),
        false => format!("{all} {noun}: {}", parts.join(", ")),
    }
}

fn held(staple_until: Option<Timestamp>) -> String {
    match staple_until {
        Some(until) => format!("the staple held is good until {until}"),
        None => "no staple is held".to_owned(),
    }
}

fn in_seconds(duration: Duration) -> String {
    let rounded = Duration::from_secs(duration.as_secs().max(1));
    format_duration(rounded).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Exclusion;

    #[test]
    fn the_status_line_counts_the_states_by_name() {
        let path = Path::new("/a.pem");
        let states = [
            State::Fresh,
            State::Excluded(Exclusion::NoResponder),
            State::Fresh,
        ];
        assert_eq!(
            status_line(states.into_iter().map(|state| (path, state))),
            "3 certificate files: 2 fresh, 1 no_responder"
        );
        assert_eq!(status_line(std::iter::empty()), "0 certificate files");
    }
}
