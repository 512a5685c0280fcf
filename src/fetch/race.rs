//! Connecting to whichever of a host's addresses answers first (Happy Eyeballs, RFC 8305 §5).
//!
//! The next address is tried when one has failed, or has not answered for [`ATTEMPT_DELAY`], while
//! the earlier attempts go on; the first to connect wins and the others are dropped. Which
//! addresses may be tried, and in which order, is the resolver's business.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

/// How long an address is waited for before the next one is tried as well.
pub(super) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// A connection to one of `addresses`, in this order unless some are slow, and to which.
///
/// # Errors
/// `TimedOut` at the deadline; else what the last of the addresses failed by.
pub(super) fn race(
    addresses: &[SocketAddr],
    deadline: Instant,
) -> io::Result<(TcpStream, SocketAddr)> {
    let mut untried = addresses.iter().copied();
    let mut attempts: Vec<(SocketAddr, OwnedFd)> = Vec::new();
    let mut next_at = Instant::now();
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    loop {
        let now = Instant::now();
        if now >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if now >= next_at || attempts.is_empty() {
            match untried.next() {
                Some(address) => match begin(address) {
                    Ok(attempt) => {
                        attempts.push((address, attempt));
                        next_at = now + ATTEMPT_DELAY;
                    }
                    Err(error) => {
                        failure = error.into();
                        continue;
                    }
                },
                None if attempts.is_empty() => return Err(failure),
                None => {}
            }
        }
        let until = match untried.len() {
            0 => deadline,
            _ => deadline.min(next_at),
        };
        let Some(place) = wait(&attempts, until)? else {
            continue;
        };
        let (address, attempt) = attempts.remove(place);
        match sockopt::socket_error(&attempt)? {
            Ok(()) => {
                let stream = TcpStream::from(attempt);
                stream.set_nonblocking(false)?;
                stream.set_nodelay(true)?;
                return Ok((stream, address));
            }
            Err(error) => {
                failure = error.into();
                next_at = now;
            }
        }
    }
}

/// Starts an attempt without waiting for its outcome.
fn begin(address: SocketAddr) -> Result<OwnedFd, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}

/// The first attempt that has come to something, if one has by `until`.
fn wait(attempts: &[(SocketAddr, OwnedFd)], until: Instant) -> io::Result<Option<usize>> {
    let mut polled: Vec<PollFd<'_>> = attempts
        .iter()
        .map(|(_, attempt)| PollFd::from_borrowed_fd(attempt.as_fd(), PollFlags::OUT))
        .collect();
    let left = until.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).map_err(io::Error::other)?;
    match poll(&mut polled, Some(&left)) {
        Ok(_) => Ok(polled.iter().position(|it| !it.revents().is_empty())),
        Err(Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// An address on loopback without a listener.
    fn vacated() -> SocketAddr {
        listener().1
    }

    #[test]
    fn the_first_address_is_taken_when_it_answers() {
        let ((_one, first), (other, second)) = (listener(), listener());
        let (stream, address) = race(&[first, second], soon()).unwrap();
        assert_eq!((address, stream.peer_addr().unwrap()), (first, first));
        other.set_nonblocking(true).unwrap();
        assert!(other.accept().is_err(), "the second was not tried");
    }

    #[test]
    fn an_address_that_refuses_is_followed_by_the_next() {
        let (_listener, alive) = listener();
        let (_, address) = race(&[vacated(), vacated(), alive], soon()).unwrap();
        assert_eq!(address, alive);
    }

    #[test]
    fn when_all_fail_the_last_failure_is_told() {
        let error = race(&[vacated(), vacated()], soon()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert!(race(&[], soon()).is_err());
    }

    #[test]
    fn nothing_is_tried_beyond_the_deadline() {
        let (_listener, alive) = listener();
        let error = race(&[alive], Instant::now()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
