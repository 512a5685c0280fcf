//! The status of every certificate, for the commands and the hooks.
//!
//! Read from the agent's own memory and from nothing else, so that what is shown is what is decided
//! by.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::inventory::{CertificateEntry, FileEntry, FileState, Place};
use super::timers::Timer;
use super::{Agent, CertificateId, Failure, IssuedCertificate, State, TargetId};
use crate::ocsp::Staple;
use crate::time::Timestamp;

/// How it stands with one certificate file.
#[derive(Clone, Debug)]
pub struct FileStatus<'agent> {
    /// The certificate's file.
    pub path: &'agent Path,
    /// Its state.
    pub state: State,
    /// What is known of the certificate; nothing where it is not stapled for.
    pub certificate: Option<CertificateSummary<'agent>>,
}

/// How it stands with the certificate in a file.
#[derive(Clone, Debug)]
pub struct CertificateSummary<'agent> {
    /// The certificate and its issuer.
    pub subject: &'agent IssuedCertificate,
    /// The staple that is held, while it is fit to be handed out.
    pub staple: Option<&'agent Arc<Staple>>,
    /// When the responder is asked next; none while it is being asked.
    pub next_request: Option<Timestamp>,
    /// Failed requests in a row.
    pub failures: u32,
    /// Why no request was sent, if the last request ended so.
    pub not_asked: Option<&'agent Failure>,
    /// Where the staple belongs on disk.
    pub staple_path: &'agent Path,
    /// Whether it is there.
    pub disk: PlaceSummary<'agent>,
    /// Whether each of the HAProxy processes has it.
    pub live: Vec<(TargetId, PlaceSummary<'agent>)>,
}

/// How it stands with the staple in one place.
#[derive(Clone, Copy, Debug)]
pub struct PlaceSummary<'agent> {
    /// The staple that is held lies there.
    pub is_current: bool,
    /// Why it does not.
    pub failure: Option<&'agent Failure>,
    /// That is nothing that passes by itself or is meant to be so.
    pub is_alarm: bool,
}

impl FileStatus<'_> {
    /// The DNS names that the certificate is for, as far as they are known.
    pub fn dns_names(&self) -> &[String] {
        let certificate = self.certificate.as_ref();
        certificate.map_or(&[], |it| it.subject.certificate.names())
    }
}

impl PlaceSummary<'_> {
    fn of<'agent>(place: &'agent Place, staple: Option<&Arc<Staple>>) -> PlaceSummary<'agent> {
        PlaceSummary {
            is_current: staple.is_some_and(|staple| {
                let held = place.holds.as_ref();
                held.is_some_and(|held| held.der() == staple.der())
            }),
            failure: place.last_failure.as_ref(),
            is_alarm: place.is_alarm,
        }
    }
}

impl Agent {
    /// The files that hold this certificate.
    pub fn names_of(&self, id: CertificateId) -> impl Iterator<Item = &Path> {
        let entry = self.inventory.entries.get(&id);
        let files = entry.into_iter().flat_map(|entry| entry.files.keys());
        files.map(PathBuf::as_path)
    }

    /// How it stands with every certificate file at `now`, in no order.
    pub fn status(&self, now: Timestamp) -> impl Iterator<Item = FileStatus<'_>> {
        let files = self.inventory.files();
        files.filter_map(move |(path, state)| self.status_in(path, state, now))
    }

    /// How it stands with this certificate file at `now`, if it is known.
    pub fn status_of(&self, path: &Path, now: Timestamp) -> Option<FileStatus<'_>> {
        let (path, state) = self.inventory.path_and_file(path)?;
        self.status_in(path, state, now)
    }

    fn status_in<'agent>(
        &'agent self,
        path: &'agent Path,
        state: &'agent FileState,
        now: Timestamp,
    ) -> Option<FileStatus<'agent>> {
        let (state, certificate) = match state {
            FileState::Excluded(exclusion) => (State::Excluded(exclusion.clone()), None),
            FileState::Holds(id) => {
                let entry = self.inventory.entries.get(id)?;
                let next_request = self.timers.at(&Timer::Request(*id));
                let file = entry.files.get(path)?;
                let status = entry.status(file, next_request, now);
                (entry.state(&self.settings, now), Some(status))
            }
        };
        Some(FileStatus {
            path,
            state,
            certificate,
        })
    }
}

impl CertificateEntry {
    fn status<'agent>(
        &'agent self,
        file: &'agent FileEntry,
        next_request: Option<Timestamp>,
        now: Timestamp,
    ) -> CertificateSummary<'agent> {
        let staple = self.fit_staple(now);
        let live = file.targets.iter().filter_map(|target| {
            let place = self.live.get(target)?;
            Some((*target, PlaceSummary::of(place, staple)))
        });
        CertificateSummary {
            subject: &self.subject,
            staple,
            next_request,
            failures: self.failures,
            not_asked: self.postponed.as_ref(),
            staple_path: &file.staple_path,
            disk: PlaceSummary::of(&file.disk, staple),
            live: live.collect(),
        }
    }
}
