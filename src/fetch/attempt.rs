//! Everything that is tried at one URL of a certificate, within one deadline.
//!
//! GET where the request fits (RFC 9919 §5), POST otherwise; POST once more after GET where the
//! fault may lie in the request's form; once past the caches when the answer is older than the one
//! held. A responder that was silent when it was asked by GET is asked by POST next time. The next
//! URL is the caller's business, because it may belong to another responder.

use std::time::{Duration, Instant};

use super::address::Author;
use super::client::{Ask, Client};
use super::limits::Health;
use super::outcome::{HttpReply, NextStep};
use super::{Caching, Error, FetchedAnswer, UrlFailure, Validators, Verdict, wire};
use crate::ocsp::get_url;

/// What came of one URL.
#[derive(Debug)]
pub(super) struct Attempt<A> {
    pub(super) outcome: Result<FetchedAnswer<A>, UrlFailure>,
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
    let author = client.author_of(url);
    let get_url = match author {
        Author::Operator => get_url(url, request),
        // As it will be sent, because that is longer.
        Author::Stranger => get_url(&wire::encoded_url(url), request),
    };
    let first = match get_url {
        Some(_) if !client.is_silent_on_get(url) => Form::Get,
        _ => Form::Post,
    };
    let mut form = first;
    // What a responder said in answer to one form outranks a failure with the next.
    let mut earlier = None;
    loop {
        let reply = client.exchange(
            &Ask {
                url: match &get_url {
                    Some(get_url) if form != Form::Post => get_url,
                    _ => url,
                },
                author,
                post: (form == Form::Post).then_some(request),
                past_caches: form != Form::Get,
                conditional: conditional.filter(|_| form == Form::Get),
            },
            deadline,
        );
        if form == first {
            // A POST that fares no better is followed by a GET.
            let is_silent = matches!(reply, Err(Error::Timeout)) && form == Form::Get;
            client.remember_silence(url, is_silent || form == Form::Post && reply.is_ok());
        }
        let (outcome, next) = match reply {
            Err(error) if error.next_step() == NextStep::OtherMethod => {
                (Err(error), Some(Form::Post))
            }
            Err(error) => (Err(error), None),
            Ok(HttpReply::NotModified(caching)) => {
                return Attempt::not_modified(url, caching, begun);
            }
            Ok(HttpReply::Fetched(fetched)) => {
                let verdict = judge(&fetched.body);
                let next = match &verdict {
                    Verdict::Outdated(_) => Some(Form::GetPastCaches),
                    Verdict::OtherForm(_) => Some(Form::Post),
                    Verdict::Settled(_) | Verdict::NextUrl(_) | Verdict::Unable(_) => None,
                };
                (Ok((verdict, fetched.caching)), next)
            }
        };
        // Each form is used at most once, and in this order only.
        match (form, next) {
            (Form::Get, Some(next)) | (Form::GetPastCaches, Some(next @ Form::Post)) => {
                earlier = outcome.ok();
                form = next;
            }
            _ => {
                return match (outcome, earlier) {
                    (Ok((verdict, caching)), _) | (Err(_), Some((verdict, caching))) => {
                        Attempt::judged(url, verdict, caching, begun)
                    }
                    (Err(error), None) => Attempt::failed(url, error, begun),
                };
            }
        }
    }
}

impl<A> Attempt<A> {
    fn judged(url: &str, verdict: Verdict<A>, caching: Caching, begun: Instant) -> Self {
        let settled = matches!(verdict, Verdict::Settled(_));
        let health = match &verdict {
            Verdict::Unable(_) => Health::Failed,
            _ => Health::Answered(begun.elapsed()),
        };
        let (Verdict::Settled(judgement)
        | Verdict::Outdated(judgement)
        | Verdict::OtherForm(judgement)
        | Verdict::NextUrl(judgement)
        | Verdict::Unable(judgement)) = verdict;
        Attempt {
            outcome: Ok(FetchedAnswer::Judged {
                judgement,
                url: url.to_owned(),
                caching,
            }),
            settled,
            health,
        }
    }

    fn not_modified(url: &str, caching: Caching, begun: Instant) -> Self {
        let url = url.to_owned();
        Attempt {
            outcome: Ok(FetchedAnswer::NotModified { url, caching }),
            settled: true,
            health: Health::Answered(begun.elapsed()),
        }
    }

    fn failed(url: &str, error: Error, begun: Instant) -> Self {
        let health = error.health(begun.elapsed());
        Attempt {
            outcome: Err(UrlFailure {
                url: Some(url.to_owned()),
                error,
            }),
            settled: false,
            health,
        }
    }
}
