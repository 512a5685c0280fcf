//! One certificate file: the certificate HAProxy would serve from it, and its issuer.
//!
//! The leaf is the first CERTIFICATE of the file, the rest its chain; the issuer is looked for in
//! that chain, in the `.issuer` file and in the chains the configuration names, because HAProxy
//! looks nowhere else (it computes the CertID from the issuer, and refuses to start without one
//! once a `.ocsp` exists).

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::chains::Chains;
use super::scan::MOST_HELD;
use super::source::Companions;
use crate::files::{self, Reach};
use crate::printable::Printable;
use crate::x509::{self, Bundle, Certificate};

/// No certificate file is larger than this.
pub const LARGEST_FILE: u64 = 1024 * 1024;

/// A certificate that can be stapled for, as far as its file tells.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The certificate HAProxy serves from the file.
    pub certificate: Certificate,
    /// Its issuer.
    pub issuer: Certificate,
}

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
    #[error("a self-signed certificate: nobody answers for it")]
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

/// Reads a certificate file and finds its issuer; links lead no farther than `reach`.
///
/// # Errors
/// [`FileRefusal`] when there is nothing to staple for; none of them is the agent's failure.
pub fn read(
    path: &Path,
    reach: Reach<'_>,
    companions: &Companions,
    chains: &mut Chains,
) -> Result<Finding, FileRefusal> {
    let bundle = read_bundle(path, reach)?;
    let certificate = bundle.leaf().clone();
    if certificate.is_certificate_authority() {
        return Err(if is_before_what_it_issued(&bundle) {
            FileRefusal::IssuerFirst
        } else {
            FileRefusal::CertificateAuthority
        });
    }
    if certificate.is_self_signed() {
        return Err(FileRefusal::SelfSigned);
    }
    match issuer(&bundle, path, reach, companions, chains) {
        Ok(issuer) => Ok(Finding {
            certificate,
            issuer,
        }),
        Err(shortage @ FileRefusal::Shortage(_)) => Err(shortage),
        // Nothing would come of it with an issuer either.
        Err(_) if certificate.ocsp_urls().is_empty() => Err(FileRefusal::NoResponder),
        Err(refusal) => Err(refusal),
    }
}

/// Whether the first certificate has issued a server's that stands behind it.
fn is_before_what_it_issued(bundle: &Bundle) -> bool {
    let mut servers = bundle
        .chain()
        .iter()
        .filter(|one| !one.is_certificate_authority());
    let first = std::slice::from_ref(bundle.leaf());
    servers.any(|one| x509::find_issuer(one, first).is_some())
}

fn issuer(
    bundle: &Bundle,
    path: &Path,
    reach: Reach<'_>,
    companions: &Companions,
    chains: &mut Chains,
) -> Result<Certificate, FileRefusal> {
    let certificate = bundle.leaf();
    let beside = match &companions.issuer {
        Some(issuer_path) => match read_bundle(issuer_path, reach) {
            Ok(bundle) => Some(bundle.leaf().clone()),
            Err(shortage @ FileRefusal::Shortage(_)) => return Err(shortage),
            Err(_) if !issuer_path.exists() => None,
            Err(_) => return Err(FileRefusal::WrongIssuerFile(issuer_path.clone())),
        },
        None => None,
    };
    // HAProxy checks `.issuer` first and refuses a wrong one even if the chain has the right one.
    if let (Some(beside), Some(issuer_path)) = (&beside, &companions.issuer)
        && x509::find_issuer(certificate, std::slice::from_ref(beside)).is_none()
    {
        return Err(match x509::unsupported_issuer(certificate, [beside]) {
            Some(error) => FileRefusal::UnsupportedIssuer(error),
            None => FileRefusal::WrongIssuerFile(issuer_path.clone()),
        });
    }
    if let Some(issuer) = x509::find_issuer(certificate, bundle.chain()) {
        return Ok(issuer.clone());
    }
    if let Some(beside) = beside {
        return Ok(beside);
    }
    // HAProxy completes only certificates without a chain, and only by the key their issuer has.
    if let Some(folder) = &companions.issuers_chain_path
        && bundle.chain().is_empty()
        && certificate.authority_key_identifier().is_some()
        && let Some(issuer) = x509::find_issuer(certificate, chains.first_certificates(folder))
    {
        return Ok(issuer.clone());
    }
    for chain in &companions.chains {
        if let Some(issuer) = x509::find_issuer(certificate, chains.certificates(chain, reach)) {
            return Ok(issuer.clone());
        }
    }
    if let Some(shortage) = chains.shortage() {
        return Err(FileRefusal::Shortage(shortage.to_owned()));
    }
    if let Some(error) = x509::unsupported_issuer(certificate, bundle.chain()) {
        return Err(FileRefusal::UnsupportedIssuer(error));
    }
    let missing = companions.issuer.as_ref().or(companions.chains.first());
    Err(FileRefusal::NoIssuer(
        missing.map_or_else(|| path.to_owned(), PathBuf::clone),
    ))
}

/// `path` with `suffix` appended to its name, as HAProxy forms `.ocsp` and `.issuer` names.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

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
