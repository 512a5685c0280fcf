//! A CA in files, as openssl makes them, and responders as processes that answer for it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

use crate::skip::skipped;
use crate::support::haproxy::wait_for;

pub const INDEX: &str = "V\t361120000000Z\t\t03A2EF\tunknown\t/CN=good\n\
    R\t361120000000Z\t260115120000Z,keyCompromise\t05\tunknown\t/CN=stolen\n\
    R\t361120000000Z\t260116130000Z\t80\tunknown\t/CN=no reason\n\
    R\t361120000000Z\t260116130000Z,CACompromise\tFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF\tunknown\t/CN=long\n";

/// Serial numbers to ask for: those of the index and one that is not in it.
pub const SERIALS: [&str; 5] = [
    "0x03A2EF",
    "0x05",
    "0x80",
    "0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
    "0x77",
];

pub fn have_openssl() -> bool {
    let version = Command::new("openssl").arg("version").output();
    let found = version.is_ok_and(|output| output.stdout.starts_with(b"OpenSSL 3"));
    if !found {
        skipped("there is no openssl 3 command on this machine");
    }
    found
}

/// The key forms that are read, as `openssl` makes them.
pub const KEYS: [(&str, &[&str]); 7] = [
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
pub struct Files(TempDir);

impl Files {
    pub fn new(key: &[&str]) -> Self {
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

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    pub fn openssl(&self, arguments: &[&str]) -> Output {
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
    pub fn ask(&self, address: SocketAddr, more: &[&str]) -> String {
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
pub struct Process {
    pub child: Child,
    pub address: SocketAddr,
}

pub const GROUP: [&str; 8] = [
    "--issuer",
    "ca.pem",
    "--signer",
    "ocsp.pem",
    "--key",
    "ocsp.key",
    "--index",
    "index.txt",
];

pub fn command(directory: &Path, arguments: &[&str]) -> Command {
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
    pub fn start(files: &Files, more: &[&str]) -> Self {
        let arguments = [&GROUP, more, &["--listen", "127.0.0.1:0"]].concat();
        Process::spawn(command(files.path(), &arguments)).0
    }

    /// Starts it; returns what it logs until it serves, too.
    pub fn spawn(mut command: Command) -> (Self, String) {
        let mut process = Process {
            child: command.spawn().unwrap(),
            address: ([127, 0, 0, 1], 0).into(),
        };
        let mut log = String::new();
        let lines = BufReader::new(process.child.stderr.take().unwrap());
        for line in lines.lines() {
            log += &line.unwrap();
            if let Some((_, rest)) = log.split_once("requests at http://") {
                process.address = rest.trim_end_matches('/').parse().unwrap();
                return (process, log);
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

/// OpenSSL's own responder on the same files; killed when dropped.
pub fn openssl_responder(files: &Files) -> Process {
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
