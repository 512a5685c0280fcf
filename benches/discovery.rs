//! How soon certificates are found. Run with `cargo bench --bench discovery`.
//!
//! Ten thousand certificate files with their staples beside them: the first scan, which reads and
//! parses every file, and scans without changes. Then the whole program: how long it takes from the
//! moment a certificate is dropped into a directory until its staple is written and live, with a
//! responder that answers at once and a control socket that takes everything; and how long
//! `staplerd status` takes, and what a new certificate takes while somebody asks without a pause.
#![allow(clippy::unwrap_used)]

#[path = "../tests/support/pki.rs"]
mod pki;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::ops::Range;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pki::{CertificateBuilder, ResponseBuilder, World, ocsp_access};
use staplerd::discovery::source::{Directory, Naming, Source};
use staplerd::discovery::{Change, Scanner, Selection, SourceId};
use staplerd::ocsp::CertId;
use staplerd::time::Timestamp;

const CERTIFICATES: u32 = 10_000;
/// Scans without changes, of which the median counts.
const RESCANS: usize = 20;
/// Certificates that are dropped, one after the other.
const DROPPED: u32 = 20;
/// How often the status is asked for.
const ASKED: usize = 10;
/// How often the clock of `/proc/self/stat` ticks in a second (USER_HZ, the same on all of Linux).
const TICKS: f64 = 100.0;
/// How long the program may take for anything before this is given up.
const DEADLINE: Duration = Duration::from_secs(120);

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let certificates = directory.path().join("certs");
    fs::create_dir(&certificates).unwrap();
    let authority = Authority::new();
    for number in 0..CERTIFICATES {
        let (pem, response) = authority.issue(number);
        let path = certificates.join(format!("site-{number}.pem"));
        fs::write(&path, pem).unwrap();
        fs::write(path.with_extension("pem.ocsp"), response).unwrap();
    }
    scans(&certificates);
    program(&certificates, &authority);
}

/// The first scan and those after it.
fn scans(certificates: &Path) {
    let source = Source::Directory(Directory {
        path: certificates.to_owned(),
        recursive: false,
        naming: Naming::default(),
    });
    let mut scanner = Scanner::new([(SourceId(0), source)], Selection::default());
    let mut found = 0;
    let (begun, cpu) = (Instant::now(), cpu_seconds());
    scanner.scan(Instant::now(), |change| {
        found += u32::from(matches!(change, Change::Found { content: Ok(_), .. }));
    });
    let (first, first_cpu) = (begun.elapsed(), cpu_seconds() - cpu);
    assert_eq!(found, CERTIFICATES);
    let cpu = cpu_seconds();
    let mut again: Vec<Duration> = (0..RESCANS)
        .map(|_| {
            let begun = Instant::now();
            scanner.scan(Instant::now(), |change| panic!("{change:?}"));
            begun.elapsed()
        })
        .collect();
    again.sort();
    let again_cpu = (cpu_seconds() - cpu) / RESCANS as f64 * 1000.0;
    println!("{CERTIFICATES} certificates: first scan {first:.2?}, {first_cpu:.2} s of CPU time");
    println!(
        "scan without changes: {:.1?} (median of {RESCANS}, longest {:.1?}), {again_cpu:.1} ms of CPU time",
        again[RESCANS / 2],
        again[RESCANS - 1]
    );
}

/// The daemon with all those certificates, its memory, and what a new one takes.
fn program(certificates: &Path, authority: &Authority) {
    let socket = certificates.with_file_name("admin.sock");
    let control = certificates.with_file_name("control.sock");
    let haproxy = Haproxy::bind(&socket);
    let daemon = Daemon(
        Command::new(env!("CARGO_BIN_EXE_staplerd"))
            .arg(certificates)
            .arg("-s")
            .arg(&socket)
            .args(["--allow-addresses", "loopback", "-q", "--control-socket"])
            .arg(&control)
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    wait_for("every staple to be live", || {
        haproxy.pushed() >= CERTIFICATES as usize
    });
    println!(
        "staplerd with all of them live: {:.1} MiB resident, {:.1} MiB at most",
        daemon.memory("VmRSS"),
        daemon.memory("VmHWM")
    );
    let first = CERTIFICATES..CERTIFICATES + DROPPED;
    drop_in(certificates, authority, &haproxy, first, "");
    asking(&control);
    println!(
        "staplerd after it was asked: {:.1} MiB resident, {:.1} MiB at most",
        daemon.memory("VmRSS"),
        daemon.memory("VmHWM")
    );
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                status(&control, "--json");
            }
        });
        let second = CERTIFICATES + DROPPED..CERTIFICATES + 2 * DROPPED;
        drop_in(
            certificates,
            authority,
            &haproxy,
            second,
            " while status is asked for",
        );
        is_over.store(true, Ordering::Relaxed);
    });
}

/// New certificates, one after the other.
fn drop_in(
    certificates: &Path,
    authority: &Authority,
    haproxy: &Haproxy,
    numbers: Range<u32>,
    circumstance: &str,
) {
    let mut times = Vec::new();
    for number in numbers {
        let (pem, response) = authority.issue(number);
        authority.answer(&response);
        let path = certificates.join(format!("site-{number}.pem"));
        let begun = Instant::now();
        fs::write(&path, pem).unwrap();
        let staple = path.with_extension("pem.ocsp");
        wait_for("the new certificate's staple", || {
            haproxy.has(&response) && fs::read(&staple).is_ok_and(|bytes| bytes == response)
        });
        times.push(begun.elapsed());
    }
    times.sort();
    println!(
        "a new certificate's staple is written and live after {:.0?}{circumstance} (median of {DROPPED}, longest {:.0?})",
        times[times.len() / 2],
        times[times.len() - 1]
    );
}

