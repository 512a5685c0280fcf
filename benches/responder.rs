//! How many answers a second, and in how much memory. Run with `cargo bench --bench responder`.
//!
//! The load generator is `wrk` with keep-alive connections on loopback, which shares the machine's
//! cores with the responder. The authority has 100,000 certificates in an `index.txt`, and a
//! delegate with a P-256 key and then with an RSA key. Beside staplerd, in the same run, stand
//! `openssl ocsp -port` and, where the environment variable OCSPRESPONDER_PYTHON names a Python
//! that can import it, `ocspresponder` 0.5.0 (its oscrypto 1.3.0 does not know OpenSSL versions
//! with two digits, such as 3.0.22, and has to be corrected by hand). Those two know no keep-alive,
//! and OpenSSL's hangs at the connection that wrk opens to try: threads here ask them, a connection
//! for each request, and ask staplerd in the same way, so that like stands beside like. The
//! processor time that a responder takes for an answer is printed as well: a busy machine changes
//! it little.
#![allow(clippy::unwrap_used)]

use std::fmt::{self, Display, Formatter};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;

const CERTIFICATES: u32 = 100_000;
/// Serial numbers of four octets, whose first bit is not set.
const SERIALS: Range<u32> = 0x0100_0000..0x0100_0000 + CERTIFICATES;
const SECONDS: &str = "5s";
const ASKED_AGAIN: Duration = Duration::from_secs(5);
const CONNECTIONS: &str = "32";
/// Threads that ask with a connection for each request.
const ASKING: usize = 4;
/// The serial number that every load asks about.
const SERIAL: &str = "0x00C0FFEE";

