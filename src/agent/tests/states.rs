//! Every state of a certificate, and every way from one to another.

use super::*;
use crate::ocsp::RevocationReason;

/// A certificate in a file, with a request under way for it.
fn waiting(authority: &Authority) -> (Bench, Arc<Subject>, CertificateNumber) {
    let mut bench = Bench::new();
    let subject = authority.subject(1);
    let number = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    (bench, subject, number)
}

/// The same, with a staple of four days.
fn fresh(authority: &Authority) -> (Bench, Arc<Subject>, CertificateNumber) {
    let (mut bench, subject, number) = waiting(authority);
    bench.answer(number, authority.answer(&subject, NOW, 4 * DAY));
    bench.written(number, "/a.pem", true);
    (bench, subject, number)
}

fn kind(bench: &Bench) -> &'static str {
    bench.state("/a.pem").kind()
}

#[test]
fn excluded_files_have_the_name_and_the_words_of_their_reason() {
    let reason = "why".to_owned();
    for (exclusion, kind) in [
        (Exclusion::NoResponder, "no_responder"),
        (
            Exclusion::NoIssuer {
                reason: reason.clone(),
            },
            "no_issuer",
        ),
        (
            Exclusion::NotApplicable {
                reason: reason.clone(),
            },
            "not_applicable",
        ),
        (
            Exclusion::Unreadable {
                reason: reason.clone(),
            },
            "unreadable",
        ),
    ] {
        let (mut bench, ..) = fresh(&Authority::new());
        let words = exclusion.to_string();
        bench.event(Event::FileFound(FoundFile {
            path: "/a.pem".into(),
            staple_path: "/a.pem.ocsp".into(),
            targets: Arc::default(),
            content: Content::Excluded(exclusion),
        }));
        let state = bench.state("/a.pem");
        assert_eq!((state.kind(), state.to_string()), (kind, words));
        assert_eq!(bench.agent.next_wakeup(bench.now), None, "nothing to do");
    }
}

#[test]
fn waiting_becomes_fresh_with_an_answer() {
    let authority = Authority::new();
    assert_eq!(kind(&waiting(&authority).0), "waiting");
    assert_eq!(kind(&fresh(&authority).0), "fresh");
}

#[test]
fn waiting_becomes_fresh_with_a_staple_on_disk() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.find("/a.pem", &subject, &[], Some(staple));
    assert_eq!(kind(&bench), "fresh");
}

#[test]
fn waiting_becomes_failing_and_says_why() {
    let (mut bench, _, number) = waiting(&Authority::new());
    bench.fail(number, None);
    let state = bench.state("/a.pem");
    assert_eq!(
        (state.kind(), state.to_string().as_str()),
        ("failing", "no answer")
    );
}

#[test]
fn waiting_stays_waiting_while_its_responder_is_left_alone() {
    let (mut bench, _, number) = waiting(&Authority::new());
    bench.postponed(number, Duration::from_secs(100));
    assert_eq!(kind(&bench), "waiting");
}

#[test]
fn fresh_is_renewing_while_the_responder_is_asked_and_fresh_again_with_its_answer() {
    let authority = Authority::new();
    let (mut bench, subject, number) = fresh(&authority);
    bench.event(Event::RenewAll);
    assert_eq!(kind(&bench), "renewing");
    let later = NOW.saturating_add(DAY);
    bench.now.wall = later;
    bench.answer(number, authority.answer(&subject, later, 4 * DAY));
    assert_eq!(kind(&bench), "fresh");
    bench.event(Event::RenewAll);
    bench.not_modified(number, DAY);
    assert_eq!(kind(&bench), "fresh");
    bench.event(Event::RenewAll);
    bench.postponed(number, DAY);
    assert_eq!(kind(&bench), "fresh");
}

#[test]
fn renewing_becomes_failing_which_lasts_until_an_answer() {
    let authority = Authority::new();
    let (mut bench, subject, number) = fresh(&authority);
    bench.event(Event::RenewAll);
    bench.fail(number, None);
    assert_eq!(kind(&bench), "failing");
    bench.event(Event::RenewAll);
    assert_eq!(kind(&bench), "failing", "nothing is known to have changed");
    bench.answer(number, authority.answer(&subject, NOW, 4 * DAY));
    assert_eq!(kind(&bench), "fresh");
}

#[test]
fn fresh_becomes_waiting_when_the_staple_ends_before_any_answer() {
    let (mut bench, ..) = fresh(&Authority::new());
    bench.pass(4 * DAY);
    assert_eq!(kind(&bench), "waiting");
}

#[test]
fn revoked_says_when_and_why_and_outlasts_failures_and_refused_answers() {
    let authority = Authority::new();
    let (mut bench, subject, number) = fresh(&authority);
    bench.event(Event::RenewAll);
    bench.answer(number, authority.revocation(&subject, NOW, 1));
    let state = bench.state("/a.pem");
    assert_eq!(
        state,
        State::Revoked {
            at: NOW,
            reason: Some(RevocationReason::KeyCompromise)
        }
    );
    assert_eq!(
        state.to_string(),
        "the CA has revoked this certificate at 2026-01-15T12:00:00Z (keyCompromise)"
    );
    bench.event(Event::RenewAll);
    bench.fail(number, None);
    assert_eq!(kind(&bench), "revoked");
    bench.event(Event::RenewAll);
    bench.answer(number, authority.answer(&subject, NOW, 4 * DAY));
    assert_eq!(kind(&bench), "revoked");
}

#[test]
fn revoked_becomes_fresh_when_a_hold_is_lifted() {
    let authority = Authority::new();
    let (mut bench, subject, number) = waiting(&authority);
    bench.answer(number, authority.revocation(&subject, NOW, 6));
    assert_eq!(kind(&bench), "revoked");
    bench.event(Event::RenewAll);
    bench.answer(number, authority.answer(&subject, NOW, 4 * DAY));
    assert_eq!(kind(&bench), "fresh");
}

#[test]
fn every_state_becomes_expired_with_the_certificate() {
    let authority = Authority::new();
    let failing = {
        let (mut bench, _, number) = waiting(&authority);
        bench.fail(number, None);
        bench
    };
    let revoked = {
        let (mut bench, subject, number) = waiting(&authority);
        bench.answer(number, authority.revocation(&subject, NOW, 1));
        bench
    };
    let (waiting, ..) = waiting(&authority);
    let (fresh, ..) = fresh(&authority);
    for mut bench in [waiting, fresh, failing, revoked] {
        let before = kind(&bench);
        bench.pass(100 * DAY);
        assert_eq!(kind(&bench), "expired", "{before}");
    }
}

#[test]
fn expired_becomes_what_it_was_when_the_clock_turns_out_to_have_been_ahead() {
    let authority = Authority::new();
    let (mut bench, _, number) = fresh(&authority);
    bench.now.wall = NOW.saturating_add(100 * DAY);
    bench.event(Event::Wakeup);
    assert_eq!(kind(&bench), "expired");
    bench.now.wall = NOW;
    assert_eq!(kind(&bench), "fresh");
    // It is asked for again, and its end is watched again.
    bench.now.steady += schedule::LONGEST_RETRY;
    assert_eq!(requested(&bench.event(Event::Wakeup)), [number]);
    bench.not_modified(number, DAY);
    let reported = bench.pass(4 * DAY);
    assert!(
        reports(&reported)
            .iter()
            .any(|report| matches!(report, Report::StapleExpired { .. })),
        "{reported:?}"
    );
}
