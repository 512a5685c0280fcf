//! A responder that answers byte for byte as a script says, on loopback.
//!
//! Every fault a real responder or the network before it can show is a list of [`Step`]s. It knows
//! as much HTTP as it takes to find the end of a request, and nothing about OCSP.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// No test needs to wait longer than this for anything.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// Largest request a script is asked about.
const REQUEST_MAX: usize = 16 * 1024;

/// One thing the responder does after it has got a request.
#[derive(Clone, Debug)]
pub enum Step {
    /// Sends these bytes at once.
    Send(Vec<u8>),
    /// Sends these bytes one at a time with a pause before each.
    Trickle(Vec<u8>, Duration),
    /// Does nothing for so long.
    Pause(Duration),
    /// Does nothing until the responder is dropped.
    Hang,
    /// Closes the connection in good order.
    Close,
    /// Resets the connection; must be the last step.
    Reset,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    /// How many came before it, on all connections.
    pub number: usize,
    /// How many came before it on its own connection.
    pub number_on_connection: usize,
    pub method: String,
    pub target: String,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

type Script = dyn Fn(&Request) -> Vec<Step> + Send + Sync;

/// The running responder; dropping it closes everything.
pub struct ScriptedResponder {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

struct Shared {
    script: Box<Script>,
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    streams: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
}

impl ScriptedResponder {
    /// Starts on a free port of 127.0.0.1.
    pub fn start(script: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static) -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    /// Starts on a listener that is already there.
    pub fn start_on(
        listener: TcpListener,
        script: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            requests: Mutex::new(Vec::new()),
            connections: AtomicUsize::new(0),
            streams: Mutex::new(Vec::new()),
            stopped: AtomicBool::new(false),
        });
        let for_listener = shared.clone();
        let listener = std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if for_listener.stopped.load(Ordering::SeqCst) {
                    return;
                }
                for_listener.connections.fetch_add(1, Ordering::SeqCst);
                let clone = stream.try_clone().unwrap();
                for_listener.streams.lock().unwrap().push(clone);
                let shared = for_listener.clone();
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        ScriptedResponder {
            address,
            shared,
            listener: Some(listener),
        }
    }

    /// Answers every request with the same bytes and keeps the connection.
    pub fn always(answer: Vec<u8>) -> Self {
        Self::start(move |_| vec![Step::Send(answer.clone())])
    }

    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Waits until so many requests have arrived.
    pub fn wait_for_requests(&self, count: usize) {
        let deadline = Instant::now() + DEADLINE;
        while self.shared.requests.lock().unwrap().len() < count {
            assert!(Instant::now() < deadline, "fewer than {count} requests");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for ScriptedResponder {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        for stream in self.shared.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let _ = TcpStream::connect(self.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        let mut served = 0;
        while let Some((mut request, length)) = peek_request(&stream) {
            {
                let mut requests = self.requests.lock().unwrap();
                request.number = requests.len();
                request.number_on_connection = served;
                requests.push(request.clone());
            }
            served += 1;
            let steps = (self.script)(&request);
            // A connection that is closed with unread bytes is reset by the kernel.
            if !matches!(steps.last(), Some(Step::Reset)) {
                stream.read_exact(&mut vec![0; length]).unwrap();
            }
            for step in steps {
                if self.perform(step, &mut stream).is_err() {
                    self.forget(&stream);
                    return;
                }
            }
            if request.header("connection") == Some("close") {
                break;
            }
        }
        self.forget(&stream);
    }

    /// Drops the second handle, so that the connection closes with the first.
    fn forget(&self, stream: &TcpStream) {
        let peer = stream.peer_addr().ok();
        let mut streams = self.streams.lock().unwrap();
        streams.retain(|other| peer.is_some() && other.peer_addr().ok() != peer);
    }

    fn perform(&self, step: Step, stream: &mut TcpStream) -> std::io::Result<()> {
        match step {
            Step::Send(bytes) => stream.write_all(&bytes)?,
            Step::Trickle(bytes, pause) => {
                for byte in bytes {
                    std::thread::sleep(pause);
                    stream.write_all(&[byte])?;
                }
            }
            Step::Pause(pause) => std::thread::sleep(pause),
            Step::Hang => {
                // Ends when the client or Drop shuts the connection down.
                while stream.read(&mut [0])? > 0 {}
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            Step::Close | Step::Reset => return Err(std::io::ErrorKind::ConnectionAborted.into()),
        }
        Ok(())
    }
}

/// Looks at the next request without taking it; its length with it.
fn peek_request(stream: &TcpStream) -> Option<(Request, usize)> {
    let mut buffer = vec![0; REQUEST_MAX];
    let deadline = Instant::now() + DEADLINE;
    while Instant::now() < deadline {
        let seen = match stream.peek(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(seen) => seen,
        };
        if let Some(found) = parse(&buffer[..seen]) {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

fn parse(bytes: &[u8]) -> Option<(Request, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let header = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = header.lines();
    let mut first = lines.next()?.split(' ').map(str::to_owned);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .map_or(0, |(_, value)| value.parse().unwrap());
    let body = bytes.get(end..end + length)?.to_vec();
    let request = Request {
        number: 0,
        number_on_connection: 0,
        method: first.next()?,
        target: first.next()?,
        headers,
        body,
    };
    Some((request, end + length))
}

/// A complete answer with a length.
pub fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\n{headers}").into_bytes();
    bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// A complete 200 answer with an OCSP response.
pub fn ocsp_answer(body: &[u8]) -> Vec<u8> {
    answer(
        "200 OK",
        "Content-Type: application/ocsp-response\r\n",
        body,
    )
}
