//! `staplerd verify`: the judgement of `ocsp::verify` over files, for people and scripts.
//!
//! Prints what the response says, line by line, and as the first word of the last line `good`,
//! `revoked`, `unknown` or `reject:<kind>`. Exit code 0 for good only. A file that cannot be read is
//! named on stderr, and the verdict is `reject:unreadable`.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use zeroize::Zeroizing;

use crate::ocsp::{self, Assessment, CertificateStatus, Policy, Signer, Subject};
use crate::time::Timestamp;
use crate::x509::{self, Bundle, Certificate};

/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = x509::bundle::MAX_PEM_BYTES as u64;

/// What to judge, and when.
#[derive(clap::Args, Debug)]
pub struct VerifyArguments {
    /// The OCSP response, DER as a responder sends it
    #[arg(long, value_name = "FILE")]
    response: PathBuf,
    /// The certificate it should be about, PEM or DER; the first of several
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// The issuer of that certificate, PEM or DER; the fitting one of several
    #[arg(long, value_name = "FILE")]
    issuer: PathBuf,
    /// The time to judge at, such as 2026-11-20T08:30:00Z, instead of now
    #[arg(long, value_name = "RFC3339", value_parser = Timestamp::parse_rfc3339)]
    at: Option<Timestamp>,
    /// Accept SHA-1 signatures and RSA keys below 2048 bits, for private CAs
    #[arg(long)]
    allow_sha1: bool,
}

/// Judges and prints; `now` counts where `--at` is not given.
pub fn run(arguments: &VerifyArguments, now: Timestamp) -> ExitCode {
    match judge(arguments, arguments.at.unwrap_or(now)) {
        Ok(Ok(assessment)) => {
            print(&assessment);
            if assessment.status == CertificateStatus::Good {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Ok(Err(rejection)) => {
            println!("reject:{} {rejection}", rejection.kind());
            ExitCode::FAILURE
        }
        Err(unreadable) => {
            eprintln!("{unreadable}");
            println!("reject:unreadable nothing was judged");
            ExitCode::FAILURE
        }
    }
}

fn judge(
    arguments: &VerifyArguments,
    at: Timestamp,
) -> Result<Result<Assessment, ocsp::Rejection>, String> {
    let response = read(&arguments.response)?;
    let certificates = read_certificates(&arguments.cert)?;
    let issuers = read_certificates(&arguments.issuer)?;
    let subject = Subject {
        certificate: certificates.leaf(),
        issuer: choose_issuer(certificates.leaf(), &issuers),
    };
    let policy = Policy {
        allow_sha1: arguments.allow_sha1,
        staple_revoked: false,
    };
    Ok(ocsp::verify(&response, subject, None, at, policy))
}

/// The issuer among the certificates given as such. Whoever gives one vouches for it: where none
/// made the certificate's signature, the one with the issuer's name counts, or the first.
fn choose_issuer<'a>(certificate: &Certificate, given: &'a Bundle) -> &'a Certificate {
    let candidates = given.certificates();
    let named = || {
        candidates
            .iter()
            .find(|candidate| candidate.subject_name() == certificate.issuer_name())
    };
    x509::find_issuer(certificate, candidates)
        .or_else(named)
        .unwrap_or(given.leaf())
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let about = |problem: &dyn Display| format!("{}: {problem}", path.display());
    let metadata = fs::metadata(path).map_err(|error| about(&error))?;
    if !metadata.is_file() {
        return Err(about(&"not a regular file"));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(about(&x509::Error::TooLarge));
    }
    fs::read(path)
        .map(Zeroizing::new)
        .map_err(|error| about(&error))
}

/// PEM, or one certificate as DER.
fn read_certificates(path: &Path) -> Result<Bundle, String> {
    let bytes = read(path)?;
    if let Ok(certificate) = Certificate::from_der(&bytes) {
        return Ok(certificate.into());
    }
    Bundle::from_pem_buffer(bytes).map_err(|error| format!("{}: {error}", path.display()))
}

fn print(assessment: &Assessment) {
    match &assessment.signer {
        Signer::Issuer => println!("signed by the issuer"),
        Signer::Delegate(delegate) => println!("signed by '{}'", delegate.subject_display()),
    }
    println!("produced at {}", assessment.produced_at);
    println!("this update {}", assessment.this_update);
    match assessment.next_update {
        Some(next_update) => println!("next update {next_update}"),
        None => println!("next update not stated"),
    }
    println!("usable until {}", assessment.expires);
    for note in &assessment.notes {
        println!("note: {note}");
    }
    let verdict = match assessment.status {
        CertificateStatus::Good => "good".to_owned(),
        CertificateStatus::Unknown => "unknown".to_owned(),
        CertificateStatus::Revoked { at, reason } => {
            let reason = reason.map_or("no reason given", ocsp::RevocationReason::name);
            format!("revoked at {at}, {reason}")
        }
    };
    match &assessment.stapling {
        Ok(_) => println!("{verdict}"),
        Err(reason) => println!("{verdict} (not stapleable: {reason})"),
    }
}
