//! From the files of an authority to one that can sign.
//!
//! Every problem is one line that names the file; all of them are found at once.

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::cli::input;
use crate::config::{AuthorityConfig, Statuses};
use crate::responder::program::Program;
use crate::responder::sources::{CertificateDirectory, IndexFile};
use crate::responder::{Authority, SigningKey};
use crate::text::Printable;
use crate::x509::Certificate;

/// Reading and writing for all users.
const OTHERS: u32 = 0o006;

/// Reads the files of all authorities and starts their programs, within a tokio runtime; what is
/// wrong with them is added to `problems`.
pub(super) fn authorities(
    configured: &[AuthorityConfig],
    problems: &mut Vec<String>,
) -> Vec<Authority> {
    let loaded = configured.iter().filter_map(|one| authority(one, problems));
    loaded.collect()
}

fn authority(configured: &AuthorityConfig, problems: &mut Vec<String>) -> Option<Authority> {
    let issuer = kept(certificate(&configured.issuer), problems);
    let signer = match &configured.signer {
        Some(path) => kept(certificate(path), problems),
        None => issuer.clone(),
    };
    let key = kept(signing_key(&configured.key), problems);
    let authority = match &configured.statuses {
        Statuses::Index(index) => {
            let source = IndexFile::open(index).map_err(|error| error.to_string());
            let source = kept(source, problems);
            Authority::new(issuer?, signer?, key?, source?)
        }
        Statuses::List { crl, certificates } => {
            let issuer = issuer?;
            let source = CertificateDirectory::open(certificates, crl, &issuer);
            let source = kept(source.map_err(|error| error.to_string()), problems);
            Authority::new(issuer, signer?, key?, source?)
        }
        Statuses::Command(command) => {
            let source = Program::start(&command.program, &command.arguments);
            let source = kept(source.map_err(|error| error.to_string()), problems);
            Authority::new(issuer?, signer?, key?, source?)
        }
    };
    let authority = authority.map_err(|error| about(&configured.issuer, error));
    kept(authority, problems)
}

/// The value, or a problem more.
fn kept<T>(result: Result<T, String>, problems: &mut Vec<String>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}

fn about(path: &Path, problem: impl Display) -> String {
    format!("{}: {problem}", path.printable())
}

/// The first certificate of a file.
fn certificate(path: &Path) -> Result<Certificate, String> {
    Ok(input::read_certificates(path)?.leaf().clone())
}

/// Warns if every user of the machine may read, or even replace, the key. Its group may: that is
/// how keys are shared with one service.
fn warn_of_readers(path: &Path) {
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & OTHERS != 0 {
        tracing::warn!(
            "{}: everybody on this machine may read or write this private key (mode {:04o}): chmod \
             o= it",
            path.printable(),
            mode & 0o7777
        );
    }
}

fn signing_key(path: &Path) -> Result<SigningKey, String> {
    let pem = input::read(path)?;
    warn_of_readers(path);
    let pem = std::str::from_utf8(&pem).map_err(|error| about(path, error))?;
    SigningKey::from_pem(pem).map_err(|error| about(path, error))
}
