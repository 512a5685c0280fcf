//! What responders and caches say, and how often they are asked for it.

use staplerd::fetch::{Judged, Validators, verdict};
use staplerd::ocsp::{Policy, Rejection, ResponderError, verify};
use staplerd::time::Timestamp;

use super::*;
use crate::scripted_responder::{Request, ScriptedResponder, Step, answer, ocsp_answer};

/// `OCSPResponse` with a status and nothing else.
fn status_only(status: u8) -> Vec<u8> {
    vec![0x30, 0x03, 0x0a, 0x01, status]
}

fn methods(responder: &ScriptedResponder) -> Vec<String> {
    let requests = responder.requests();
    requests.into_iter().map(|request| request.method).collect()
}

/// Fetches from `urls` and judges as the daemon does, for a certificate made up on the spot.
fn fetch_verified(urls: &[String]) -> Result<Judged, UrlFailure> {
    let certified = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let certificate = staplerd::x509::Certificate::from_der(certified.cert.der()).unwrap();
    let now = Timestamp::from_unix(1_795_163_400);
    let judge = move |_: &usize, response: &[u8]| {
        let subject = staplerd::ocsp::Subject {
            certificate: &certificate,
            issuer: &certificate,
        };
        let judged = verify(response, subject, None, now, Policy::default());
        verdict(judged, None, false, now)
    };
    let report = fetch_jobs(settings(), vec![job(0, urls)], judge).remove(0);
    report.outcome.map(|answer| match answer {
        FetchedAnswer::Judged { judgement, .. } => judgement,
        FetchedAnswer::NotModified { .. } => panic!("nothing was held"),
    })
}

#[test]
fn each_responder_error_is_handed_on_after_its_own_number_of_tries() {
    for (status, error, tries) in [
        (1, ResponderError::MalformedRequest, &["GET", "POST"][..]),
        (2, ResponderError::InternalError, &["GET"]),
        (3, ResponderError::TryLater, &["GET"]),
        (5, ResponderError::SigRequired, &["GET", "POST"]),
        (6, ResponderError::Unauthorized, &["GET"]),
    ] {
        let responder = ScriptedResponder::always(ocsp_answer(&status_only(status)));
        let judged = fetch_verified(&[responder.url()]).unwrap();
        assert_eq!(judged.unwrap_err(), Rejection::Responder(error));
        assert_eq!(methods(&responder), tries, "{error:?}");
    }
}

#[test]
fn impossible_statuses_and_nonsense_inside_are_asked_for_by_post_and_rejected() {
    for body in [
        status_only(4),
        status_only(7),
        status_only(0),
        vec![0x30, 0x06, 0x0a, 0x01, 0x00, 0xa0, 0x01, 0x30],
    ] {
        let responder = ScriptedResponder::always(ocsp_answer(&body));
        let judged = fetch_verified(&[responder.url()]).unwrap();
        assert_eq!(judged.unwrap_err().kind(), "malformed", "{body:02x?}");
        assert_eq!(methods(&responder), ["GET", "POST"]);
    }
}

#[test]
fn the_next_url_is_asked_when_the_first_cannot_answer() {
    let busy = ScriptedResponder::always(ocsp_answer(&status_only(3)));
    let other = ScriptedResponder::always(ocsp_answer(&status_only(6)));
    let judged = fetch_verified(&[busy.url(), other.url()]).unwrap();
    assert_eq!(judged.unwrap_err().kind(), "unauthorized");
    assert_eq!((busy.requests().len(), other.requests().len()), (1, 1));
}

#[test]
fn what_a_responder_said_is_not_forgotten_over_another_ones_silence() {
    let unknowing = ScriptedResponder::always(ocsp_answer(&status_only(6)));
    let closed = ScriptedResponder::start(|_| vec![Step::Close]);
    let judged = fetch_verified(&[unknowing.url(), closed.url()]).unwrap();
    assert_eq!(judged.unwrap_err().kind(), "unauthorized");
    assert_eq!(closed.requests().len(), 1);
}

