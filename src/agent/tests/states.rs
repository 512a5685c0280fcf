//! Every state of a certificate, and every way from one to another.

use super::*;
use crate::ocsp::RevocationReason;

/// A certificate in a file, with a request under way for it.
fn waiting(authority: &Authority) -> (Bench, Arc<IssuedCertificate>, CertificateId) {
    let mut bench = Bench::new();
    let subject = authority.subject(1);
    let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    (bench, subject, id)
}

/// The same, with a staple of four days.
fn fresh(authority: &Authority) -> (Bench, Arc<IssuedCertificate>, CertificateId) {
    let (mut bench, subject, id) = waiting(authority);
    bench.answer(id, authority.answer(&subject, NOW, 4 * DAY));
    bench.written(id, "/a.pem", true);
    (bench, subject, id)
}

fn kind(bench: &Bench) -> &'static str {
    bench.state("/a.pem").kind()
}

#[test]
fn the_next_request_is_the_same_moment_in_the_log_and_in_the_status() {
    let authority = Authority::new();
    let (mut bench, subject, id) = waiting(&authority);
    let actions = bench.answer(id, authority.answer(&subject, NOW, 4 * DAY));
    let logged = actions.iter().find_map(|action| match action {
        Action::Report(Notice::Renewed { next_request, .. }) => Some(*next_request),
        _ => None,
    });
    let status = bench.agent.status_of("/a.pem".as_ref(), NOW).unwrap();
    assert!(logged.is_some());
    assert_eq!(status.certificate.unwrap().next_request, logged);
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
            content: FileContent::Excluded(exclusion),
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
    let (mut bench, _, id) = waiting(&Authority::new());
    bench.fail(id, None);
    let state = bench.state("/a.pem");
    assert_eq!(
        (state.kind(), state.to_string().as_str()),
        ("failing", "no answer")
    );
}

#[test]
fn without_a_staple_not_being_asked_about_is_failing_and_with_one_it_is_only_said() {
    let authority = Authority::new();
    let (mut bench, subject, id) = waiting(&authority);
    bench.postponed(id, Duration::from_secs(100));
    let state = bench.state("/a.pem");
    assert_eq!(
        (state.kind(), state.to_string().as_str()),
        ("failing", "left alone")
    );
    bench.event(Event::RenewAll);
    bench.answer(id, authority.answer(&subject, NOW, 4 * DAY));
    assert_eq!(kind(&bench), "fresh");
    bench.event(Event::RenewAll);
    bench.postponed(id, Duration::from_secs(100));
    assert_eq!(kind(&bench), "fresh");
    let not_asked = |bench: &Bench| {
        let status = bench.agent.status_of("/a.pem".as_ref(), NOW).unwrap();
        let not_asked = status.certificate.unwrap().not_asked;
        not_asked.map(|failure| failure.kind)
    };
    assert_eq!(not_asked(&bench), Some("circuit_open"));
    bench.event(Event::RenewAll);
    bench.fail(id, None);
    assert_eq!(not_asked(&bench), None);
}

#[test]
fn fresh_is_renewing_while_the_responder_is_asked_and_fresh_again_with_its_answer() {
    let authority = Authority::new();
    let (mut bench, subject, id) = fresh(&authority);
    bench.event(Event::RenewAll);
    assert_eq!(kind(&bench), "renewing");
    let later = NOW.saturating_add(DAY);
    bench.now.wall = later;
    bench.answer(id, authority.answer(&subject, later, 4 * DAY));
    assert_eq!(kind(&bench), "fresh");
    bench.event(Event::RenewAll);
    bench.not_modified(id, DAY);
    assert_eq!(kind(&bench), "fresh");
    bench.event(Event::RenewAll);
    bench.postponed(id, DAY);
    assert_eq!(kind(&bench), "fresh");
}

#[test]
fn renewing_becomes_failing_which_lasts_until_an_answer() {
    let authority = Authority::new();
    let (mut bench, subject, id) = fresh(&authority);
    bench.event(Event::RenewAll);
    bench.fail(id, None);
    assert_eq!(kind(&bench), "failing");
    bench.event(Event::RenewAll);
    assert_eq!(kind(&bench), "failing", "nothing is known to have changed");
    bench.answer(id, authority.answer(&subject, NOW, 4 * DAY));
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
    let (mut bench, subject, id) = fresh(&authority);
    bench.event(Event::RenewAll);
    bench.answer(id, authority.revocation(&subject, NOW, 1));
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
    bench.fail(id, None);
    assert_eq!(kind(&bench), "revoked");
    bench.event(Event::RenewAll);
    bench.answer(id, authority.answer(&subject, NOW, 4 * DAY));
    assert_eq!(kind(&bench), "revoked");
}

#[test]
fn revoked_becomes_fresh_when_a_hold_is_lifted() {
    let authority = Authority::new();
    let (mut bench, subject, id) = waiting(&authority);
    bench.answer(id, authority.revocation(&subject, NOW, 6));
    assert_eq!(kind(&bench), "revoked");
    bench.event(Event::RenewAll);
    bench.answer(id, authority.answer(&subject, NOW, 4 * DAY));
    assert_eq!(kind(&bench), "fresh");
}

