//! Control sockets and responders, each asked at once and within bounded time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::LookedAfter;
use super::files::responders_of;
use super::report::Findings;
use crate::cli::survey::Survey;
use crate::fetch::{self, Destinations};
use crate::haproxy::{Address, connection};
use crate::run::fetch_settings;

/// Lookups at a time.
const AT_A_TIME: usize = fetch::LOOKUPS_MAX / 2;
/// How long one lookup may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long all lookups may take.
const LONGEST: Duration = Duration::from_secs(30);

/// Checks them.
pub(super) fn check(world: &LookedAfter, survey: &Survey, report: &mut Findings) {
    check_sockets(&world.sockets, report);
    check_responders(world, survey, report);
}

/// Connects to each and asks for its level. Every step has a deadline of its own.
fn check_sockets(sockets: &[Address], report: &mut Findings) {
    if sockets.is_empty() {
        return report.ok("socket", "none is named: staples are written to files only");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return report.error("socket", error),
    };
    let results = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for address in sockets.iter().cloned() {
            tasks.spawn(async move {
                let result = connection::connect(&address).await;
                (address, result.map(|(_, process)| process))
            });
        }
        tasks.join_all().await
    });
    // A name lookup that hangs is not waited for.
    runtime.shutdown_background();
    for (address, result) in results {
        match result {
            Err(error) => report.error("socket", format!("{address}: {error}")),
            Ok(process) => match process.check_level(&address) {
                Err(error) => report.error("socket", error),
                Ok(()) => {
                    let version = process.version;
                    let text = format!(
                        "{address}: HAProxy {}.{}, level {}",
                        version.major,
                        version.minor,
                        process.level.word()
                    );
                    report.ok("socket", text);
                }
            },
        }
    }
}

/// A responder's URL, and whose word it is.
struct UrlInquiry {
    url: String,
    /// The configuration's, not a certificate's.
    is_configured: bool,
}

/// Finds the addresses of every responder, one URL for each host and port.
fn check_responders(world: &LookedAfter, survey: &Survey, report: &mut Findings) {
    let mut questions: BTreeMap<String, UrlInquiry> = BTreeMap::new();
    for file in &survey.files {
        let Ok(finding) = &file.content else {
            continue;
        };
        for url in responders_of(world, file) {
            let is_configured = !finding.certificate.ocsp_urls().contains(&url);
            let question = UrlInquiry { url, is_configured };
            let known = questions.entry(responder_in(&question.url).to_owned());
            let known = known.or_insert(question);
            known.is_configured |= is_configured;
        }
    }
    let deadline = Instant::now() + LONGEST;
    let destinations = Destinations::new(&fetch_settings(&world.config));
    let waiting = Mutex::new(questions.into_iter());
    let results = Mutex::new(Vec::new());
    let work = || {
        loop {
            let next = waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .next();
            let Some((responder, question)) = next else {
                return;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let found = destinations.of(&question.url, PATIENCE.min(left));
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.push((responder, question.is_configured, found));
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(work);
        }
    });
    let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_by(|one, other| one.0.cmp(&other.0));
    for (responder, is_configured, found) in results {
        match found {
            Ok(addresses) => {
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                report.ok(
                    "responder",
                    format!("{responder} at {}", addresses.join(", ")),
                );
            }
            Err(error) if is_configured => {
                report.error("responder", format!("{responder}: {error}"))
            }
            Err(error) => report.warning("responder", format!("{responder}: {error}")),
        }
    }
}

/// The scheme, host and port of a URL.
fn responder_in(url: &str) -> &str {
    let host = url.find("://").map_or(0, |place| place + 3);
    let end = url.get(host..).and_then(|rest| rest.find(['/', '?']));
    end.and_then(|end| url.get(..host + end)).unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::responder_in;

    #[test]
    fn urls_of_one_responder_are_asked_about_once() {
        for (url, responder) in [
            ("http://ocsp.example/a/b", "http://ocsp.example"),
            ("http://ocsp.example:81?x", "http://ocsp.example:81"),
            ("https://ocsp.example", "https://ocsp.example"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(responder_in(url), responder);
        }
    }
}