#[test]
fn an_outdated_answer_is_asked_for_once_more_past_the_caches() {
    const NEWER: &[u8] = &[0x30, 0x03, 0x0a, 0x01, 0x02];
    let responder = ScriptedResponder::start(|request: &Request| {
        let body = match request.header("cache-control") {
            Some("no-cache") => NEWER,
            _ => RESPONSE,
        };
        vec![Step::Send(ocsp_answer(body))]
    });
    let judge = |_: &usize, body: &[u8]| match body {
        NEWER => Verdict::Settled(body.to_vec()),
        _ => Verdict::Outdated(body.to_vec()),
    };
    let report = fetch_jobs(settings(), vec![job(0, &[responder.url()])], judge).remove(0);
    assert_eq!(body(&report.outcome), NEWER);
    assert_eq!(methods(&responder), ["GET", "GET"]);
}

#[test]
fn an_answer_that_stays_outdated_ends_after_two_requests() {
    let responder = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let judge = |_: &usize, body: &[u8]| Verdict::Outdated(body.to_vec());
    let report = fetch_jobs(settings(), vec![job(0, &[responder.url()])], judge).remove(0);
    assert_eq!(body(&report.outcome), RESPONSE);
    assert_eq!(responder.requests().len(), 2);
}

#[test]
fn a_conditional_request_may_be_answered_by_304() {
    let responder = ScriptedResponder::start(|request: &Request| {
        let held = request.header("if-none-match") == Some("\"7\"")
            && request.header("if-modified-since") == Some("Fri, 20 Nov 2026 08:00:00 GMT");
        vec![Step::Send(if held {
            b"HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\n\r\n".to_vec()
        } else {
            ocsp_answer(RESPONSE)
        })]
    });
    let mut job = job(0, &[responder.url()]);
    job.conditional = Some(Validators {
        url: format!("{}MAMMAf8%3D", responder.url()),
        etag: Some("\"7\"".to_owned()),
        last_modified: Some("Fri, 20 Nov 2026 08:00:00 GMT".to_owned()),
    });
    let report = fetch_all(settings(), vec![job]).remove(0);
    let Ok(FetchedAnswer::NotModified { caching, url }) = report.outcome else {
        panic!("{:?}", report.outcome);
    };
    assert_eq!(caching.fresh_for(), Some(Duration::from_secs(60)));
    assert_eq!(url, responder.url());
}

#[test]
fn an_unasked_for_304_is_an_error() {
    let responder = ScriptedResponder::always(b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec());
    let error = error(fetch_one(settings(), &[responder.url()]));
    assert_eq!(error.to_string(), "HTTP status 304");
}

#[test]
fn the_headers_about_caching_come_with_the_answer() {
    let headers = "Cache-Control: public, max-age=600\r\nAge: 100\r\nETag: \"7\"\r\n";
    let responder = ScriptedResponder::always(answer("200 OK", headers, RESPONSE));
    let Ok(FetchedAnswer::Judged { caching, .. }) = fetch_one(settings(), &[responder.url()])
    else {
        panic!("no answer");
    };
    assert_eq!(caching.fresh_for(), Some(Duration::from_secs(500)));
    assert_eq!(caching.validators.etag.as_deref(), Some("\"7\""));
}

#[test]
fn urgent_jobs_overtake_those_that_wait() {
    let responder = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let one_at_a_time = Settings {
        renewal_threads: 1,
        ..settings()
    };
    let jobs = (0..50)
        .map(|key| {
            let mut job = job(key, &[format!("{}{key}", responder.url())]);
            job.need.is_urgent = key >= 40;
            job
        })
        .collect();
    fetch_all(one_at_a_time, jobs);
    let order: Vec<usize> = responder
        .requests()
        .iter()
        .map(|request| request.target.split('/').nth(1).unwrap().parse().unwrap())
        .collect();
    // The first few may start before the urgent ones have come in.
    let last_urgent = order.iter().rposition(|key| *key >= 40).unwrap();
    assert!(last_urgent < 25, "{order:?}");
}
