//! Everything that is tried at one URL of a certificate, within one deadline.
//!
//! GET where the request fits (RFC 9919 §5), POST otherwise; POST once more after GET where the
//! fault may lie in the request's form; once past the caches when the answer is older than the one
//! held. The next URL is the caller's business, because it may belong to another responder.

use std::time::{Duration, Instant};

use super::client::{Ask, Client};
use super::limits::Health;
use super::outcome::{NextStep, Reply};
use super::{Answer, Error, Failure, Validators, Verdict};
use crate::ocsp::get_url;

/// What came of one URL.
#[derive(Debug)]
pub(super) struct Attempt<A> {
    pub(super) outcome: Result<Answer<A>, Failure>,
    /// Whether the outcome is final; otherwise another URL may do better.
    pub(super) settled: bool,
    pub(super) health: Health,
}

/// The ways a request can be put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Get,
    GetPastCaches,
    Post,
}

/// Asks the responder at `url` and has the answer judged.
pub(super) fn ask<A>(
    client: &Client,
    url: &str,
    request: &[u8],
    conditional: Option<&Validators>,
    timeout: Duration,
    judge: impl Fn(&[u8]) -> Verdict<A>,
) -> Attempt<A> {
    let begun = Instant::now();
    let deadline = begun + timeout;
    let get_url = get_url(url, request);
    let mut form = match get_url {
        Some(_) => Form::Get,
        None => Form::Post,
    };
    loop {
        let reply = client.exchange(
            &Ask {
                url: match &get_url {
                    Some(get_url) if form != Form::Post => get_url,
                    _ => url,
                },
                post: (form == Form::Post).then_some(request),
                past_caches: form != Form::Get,
                conditional: conditional.filter(|_| form == Form::Get),
            },
            deadline,
        );
        let (outcome, next) = match reply {
            Err(error) if error.next_step() == NextStep::OtherMethod => {
                (Err(error), Some(Form::Post))
            }
            Err(error) => (Err(error), None),
            Ok(Reply::NotModified(caching)) => {
                let url = url.to_owned();
                return Attempt::answered(Answer::NotModified { url, caching }, true, begun);
            }
            Ok(Reply::Fetched(fetched)) => {
                let (judgement, next, settled) = match judge(&fetched.body) {
                    Verdict::Settled(judgement) => (judgement, None, true),
                    Verdict::Outdated(judgement) => (judgement, Some(Form::GetPastCaches), true),
                    Verdict::OtherForm(judgement) => (judgement, Some(Form::Post), false),
                    Verdict::NextUrl(judgement) => (judgement, None, false),
                };
                let answer = Answer::Judged {
                    judgement,
                    url: url.to_owned(),
                    caching: fetched.caching,
                };
                (Ok((answer, settled)), next)
            }
        };
        // Each form is used at most once, and in this order only.
        match (form, next) {
            (Form::Get, Some(next)) | (Form::GetPastCaches, Some(next @ Form::Post)) => form = next,
            _ => {
                return match outcome {
                    Ok((answer, settled)) => Attempt::answered(answer, settled, begun),
                    Err(error) => Attempt::failed(url, error, begun),
                };
            }
        }
    }
}

impl<A> Attempt<A> {
    fn answered(answer: Answer<A>, settled: bool, begun: Instant) -> Self {
        Attempt {
            outcome: Ok(answer),
            settled,
            health: Health::Answered(begun.elapsed()),
        }
    }

    fn failed(url: &str, error: Error, begun: Instant) -> Self {
        let health = match &error {
            Error::HttpStatus {
                code: 429 | 503,
                retry_after: Some(pause),
            } => Health::Busy(*pause),
            Error::HttpStatus { .. } if !error.blames_responder() => {
                Health::Answered(begun.elapsed())
            }
            _ if error.blames_responder() => Health::Failed,
            _ => Health::Unknown,
        };
        Attempt {
            outcome: Err(Failure {
                url: Some(url.to_owned()),
                error,
            }),
            settled: false,
            health,
        }
    }
}
