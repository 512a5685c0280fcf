//! `staplerd verify`: the judgement of `ocsp::verify` over files, for people and scripts.
//!
//! Prints what the response says, line by line, and as the first word of the last line `good`,
//! `revoked`, `unknown` or `reject:<kind>`. Exit code 0 for good only. A file that cannot be read
//! is named on stderr, and the verdict is `reject:unreadable`.

use std::path::PathBuf;
use std::process::ExitCode;

use super::input::{choose_issuer, read, read_certificates};
use super::wording;
use crate::ocsp::{self, Assessment, CertificateStatus, Policy, Subject};
use crate::time::Timestamp;

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

fn print(assessment: &Assessment) {
    for line in wording::details(assessment) {
        println!("{line}");
    }
    println!("{}", wording::verdict_with_stapling(assessment));
}
