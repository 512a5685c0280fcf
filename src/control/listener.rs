//! The daemon's end of the control socket.
//!
//! Takes the place of a socket that a dead daemon has left, never that of a living one's, and
//! removes the socket at its end if it is still its own. Every bound on clients is here.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::clients::{Admission, ControlClients};
use super::protocol::{ControlReply, ControlRequest, InvalidRequest, MAX_REQUEST_BYTES};
use crate::files;
use crate::text::Printable;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 128;
/// Time for a client to say what it wants: all commands say it at once.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// Replies that are made and sent to one user at once; each may be large.
const REPLIES: usize = 4;
/// Time for a client to take its reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after a connection could not be accepted (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Reading and writing for the owner and the directory's group.
const MODE: u32 = 0o660;

/// The rest of the way to a reply, which must not delay other clients.
pub type PendingReply = Box<dyn FnOnce() -> ControlReply + Send>;

/// A request, and where its answer goes.
pub struct ControlQuestion {
    /// What is wanted.
    pub request: ControlRequest,
    /// The answer; a client that is gone does not wait for it.
    pub answer: oneshot::Sender<PendingReply>,
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process answers there.
    #[error(
        "control socket {}: another staplerd listens there; name another control_socket for this one",
        .0.printable()
    )]
    InUse(PathBuf),
    /// Another kind of file.
    #[error(
        "control socket {}: there is a file that is no socket; remove it or name another path",
        .0.printable()
    )]
    NotASocket(PathBuf),
    /// The system does not let us.
    #[error("control socket {}: {error}", path.printable())]
    Unusable {
        /// The socket's path.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl BindError {
    /// The name in the log.
    pub fn kind(&self) -> &'static str {
        match self {
            BindError::InUse(_) => "in_use",
            BindError::NotASocket(_) => "not_a_socket",
            BindError::Unusable { .. } => "no_control_socket",
        }
    }
}

/// A control socket that listens.
#[derive(Debug)]
pub struct Listener {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode: the socket of another daemon may come to have the same path.
    identity: (u64, u64),
}

impl Listener {
    /// Begins to listen.
    ///
    /// # Errors
    /// [`BindError`]; nothing is changed then, except that a dead daemon's socket may be gone.
    pub async fn bind(path: &Path) -> Result<Self, BindError> {
        let unusable = |error| BindError::Unusable {
            path: path.to_owned(),
            error,
        };
        make_room(path).await?;
        let socket = UnixSocket::new_stream().map_err(unusable)?;
        socket.bind(path).map_err(unusable)?;
        // A client cannot connect before it listens.
        let listening = set_permissions(path)
            .and_then(|()| identity(path))
            .and_then(|identity| Ok((identity, socket.listen(BACKLOG)?)));
        match listening {
            Ok((identity, listener)) => Ok(Listener {
                listener,
                path: path.to_owned(),
                identity,
            }),
            Err(error) => {
                let _ = fs::remove_file(path);
                Err(unusable(error))
            }
        }
    }

    /// Serves clients until `stop`; what they want goes to `questions`.
    pub async fn serve(self, questions: mpsc::Sender<ControlQuestion>, stop: CancellationToken) {
        let reception = Arc::new(Reception {
            state: Mutex::default(),
            questions,
        });
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(_) = clients.join_next() => {}
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        if let Some(visit) = reception.receive(&stream) {
                            clients.spawn(visit.serve(stream));
                        }
                    }
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                },
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            // The next daemon takes its place if it should stay.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes the socket of a daemon that is dead.
async fn make_room(path: &Path) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(BindError::NotASocket(path.to_owned()));
        }
        Ok(_) => {}
        // Binding says what is wrong, if anything is.
        Err(_) => return Ok(()),
    }
    // Of a unix socket this is known at once.
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|error| BindError::Unusable {
                path: path.to_owned(),
                error,
            }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(_) | Err(_) => Err(BindError::InUse(path.to_owned())),
    }
}