/// The commands of operators.
fn asking(control: &Path) {
    for form in ["--json", "--timeline"] {
        let mut times: Vec<Duration> = (0..ASKED).map(|_| status(control, form)).collect();
        times.sort();
        println!(
            "staplerd status {form}: {:.0?} (median of {ASKED}, longest {:.0?})",
            times[ASKED / 2],
            times[ASKED - 1]
        );
    }
}

/// How long `staplerd status` takes in this form.
fn status(control: &Path, form: &str) -> Duration {
    let begun = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_staplerd"))
        .args(["status", form, "--control-socket"])
        .arg(control)
        .output()
        .unwrap();
    let lines = output.stdout.iter().filter(|byte| **byte == b'\n').count();
    assert!(lines > CERTIFICATES as usize, "{output:?}");
    begun.elapsed()
}

/// A CA with a responder that gives everyone the same answer at once.
struct Authority {
    world: World,
    now: Timestamp,
    url: String,
    answer: Arc<Mutex<Vec<u8>>>,
}

impl Authority {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answer = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&answer);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    while stream.read(&mut buffer).is_ok_and(|count| count > 0) {
                        let answer = shared.lock().unwrap().clone();
                        let head = format!(
                            "HTTP/1.1 200 OK\r\nContent-Type: application/ocsp-response\r\n\
                             Content-Length: {}\r\n\r\n",
                            answer.len()
                        );
                        let _ = stream.write_all(&[head.as_bytes(), &answer].concat());
                    }
                });
            }
        });
        let now = Timestamp::from(SystemTime::now());
        Authority {
            world: World::at(now),
            now,
            url,
            answer,
        }
    }

    /// A certificate file with its issuer, and the response for it.
    fn issue(&self, number: u32) -> (String, Vec<u8>) {
        let world = &self.world;
        let serial = [&[0x01][..], &number.to_be_bytes()].concat();
        let name = format!("site-{number}.example.org");
        let leaf = CertificateBuilder::new("Issuer", &name, &serial)
            .with(ocsp_access(&[&self.url]))
            .around(self.now)
            .sign(&world.leaf_key, &world.issuer_key);
        let response = ResponseBuilder::good(&CertId::new(&leaf, &world.issuer), &world.issuer)
            .around(self.now)
            .sign(&world.issuer_key);
        (leaf.pem() + &world.issuer.pem(), response)
    }

    /// What the responder says from now on.
    fn answer(&self, response: &[u8]) {
        *self.answer.lock().unwrap() = response.to_vec();
    }
}

/// A control socket that takes every staple.
struct Haproxy(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    pushed: usize,
    last: Vec<u8>,
}

impl Haproxy {
    fn bind(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let held = Arc::new(Mutex::new(Held::default()));
        let shared = Arc::clone(&held);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                thread::spawn(move || converse(stream.unwrap(), &shared));
            }
        });
        Haproxy(held)
    }

    fn pushed(&self) -> usize {
        self.0.lock().unwrap().pushed
    }

    /// Whether this was the last staple that was pushed.
    fn has(&self, response: &[u8]) -> bool {
        self.0.lock().unwrap().last == response
    }
}

/// Answers as HAProxy 3.2 does to somebody who may push but not look at certificates.
fn converse(stream: UnixStream, held: &Mutex<Held>) {
    let mut writer = stream.try_clone().unwrap();
    for command in BufReader::new(stream).lines().map_while(Result::ok) {
        let answer = if let Some(text) = command.strip_prefix("set ssl ocsp-response ") {
            let mut held = held.lock().unwrap();
            held.pushed += 1;
            held.last = STANDARD.decode(text).unwrap();
            "OCSP Response updated!\n\n".to_owned()
        } else if let Some(cert_id) = command.strip_prefix("show ssl ocsp-response base64 ") {
            let held = held.lock().unwrap();
            let octets: String = held
                .last
                .iter()
                .map(|octet| format!("{octet:02x}"))
                .collect();
            match octets.contains(cert_id) {
                true => STANDARD.encode(&held.last) + "\n",
                false => "Certificate ID or path does not match any certificate.\n\n".to_owned(),
            }
        } else {
            match command.as_str() {
                "prompt i" | "set severity-output none" => "\n".to_owned(),
                "show cli level" => "user\n\n".to_owned(),
                "show info" => {
                    "Name: HAProxy\nVersion: 3.2.0\nPid: 4711\nStopping: 0\n\n".to_owned()
                }
                _ => "Permission denied\n\n".to_owned(),
            }
        };
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The program; ended with this.
struct Daemon(Child);

impl Daemon {
    /// A line of `/proc/<pid>/status` in MiB.
    fn memory(&self, key: &str) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        let kibibytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kibibytes / 1024.0
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The CPU time that this process has used, in user and kernel mode (proc(5), `stat`).
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after_name) = stat.rsplit_once(") ").unwrap();
    let ticks: f64 = after_name
        .split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse::<f64>().unwrap())
        .sum();
    ticks / TICKS
}

fn wait_for(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < DEADLINE, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(1));
    }
}
