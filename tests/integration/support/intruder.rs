//! A control socket that leads to a real HAProxy's, where another client acts right before the
//! first commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

const COMMIT: &[u8] = b"commit ssl cert ";

/// A running one.
pub struct Intruder {
    _dir: TempDir,
    socket: String,
    task: JoinHandle<()>,
}

impl Intruder {
    /// Leads to the control socket `target`; must be called within a runtime. What has been sent
    /// before the commit is answered when `act` is called, for the commit waits for that.
    pub fn start(target: &str, act: impl Fn() + Send + Sync + 'static) -> Intruder {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("intruder.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (acted, act) = (Arc::new(AtomicBool::new(false)), Arc::new(act));
        let target = target.to_owned();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = UnixStream::connect(&target).await else {
                    continue;
                };
                tokio::spawn(lead(client, server, Arc::clone(&acted), Arc::clone(&act)));
            }
        });
        Intruder {
            socket: path.to_str().unwrap().to_owned(),
            _dir: dir,
            task,
        }
    }

    /// Its own control socket.
    pub fn socket(&self) -> &str {
        &self.socket
    }
}

impl Drop for Intruder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn lead(
    client: UnixStream,
    server: UnixStream,
    acted: Arc<AtomicBool>,
    act: Arc<impl Fn() + Send + Sync + 'static>,
) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let back = tokio::spawn(async move { copy(&mut from_server, &mut to_client).await });
    let mut buffer = vec![0; 65_536];
    while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
        let is_commit = buffer[..count].windows(COMMIT.len()).any(|it| it == COMMIT);
        if is_commit && !acted.swap(true, Ordering::SeqCst) {
            tokio::task::block_in_place(|| act());
        }
        if to_server.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    back.abort();
}
