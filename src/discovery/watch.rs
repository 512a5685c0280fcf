//! Hints from the kernel (inotify) that a directory has changed.
//!
//! A hint says nothing but "scan again": events may be lost or coalesced, so all that is used of
//! them is the name, to pass over what the agent writes itself. Where no watch can be had (a
//! missing directory, the limit of watches reached), the periodic scan alone does the work.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use inotify::{EventStream, Inotify, WatchMask};

/// Room for the events of one read.
const EVENT_BUFFER: usize = 4096;

/// A stream of hints.
pub struct DirtyDirectories {
    events: EventStream<[u8; EVENT_BUFFER]>,
    watches: inotify::Watches,
}

/// Opens the kernel's stream of file-system events.
///
/// # Errors
/// The system's error when no inotify instance can be had; the periodic scan then has to do.
pub fn watch() -> io::Result<DirtyDirectories> {
    let inotify = Inotify::init()?;
    let watches = inotify.watches();
    let events = inotify.into_event_stream([0; EVENT_BUFFER])?;
    Ok(DirtyDirectories { events, watches })
}

impl DirtyDirectories {
    /// Asks for hints about these directories; ones that cannot be watched now are passed over
    /// and can be asked for again. Watching one twice does no harm.
    pub fn add(&mut self, directories: &[PathBuf]) {
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::CREATE
            | WatchMask::MOVED_TO
            | WatchMask::MOVED_FROM
            | WatchMask::DELETE
            | WatchMask::ATTRIB
            | WatchMask::ONLYDIR;
        for directory in directories {
            // A failure shows as a scan error or costs only the wait for the periodic scan.
            let _ = self.watches.add(directory, mask);
        }
    }

    /// Waits for the next hint; an error means that there will be no more.
    ///
    /// # Errors
    /// The system's error when the event stream breaks.
    pub async fn next(&mut self) -> io::Result<()> {
        std::future::poll_fn(|context: &mut Context<'_>| {
            loop {
                match Pin::new(&mut self.events).poll_next(context) {
                    // Staples and the temporary files they are made of.
                    Poll::Ready(Some(Ok(event)))
                        if event
                            .name
                            .as_ref()
                            .is_some_and(|name| name.as_bytes().ends_with(b".ocsp")) => {}
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
}
