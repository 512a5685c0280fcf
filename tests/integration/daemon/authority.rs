//! A CA made by the openssl command line alone, with two responders on the same index: `staplerd
//! responder`, and `openssl ocsp`, in whose answers there is nothing of staplerd's own code.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::skip::skipped;
use crate::support::haproxy::{free_addresses, wait_for};
use crate::support::judged;

const CA: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n\
    subjectKeyIdentifier=hash\n";
const DELEGATE: &str = "keyUsage=critical,digitalSignature\nextendedKeyUsage=OCSPSigning\n\
    noCheck=ignored\nauthorityKeyIdentifier=keyid\n";
const LEAF: &str = "basicConstraints=CA:FALSE\nauthorityKeyIdentifier=keyid\n";

/// An intermediate CA with OCSP responders of its own.
pub struct OpensslAuthority {
    directory: TempDir,
    /// Of `staplerd responder`, and of `openssl ocsp`.
    ports: [u16; 2],
    serial: u32,
    responders: Vec<Child>,
}

/// Who signs the responses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    Issuer,
    Delegate,
}

impl Signer {
    /// The name of its files.
    fn name(self) -> &'static str {
        match self {
            Signer::Issuer => "issuer",
            Signer::Delegate => "delegate",
        }
    }
}

impl OpensslAuthority {
    /// A new CA whose responders are not running yet; none where there is no openssl.
    pub fn new(test: &str) -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_err() {
            skipped(format!("{test}: there is no openssl on this machine"));
            return None;
        }
        let authority = OpensslAuthority {
            directory: tempfile::tempdir().unwrap(),
            ports: free_addresses().map(|address| address.port()),
            serial: 0x1000,
            responders: Vec::new(),
        };
        let root = format!("[req]\ndistinguished_name=name\n[name]\n[ca]\n{CA}");
        fs::write(authority.path("root.cnf"), root).unwrap();
        fs::write(authority.path("index.txt"), "").unwrap();
        authority.openssl("ecparam -name prime256v1 -genkey -noout -out root.key");
        authority.openssl(
            "req -x509 -new -key root.key -subj /CN=Root -days 30 \
             -config root.cnf -extensions ca -out root.pem",
        );
        authority.issue_as("issuer", "issuer", "prime256v1", CA, 2, "root");
        authority.issue_as("delegate", "delegate", "prime256v1", DELEGATE, 3, "issuer");
        Some(authority)
    }

    /// Where `staplerd responder` will be.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    /// Where `openssl ocsp` will be.
    pub fn independent_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[1])
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The content of one of the CA's files.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// A good certificate for `name`, with this kind of key (`rsa`, `ed25519` or a curve).
    pub fn issue(&mut self, name: &str, algorithm: &str) {
        self.issue_with_status(name, algorithm, 'V');
    }

    /// One that is good (`V`) or revoked (`R`) according to the index.
    pub fn issue_with_status(&mut self, name: &str, algorithm: &str, status: char) {
        self.issue_naming(name, algorithm, status, &self.url());
    }

    /// A good one that names `openssl ocsp`.
    pub fn issue_independent(&mut self, name: &str, algorithm: &str) {
        self.issue_naming(name, algorithm, 'V', &self.independent_url());
    }

    /// One that names the responder at `url`.
    pub fn issue_naming(&mut self, name: &str, algorithm: &str, status: char, url: &str) {
        let extensions = extensions(url);
        self.issue_and_note(name, name, algorithm, &extensions, status);
    }

    /// A good one with the files `name` and the common name `subject`.
    pub fn issue_for(&mut self, name: &str, subject: &str, algorithm: &str) {
        let extensions = extensions(&self.url());
        self.issue_and_note(name, subject, algorithm, &extensions, 'V');
    }

    /// A good one that demands a staple (RFC 7633).
    pub fn issue_demanding(&mut self, name: &str, algorithm: &str) {
        let extensions = extensions(&self.url()) + "tlsfeature=status_request\n";
        self.issue_and_note(name, name, algorithm, &extensions, 'V');
    }

    fn issue_and_note(
        &mut self,
        name: &str,
        subject: &str,
        algorithm: &str,
        extensions: &str,
        status: char,
    ) {
        self.serial += 1;
        self.issue_as(name, subject, algorithm, extensions, self.serial, "issuer");
        let revoked = if status == 'R' {
            "260101000000Z,keyCompromise"
        } else {
            ""
        };
        let row = format!(
            "{status}\t491231235959Z\t{revoked}\t{:X}\tunknown\t/CN={name}\n",
            self.serial
        );
        let mut index = fs::OpenOptions::new()
            .append(true)
            .open(self.path("index.txt"))
            .unwrap();
        index.write_all(row.as_bytes()).unwrap();
    }

    /// A certificate that names no responder.
    pub fn issue_silent(&mut self, name: &str) {
        self.serial += 1;
        self.issue_as(name, name, "prime256v1", LEAF, self.serial, "issuer");
    }

    fn issue_as(
        &self,
        name: &str,
        subject: &str,
        algorithm: &str,
        extensions: &str,
        serial: u32,
        issuer: &str,
    ) {
        fs::write(self.path(&format!("{name}.cnf")), extensions).unwrap();
        let key = match algorithm {
            "rsa" => "genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048".to_owned(),
            "ed25519" => "genpkey -algorithm ed25519".to_owned(),
            curve => format!("ecparam -name {curve} -genkey -noout"),
        };
        self.openssl(&format!("{key} -out {name}.key"));
        self.openssl(&format!(
            "req -new -key {name}.key -subj /CN={subject} -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -set_serial {serial} \
             -days 30 -extfile {name}.cnf -out {name}.pem"
        ));
    }

    /// Certificate, issuer and key in one file, as HAProxy wants it.
    pub fn bundle(&self, name: &str) -> String {
        self.read(&format!("{name}.pem"))
            + &self.read("issuer.pem")
            + &self.read(&format!("{name}.key"))
    }

    /// Starts `staplerd responder`.
    pub fn start_responder(&mut self, signer: Signer) {
        let signer = signer.name();
        let mut command = Command::new(env!("CARGO_BIN_EXE_staplerd"));
        command
            .env_remove("JOURNAL_STREAM")
            .args(["responder", "--issuer", "issuer.pem"])
            .args(["--signer", &format!("{signer}.pem")])
            .args(["--key", &format!("{signer}.key")])
            .args(["--index", "index.txt"])
            .args(["--listen", &format!("127.0.0.1:{}", self.ports[0])]);
        self.start(command, "responder.log", "answering OCSP requests");
    }

    /// Starts `openssl ocsp`, with the index as it is now.
    pub fn start_independent_responder(&mut self, signer: Signer) {
        let signer = signer.name();
        let mut command = Command::new("openssl");
        command
            .args(["ocsp", "-port", &self.ports[1].to_string()])
            .args(["-index", "index.txt", "-CA", "issuer.pem", "-ndays", "4"])
            .args(["-rsigner", &format!("{signer}.pem")])
            .args(["-rkey", &format!("{signer}.key")]);
        // Not by connecting: it hangs when a connection is closed without a request.
        self.start(command, "independent.log", "waiting for OCSP client");
    }

    /// Starts a responder and waits until its log has these words.
    fn start(&mut self, mut command: Command, log: &str, words: &str) {
        let file = fs::File::create(self.path(log)).unwrap();
        let responder = command
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        self.responders.push(responder);
        wait_for(words, || self.read(log).contains(words));
    }

    /// Whether openssl itself finds `response` good for `name`, signature and all. What is good is
    /// kept for the other judges.
    pub fn accepts(&self, name: &str, response: &[u8]) -> bool {
        fs::write(self.path("response.der"), response).unwrap();
        let output = Command::new("openssl")
            .current_dir(self.directory.path())
            .args(["ocsp", "-respin", "response.der", "-issuer", "issuer.pem"])
            .args(["-cert", &format!("{name}.pem"), "-CAfile", "root.pem"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        let is_good =
            said.contains("Response verify OK") && said.contains(&format!("{name}.pem: good"));
        if is_good {
            let certificate = self.read(&format!("{name}.pem"));
            judged::keep(
                response,
                self.read("issuer.pem").as_bytes(),
                Some(certificate.as_bytes()),
            );
        }
        is_good
    }

    fn openssl(&self, command: &str) {
        let output = Command::new("openssl")
            .current_dir(self.directory.path())
            .args(command.split_whitespace())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {command}: {errors}");
    }
}

/// The extensions of a certificate that names the responder at `url`.
fn extensions(url: &str) -> String {
    format!("{LEAF}authorityInfoAccess=OCSP;URI:{url}\n")
}

impl Drop for OpensslAuthority {
    fn drop(&mut self) {
        for responder in &mut self.responders {
            let _ = responder.kill();
            let _ = responder.wait();
        }
    }
}
