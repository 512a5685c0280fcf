//! One certificate file as the sources found it that have it.
//!
//! Each source says where the staple belongs: `directories` beside the file, `domains` and
//! `scan_keys` where the operator wants it. The response is asked for once, and written to all of
//! these places; the agent knows the first.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::beside::Beside;
use super::plan::Plan;
use super::wall_clock;
use crate::agent::{IssuedCertificate, StapleFile};
use crate::discovery::{SourceId, Stamp};
use crate::files::Reach;
use crate::ocsp::{self, Staple};
use crate::store::{self, Claims};
use crate::text::Printable;

/// What the sources found, in the order in which they did; at least one.
#[derive(Default)]
pub(super) struct Finds(Vec<Found>);

/// What one source found: by this a staple is judged.
pub(super) struct Found {
    pub(super) source: SourceId,
    /// Where the staple belongs, as the source has it.
    pub(super) staple_path: PathBuf,
    /// Of what lies there.
    pub(super) stamp: Option<Stamp>,
    /// None where there is nothing to staple for.
    pub(super) subject: Option<Arc<IssuedCertificate>>,
}

impl Finds {
    /// Takes in what a source has found, in place of what it had found before.
    pub(super) fn put(&mut self, found: Found) {
        match self.of(found.source) {
            Some(known) => *known = found,
            None => self.0.push(found),
        }
    }

    /// What this source found.
    pub(super) fn of(&mut self, source: SourceId) -> Option<&mut Found> {
        self.0.iter_mut().find(|found| found.source == source)
    }

    /// Takes out what this source found.
    pub(super) fn remove(&mut self, source: SourceId) -> Option<Found> {
        let place = self.0.iter().position(|found| found.source == source)?;
        Some(self.0.remove(place))
    }

    /// The sources that have the file.
    pub(super) fn sources(&self) -> impl Iterator<Item = SourceId> {
        self.0.iter().map(|found| found.source)
    }

    /// Where the staple belongs, each place once; the first is the one that the agent knows.
    pub(super) fn places(&self) -> impl Iterator<Item = &Path> {
        let paths = self.0.iter().map(|found| found.staple_path.as_path());
        paths.enumerate().filter_map(|(number, path)| {
            let mut before = self.0.iter().take(number);
            before
                .all(|found| found.staple_path != path)
                .then_some(path)
        })
    }

    /// What lies in all of these places, taken for one: a staple that lies in some of them only, or
    /// is older there, is put right by being written to all.
    pub(super) fn staple_file(&self, plan: &Plan, beside: &Beside, claims: &Claims) -> StapleFile {
        let files = self
            .0
            .iter()
            .map(|found| found.staple_file(plan, beside, claims));
        files.reduce(joined).unwrap_or(StapleFile::Missing)
    }
}

fn joined(one: StapleFile, other: StapleFile) -> StapleFile {
    match (one, other) {
        (
            StapleFile::Staple { staple, is_right },
            StapleFile::Staple {
                staple: second,
                is_right: is_second_right,
            },
        ) => {
            let is_same = staple.der() == second.der();
            let is_older = staple.this_update() < second.this_update();
            StapleFile::Staple {
                staple: if is_older { second } else { staple },
                is_right: is_same && is_right && is_second_right,
            }
        }
        (StapleFile::Staple { staple, .. }, _) | (_, StapleFile::Staple { staple, .. }) => {
            StapleFile::Staple {
                staple,
                is_right: false,
            }
        }
        (StapleFile::Useless, _) | (_, StapleFile::Useless) => StapleFile::Useless,
        (StapleFile::Missing, StapleFile::Missing) => StapleFile::Missing,
    }
}

impl Found {
    /// What lies in the staple's place.
    fn staple_file(&self, plan: &Plan, beside: &Beside, claims: &Claims) -> StapleFile {
        let Some(subject) = &self.subject else {
            return match self.stamp {
                Some(_) => StapleFile::Useless,
                None => StapleFile::Missing,
            };
        };
        // What another staplerd writes is given what that one wants; what has come since its place
        // was looked at is looked at in its turn.
        let is_right = self.stamp.is_none_or(|stamp| beside.is_right(&stamp))
            || !claims.cover(&self.staple_path);
        match self.staple(subject, plan.staple_reach(self.source)) {
            Ok(Some(staple)) => StapleFile::Staple {
                staple: Arc::new(staple),
                is_right,
            },
            Ok(None) => StapleFile::Missing,
            Err(reason) => {
                let staple = self.staple_path.printable();
                tracing::info!(%staple, "not used, to be replaced or removed: {reason}");
                StapleFile::Useless
            }
        }
    }

    /// The staple that lies there, which has to be valid now; none where there is nothing.
    fn staple(
        &self,
        subject: &IssuedCertificate,
        reach: Reach<'_>,
    ) -> Result<Option<Staple>, String> {
        let bytes = store::load(&self.staple_path, reach).map_err(|error| error.to_string())?;
        let Some(bytes) = bytes else {
            return Ok(None);
        };
        let subject_of_it = subject.as_ocsp();
        let judged = ocsp::verify(&bytes, subject_of_it, None, wall_clock(), subject.policy);
        let assessment = judged.map_err(|rejection| rejection.to_string())?;
        let staple = assessment.stapling.map_err(|reason| reason.to_string())?;
        Ok(Some(staple))
    }
}
