//! What is believed to lie beside certificates, compared with what every scan sees there.
//!
//! Shared by the writer and the finder. The next scan looks at what was written, because it may be
//! gone or another's already; and again whenever it was removed, replaced or given other
//! permissions.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::discovery::Stamp;
use crate::store::Ownership;

/// What is believed.
#[derive(Debug)]
pub(super) struct Beside(Mutex<Believed>);

#[derive(Debug)]
struct Believed {
    /// What the staples' files are to be given.
    ownership: Ownership,
    /// By the staple's file.
    stamps: HashMap<PathBuf, Option<Stamp>>,
    /// Where a certificate file's staple belongs besides its first place.
    further: HashMap<PathBuf, Vec<PathBuf>>,
}

impl Beside {
    pub(super) fn new(ownership: Ownership) -> Self {
        Beside(Mutex::new(Believed {
            ownership,
            stamps: HashMap::new(),
            further: HashMap::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Believed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The files are to be given something else from now on: everything is looked at once more.
    pub(super) fn change(&self, ownership: Ownership) {
        let mut believed = self.lock();
        if believed.ownership != ownership {
            believed.ownership = ownership;
            believed.stamps.clear();
        }
    }

    /// Whether the file is for those to read who should.
    pub(super) fn is_right(&self, stamp: &Stamp) -> bool {
        self.lock().ownership.fits(stamp.mode(), stamp.group())
    }

    /// Believes what was seen. Whether that is something else than before.
    pub(super) fn see(&self, staple_path: &Path, stamp: Option<Stamp>) -> bool {
        let mut believed = self.lock();
        match believed.stamps.get_mut(staple_path) {
            Some(known) if *known == stamp => false,
            Some(known) => {
                *known = stamp;
                true
            }
            None => {
                believed.stamps.insert(staple_path.to_owned(), stamp);
                true
            }
        }
    }

    /// What lies in this staple's place is not known any more.
    pub(super) fn doubt(&self, staple_path: &Path) {
        self.lock().stamps.remove(staple_path);
    }

    /// The staple of this certificate file belongs to these places; the first of them.
    pub(super) fn belongs_to<'a>(
        &self,
        path: &Path,
        mut places: impl Iterator<Item = &'a Path>,
    ) -> PathBuf {
        let first = places.next().unwrap_or(path).to_owned();
        let further: Vec<PathBuf> = places.map(Path::to_owned).collect();
        let mut believed = self.lock();
        match further.is_empty() {
            true => drop(believed.further.remove(path)),
            false => drop(believed.further.insert(path.to_owned(), further)),
        }
        first
    }

    /// Where the staple of this certificate file belongs besides its first place.
    pub(super) fn further_places(&self, path: &Path) -> Vec<PathBuf> {
        self.lock().further.get(path).cloned().unwrap_or_default()
    }
}
