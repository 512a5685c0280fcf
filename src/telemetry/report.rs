//! The agent's reports as log lines: what happened, to which certificate, and what comes next.

use std::time::Duration;

use humantime::format_duration;
use tracing::{debug, error, info, warn};

use crate::agent::{Delivery, Exclusion, Report};
use crate::haproxy::Address;
use crate::time::Timestamp;

/// Logs one report; `sockets` are the control sockets in the order of the configuration.
pub fn log_report(report: &Report, sockets: &[Address]) {
    let socket = |index: usize| {
        sockets
            .get(index)
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    match report {
        Report::Excluded { path, exclusion } => {
            let (certificate, reason) = (path.display(), exclusion.kind());
            match exclusion {
                Exclusion::NoResponder | Exclusion::NotApplicable { .. } => {
                    debug!(%certificate, reason, "passed over: {exclusion}");
                }
                Exclusion::NoIssuer { .. } | Exclusion::Unreadable { .. } => {
                    warn!(%certificate, reason, "passed over: {exclusion}");
                }
            }
        }
        Report::Adopted { path, staple_until } => {
            let certificate = path.display();
            match staple_until {
                Some(until) => info!(%certificate, "found, with a staple good until {until}"),
                None => info!(%certificate, "found, without a usable staple"),
            }
        }
        Report::Forgotten { path } => {
            info!(certificate = %path.display(), "gone; its .ocsp, if any, is left as it is");
        }
        Report::Renewed {
            path,
            this_update,
            until,
            next_request,
        } => info!(
            certificate = %path.display(),
            "renewed: response of {this_update}, good until {until}, next request {next_request}"
        ),
        Report::Unchanged { path, next_request } => debug!(
            certificate = %path.display(),
            "the responder has nothing newer yet, next request {next_request}"
        ),
        Report::RequestFailed {
            path,
            failure,
            failures,
            retry_in,
            staple_until,
        } => warn!(
            certificate = %path.display(),
            reason = failure.kind,
            failures,
            "no response: {}; next attempt in {}; {}",
            failure.message,
            in_seconds(*retry_in),
            held(*staple_until)
        ),
        Report::Revoked {
            path,
            at,
            reason,
            staple_until,
            repeated: false,
        } => {
            let why = reason
                .map(|reason| format!(" ({})", reason.name()))
                .unwrap_or_default();
            error!(
                certificate = %path.display(),
                reason = "revoked",
                "the CA has revoked this certificate at {at}{why}: replace it; {}",
                held(*staple_until)
            );
        }
        Report::Revoked { path, .. } => {
            debug!(certificate = %path.display(), reason = "revoked", "still revoked");
        }
        Report::StapleExpired { path } => error!(
            certificate = %path.display(),
            reason = "staple_expired",
            "the staple has come to its end and no new one could be had"
        ),
        Report::CertificateExpired { path, not_after } => warn!(
            certificate = %path.display(),
            reason = "expired",
            "the certificate itself ended at {not_after}; nothing more is done for it"
        ),
        Report::Written { staple_path } => {
            debug!(staple = %staple_path.display(), "written");
        }
        Report::WriteFailed {
            staple_path: _,
            failure,
            retry_in,
        } => error!(
            reason = failure.kind,
            "staple not written: {}; next attempt in {}",
            failure.message,
            in_seconds(*retry_in)
        ),
        Report::Live { path, target, how } => {
            let (certificate, socket) = (path.display(), socket(target.0));
            match how {
                Delivery::Pushed => info!(%certificate, %socket, "live: pushed"),
                Delivery::Attached => {
                    info!(%certificate, %socket, "live: attached, its first staple in this process")
                }
                Delivery::AlreadyHeld => debug!(%certificate, %socket, "live: already held"),
            }
        }
        Report::DeliveryFailed {
            path,
            target,
            failure,
            retry_in,
            repeated,
        } => {
            let (certificate, socket, reason) = (path.display(), socket(target.0), failure.kind);
            let next = match retry_in {
                Some(delay) => format!("next attempt in {}", in_seconds(*delay)),
                None => "not tried again with this staple".to_owned(),
            };
            if *repeated {
                debug!(%certificate, %socket, reason, "not live: {}; {next}", failure.message);
            } else {
                warn!(%certificate, %socket, reason, "not live: {}; {next}", failure.message);
            }
        }
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
