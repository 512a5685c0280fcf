//! A control socket that leads to a real HAProxy's and ends its connections at a chosen byte, once,
//! or falls silent there.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// The command from which on bytes are counted.
const FIRST: &[u8] = b"set ssl cert ";

/// After how many bytes a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cut {
    /// So many of what HAProxy is sent.
    Sent(usize),
    /// So many of what HAProxy answers.
    Received(usize),
    /// It does not end; after what follows the first command nothing is passed on any more.
    Silent,
}

/// A running one.
pub struct Cutter {
    dir: TempDir,
    socket: String,
    cut: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Cutter {
    /// Leads to the control socket `target`; must be called within a runtime.
    pub fn start(target: &str, cut: Cut) -> Cutter {
        let dir = tempfile::tempdir().unwrap();
        let path: PathBuf = dir.path().join("cut.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let has_cut = Arc::new(AtomicBool::new(false));
        let (shared, target) = (Arc::clone(&has_cut), target.to_owned());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = UnixStream::connect(&target).await else {
                    continue;
                };
                tokio::spawn(lead(client, server, cut, Arc::clone(&shared)));
            }
        });
        Cutter {
            socket: path.to_str().unwrap().to_owned(),
            dir,
            cut: has_cut,
            task,
        }
    }

    /// Its own control socket.
    pub fn socket(&self) -> &str {
        assert!(self.dir.path().exists());
        &self.socket
    }

    /// Whether a connection has been ended.
    pub fn has_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes bytes on in both directions until the cut.
async fn lead(mut client: UnixStream, mut server: UnixStream, cut: Cut, has_cut: Arc<AtomicBool>) {
    let (mut sent, mut received) = (vec![0; 65_536], vec![0; 65_536]);
    let mut left = None;
    loop {
        tokio::select! {
            count = client.read(&mut sent) => {
                let Some(mut bytes) = got(count, &sent) else {
                    return;
                };
                let is_first = bytes.windows(FIRST.len()).any(|part| part == FIRST);
                if left.is_none() && is_first && !has_cut.load(Ordering::SeqCst) {
                    left = Some(match cut {
                        Cut::Sent(bytes) | Cut::Received(bytes) => bytes,
                        Cut::Silent => 0,
                    });
                }
                if let (Some(left), Cut::Sent(_)) = (&mut left, cut) {
                    bytes = bytes.get(..*left).unwrap_or(bytes);
                    *left -= bytes.len();
                }
                if server.write_all(bytes).await.is_err() {
                    return;
                }
            }
            count = server.read(&mut received) => {
                let Some(mut bytes) = got(count, &received) else {
                    return;
                };
                if let (Some(left), Cut::Received(_)) = (&mut left, cut) {
                    bytes = bytes.get(..*left).unwrap_or(bytes);
                    *left -= bytes.len();
                }
                if client.write_all(bytes).await.is_err() {
                    return;
                }
            }
        }
        if left == Some(0) {
            has_cut.store(true, Ordering::SeqCst);
            if cut == Cut::Silent {
                std::future::pending::<()>().await;
            }
            return;
        }
    }
}

fn got(count: std::io::Result<usize>, buffer: &[u8]) -> Option<&[u8]> {
    buffer.get(..count.ok().filter(|count| *count > 0)?)
}
