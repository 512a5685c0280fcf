//! What lies beside certificates: what is believed is what was seen, and nothing is left lying that
//! keeps HAProxy from starting.

use super::*;

fn lying(staple: &Arc<Staple>, is_right: bool) -> StapleFile {
    StapleFile::Staple {
        staple: Arc::clone(staple),
        is_right,
    }
}

#[test]
fn whatever_was_put_in_the_place_of_a_staple_is_written_over() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    let older = authority.staple(&subject, NOW.saturating_sub(DAY), 4 * DAY);
    let id = CertificateId(0);
    bench.find("/a.pem", &subject, &[], Some(Arc::clone(&staple)));
    for other in [
        StapleFile::Missing,
        StapleFile::Useless,
        lying(&older, true),
        lying(&staple, false),
    ] {
        let actions = bench.lies("/a.pem", other.clone());
        assert_eq!(writes(&actions), ["/a.pem.ocsp"], "{other:?}");
        let status = bench.agent.status_of(Path::new("/a.pem"), bench.now.wall);
        assert!(!status.unwrap().certificate.unwrap().disk.is_current);
        assert!(writes(&bench.written(id, "/a.pem", true)).is_empty());
    }
    assert!(writes(&bench.lies("/a.pem", lying(&staple, true))).is_empty());
}

#[test]
fn what_is_seen_while_a_staple_is_on_its_way_may_be_what_became_of_it() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    let id = CertificateId(0);
    bench.find("/a.pem", &subject, &[], Some(Arc::clone(&staple)));
    for other in [StapleFile::Missing, StapleFile::Useless] {
        bench.lies("/a.pem", StapleFile::Missing);
        assert!(writes(&bench.lies("/a.pem", other)).is_empty());
        let actions = bench.written(id, "/a.pem", true);
        assert_eq!(writes(&actions), ["/a.pem.ocsp"]);
        assert!(reports(&actions).is_empty(), "{actions:?}");
        let actions = bench.written(id, "/a.pem", true);
        assert!(writes(&actions).is_empty());
        assert!(matches!(reports(&actions)[..], [Notice::Written { .. }]));
    }
}

#[test]
fn only_other_permissions_are_no_new_staple() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.find("/a.pem", &subject, &[], Some(Arc::clone(&staple)));
    bench.lies("/a.pem", lying(&staple, false));
    let actions = bench.written(CertificateId(0), "/a.pem", true);
    assert!(reports(&actions).is_empty(), "{actions:?}");
}

#[test]
fn a_better_staple_that_somebody_else_put_there_is_taken_over() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.event(Event::Connected(TargetId(0)));
    bench.find("/a.pem", &subject, &[0], Some(staple));
    bench.delivered(0, CertificateId(0));
    bench.pass(DAY);
    let newer = authority.staple(&subject, bench.now.wall, 4 * DAY);
    let actions = bench.lies("/a.pem", lying(&newer, true));
    assert!(writes(&actions).is_empty());
    assert_eq!(deliveries(&actions), [0]);
}

#[test]
fn a_staple_is_cleared_away_before_haproxy_would_refuse_it() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, DAY);
    let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    bench.answer(id, authority.answer(&subject, NOW, DAY));
    bench.written(id, "/a.pem", true);
    let mut cleared = Vec::new();
    while cleared.is_empty() {
        let wait = bench.next_wakeup();
        let actions = bench.pass(wait);
        for id in requested(&actions) {
            bench.fail(id, None);
        }
        cleared = clearances(&actions)
            .into_iter()
            .map(str::to_owned)
            .collect();
    }
    assert_eq!(cleared, ["/a.pem.ocsp"]);
    let left = staple.expires().since(bench.now.wall);
    assert!(left > Duration::from_secs(300), "{left:?} left");
    // One order at a time; and what is gone is not cleared again.
    assert!(clearances(&bench.lies("/a.pem", StapleFile::Useless)).is_empty());
    let actions = bench.cleared("/a.pem");
    assert!(matches!(reports(&actions)[..], [Notice::Cleared { .. }]));
    assert!(clearances(&bench.pass(Duration::from_secs(60))).is_empty());
    // The next one is written.
    let now = bench.now.wall;
    bench.event(Event::RenewAll);
    let actions = bench.answer(id, authority.answer(&subject, now, DAY));
    assert_eq!(writes(&actions), ["/a.pem.ocsp"]);
}

#[test]
fn a_machine_that_sleeps_beyond_a_certificates_end_clears_its_staple_away_when_it_wakes() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, DAY);
    bench.find("/a.pem", &subject, &[], Some(staple));
    let slept = subject.certificate.not_after().since(NOW) + DAY;
    let actions = bench.pass(slept);
    assert_eq!(bench.state("/a.pem").kind(), "expired");
    assert_eq!(clearances(&actions), ["/a.pem.ocsp"]);
}