fn set_permissions(path: &Path) -> io::Result<()> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let group = fs::metadata(directory.unwrap_or(Path::new(".")))?.gid();
    files::give_socket(path, group, MODE)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Where clients come in.
struct Reception {
    state: Mutex<ListenerState>,
    questions: mpsc::Sender<ControlQuestion>,
}

#[derive(Default)]
struct ListenerState {
    clients: ControlClients,
    /// How each client is sent away.
    ways_out: HashMap<u64, CancellationToken>,
    /// By the number of the user; of those who have clients.
    replies: HashMap<u32, Arc<Semaphore>>,
}

/// One client from its coming to its going.
struct Visit {
    number: u64,
    reception: Arc<Reception>,
    way_out: CancellationToken,
    replies: Arc<Semaphore>,
}

impl Reception {
    fn state(&self) -> MutexGuard<'_, ListenerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a client in, if need be for another one.
    fn receive(self: &Arc<Self>, stream: &UnixStream) -> Option<Visit> {
        let user = stream.peer_cred().ok()?.uid();
        let mut state = self.state();
        let number = match state.clients.come(user) {
            Admission::Admitted(number) => number,
            Admission::Instead { number, of } => {
                if let Some(way_out) = state.ways_out.remove(&of) {
                    way_out.cancel();
                }
                number
            }
            Admission::Refused => return None,
        };
        let way_out = CancellationToken::new();
        state.ways_out.insert(number, way_out.clone());
        // They are not used any more.
        state
            .replies
            .retain(|_, replies| Arc::strong_count(replies) > 1);
        let replies = state.replies.entry(user);
        let replies = Arc::clone(replies.or_insert_with(|| Arc::new(Semaphore::new(REPLIES))));
        Some(Visit {
            number,
            reception: Arc::clone(self),
            way_out,
            replies,
        })
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut state = self.reception.state();
        state.clients.go(self.number);
        state.ways_out.remove(&self.number);
    }
}

impl Visit {
    /// One request and its reply. A client that is too slow, or gone, is let go without a word.
    async fn serve(self, mut stream: UnixStream) {
        let question = timeout(REQUEST_TIMEOUT, read_line(&mut stream));
        let Some(Ok(Ok(line))) = self.way_out.run_until_cancelled(question).await else {
            return;
        };
        self.reception.state().clients.asked(self.number);
        let Ok(_permit) = self.replies.acquire().await else {
            return;
        };
        let Some(reply) = reply_to(&line, &self.reception.questions).await else {
            return;
        };
        // When the time is over or the client is gone, there is no reader left.
        let _ = timeout(REPLY_TIMEOUT, async {
            stream.write_all(&reply).await?;
            stream.shutdown().await
        })
        .await;
    }
}

/// Up to the end of the line or of what the client sends; one byte too many is enough to refuse.
async fn read_line(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let bounded = stream.take(MAX_REQUEST_BYTES as u64 + 1);
    BufReader::new(bounded).read_until(b'\n', &mut line).await?;
    Ok(line)
}

/// The reply as a line; none where the daemon is on its way out.
async fn reply_to(line: &[u8], questions: &mpsc::Sender<ControlQuestion>) -> Option<Vec<u8>> {
    let finish: PendingReply = match ControlRequest::parse(line) {
        Ok(request) => {
            let (answer, answered) = oneshot::channel();
            questions
                .send(ControlQuestion { request, answer })
                .await
                .ok()?;
            answered.await.ok()?
        }
        Err(invalid) => refusal(invalid),
    };
    // Ten thousand certificates take a while.
    spawn_blocking(move || encode(&finish())).await.ok()?
}

fn refusal(invalid: InvalidRequest) -> PendingReply {
    Box::new(|| ControlReply::from(invalid))
}

fn encode(reply: &ControlReply) -> Option<Vec<u8>> {
    // Only maps with keys that are no text cannot be written.
    let mut line = serde_json::to_vec(reply).ok()?;
    line.push(b'\n');
    Some(line)
}
