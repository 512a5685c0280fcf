//! What a hook is told, made of a report of the agent and of its view of the certificate.
//!
//! Pure. The names here are a promise: names may be added, none changes its meaning without another
//! `schema` number.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::agent::{Failure, FileStatus, Notice};
use crate::text::Printable;
use crate::text::shown_hexadecimal;
use crate::time::Timestamp;

/// The version of the form of what hooks are told.
const SCHEMA: u32 = 1;
/// The most characters of one value. Linux takes 128 KiB in one environment variable, and a hook
/// that reads nothing must not make its pipe run over.
const LONGEST_TEXT: usize = 2048;

/// What hooks are run for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HookEvent {
    /// A staple was written beside its certificate. It is told after the write, so a hook that
    /// copies the staple finds it on disk.
    Renewed,
    /// A certificate begins to fail: its responder gives no usable answer, or its staple cannot be
    /// written. Once for each series of failures, and again when the reason is another; not at each
    /// attempt.
    Failing,
    /// The responder says for the first time that a certificate is revoked.
    Revoked,
    /// A certificate has no staple that is valid for the time the operator wants, although it
    /// should. Once, and again after it had one.
    Expiring,
}

impl HookEvent {
    /// What a hook could be run for after this report, and for which certificate file.
    pub fn of(report: &Notice) -> Option<(HookEvent, &Path)> {
        match report {
            Notice::Written { path, .. } => Some((HookEvent::Renewed, path)),
            Notice::RequestFailed {
                path,
                repeated: false,
                ..
            }
            | Notice::WriteFailed {
                path,
                repeated: false,
                ..
            } => Some((HookEvent::Failing, path)),
            Notice::Revoked {
                path,
                repeated: false,
                ..
            } => Some((HookEvent::Revoked, path)),
            Notice::Expiring { path, .. } => Some((HookEvent::Expiring, path)),
            _ => None,
        }
    }

    /// The event's name, which is its key in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            HookEvent::Renewed => "renewed",
            HookEvent::Failing => "failing",
            HookEvent::Revoked => "revoked",
            HookEvent::Expiring => "expiring",
        }
    }
}

/// What a hook is told: as JSON with these names, and in the environment as `STAPLERD_EVENT`,
/// `STAPLERD_CERTIFICATE`, `STAPLERD_STAPLE`, `STAPLERD_STATE`, `STAPLERD_REASON`,
/// `STAPLERD_MESSAGE`, `STAPLERD_VALID_UNTIL`, `STAPLERD_THIS_UPDATE`, `STAPLERD_NEXT_REQUEST`,
/// `STAPLERD_SUBJECT` and `STAPLERD_SERIAL`. What is not known is null there and empty here.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HookFacts {
    schema: u32,
    /// What happened.
    pub(super) event: HookEvent,
    /// The certificate's file. In JSON, what is not printable in its name is shown as an escape.
    #[serde(serialize_with = "shown")]
    pub(super) certificate: PathBuf,
    /// Where its staple belongs.
    #[serde(serialize_with = "shown")]
    staple: PathBuf,
    /// The certificate's state, by the name it has in logs and status.
    state: &'static str,
    /// What went wrong, by the name it has in logs.
    reason: Option<&'static str>,
    /// What happened, in words.
    message: String,
    /// Until when the staple that is held is valid, as RFC 3339 in UTC.
    valid_until: Option<String>,
    /// Its thisUpdate.
    this_update: Option<String>,
    /// When the responder is asked next.
    next_request: Option<String>,
    /// The certificate's subject.
    subject: String,
    /// The certificate's serial number in hexadecimal.
    serial: String,
}

impl HookFacts {
    /// The facts of a report that [`HookEvent::of`] gave the event of, with the certificate's
    /// `status`; none where the file holds no certificate (any more).
    pub fn new(event: HookEvent, report: &Notice, status: &FileStatus<'_>) -> Option<Self> {
        let certificate = status.certificate.as_ref()?;
        let staple = certificate.staple;
        let failure = failure(report);
        let (reason, message) = match (event, failure) {
            (HookEvent::Renewed, _) => (None, "the staple was written".to_owned()),
            (HookEvent::Revoked, _) => (Some(status.state.kind()), status.state.to_string()),
            (_, Some(failure)) => (Some(failure.kind), failure.message.clone()),
            (_, None) => (
                Some(event.name()),
                "there is no newer staple yet".to_owned(),
            ),
        };
        let subject = &certificate.subject.certificate;
        let text = |time: Timestamp| time.to_string();
        Some(HookFacts {
            schema: SCHEMA,
            event,
            certificate: status.path.to_owned(),
            staple: certificate.staple_path.to_owned(),
            state: status.state.kind(),
            reason,
            message: bounded(&message),
            valid_until: staple.map(|staple| text(staple.expires())),
            this_update: staple.map(|staple| text(staple.this_update())),
            next_request: certificate.next_request.map(text),
            subject: bounded(subject.subject_display()),
            serial: bounded(&shown_hexadecimal(subject.serial())),
        })
    }

    /// The environment variables with the facts.
    pub(super) fn variables(&self) -> [(&'static str, OsString); 11] {
        let text = |text: &str| OsString::from(text);
        let optional = |value: &Option<String>| text(value.as_deref().unwrap_or_default());
        [
            ("STAPLERD_EVENT", text(self.event.name())),
            ("STAPLERD_CERTIFICATE", self.certificate.clone().into()),
            ("STAPLERD_STAPLE", self.staple.clone().into()),
            ("STAPLERD_STATE", text(self.state)),
            ("STAPLERD_REASON", text(self.reason.unwrap_or_default())),
            ("STAPLERD_MESSAGE", text(&self.message)),
            ("STAPLERD_VALID_UNTIL", optional(&self.valid_until)),
            ("STAPLERD_THIS_UPDATE", optional(&self.this_update)),
            ("STAPLERD_NEXT_REQUEST", optional(&self.next_request)),
            ("STAPLERD_SUBJECT", text(&self.subject)),
            ("STAPLERD_SERIAL", text(&self.serial)),
        ]
    }

    /// The facts as one line of JSON.
    pub(super) fn json(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }
}

fn failure(report: &Notice) -> Option<&Failure> {
    match report {
        Notice::RequestFailed { failure, .. } | Notice::WriteFailed { failure, .. } => {
            Some(failure)
        }
        Notice::Expiring { failure, .. } => failure.as_ref(),
        _ => None,
    }
}

/// Foreign text that may go into an environment: one line, no NUL, bounded.
fn bounded(text: &str) -> String {
    let shown = text.printable().to_string();
    shown.chars().take(LONGEST_TEXT).collect()
}

fn shown<S: serde::Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.printable())
}
