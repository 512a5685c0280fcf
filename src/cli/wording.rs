//! What a response says, in the words that all commands use for it.

use crate::ocsp::{self, Assessment, CertificateStatus, Signer};

/// What an accepted response says, line by line, except for its verdict.
pub(super) fn details(assessment: &Assessment) -> Vec<String> {
    let mut lines = vec![format!("signed by {}", signer(assessment))];
    lines.push(format!("produced at {}", assessment.produced_at));
    lines.push(format!("this update {}", assessment.this_update));
    lines.push(match assessment.next_update {
        Some(next_update) => format!("next update {next_update}"),
        None => "next update not stated".to_owned(),
    });
    lines.push(format!("usable until {}", assessment.expires));
    lines.extend(assessment.notes.iter().map(|note| format!("note: {note}")));
    lines
}

/// Who signed it.
pub(super) fn signer(assessment: &Assessment) -> String {
    match &assessment.signer {
        Signer::Issuer => "the issuer".to_owned(),
        Signer::Delegate(delegate) => format!("'{}'", delegate.label()),
    }
}

/// `good`, `unknown` or `revoked at …`.
pub(super) fn verdict(assessment: &Assessment) -> String {
    match assessment.status {
        CertificateStatus::Good => "good".to_owned(),
        CertificateStatus::Unknown => "unknown".to_owned(),
        CertificateStatus::Revoked { at, reason } => {
            let reason = reason.map_or("no reason given", ocsp::RevocationReason::name);
            format!("revoked at {at}, {reason}")
        }
    }
}

/// The verdict, and why HAProxy cannot staple the response where it cannot.
pub(super) fn verdict_with_stapling(assessment: &Assessment) -> String {
    let verdict = verdict(assessment);
    match &assessment.stapling {
        Ok(_) => verdict,
        Err(reason) => format!("{verdict} (not stapleable: {reason})"),
    }
}
