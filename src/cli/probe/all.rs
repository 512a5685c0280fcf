//! `staplerd probe --all`: one handshake for each certificate of the configuration.
//!
//! Each is asked for by a name of its own and with its own kind of key, so that of several
//! certificates for one name each is seen. Certificates that name no responder, CA certificates and
//! keys are passed over, as the daemon does.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;

use super::ProbeArguments;
use super::report::{ProbeRow, ProbeState, Probed};
use crate::cli::survey::Survey;
use crate::config::Config;
use crate::discovery::source::Source;
use crate::discovery::{FileRefusal, Finding};
use crate::ocsp::Policy;
use crate::probe::{self, ProbeTarget};
use crate::run::{self, wall_clock};
use crate::text::Printable;
use crate::x509::Certificate;

/// Handshakes at a time.
const AT_A_TIME: usize = 16;

type FoundCertificate = Result<Finding, FileRefusal>;

/// Probes all certificates of the configuration, the worst first.
pub(super) fn probe(
    target: &ProbeTarget,
    config: &Config,
    arguments: &ProbeArguments,
) -> Result<Vec<ProbeRow>, String> {
    let mut found = certificates(config)?;
    found.retain(|(_, content)| match content {
        Ok(finding) => !finding.certificate.ocsp_urls().is_empty(),
        Err(refusal) => !is_normal(refusal),
    });
    if found.is_empty() {
        return Err("the configuration has no certificate that names a responder".to_owned());
    }
    let waiting = Mutex::new(found.into_iter());
    let rows = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = lock(&waiting).next();
            let Some((file, content)) = next else {
                return;
            };
            let state = match content {
                Ok(finding) => probe_one(target, &finding, config, arguments),
                Err(refusal) => ProbeState::NotProbed(kind(&refusal), refusal.to_string()),
            };
            lock(&rows).push(ProbeRow { file, state });
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(work);
        }
    });
    let mut rows = rows.into_inner().unwrap_or_else(PoisonError::into_inner);
    rows.sort_by_cached_key(ProbeRow::rank);
    Ok(rows)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn probe_one(
    target: &ProbeTarget,
    finding: &Finding,
    config: &Config,
    arguments: &ProbeArguments,
) -> ProbeState {
    let wanted = &finding.certificate;
    let name = probe::name_to_ask(wanted);
    let seen = probe::handshake(
        target,
        name.as_deref(),
        wanted.key_family(),
        arguments.timeout,
    );
    let probed = Probed::new(name.as_deref(), seen, |seen| {
        let policy = |issuer: &Certificate| Policy {
            allow_sha1: arguments.allow_sha1 || config.policies.of(issuer).allow_sha1,
            staple_revoked: false,
        };
        probe::judge(
            &seen.certificates,
            seen.staple.as_deref(),
            std::slice::from_ref(&finding.issuer),
            wall_clock(),
            policy,
        )
    });
    match probed.certificate() {
        Some(shown) if shown != wanted => ProbeState::OtherCertificate(probed),
        _ => ProbeState::Probed(probed),
    }
}

/// What the configuration's places hold.
fn certificates(config: &Config) -> Result<Vec<(PathBuf, FoundCertificate)>, String> {
    let intent = run::intent(config).map_err(|error| error.to_string())?;
    let places = intent.places.into_iter();
    let sources: Vec<Source> = places.map(|place| place.source).collect();
    if sources.is_empty() {
        return Err(
            "only control sockets are named: name directories with -d, HAProxy's configuration \
             with --haproxy-config, or another configuration file with -c"
                .to_owned(),
        );
    }
    let survey = Survey::of(sources, config.selection.clone());
    if let Some((path, error)) = survey.failed.first() {
        return Err(format!("{} {error}", path.printable()));
    }
    let found = survey.files.into_iter();
    Ok(found.map(|file| (file.path, file.content)).collect())
}

/// Whether the file is one for which there is nothing to staple.
fn is_normal(refusal: &FileRefusal) -> bool {
    matches!(
        refusal,
        FileRefusal::NoResponder
            | FileRefusal::CertificateAuthority
            | FileRefusal::SelfSigned
            | FileRefusal::KeyOnly
    )
}

fn kind(refusal: &FileRefusal) -> &'static str {
    match refusal {
        FileRefusal::NoIssuer(_)
        | FileRefusal::WrongIssuerFile(_)
        | FileRefusal::UnsupportedIssuer(_) => "no_issuer",
        _ => "unreadable",
    }
}
