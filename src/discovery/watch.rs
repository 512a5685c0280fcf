//! Hints from the kernel (inotify) that a directory has changed.
//!
//! A hint says nothing but "scan again": events may be lost or coalesced (an overflow is a hint
//! like any other), so all that is used of them is the name, to pass over what the agent writes
//! itself and what else happens in folders of which only one name matters. If a directory cannot be
//! watched (it is missing, or the limit of watches is reached), the periodic scan alone does the
//! work.

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
/// The most events that are passed over at once; the kernel keeps 16,384 (inotify(7)).
const MOST_SKIPPED: usize = 65_536;

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
    /// The system's error when it gives no inotify instance; the periodic scan then has to do.
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
        std::future::poll_fn(|context| {
            loop {
                return match self.poll_event(context) {
                    Poll::Ready(Ok(false)) => continue,
                    Poll::Ready(Ok(true)) => Poll::Ready(Ok(())),
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    Poll::Pending => Poll::Pending,
                };
            }
        })
        .await
    }

    /// Passes over the hints that wait already: a scan that begins now has seen what they mean.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn skip_waiting(&mut self) -> io::Result<()> {
        std::future::poll_fn(|context| {
            for _ in 0..MOST_SKIPPED {
                match self.poll_event(context) {
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => break,
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// The next event, and whether it concerns us.
    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match Pin::new(&mut self.events).poll_next(context) {
            Poll::Ready(Some(Ok(event))) => Poll::Ready(Ok(self.concerns(&event))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(error)),
            Poll::Ready(None) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Poll::Pending => Poll::Pending,
        }
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

/// Whether it is a staple or a temporary file that comes or changes. A staple that goes or is
/// written to in its place is a hint: this program does neither.
fn is_own_writing(name: &OsStr, mask: EventMask) -> bool {
    let foreign = EventMask::DELETE | EventMask::MOVED_FROM | EventMask::CLOSE_WRITE;
    let name = name.as_bytes();
    name.ends_with(b".ocsp") && (!mask.intersects(foreign) || name.starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn however_many_changes_wait_they_are_one_hint() {
        let directory = tempfile::tempdir().unwrap();
        let path = |number: usize| directory.path().join(format!("{number}.pem"));
        let mut hints = Hints::new().unwrap();
        hints.watch([(directory.path().to_owned(), Interest::Everything)].into());
        for number in 0..1000 {
            fs::write(path(number), "").unwrap();
        }
        hints.next().await.unwrap();
        hints.skip_waiting().await.unwrap();
        tokio::select! {
            biased;
            _ = hints.next() => panic!("a change that was seen is a hint once more"),
            () = std::future::ready(()) => {}
        }
        // And the next one is a hint again.
        fs::write(path(0), "more").unwrap();
        hints.next().await.unwrap();
    }
}
