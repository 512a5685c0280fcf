//! `staplerd responder` as a process, and foreign clients and responders as oracles.
//!
//! Promises: `openssl ocsp` verifies what it answers, with every kind of key; its answers are those
//! of OpenSSL's own responder on the same index; Python's cryptography reads all of them; keys and
//! options that make no sense end with 78 and a clear word.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use super::post;
use crate::skip::skipped;
use crate::support::haproxy::wait_for;

const INDEX: &str = "V\t361120000000Z\t\t03A2EF\tunknown\t/CN=good\n\
    R\t361120000000Z\t260115120000Z,keyCompromise\t05\tunknown\t/CN=stolen\n\
    R\t361120000000Z\t260116130000Z\t80\tunknown\t/CN=no reason\n\
    R\t361120000000Z\t260116130000Z,CACompromise\tFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF\tunknown\t/CN=long\n";

/// Serial numbers to ask for: those of the index and one that is not in it.
const SERIALS: [&str; 5] = [
    "0x03A2EF",
    "0x05",
    "0x80",
    "0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
    "0x77",
];

fn have_openssl() -> bool {
    let version = Command::new("openssl").arg("version").output();
    let found = version.is_ok_and(|output| output.stdout.starts_with(b"OpenSSL 3"));
    if !found {
        skipped("there is no openssl 3 command on this machine");
    }
    found
}

/// The key forms that are read, as `openssl` makes them.
const KEYS: [(&str, &[&str]); 7] = [
    (
        "P-256 PKCS#8",
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ],
    ),
    (
        "P-384 PKCS#8",
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-384",
        ],
    ),
    ("P-256 SEC1", &["ecparam", "-name", "prime256v1", "-genkey"]),
    (
        "P-384 SEC1",
        &["ecparam", "-name", "secp384r1", "-genkey", "-noout"],
    ),
    ("RSA PKCS#8", &["genpkey", "-algorithm", "RSA"]),
    ("RSA PKCS#1", &["genrsa", "-traditional"]),
    ("Ed25519 PKCS#8", &["genpkey", "-algorithm", "ED25519"]),
];

/// A CA's files, made by openssl: `ca.pem`, `ca.key`, `ocsp.pem`, `ocsp.key`, `index.txt`.
struct Files(TempDir);

impl Files {
    fn new(key: &[&str]) -> Self {
        let files = Files(TempDir::new().unwrap());
        files.write("index.txt", INDEX);
        files.write(
            "extensions",
            "extendedKeyUsage=OCSPSigning\nnoCheck=ignored\nkeyUsage=critical,digitalSignature\n",
        );
        files.openssl(&[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-out",
            "ca.key",
        ]);
        files.openssl(&[
            "req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=CA", "-out", "ca.pem",
        ]);
        files.openssl(&[key, &["-out", "ocsp.key"]].concat());
        files.openssl(&[
            "req",
            "-new",
            "-key",
            "ocsp.key",
            "-subj",
            "/CN=Responder",
            "-out",
            "ocsp.csr",
        ]);
        files.openssl(&[
            "x509",
            "-req",
            "-in",
            "ocsp.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-set_serial",
            "4096",
            "-extfile",
            "extensions",
            "-out",
            "ocsp.pem",
        ]);
        files
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn openssl(&self, arguments: &[&str]) -> Output {
        let output = Command::new("timeout")
            .current_dir(self.path())
            .args(["20", "openssl"])
            .args(arguments)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        output
    }

    /// What `openssl ocsp` as client says about all serial numbers.
    fn ask(&self, address: SocketAddr, more: &[&str]) -> String {
        let url = format!("http://{address}/");
        let mut arguments = vec![
            "ocsp", "-issuer", "ca.pem", "-CAfile", "ca.pem", "-url", &url,
        ];
        arguments.extend(more);
        for serial in SERIALS {
            arguments.extend(["-serial", serial]);
        }
        let output = self.openssl(&arguments);
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    }
}

/// A `staplerd responder` at work; killed when dropped.
struct Process {
    child: Child,
    address: SocketAddr,
}

const GROUP: [&str; 8] = [
    "--issuer",
    "ca.pem",
    "--signer",
    "ocsp.pem",
    "--key",
    "ocsp.key",
    "--index",
    "index.txt",
];

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_staplerd"));
    command
        .current_dir(directory)
        .env_remove("JOURNAL_STREAM")
        .arg("responder")
        .args(arguments)
        .stderr(Stdio::piped());
    command
}

