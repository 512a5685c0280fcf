//! One responder's trouble is nobody else's.

use std::time::Duration;

use super::*;
use crate::scripted_responder::{ScriptedResponder, Step, answer, ocsp_answer};

#[test]
fn nine_hundred_finish_while_a_hundred_wait_for_a_responder_that_never_answers() {
    let alive = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let dead = ScriptedResponder::start(|_| vec![Step::Hang]);
    // Far longer than the test may take: whoever waits for the dead one is still waiting.
    let patient = Settings {
        request_timeout: 4 * DEADLINE,
        ..settings()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (job_sender, job_receiver) = mpsc::unbounded_channel();
        let (report_sender, mut reports) = mpsc::channel(10);
        for key in 0..1000 {
            let responder = if key % 10 == 0 { &dead } else { &alive };
            job_sender.send(job(key, &[responder.url()])).unwrap();
        }
        let stop = CancellationToken::new();
        let judge = |_: &usize, _: &[u8]| Verdict::Settled(());
        let service = tokio::spawn(run(
            patient,
            job_receiver,
            judge,
            report_sender,
            stop.clone(),
        ));
        for _ in 0..900 {
            let report = tokio::time::timeout(DEADLINE, reports.recv())
                .await
                .unwrap()
                .unwrap();
            assert_ne!(report.key % 10, 0);
            assert!(report.outcome.is_ok());
        }
        dead.wait_for_requests(1);
        assert!(reports.try_recv().is_err(), "the hundred are still waiting");

        stop.cancel();
        tokio::time::timeout(DEADLINE, service)
            .await
            .unwrap()
            .unwrap();
    });
    // The exchanges that hung were cut off, so the threads end and the runtime can go.
    drop(runtime);
}

#[test]
fn a_dead_responders_certificates_are_soon_sent_away_with_a_time_to_come_back() {
    let dead = ScriptedResponder::start(|_| vec![Step::Reset]);
    let jobs = (0..100).map(|key| job(key, &[dead.url()])).collect();
    let kinds: Vec<_> = fetch_all(settings(), jobs)
        .into_iter()
        .map(|report| error(report.outcome))
        .collect();
    let asked = kinds.iter().filter(|error| **error == Error::Reset).count();
    assert_eq!(asked, dead.requests().len());
    // Ten failures in a row end it; seven more may have been under way.
    assert!(asked <= 17, "{asked} asked a responder that answers nobody");
    for error in kinds.iter().filter(|error| **error != Error::Reset) {
        let wait = error.retry_after().unwrap();
        assert!(wait <= Duration::from_secs(13), "{error}");
    }
}

#[test]
fn a_dead_responder_costs_its_certificates_their_second_url_only_a_detour() {
    let dead = ScriptedResponder::start(|_| vec![Step::Close]);
    let alive = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let urls = [dead.url(), alive.url()];
    let jobs = (0..100).map(|key| job(key, &urls)).collect();
    for report in fetch_all(settings(), jobs) {
        assert_eq!(body(&report.outcome), RESPONSE);
    }
    assert!(dead.requests().len() <= 17);
}

#[test]
fn a_second_url_that_is_left_alone_does_not_hide_what_the_first_one_failed_by() {
    let dead = ScriptedResponder::start(|_| vec![Step::Reset]);
    let broken = ScriptedResponder::always(answer("500 Internal Server Error", "", b""));
    let one_by_one = Settings {
        renewal_threads: 1,
        ..settings()
    };
    let urls = [broken.url(), dead.url()];
    let jobs = (0..40)
        .map(|key| job(key, &[dead.url()]))
        .chain([job(40, &urls)])
        .collect();
    let reports = fetch_all(one_by_one, jobs);
    let last = reports.into_iter().find(|report| report.key == 40).unwrap();
    assert_eq!(error(last.outcome).kind(), "http_status");
    assert!(dead.requests().len() < 40, "it was left alone");
}

