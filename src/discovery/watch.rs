//! Hints from the kernel (inotify) that a directory has changed.
//!
//! A hint says nothing but "scan again": events may be lost or coalesced (an overflow is a hint
//! like any other), so all that is used of them is the name, to pass over what the agent writes
//! itself and what else happens in folders of which only one name matters. Where no watch can be
//! had (a missing directory, the limit of watches reached), the periodic scan alone does the work.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask};

/// Room for the events of one read.
const EVENT_BUFFER: usize = 4096;

/// What is watched in which folder.
pub type Interests = BTreeMap<PathBuf, Interest>;

/// What matters in one folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Interest {
    /// Every name but those of staples that are written.
    Everything,
    /// These names.
    Names(HashSet<OsString>),
}

/// A stream of hints.
pub struct Hints {
    events: EventStream<[u8; EVENT_BUFFER]>,
    watches: inotify::Watches,
    interests: HashMap<WatchDescriptor, Interest>,
}

impl Hints {
    /// Opens the kernel's stream of file-system events.
    ///
    /// # Errors
    /// The system's error when no inotify instance can be had; the periodic scan then has to do.
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        Ok(Hints {
            watches: inotify.watches(),
            events: inotify.into_event_stream([0; EVENT_BUFFER])?,
            interests: HashMap::new(),
        })
    }

    /// Asks for hints about these folders and no others. Whether one of them was not watched
    /// before: what happened in it until now has gone unnoticed. Folders that cannot be watched
    /// are passed over and can be asked for again.
    pub fn watch(&mut self, folders: Interests) -> bool {
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::CREATE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::DELETE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let mut interests: HashMap<WatchDescriptor, Interest> = HashMap::new();
        for (folder, interest) in folders {
            if let Ok(watch) = self.watches.add(&folder, mask) {
                // The same folder may have several paths.
                match (interests.get_mut(&watch), interest) {
                    (Some(Interest::Everything), _) => {}
                    (Some(Interest::Names(known)), Interest::Names(names)) => known.extend(names),
                    (_, interest) => {
                        interests.insert(watch, interest);
                    }
                }
            }
        }
        let before = std::mem::replace(&mut self.interests, interests);
        for watch in before.keys() {
            if !self.interests.contains_key(watch) {
                // It is gone already where the folder itself is gone.
                let _ = self.watches.remove(watch.clone());
            }
        }
        self.interests
            .iter()
            .any(|(watch, interest)| before.get(watch) != Some(interest))
    }

    /// Waits for the next hint; an error means that there will be no more.
    ///
    /// # Errors
    /// The system's error when the event stream breaks.
    pub async fn next(&mut self) -> io::Result<()> {
        std::future::poll_fn(|context: &mut Context<'_>| {
            loop {
                match Pin::new(&mut self.events).poll_next(context) {
                    Poll::Ready(Some(Ok(event))) if !self.concerns(&event) => {}
                    Poll::Ready(Some(Ok(_))) => return Poll::Ready(Ok(())),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                    Poll::Ready(None) => {
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await
    }

    fn concerns(&self, event: &EventOwned) -> bool {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            return true;
        }
        match (self.interests.get(&event.wd), &event.name) {
            (None, _) => false,
            (Some(Interest::Everything), None) => true,
            (Some(Interest::Everything), Some(name)) => !is_own_writing(name, event.mask),
            (Some(Interest::Names(_)), None) => false,
            (Some(Interest::Names(names)), Some(name)) => names.contains(name),
        }
    }
}

/// Whether it is a staple or a temporary file that comes or changes. A staple that goes is a hint.
fn is_own_writing(name: &OsStr, mask: EventMask) -> bool {
    let goes = mask.intersects(EventMask::DELETE | EventMask::MOVED_FROM);
    let name = name.as_bytes();
    name.ends_with(b".ocsp") && (!goes || name.starts_with(b"."))
}