impl Process {
    fn start(files: &Files, more: &[&str]) -> Self {
        let arguments = [&GROUP, more, &["--listen", "127.0.0.1:0"]].concat();
        let mut process = Process {
            child: command(files.path(), &arguments).spawn().unwrap(),
            address: ([127, 0, 0, 1], 0).into(),
        };
        let mut log = String::new();
        let lines = BufReader::new(process.child.stderr.take().unwrap());
        for line in lines.lines() {
            log += &line.unwrap();
            if let Some((_, rest)) = log.split_once("requests at http://") {
                process.address = rest.trim_end_matches('/').parse().unwrap();
                return process;
            }
            log += "\n";
        }
        panic!("the responder did not start: {log}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn openssl_verifies_answers_signed_with_every_kind_of_key() {
    if !have_openssl() {
        return;
    }
    for (name, key) in KEYS {
        let files = Files::new(key);
        let responder = Process::start(&files, &["--nonce"]);
        let text = files.ask(responder.address, &[]);
        assert!(text.contains("Response verify OK"), "{name}: {text}");
        assert!(!text.contains("WARNING"), "{name}: {text}");
        for words in [
            "0x03A2EF: good",
            "0x05: revoked",
            "Reason: keyCompromise",
            "Revocation Time: Jan 15 12:00:00 2026 GMT",
            "0x77: unknown",
        ] {
            assert!(text.contains(words), "{name}: no '{words}' in {text}");
        }
    }
}

/// OpenSSL's own responder on the same files; killed when dropped.
fn openssl_responder(files: &Files) -> Process {
    // It cannot choose a port by itself.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let log = files.path().join("openssl.log");
    let output = fs::File::create(&log).unwrap();
    let child = Command::new("openssl")
        .current_dir(files.path())
        .args(["ocsp", "-index", "index.txt", "-CA", "ca.pem"])
        .args(["-rsigner", "ocsp.pem", "-rkey", "ocsp.key", "-ndays", "4"])
        .args(["-port", &address.port().to_string()])
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let process = Process { child, address };
    // Not by connecting: it hangs when a connection is closed without a request.
    wait_for("openssl ocsp", || {
        let text = fs::read_to_string(&log).unwrap();
        text.contains("waiting for OCSP client")
    });
    process
}

/// The lines that state statuses: without those that depend on the moment.
fn statements(text: &str) -> Vec<&str> {
    let lines = text.lines().map(str::trim);
    lines.filter(|line| !line.contains("Update:")).collect()
}

#[test]
fn answers_are_those_of_openssls_own_responder() {
    if !have_openssl() {
        return;
    }
    let files = Files::new(KEYS[0].1);
    let ours = Process::start(&files, &["--nonce"]);
    let theirs = openssl_responder(&files);
    for options in [&[] as &[&str], &["-no_nonce"], &["-sha256"], &["-sha512"]] {
        let (ours, theirs) = (
            files.ask(ours.address, options),
            files.ask(theirs.address, options),
        );
        assert_eq!(statements(&ours), statements(&theirs), "{options:?}");
        assert!(ours.contains("Reason: cACompromise"), "{ours}");
    }
}

#[test]
fn pythons_cryptography_reads_every_kind_of_answer() {
    const READER: &str = "\
import sys
from cryptography.x509 import ocsp
for name in sys.argv[1:]:
    response = ocsp.load_der_ocsp_response(open(name, 'rb').read())
    if response.response_status != ocsp.OCSPResponseStatus.SUCCESSFUL:
        print(name, response.response_status.name)
        continue
    singles = list(response.responses)
    nonce = [extension.value.nonce.hex() for extension in response.extensions]
    print(name, [one.certificate_status.name for one in singles],
          [one.revocation_reason and one.revocation_reason.name for one in singles],
          response.signature_hash_algorithm.name, len(response.certificates), nonce)
";
    let found = Command::new("python3")
        .args(["-c", "import cryptography.x509.ocsp"])
        .output();
    if !found.is_ok_and(|output| output.status.success()) {
        skipped("python3 has no cryptography on this machine");
        return;
    }
    if !have_openssl() {
        return;
    }
    let files = Files::new(KEYS[0].1);
    let responder = Process::start(&files, &["--nonce", "--archive-cutoff", "365d"]);
    let ask = |name: &str, options: &[&str]| {
        let arguments = [
            &["ocsp", "-issuer", "ca.pem", "-reqout", "request"],
            options,
        ]
        .concat();
        files.openssl(&arguments);
        let request = fs::read(files.path().join("request")).unwrap();
        let answer = post(responder.address, "/", &request).body;
        fs::write(files.path().join(name), answer).unwrap();
    };
    ask("good", &["-no_nonce", "-serial", SERIALS[0]]);
    ask("revoked", &["-no_nonce", "-serial", SERIALS[1]]);
    ask("unknown", &["-no_nonce", "-serial", SERIALS[4]]);
    ask(
        "several",
        &["-no_nonce", "-serial", SERIALS[0], "-serial", SERIALS[2]],
    );
    ask("nonce", &["-serial", SERIALS[0]]);
    let malformed = post(responder.address, "/", b"garbage").body;
    fs::write(files.path().join("malformed"), malformed).unwrap();
    let output = Command::new("python3")
        .current_dir(files.path())
        .args([
            "-c",
            READER,
            "good",
            "revoked",
            "unknown",
            "several",
            "malformed",
            "nonce",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..5],
        [
            "good ['GOOD'] [None] sha256 1 []",
            "revoked ['REVOKED'] ['key_compromise'] sha256 1 []",
            "unknown ['UNKNOWN'] [None] sha256 1 []",
            "several ['GOOD', 'REVOKED'] [None, None] sha256 1 []",
            "malformed MALFORMED_REQUEST",
        ],
        "{text}{errors}"
    );
    assert!(
        lines[5].starts_with("nonce ['GOOD'] [None] sha256 1 ['"),
        "{text}{errors}"
    );
}

/// Ends at once with a configuration error; returns what it says.
fn refused(directory: &Path, arguments: &[&str]) -> String {
    let output = command(directory, arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{text}");
    text
}

#[test]
fn keys_that_cannot_sign_are_refused_with_a_clear_word() {
    if !have_openssl() {
        return;
    }
    let files = Files::new(KEYS[0].1);
    files.openssl(&[
        "pkey",
        "-in",
        "ocsp.key",
        "-aes128",
        "-passout",
        "pass:x",
        "-out",
        "pkcs8.key",
    ]);
    files.openssl(&["genrsa", "-out", "plain.key", "2048"]);
    files.openssl(&[
        "rsa",
        "-in",
        "plain.key",
        "-traditional",
        "-aes128",
        "-passout",
        "pass:x",
        "-out",
        "legacy.key",
    ]);
    files.openssl(&[
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-521",
        "-out",
        "p521.key",
    ]);
    let with_key = |key: &str| {
        let arguments = GROUP.map(|word| if word == "ocsp.key" { key } else { word });
        refused(files.path(), &arguments)
    };
    for key in ["pkcs8.key", "legacy.key"] {
        let text = with_key(key);
        assert!(text.contains("the private key is encrypted"), "{text}");
        assert!(text.contains("openssl pkey"), "{text}");
    }
    assert!(with_key("p521.key").contains("none of RSA"));
    assert!(with_key("ca.pem").contains("no private key"));
    assert!(with_key("ca.key").contains("does not belong to"));
    assert!(with_key("nowhere.key").contains("nowhere.key"));
}

#[test]
fn several_authorities_and_the_errors_of_their_options() {
    if !have_openssl() {
        return;
    }
    let (one, two) = (Files::new(KEYS[0].1), Files::new(KEYS[6].1));
    let path = |name: &str| two.path().join(name).to_str().unwrap().to_owned();
    let (ca, key, index) = (path("ca.pem"), path("ca.key"), path("index.txt"));
    // The second CA signs for itself.
    let second = ["--issuer", &ca, "--key", &key, "--index", &index];
    let responder = Process::start(&one, &second);
    for files in [&one, &two] {
        let text = files.ask(responder.address, &["-no_nonce"]);
        assert!(text.contains("Response verify OK"), "{text}");
        assert!(text.contains("0x05: revoked"), "{text}");
    }
    let missing = refused(one.path(), &["--issuer", "ca.pem", "--index", "index.txt"]);
    assert!(missing.contains("its --key is missing"), "{missing}");
    let source = refused(one.path(), &["--issuer", "ca.pem", "--key", "ca.key"]);
    assert!(
        source.contains("--index, or --crl and --certificates"),
        "{source}"
    );
    let damaged = {
        one.write("damaged.txt", &format!("{INDEX}Z\n"));
        let arguments = GROUP.map(|word| {
            if word == "index.txt" {
                "damaged.txt"
            } else {
                word
            }
        });
        refused(one.path(), &arguments)
    };
    assert!(damaged.contains("damaged.txt: line 5"), "{damaged}");
}

#[test]
fn a_signer_that_clients_refuse_is_warned_about_and_faults_are_loud() {
    if !have_openssl() {
        return;
    }
    let files = Files::new(KEYS[0].1);
    files.openssl(&[
        "x509", "-req", "-in", "ocsp.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-out", "ocsp.pem",
    ]);
    let arguments = [
        &GROUP,
        &["--fault", "expired", "--listen", "127.0.0.1:0"][..],
    ]
    .concat();
    let mut child = command(files.path(), &arguments).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut log = String::new();
    for line in lines {
        log += &line.unwrap();
        if log.contains("requests at") {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        log.contains("lacks the extended key usage OCSPSigning"),
        "{log}"
    );
    assert!(log.contains("lacks id-pkix-ocsp-nocheck"), "{log}");
    assert!(log.contains("FAULTS ARE ON"), "{log}");
}

#[test]
fn a_signal_ends_it_with_0() {
    if !have_openssl() {
        return;
    }
    let files = Files::new(KEYS[0].1);
    let mut responder = Process::start(&files, &[]);
    let pid = responder.child.id().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert_eq!(responder.child.wait().unwrap().code(), Some(0));
}
