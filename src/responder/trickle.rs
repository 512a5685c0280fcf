//! A body that comes byte by byte: the fault `trickle`.
//!
//! States its whole length, as an honest body does, and then takes its time.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

use super::fault::TRICKLE_INTERVAL;

/// The rest of a body, and the wait for its next byte.
pub(super) struct Trickle {
    rest: Bytes,
    wait: Pin<Box<Sleep>>,
}

impl Trickle {
    /// This body, slowly.
    pub(super) fn new(body: Bytes) -> Self {
        Trickle {
            rest: body,
            wait: Box::pin(sleep(TRICKLE_INTERVAL)),
        }
    }
}

impl Body for Trickle {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        ready!(self.wait.as_mut().poll(context));
        let next = self.rest.split_to(1);
        self.wait = Box::pin(sleep(TRICKLE_INTERVAL));
        Poll::Ready(Some(Ok(Frame::data(next))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
