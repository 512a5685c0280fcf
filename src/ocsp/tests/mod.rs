//! The rules of `verify`, each with a case that fails without it.
//!
//! Responses are made by the builder in `pki`: properly signed, and wrong in one respect.

mod content;
mod decoding;
mod properties;
mod request;
mod signer;
mod stapling;
mod succession;

use std::sync::LazyLock;

use super::{Assessment, Policy, Rejection, Subject, verify};
use crate::pki::{NOW, World};
use crate::time::Timestamp;

static WORLD: LazyLock<World> = LazyLock::new(World::new);

fn subject() -> Subject<'static> {
    Subject {
        certificate: &WORLD.leaf,
        issuer: &WORLD.issuer,
    }
}

fn judge(response: &[u8]) -> Result<Assessment, Rejection> {
    judge_at(response, NOW)
}

fn judge_at(response: &[u8], now: Timestamp) -> Result<Assessment, Rejection> {
    verify(response, subject(), None, now, Policy::default())
}

/// The first word `staplerd verify` would print.
fn verdict(response: &[u8]) -> &'static str {
    match judge(response) {
        Ok(assessment) => match assessment.status {
            super::CertificateStatus::Good => "good",
            super::CertificateStatus::Revoked { .. } => "revoked",
            super::CertificateStatus::Unknown => "unknown",
        },
        Err(rejection) => rejection.kind(),
    }
}