#[test]
fn every_state_becomes_expired_with_the_certificate() {
    let authority = Authority::new();
    let failing = {
        let (mut bench, _, id) = waiting(&authority);
        bench.fail(id, None);
        bench
    };
    let revoked = {
        let (mut bench, subject, id) = waiting(&authority);
        bench.answer(id, authority.revocation(&subject, NOW, 1));
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
    let (mut bench, _, id) = fresh(&authority);
    bench.now.wall = NOW.saturating_add(100 * DAY);
    bench.event(Event::Wakeup);
    assert_eq!(kind(&bench), "expired");
    bench.now.wall = NOW;
    assert_eq!(kind(&bench), "fresh");
    // It is asked for again, and its end is watched again.
    bench.now.monotonic += schedule::LONGEST_RETRY;
    assert_eq!(requested(&bench.event(Event::Wakeup)), [id]);
    bench.not_modified(id, DAY);
    let reported = bench.pass(4 * DAY);
    assert!(
        reports(&reported)
            .iter()
            .any(|report| matches!(report, Notice::StapleExpired { .. })),
        "{reported:?}"
    );
}

/// What was reported of expiring: until when a staple is held, and why there is no other.
fn expiring(actions: &[Action]) -> Vec<(Option<Timestamp>, Option<&'static str>)> {
    reports(actions)
        .iter()
        .filter_map(|report| match report {
            Notice::Expiring {
                staple_until,
                failure,
                ..
            } => Some((*staple_until, failure.as_ref().map(|failure| failure.kind))),
            _ => None,
        })
        .collect()
}

#[test]
fn a_certificate_is_expiring_once_its_staple_is_short_lived_and_again_after_another_one() {
    let authority = Authority::new();
    let (mut bench, subject, id) = fresh(&authority);
    for round in 0..2 {
        let until = bench.now.wall.saturating_add(4 * DAY);
        assert_eq!(requested(&bench.pass(2 * DAY)), [id]);
        bench.fail(id, None);
        let early = bench.pass(DAY - Duration::from_secs(60));
        assert_eq!(expiring(&early), [], "round {round}");
        let due = bench.pass(Duration::from_secs(60));
        assert_eq!(expiring(&due), [(Some(until), Some("timeout"))]);
        assert_eq!(expiring(&bench.pass(DAY / 2)), []);
        assert_eq!(expiring(&bench.fail(id, None)), []);
        let now = bench.now.wall;
        bench.answer(id, authority.answer(&subject, now, 4 * DAY));
    }
}

#[test]
fn what_lives_shorter_than_the_operator_wants_is_expiring_in_the_last_third_of_its_life() {
    let authority = Authority::new();
    let (mut bench, subject, id) = waiting(&authority);
    bench.answer(id, authority.answer(&subject, NOW, DAY));
    assert_eq!(
        expiring(&bench.pass(DAY * 2 / 3 - Duration::from_secs(1))),
        []
    );
    assert_eq!(expiring(&bench.pass(Duration::from_secs(1))).len(), 1);
}

#[test]
fn a_new_certificate_is_expiring_after_half_an_hour_without_a_staple() {
    let (mut bench, _, id) = waiting(&Authority::new());
    assert_eq!(expiring(&bench.fail(id, None)), []);
    assert_eq!(expiring(&bench.pass(Duration::from_secs(1799))), []);
    let due = bench.pass(Duration::from_secs(1));
    assert_eq!(expiring(&due), [(None, Some("timeout"))]);
    assert_eq!(expiring(&bench.pass(10 * DAY)), []);
}

#[test]
fn what_ends_with_its_certificate_or_is_revoked_is_not_expiring() {
    let authority = Authority::new();
    let (mut bench, subject, id) = waiting(&authority);
    bench.answer(id, authority.revocation(&subject, NOW, 1));
    assert_eq!(expiring(&bench.pass(3 * DAY)), []);

    let (mut bench, subject, id) = waiting(&authority);
    let not_after = subject.certificate.not_after();
    let begin = not_after.saturating_sub(5 * DAY);
    bench.pass(begin.since(NOW));
    bench.answer(id, authority.answer(&subject, begin, 9 * DAY));
    let last = bench.agent.status(begin).next().unwrap();
    let staple = last.certificate.unwrap().staple.unwrap();
    assert_eq!(staple.expires(), not_after);
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.extend(expiring(&bench.pass(DAY)));
    }
    assert_eq!(seen, []);
    assert_eq!(kind(&bench), "expired");
}

#[test]
fn a_longer_warning_time_counts_at_once() {
    let (mut bench, ..) = fresh(&Authority::new());
    bench.pass(DAY * 5 / 2);
    let settings = Settings {
        expiring_within: Duration::from_secs(3600),
        ..bench.agent.settings
    };
    assert_eq!(expiring(&bench.event(Event::Reconfigured(settings))), []);
    assert_eq!(expiring(&bench.pass(DAY)), [], "an hour was asked for");
    let settings = Settings {
        expiring_within: DAY,
        ..settings
    };
    let told = bench.event(Event::Reconfigured(settings));
    assert_eq!(expiring(&told).len(), 1);
}

#[test]
fn a_failed_request_says_whether_the_reason_is_the_one_before() {
    let (mut bench, _, id) = waiting(&Authority::new());
    let repeated = |actions: &[Action]| {
        reports(actions).iter().find_map(|report| match report {
            Notice::RequestFailed { repeated, .. } => Some(*repeated),
            _ => None,
        })
    };
    assert_eq!(repeated(&bench.fail(id, None)), Some(false));
    bench.event(Event::RenewAll);
    assert_eq!(repeated(&bench.fail(id, None)), Some(true));
    bench.event(Event::RenewAll);
    let other = Failure {
        kind: "connect_refused",
        message: "refused".to_owned(),
    };
    let told = bench.event(Event::Answered {
        certificate: id,
        result: Err(other.into()),
    });
    assert_eq!(repeated(&told), Some(false));
}

#[test]
fn the_status_of_one_file_is_that_among_all() {
    let (bench, ..) = fresh(&Authority::new());
    let path = Path::new("/a.pem");
    let status = bench.agent.status_of(path, bench.now.wall).unwrap();
    assert_eq!((status.path, status.state.kind()), (path, "fresh"));
    assert!(bench.agent.status_of(Path::new("/b.pem"), NOW).is_none());
}
