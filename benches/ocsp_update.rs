//! First staples for many certificates: HAProxy's own `ocsp-update` and staplerd, in one run.
//!
//!     cargo bench --bench ocsp_update [-- CERTIFICATES]      (default: 300)
//!
//! The same certificates and the same responder, which answers after 20 ms. The clock starts with
//! HAProxy for its own updater, and with staplerd beside a HAProxy that runs already; it stops when
//! HAProxy holds a response for every certificate. For every version that has an updater and that
//! `tests/haproxy-versions` unpacked.
#![allow(clippy::unwrap_used, missing_docs)]

#[allow(dead_code)]
#[path = "../tests/integration/skip.rs"]
mod skip;
#[allow(dead_code)]
#[path = "../tests/integration/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use staplerd::ocsp::{CertId, encode_request, get_url};
use staplerd::text::hexadecimal;
use support::haproxy::{Haproxy, Installation, Setup, installations};
use support::pki::{Authority, Issued, Response};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

const CERTIFICATES: usize = 300;
const ANSWER_AFTER: Duration = Duration::from_millis(20);
/// The first version with an updater of its own.
const UPDATER_SINCE: (u16, u16) = (2, 8);
/// Commands on one line; a line has to fit into HAProxy's buffer.
const COMMANDS_AT_ONCE: usize = 50;
/// Whoever takes longer is not waited for.
const PATIENCE: Duration = Duration::from_secs(300);

/// Answers by the path of the GET request.
type Answers = Arc<OnceLock<HashMap<String, Vec<u8>>>>;

fn main() {
    let number = std::env::args().find_map(|argument| argument.parse().ok());
    let number = number.unwrap_or(CERTIFICATES);
    let runtime = Runtime::new().unwrap();
    let answers = Answers::default();
    let url = start_responder(&runtime, &answers);
    let authority = Authority::new();
    let issued: Vec<Issued> = (0..number)
        .map(|number| authority.issue(&format!("n{number}.example"), Some(&url)))
        .collect();
    let _ = answers.set(issued.iter().map(|it| answer_for(&authority, it)).collect());

    println!("{number} first staples, each answered after {ANSWER_AFTER:?}");
    println!("HAProxy  its own ocsp-update  staplerd  ratio");
    for installation in installations("the benchmark") {
        let (major, minor) = installation.version;
        if installation.version < UPDATER_SINCE {
            eprintln!("SKIPPED: HAProxy {major}.{minor} has no ocsp-update");
            continue;
        }
        let own = own_updater(&installation, &issued).as_secs_f64();
        let ours = staplerd(&installation, &issued).as_secs_f64();
        let version = format!("{major}.{minor}");
        println!("{version:7}  {own:18.2}s  {ours:7.2}s  {:5.1}", own / ours);
    }
}

/// How long HAProxy takes by itself.
fn own_updater(installation: &Installation, issued: &[Issued]) -> Duration {
    let begun = Instant::now();
    let haproxy = start(installation, issued, " [ocsp-update on]");
    wait_until_held(&haproxy, issued);
    begun.elapsed()
}

/// How long staplerd takes beside it.
fn staplerd(installation: &Installation, issued: &[Issued]) -> Duration {
    let haproxy = start(installation, issued, "");
    let begun = Instant::now();
    let _daemon = Daemon::start(&haproxy);
    wait_until_held(&haproxy, issued);
    begun.elapsed()
}

fn start(installation: &Installation, issued: &[Issued], option: &str) -> Haproxy {
    let names = issued.iter().map(|it| format!("{}.pem", it.name));
    let mut files: Vec<(String, Vec<u8>)> = names
        .zip(issued)
        .map(|(name, issued)| (name, issued.pem().into_bytes()))
        .collect();
    let list: String = files
        .iter()
        .map(|(name, _)| format!("certs/{name}{option}\n"))
        .collect();
    files.push(("../list".to_owned(), list.into_bytes()));
    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, content)| (name.as_str(), content.as_slice()))
        .collect();
    let setup = Setup {
        bind: Some("crt-list {dir}/list".to_owned()),
        ..Setup::default()
    };
    Haproxy::start(installation, setup, &files)
}

fn wait_until_held(haproxy: &Haproxy, issued: &[Issued]) {
    let begun = Instant::now();
    let mut left: Vec<String> = issued
        .iter()
        .map(|issued| {
            let cert_id = CertId::new(&issued.certificate, &issued.issuer);
            format!(
                "show ssl ocsp-response base64 {}",
                hexadecimal(cert_id.der())
            )
        })
        .collect();
    while !left.is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{} are not held", left.len());
        let some = left.split_off(left.len().saturating_sub(COMMANDS_AT_ONCE));
        let reply = haproxy.cli(&some.join(";"));
        // A response in base64 begins like every SEQUENCE of some length.
        if reply.lines().filter(|line| line.starts_with("MII")).count() < some.len() {
            left.extend(some);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A running staplerd.
struct Daemon(Child);

impl Daemon {
    fn start(haproxy: &Haproxy) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_staplerd"))
            .args([&haproxy.path("certs"), "-s", &haproxy.path("admin.sock")])
            .args(["--allow-addresses", "loopback"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Daemon(child.unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the request for this certificate goes, and what comes back.
fn answer_for(authority: &Authority, issued: &Issued) -> (String, Vec<u8>) {
    let cert_id = CertId::new(&issued.certificate, &issued.issuer);
    let request = encode_request(&cert_id, None);
    let target = get_url("http://x", &request).unwrap();
    let response = authority.respond(issued, Response::default());
    let header = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\nContent-Length: {}\r\n\r\n",
        response.len()
    );
    let answer = [header.as_bytes(), &response].concat();
    (target["http://x".len()..].to_owned(), answer)
}

/// Starts the responder and says where it is.
fn start_responder(runtime: &Runtime, answers: &Answers) -> String {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers = Arc::clone(answers);
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&answers)));
        }
    });
    url
}

async fn answer(mut stream: TcpStream, answers: Answers) {
    let _ = stream.set_nodelay(true);
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        while !buffer.ends_with(b"\r\n\r\n") {
            match stream.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
        let text = String::from_utf8_lossy(&buffer);
        let target = text.split(' ').nth(1).unwrap_or_default();
        tokio::time::sleep(ANSWER_AFTER).await;
        let known = answers.get().and_then(|answers| find(answers, target));
        let Some(answer) = known else {
            eprintln!("a request that is not known: {target}");
            return;
        };
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// HAProxy writes some characters of the path in another way.
fn find<'a>(answers: &'a HashMap<String, Vec<u8>>, target: &str) -> Option<&'a Vec<u8>> {
    let plain = target
        .replace("%2B", "+")
        .replace("%2F", "/")
        .replace("%3D", "=");
    let found = answers.get(target);
    found.or_else(|| {
        let escaped = plain.replace('+', "%2B").replace('=', "%3D");
        let (slash, rest) = escaped.split_at(1);
        answers.get(&format!("{slash}{}", rest.replace('/', "%2F")))
    })
}