#[test]
fn a_staple_on_disk_that_could_not_be_replaced_goes_at_its_own_end() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let short = authority.staple(&subject, NOW, DAY);
    bench.find("/a.pem", &subject, &[], Some(short));
    bench.event(Event::RenewAll);
    let id = CertificateId(0);
    let actions = bench.answer(
        id,
        authority.answer(
            &subject,
            NOW.saturating_add(Duration::from_secs(60)),
            4 * DAY,
        ),
    );
    assert_eq!(writes(&actions), ["/a.pem.ocsp"]);
    bench.written(id, "/a.pem", false);
    // The disk stays full: what is held is fit, what lies there comes to its end.
    let mut attempts = 0;
    while bench.now.wall < NOW.saturating_add(DAY) {
        let wait = bench.next_wakeup();
        let actions = bench.pass(wait);
        for id in requested(&actions) {
            bench.fail(id, None);
        }
        if !clearances(&actions).is_empty() {
            assert!(NOW.saturating_add(DAY).since(bench.now.wall) > Duration::from_secs(300));
            return;
        }
        if !writes(&actions).is_empty() {
            attempts += 1;
            bench.written(id, "/a.pem", false);
        }
    }
    panic!("left lying after {attempts} attempts to replace it");
}

#[test]
fn a_revoked_certificates_good_staple_is_cleared_away_at_once_and_after_a_restart() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let good = authority.staple(&subject, NOW, 4 * DAY);
    bench.find("/a.pem", &subject, &[], Some(Arc::clone(&good)));
    let id = requested(&bench.event(Event::RenewAll))[0];
    let actions = bench.answer(id, authority.revocation(&subject, NOW, 1));
    assert_eq!(clearances(&actions), ["/a.pem.ocsp"]);
    bench.restart();
    let actions = bench.find("/a.pem", &subject, &[], Some(good));
    assert_eq!(clearances(&actions), ["/a.pem.ocsp"]);
}

#[test]
fn what_is_of_no_use_is_cleared_away_before_a_response_is_there() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let found = |staple| {
        Event::FileFound(FoundFile {
            path: "/a.pem".into(),
            staple_path: "/a.pem.ocsp".into(),
            targets: Arc::default(),
            content: FileContent::Certificate {
                subject: Arc::clone(&subject),
                staple,
            },
        })
    };
    let actions = bench.event(found(StapleFile::Useless));
    assert_eq!(clearances(&actions), ["/a.pem.ocsp"]);
    // The response comes first: what is under way ends before it is written.
    let actions = bench.answer(CertificateId(0), authority.answer(&subject, NOW, DAY));
    assert!(writes(&actions).is_empty());
    assert_eq!(writes(&bench.cleared("/a.pem")), ["/a.pem.ocsp"]);
}

#[test]
fn what_is_not_ours_is_asked_for_once_and_left() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    bench.find("/a.pem", &subject, &[], None);
    assert_eq!(
        clearances(&bench.lies("/a.pem", StapleFile::Useless)),
        ["/a.pem.ocsp"]
    );
    let actions = bench.event(Event::Cleared {
        path: "/a.pem".into(),
        result: Ok(false),
    });
    assert!(actions.is_empty(), "{actions:?}");
}

#[test]
fn beside_a_certificate_without_responder_nothing_of_ours_is_left() {
    let mut bench = Bench::new();
    for (exclusion, expected) in [
        (Exclusion::NoResponder, 1),
        (
            Exclusion::Unreadable {
                reason: "half of it".to_owned(),
            },
            0,
        ),
    ] {
        bench.event(Event::FileFound(FoundFile {
            path: "/a.pem".into(),
            staple_path: "/a.pem.ocsp".into(),
            targets: Arc::default(),
            content: FileContent::Excluded(exclusion),
        }));
        let actions = bench.lies("/a.pem", StapleFile::Useless);
        assert_eq!(clearances(&actions).len(), expected);
    }
}

#[test]
fn what_could_not_be_cleared_is_tried_again() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    bench.find("/a.pem", &subject, &[], None);
    bench.lies("/a.pem", StapleFile::Useless);
    let actions = bench.event(Event::Cleared {
        path: "/a.pem".into(),
        result: Err(Failure {
            kind: "permission_denied",
            message: "read-only".to_owned(),
        }),
    });
    assert_eq!(failure_kinds(&actions), ["permission_denied"]);
    let mut cleared = Vec::new();
    while cleared.is_empty() {
        let wait = bench.next_wakeup();
        let actions = bench.pass(wait);
        cleared = clearances(&actions)
            .into_iter()
            .map(str::to_owned)
            .collect();
    }
    assert_eq!(cleared, ["/a.pem.ocsp"]);
}

#[test]
fn what_cannot_be_written_over_on_a_full_disk_is_cleared_away() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.find("/a.pem", &subject, &[], Some(staple));
    assert_eq!(
        writes(&bench.lies("/a.pem", StapleFile::Useless)),
        ["/a.pem.ocsp"]
    );
    let actions = bench.written(CertificateId(0), "/a.pem", false);
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::Clear(..))),
        "{actions:?}"
    );
}
