//! What is said on a wire, kept: a relay before HAProxy's control socket, and a TCP listener at
//! which nobody has ordered anything.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What was said on each connection, in the order of their beginnings.
type Heard = Arc<Mutex<Vec<Vec<u8>>>>;

/// A unix socket that hands everything on to another one, and keeps what clients say.
pub struct Relay {
    pub path: PathBuf,
    heard: Heard,
    stopped: Arc<AtomicBool>,
}

impl Relay {
    pub fn start(path: PathBuf, target: &Path) -> Relay {
        let listener = UnixListener::bind(&path).unwrap();
        let heard = Heard::default();
        let stopped = Arc::new(AtomicBool::new(false));
        let relay = Relay {
            path,
            heard: heard.clone(),
            stopped: stopped.clone(),
        };
        let target = target.to_owned();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                if let (Ok(client), Ok(server)) = (client, UnixStream::connect(&target)) {
                    hand_on(client, server, &heard);
                }
            }
        });
        relay
    }

    /// What was said on each connection so far.
    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(&self.path);
    }
}

/// Copies both ways until either side ends, and keeps what the client says.
fn hand_on(client: UnixStream, server: UnixStream, heard: &Heard) {
    let number = {
        let mut heard = heard.lock().unwrap();
        heard.push(Vec::new());
        heard.len() - 1
    };
    let (from_client, to_client) = (client.try_clone().unwrap(), client);
    let (from_server, to_server) = (server.try_clone().unwrap(), server);
    let heard = heard.clone();
    std::thread::spawn(move || {
        copy(from_client, to_server, |bytes| {
            heard.lock().unwrap()[number].extend_from_slice(bytes);
        });
    });
    std::thread::spawn(move || copy(from_server, to_client, |_| {}));
}

fn copy(mut from: UnixStream, mut to: UnixStream, mut note: impl FnMut(&[u8])) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        note(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

/// A TCP listener that says nothing and keeps what it hears.
pub struct Recorder {
    pub address: SocketAddr,
    heard: Heard,
    stopped: Arc<AtomicBool>,
}

impl Recorder {
    pub fn start() -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let recorder = Recorder {
            address: listener.local_addr().unwrap(),
            heard: Heard::default(),
            stopped: Arc::default(),
        };
        let (heard, stopped) = (recorder.heard.clone(), recorder.stopped.clone());
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(client) = client {
                    let heard = heard.clone();
                    std::thread::spawn(move || listen(client, &heard));
                }
            }
        });
        recorder
    }

    pub fn heard(&self) -> Vec<Vec<u8>> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn listen(mut client: TcpStream, heard: &Heard) {
    let _ = client.set_read_timeout(Some(Duration::from_secs(30)));
    let number = {
        let mut heard = heard.lock().unwrap();
        heard.push(Vec::new());
        heard.len() - 1
    };
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        heard.lock().unwrap()[number].extend_from_slice(&buffer[..count]);
    }
}
