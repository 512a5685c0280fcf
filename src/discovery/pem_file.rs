//! One file of certificates in PEM, read; and why a file may give nothing.
//!
//! What its certificates are for is not asked here.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::files::{self, Reach};
use crate::text::Printable;
use crate::x509::{self, Bundle, Certificate};

/// No certificate file is larger than this.
pub const LARGEST_FILE: u64 = 1024 * 1024;

/// What the certificates of all files may take of memory, in bytes: half of what the unit allows
/// the program (`MemoryMax=`). It is room for eighty thousand ordinary ones.
pub const MOST_HELD: usize = 256 * 1024 * 1024;

/// Why a file gives nothing to staple for.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FileRefusal {
    /// The certificate names no OCSP responder, and there is no issuer either.
    #[error("the certificate names no OCSP responder")]
    NoResponder,
    /// Neither the chain nor `.issuer` holds the issuer.
    #[error(
        "no issuer found: append the issuing CA's certificate to the file or put it into {}; \
         until then no .ocsp is written, because HAProxy would refuse to start with it",
        .0.printable()
    )]
    NoIssuer(PathBuf),
    /// `.issuer` exists and holds something else; HAProxy reads it as soon as a `.ocsp` exists.
    #[error(
        "{} is not the issuer of the certificate: correct or remove it; until then no .ocsp is \
         written, because HAProxy would refuse to start with it",
        .0.printable()
    )]
    WrongIssuerFile(PathBuf),
    /// The issuer is there, but signed with something that cannot be checked.
    #[error("its issuer's signature cannot be checked, nor could its responses: {0}")]
    UnsupportedIssuer(x509::signature::Error),
    /// A CA certificate.
    #[error("a CA certificate: nothing to staple for")]
    CertificateAuthority,
    /// The issuer stands before the certificate.
    #[error(
        "the issuing CA's certificate stands before the certificate, and HAProxy takes the first one \
         of a file: put the server's certificate first and its chain after it"
    )]
    IssuerFirst,
    /// A certificate signed by itself.
    #[error("a self-signed certificate: no responder answers for it")]
    SelfSigned,
    /// A private key and no certificate.
    #[error("a private key without a certificate")]
    KeyOnly,
    /// The file ends in the middle of a certificate: it is probably being written.
    #[error("ends in the middle of a certificate; it is read again when it changes")]
    Incomplete,
    /// The file holds no certificate that can be read.
    #[error("no certificate: {0}")]
    NotACertificate(String),
    /// The file could not be read.
    #[error("cannot be read: {0}")]
    Io(String),
    /// All certificates together take as much memory as they may.
    #[error(
        "no room for it: the certificates that are looked after take all the memory that they may \
         ({} MiB); see what lies among them", MOST_HELD / (1024 * 1024)
    )]
    NoRoom,
    /// The system is short of what it takes to open any file: nothing is known of this one.
    #[error("not read yet: {0}")]
    Shortage(String),
}

impl FileRefusal {
    fn unread(error: &io::Error) -> Self {
        match is_shortage(error) {
            true => FileRefusal::Shortage(error.to_string()),
            false => FileRefusal::Io(error.to_string()),
        }
    }
}

/// Whether an error says nothing of the file, but of the process or the machine.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM)
    )
}

/// Reads all certificates of a file; links lead no farther than `reach`.
pub(super) fn read_bundle(path: &Path, reach: Reach<'_>) -> Result<Bundle, FileRefusal> {
    let bytes = files::read(path, LARGEST_FILE, reach);
    let bytes = bytes.map_err(|error| FileRefusal::unread(&error))?;
    Bundle::from_pem(&bytes).map_err(|error| match error {
        x509::Error::OnlyPrivateKey => FileRefusal::KeyOnly,
        x509::Error::CutOff => FileRefusal::Incomplete,
        x509::Error::NoCertificate if Certificate::from_der(&bytes).is_ok() => {
            FileRefusal::NotACertificate(
                "it is DER, and HAProxy reads PEM: convert it (openssl x509 -inform DER -in FILE)"
                    .to_owned(),
            )
        }
        other => FileRefusal::NotACertificate(other.to_string()),
    })
}