fn main() {
    if Command::new("wrk").arg("-v").output().is_err() {
        eprintln!("SKIPPED: there is no wrk on this machine (apt-get install wrk)");
        return;
    }
    let load = fs::read_to_string("/proc/loadavg").unwrap();
    let load = load.split(' ').next().unwrap();
    println!("load average of the machine before: {load}");
    for (name, key) in [
        ("P-256", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256"),
        ("RSA-2048", "-algorithm RSA -pkeyopt rsa_keygen_bits:2048"),
    ] {
        println!("\nsigned with {name}");
        compare(&Files::new(key));
    }
    println!("\nmemory and garbage, P-256");
    bear(&Files::new(
        "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
    ));
}

/// The rates of staplerd, and those of the others.
fn compare(files: &Files) {
    let plain = files.request(&["-no_nonce"]);
    let nonce = files.request(&[]);
    let get = format!("/{}", STANDARD.encode(&plain).replace('/', "%2F"));
    let responder = Responder::staplerd(files);
    let presigned = responder.load("/", Some(&files.script("plain.lua", &[&plain])));
    let rates = [
        ("pre-signed, POST", presigned),
        ("pre-signed, GET", responder.load(&get, None)),
        (
            "signed on the fly",
            responder.load("/", Some(&files.script("nonce.lua", &[&nonce]))),
        ),
        (
            "pre-signed, without keep-alive",
            responder.ask_again("/", &plain),
        ),
        (
            "signed on the fly, without keep-alive",
            responder.ask_again("/", &nonce),
        ),
    ];
    drop(responder);
    for (name, rate) in &rates {
        println!("  {name:<40} {rate}");
    }
    let report = |name: &str, other: Rate| {
        println!("  {name:<40} {other}");
        let ratios = |of: fn(&Rate) -> f64| {
            let all = rates.iter().map(|(_, rate)| of(rate) / of(&other));
            all.map(|ratio| format!("{ratio:.2}"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        println!(
            "    those above: {} times as many",
            ratios(|rate| rate.per_second)
        );
        println!(
            "    in {} times the processor time",
            ratios(|rate| rate.microseconds)
        );
    };
    let openssl = Responder::openssl(files);
    report("openssl ocsp -port", openssl.ask_again("/", &plain));
    drop(openssl);
    match std::env::var("OCSPRESPONDER_PYTHON") {
        Ok(python) => {
            let ancestor = Responder::ocspresponder(files, &python);
            report(
                "ocspresponder 0.5.0",
                ancestor.ask_again("/status/", &plain),
            );
        }
        Err(_) => eprintln!("SKIPPED: OCSPRESPONDER_PYTHON names no Python with ocspresponder"),
    }
}

/// What a large index, a client that asks about all of it, and garbage cost.
fn bear(files: &Files) {
    let plain = files.request(&["-no_nonce"]);
    let begun = Instant::now();
    let responder = Responder::staplerd(files);
    println!(
        "  start with {CERTIFICATES} certificates: {:.2} s, {:.1} MiB resident",
        begun.elapsed().as_secs_f64(),
        responder.resident_mebibytes()
    );
    let garbage: &[u8] = b"\x30\x82\xff\xffgarbage";
    let mixed = responder.load("/", Some(&files.script("mixed.lua", &[&plain, garbage])));
    println!("  {:<40} {mixed}", "half of them malformed");
    responder.ask_about_all(&plain);
    println!(
        "  all {CERTIFICATES} asked about: {:.1} MiB resident",
        responder.resident_mebibytes()
    );
}

/// An authority's files, made by openssl.
struct Files(TempDir);

impl Files {
    /// With a delegate whose key `openssl genpkey` makes with these options.
    fn new(key: &str) -> Self {
        const EXTENSIONS: &str =
            "extendedKeyUsage=OCSPSigning\nnoCheck=ignored\nkeyUsage=critical,digitalSignature\n";
        let files = Files(tempfile::tempdir().unwrap());
        let rows: String = SERIALS
            .skip(1)
            .map(|number| format!("V\t361120000000Z\t\t{number:08X}\tunknown\t/CN={number}\n"))
            .collect();
        let row = "V\t361120000000Z\t\tC0FFEE\tunknown\t/CN=leaf\n";
        fs::write(files.path("index.txt"), rows + row).unwrap();
        fs::write(files.path("extensions"), EXTENSIONS).unwrap();
        for name in ["ca", "ocsp", "leaf"] {
            files.openssl(&format!("genpkey {key} -out {name}.key"));
        }
        files.openssl("req -x509 -new -key ca.key -subj /CN=CA -out ca.pem");
        for (name, serial, more) in [
            ("ocsp", "4096", "-extfile extensions"),
            ("leaf", SERIAL, ""),
        ] {
            files.openssl(&format!(
                "req -new -key {name}.key -subj /CN={name} -out {name}.csr"
            ));
            files.openssl(&format!(
                "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -set_serial {serial} {more} -out {name}.pem"
            ));
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .current_dir(self.0.path())
            .args(arguments.split_whitespace())
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments}: {output:?}");
    }

    fn request(&self, options: &[&str]) -> Vec<u8> {
        let options = options.join(" ");
        self.openssl(&format!(
            "ocsp -issuer ca.pem {options} -serial {SERIAL} -reqout request"
        ));
        fs::read(self.path("request")).unwrap()
    }

    /// A script that makes wrk post these bodies in turn.
    fn script(&self, name: &str, bodies: &[&[u8]]) -> PathBuf {
        let path = self.path(name);
        let mut text = "local requests, turn = {}, 0\nfunction init()\n".to_owned();
        for body in bodies {
            let escaped: String = body.iter().map(|byte| format!("\\{byte:03}")).collect();
            text += &format!(
                "requests[#requests + 1] = wrk.format('POST', nil, {{['Content-Type'] = 'application/ocsp-request'}}, \"{escaped}\")\n"
            );
        }
        text +=
            "end\nfunction request()\nturn = turn % #requests + 1\nreturn requests[turn]\nend\n";
        fs::write(&path, text).unwrap();
        path
    }
}

/// How fast a responder answered.
struct Rate {
    per_second: f64,
    /// Its processor time for an answer.
    microseconds: f64,
}

impl Display for Rate {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let (per_second, microseconds) = (self.per_second, self.microseconds);
        write!(
            formatter,
            "{per_second:>8.0} answers/s, {microseconds:>6.1} µs of processor time each"
        )
    }
}

/// A responder at work; killed when dropped.
struct Responder {
    child: Child,
    port: u16,
}

impl Drop for Responder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Responder {
    fn staplerd(files: &Files) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_staplerd"))
            .current_dir(files.0.path())
            .env_remove("JOURNAL_STREAM")
            .args(["responder", "--issuer", "ca.pem", "--signer", "ocsp.pem"])
            .args(["--key", "ocsp.key", "--index", "index.txt", "--nonce"])
            .args(["--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        log.read_line(&mut line).unwrap();
        let (_, port) = line.trim().trim_end_matches('/').rsplit_once(':').unwrap();
        let port = port.parse().unwrap();
        Responder { child, port }
    }

    fn openssl(files: &Files) -> Self {
        let port = free_port();
        let log = files.path("openssl.log");
        let output = fs::File::create(&log).unwrap();
        let child = Command::new("openssl")
            .current_dir(files.0.path())
            .args([
                "ocsp",
                "-index",
                "index.txt",
                "-CA",
                "ca.pem",
                "-ndays",
                "4",
            ])
            .args(["-rsigner", "ocsp.pem", "-rkey", "ocsp.key"])
            .args(["-port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let responder = Responder { child, port };
        // Not by connecting: it hangs when a connection is closed without a request.
        wait_until(|| {
            let text = fs::read_to_string(&log).unwrap();
            text.contains("waiting for OCSP client")
        });
        responder
    }

    fn ocspresponder(files: &Files, python: &str) -> Self {
        const PROGRAM: &str = "\
import sys
from ocspresponder import OCSPResponder, CertificateStatus
leaf = open('leaf.pem').read()
responder = OCSPResponder('ca.pem', 'ocsp.pem', 'ocsp.key',
                          lambda serial: (CertificateStatus.good, None), lambda serial: leaf)
responder.serve(port=int(sys.argv[1]), debug=False)
";
        let port = free_port();
        let child = Command::new(python)
            .current_dir(files.0.path())
            .args(["-c", PROGRAM, &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let responder = Responder { child, port };
        wait_until(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
        responder
    }

    /// Its rate while `ask` counts answers.
    fn rate(&self, ask: impl FnOnce() -> f64) -> Rate {
        let (begun, processor) = (Instant::now(), self.processor_seconds());
        let count = ask();
        Rate {
            per_second: count / begun.elapsed().as_secs_f64(),
            microseconds: (self.processor_seconds() - processor) * 1e6 / count,
        }
    }

    /// The processor time it has taken, in the kernel's hundredths of a second.
    fn processor_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks = fields.split(' ').skip(11).take(2);
        ticks
            .map(|field| field.parse::<f64>().unwrap())
            .sum::<f64>()
            / 100.0
    }

    /// Answers that wrk counts; every one must be a success.
    fn load(&self, path: &str, script: Option<&Path>) -> Rate {
        let mut wrk = Command::new("wrk");
        wrk.args(["-t", "1", "-c", CONNECTIONS, "-d", SECONDS]);
        if let Some(script) = script {
            wrk.arg("-s").arg(script);
        }
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        self.rate(|| {
            let output = wrk.arg(url).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(!text.contains("Non-2xx"), "{text}");
            let line = text.lines().find(|line| line.contains(" requests in "));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
        })
    }

    /// Answers by connections that end with their answer.
    fn ask_again(&self, path: &str, request: &[u8]) -> Rate {
        let head = format!(
            "POST {path} HTTP/1.0\r\nContent-Type: application/ocsp-request\r\nContent-Length: {}\r\n\r\n",
            request.len()
        );
        let message = [head.as_bytes(), request].concat();
        let begun = Instant::now();
        let ask = || {
            let mut count = 0_u32;
            while begun.elapsed() < ASKED_AGAIN {
                let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
                stream.set_read_timeout(Some(ASKED_AGAIN)).unwrap();
                stream.write_all(&message).unwrap();
                // Not to the end: OpenSSL closes late.
                let length = read_reply(&mut stream);
                assert!(length > 400, "an answer of {length} bytes");
                count += 1;
            }
            count
        };
        self.rate(|| {
            thread::scope(|scope| {
                let asking: Vec<_> = (0..ASKING).map(|_| scope.spawn(ask)).collect();
                let counts = asking.into_iter().map(|one| one.join().unwrap());
                f64::from(counts.sum::<u32>())
            })
        })
    }

    /// Asks about every certificate of the index, but the one that was asked about before.
    fn ask_about_all(&self, request: &[u8]) {
        const SERIAL_BYTES: &[u8] = &[0x02, 0x04, 0x00, 0xc0, 0xff, 0xee];
        let width = SERIAL_BYTES.len();
        let at = request
            .windows(width)
            .position(|window| window == SERIAL_BYTES)
            .unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut body = request.to_vec();
        for number in SERIALS.skip(1) {
            body[at + 2..at + width].copy_from_slice(&number.to_be_bytes());
            let head = format!(
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream
                .write_all(&[head.as_bytes(), &body].concat())
                .unwrap();
            let length = read_reply(&mut stream);
            assert!(length > 500, "an answer of {length} bytes");
        }
    }

    fn resident_mebibytes(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        let kibibytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kibibytes / 1024.0
    }
}

/// Reads one reply; returns the length of its body.
fn read_reply(stream: &mut TcpStream) -> usize {
    let mut received = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "the connection was closed");
        received.extend_from_slice(&buffer[..length]);
        let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else {
            continue;
        };
        let head = String::from_utf8_lossy(&received[..end]).to_lowercase();
        let (_, rest) = head.split_once("content-length: ").unwrap();
        let body: usize = rest.lines().next().unwrap().trim().parse().unwrap();
        if received.len() == end + 4 + body {
            return body;
        }
    }
}

fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "the responder does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
}