#[test]
fn one_certificate_silences_no_responder_however_often_it_fails() {
    let responder = ScriptedResponder::start(|request| match request.target.contains("bad") {
        true => vec![Step::Reset],
        false => vec![Step::Send(ocsp_answer(RESPONSE))],
    });
    let one_by_one = Settings {
        renewal_threads: 1,
        ..settings()
    };
    let mut jobs: Vec<_> = (0..50)
        .map(|key| job(key, &[format!("{}bad", responder.url())]))
        .collect();
    for bad in &mut jobs {
        bad.need.certificate = u64::MAX;
    }
    jobs.extend((50..60).map(|key| job(key, &[format!("{}good", responder.url())])));
    for report in fetch_all(one_by_one, jobs) {
        match report.key {
            0..50 => assert_eq!(error(report.outcome).kind(), "reset"),
            _ => assert_eq!(body(&report.outcome), RESPONSE),
        }
    }
}

#[test]
fn bad_certificates_of_a_responder_do_not_take_its_good_ones_along() {
    let responder = ScriptedResponder::start(|request| {
        let kind = request.target.split('/').nth(1).unwrap();
        match kind {
            "reset" => vec![Step::Reset],
            "close" => vec![Step::Close],
            "broken" => vec![Step::Send(answer("500 Internal Server Error", "", b""))],
            "page" => vec![Step::Send(answer("200 OK", "", b"<html>"))],
            "hang" => vec![Step::Hang],
            _ => vec![Step::Send(ocsp_answer(RESPONSE))],
        }
    });
    let bad = ["reset", "close", "broken", "page", "hang"];
    let jobs = (0..100)
        .map(|key| {
            let kind = bad.get(key).copied().unwrap_or("good");
            job(key, &[format!("{}{kind}", responder.url())])
        })
        .collect();
    let kinds = ["reset", "closed", "http_status", "not_ocsp", "timeout"];
    for report in fetch_all(impatient(), jobs) {
        match kinds.get(report.key) {
            Some(kind) => assert_eq!(error(report.outcome).kind(), *kind),
            None => assert_eq!(body(&report.outcome), RESPONSE),
        }
    }
}

#[test]
fn the_url_that_worked_is_asked_first_next_time() {
    let dead = ScriptedResponder::start(|_| vec![Step::Close]);
    let alive = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let urls = [dead.url(), alive.url()];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (job_sender, job_receiver) = mpsc::unbounded_channel();
        let (report_sender, mut reports) = mpsc::channel(1);
        let judge = |_: &usize, _: &[u8]| Verdict::Settled(());
        let stop = CancellationToken::new();
        let service = tokio::spawn(run(settings(), job_receiver, judge, report_sender, stop));
        for key in 0..10 {
            job_sender.send(job(key, &urls)).unwrap();
            assert!(reports.recv().await.unwrap().outcome.is_ok());
        }
        drop(job_sender);
        service.await.unwrap();
    });
    assert_eq!((dead.requests().len(), alive.requests().len()), (1, 10));
}

#[test]
fn a_job_without_urls_is_reported_as_such() {
    assert_eq!(error(fetch_one(settings(), &[])), Error::NoUrl);
}

#[test]
fn being_told_to_stop_ends_the_service_while_an_attempt_to_connect_hangs() {
    let (_silence, address) = super::faults::full_backlog("127.0.0.1:0");
    let hangs = ScriptedResponder::start(|_| vec![Step::Hang]);
    let patient = Settings {
        connect_timeout: 4 * DEADLINE,
        request_timeout: 4 * DEADLINE,
        ..settings()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (job_sender, job_receiver) = mpsc::unbounded_channel();
        let (report_sender, _reports) = mpsc::channel(10);
        let silent = format!("http://{address}/");
        job_sender.send(job(0, &[silent])).unwrap();
        job_sender.send(job(1, &[hangs.url()])).unwrap();
        let stop = CancellationToken::new();
        let judge = |_: &usize, _: &[u8]| Verdict::Settled(());
        let service = tokio::spawn(run(
            patient,
            job_receiver,
            judge,
            report_sender,
            stop.clone(),
        ));
        let wait = move || {
            hangs.wait_for_requests(1);
            hangs
        };
        let _hangs = tokio::task::spawn_blocking(wait).await.unwrap();
        stop.cancel();
        tokio::time::timeout(DEADLINE, service)
            .await
            .unwrap()
            .unwrap();
    });
    runtime.shutdown_background();
}
