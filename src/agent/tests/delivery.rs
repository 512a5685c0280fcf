//! Staples on their way into HAProxy processes that come and go.

use super::*;
use crate::ocsp::verify::SHORTEST_LIFE;
use crate::x509::CertificateReference;

#[test]
fn what_a_process_was_given_and_does_not_show_is_given_once_more_without_a_word() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    let id = CertificateId(0);
    let [certificate, _] = CertificateReference::all(&subject.certificate);
    let unseen = || Event::StapleUnseen {
        target: TargetId(0),
        certificate: certificate.clone(),
    };
    bench.event(Event::Connected(TargetId(0)));
    bench.find("/a.pem", &subject, &[0], Some(staple));
    // Not before it was given.
    assert!(deliveries(&bench.event(unseen())).is_empty());
    bench.delivered(0, id);
    assert_eq!(deliveries(&bench.event(unseen())), [0]);
    assert!(
        deliveries(&bench.event(unseen())).is_empty(),
        "once at a time"
    );
    let is_current = |bench: &Bench| {
        let status = bench.agent.status_of(Path::new("/a.pem"), bench.now.wall);
        let live = status.unwrap().certificate.unwrap().live;
        live.iter().all(|(_, place)| place.is_current)
    };
    assert!(is_current(&bench));
    assert!(reports(&bench.delivered(0, id)).is_empty());
    // One that is gone after all is told of, and tried again.
    bench.event(unseen());
    bench.not_delivered(0, id, DeliveryRetry::Soon);
    assert!(!is_current(&bench));
    assert_eq!(deliveries(&bench.pass(Duration::from_secs(1))), [0]);
}
#[test]
fn a_new_process_is_offered_everything_must_staple_certificates_first() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let ordinary = authority.subject(1);
    let urgent = authority.must_staple_subject(2);
    for (path, subject) in [("/a.pem", &ordinary), ("/b.pem", &urgent)] {
        let staple = authority.staple(subject, NOW, 4 * DAY);
        bench.find(path, subject, &[0], Some(staple));
    }
    let actions = bench.event(Event::Connected(TargetId(0)));
    let fingerprints: Vec<[u8; 20]> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Deliver(DeliveryOrder { staple, .. }) => Some(staple.certificate_fingerprint()),
            _ => None,
        })
        .collect();
    assert_eq!(
        fingerprints,
        [
            urgent.certificate.sha1_fingerprint(),
            ordinary.certificate.sha1_fingerprint()
        ]
    );
}

#[test]
fn nothing_is_sent_to_a_process_that_is_not_there_or_does_not_serve_the_certificate() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.event(Event::Connected(TargetId(1)));
    let actions = bench.find("/a.pem", &subject, &[0], Some(staple));
    assert!(deliveries(&actions).is_empty());
}

#[test]
fn what_a_process_holds_is_not_sent_again_until_it_is_replaced() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.event(Event::Connected(TargetId(0)));
    bench.find("/a.pem", &subject, &[0], Some(staple.clone()));
    let id = requested(&bench.event(Event::RenewAll))[0];
    bench.delivered(0, id);
    assert!(deliveries(&bench.find("/b.pem", &subject, &[0], Some(staple))).is_empty());
    bench.event(Event::Disconnected(TargetId(0)));
    assert_eq!(deliveries(&bench.event(Event::Connected(TargetId(0)))), [0]);
    bench.delivered(0, id);
    // A reload may show as a new connection alone.
    assert_eq!(deliveries(&bench.event(Event::Connected(TargetId(0)))), [0]);
}

#[test]
fn a_staple_renewed_while_haproxy_was_away_is_delivered_when_it_returns() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let id = requested(&bench.find("/a.pem", &subject, &[0], None))[0];
    let actions = bench.answer(id, authority.answer(&subject, NOW, 4 * DAY));
    assert_eq!(writes(&actions), ["/a.pem.ocsp"]);
    assert!(deliveries(&actions).is_empty());
    assert_eq!(deliveries(&bench.event(Event::Connected(TargetId(0)))), [0]);
}

#[test]
fn one_delivery_at_a_time_and_the_newer_staple_follows() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    bench.event(Event::Connected(TargetId(0)));
    let id = requested(&bench.find("/a.pem", &subject, &[0], None))[0];
    bench.answer(id, authority.answer(&subject, NOW, 4 * DAY));
    bench.event(Event::RenewAll);
    let newer = NOW.saturating_add(Duration::from_secs(60));
    let actions = bench.answer(id, authority.answer(&subject, newer, 4 * DAY));
    assert!(deliveries(&actions).is_empty());
    assert_eq!(deliveries(&bench.delivered(0, id)), [0]);
    assert!(deliveries(&bench.delivered(0, id)).is_empty());
}

#[test]
fn a_delivery_that_something_passing_stopped_is_tried_again_soon_and_less_and_less_often() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.event(Event::Connected(TargetId(0)));
    bench.find("/a.pem", &subject, &[0], Some(staple));
    let id = requested(&bench.event(Event::RenewAll))[0];
    let mut waits = Vec::new();
    for _ in 0..12 {
        bench.not_delivered(0, id, DeliveryRetry::Soon);
        waits.push(bench.next_wakeup());
        assert_eq!(deliveries(&bench.pass(waits[waits.len() - 1])), [0]);
    }
    assert!(waits[0] < Duration::from_secs(1), "{waits:?}");
    assert_eq!(waits[11], Duration::from_secs(60));
}

#[test]
fn what_may_last_is_tried_again_after_a_minute_and_at_last_every_hour() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.event(Event::Connected(TargetId(0)));
    bench.find("/a.pem", &subject, &[0], Some(staple));
    let id = requested(&bench.event(Event::RenewAll))[0];
    let mut waits = Vec::new();
    for _ in 0..8 {
        bench.not_delivered(0, id, DeliveryRetry::Later);
        waits.push(bench.next_wakeup().as_secs());
        assert_eq!(
            deliveries(&bench.pass(Duration::from_secs(waits[waits.len() - 1]))),
            [0]
        );
    }
    assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
}

#[test]
fn a_certificate_that_haproxy_does_not_have_is_offered_when_it_has_it_and_not_before() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.event(Event::Connected(TargetId(0)));
    bench.find("/a.pem", &subject, &[0], Some(staple));
    let id = requested(&bench.event(Event::RenewAll))[0];
    bench.not_delivered(0, id, DeliveryRetry::NextChange);
    assert!(deliveries(&bench.pass(DAY)).is_empty());
    let [certificate, _] = CertificateReference::all(&subject.certificate);
    let loaded = Event::StoreChanged {
        target: TargetId(0),
        certificate,
    };
    assert_eq!(deliveries(&bench.event(loaded)), [0]);
}

#[test]
fn a_failure_that_repeats_is_marked_so_that_it_is_not_shouted_twice() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.event(Event::Connected(TargetId(0)));
    bench.find("/a.pem", &subject, &[0], Some(staple));
    let id = requested(&bench.event(Event::RenewAll))[0];
    let mut marks = Vec::new();
    for _ in 0..2 {
        let actions = bench.not_delivered(0, id, DeliveryRetry::Later);
        for report in reports(&actions) {
            if let Notice::DeliveryFailed { repeated, .. } = report {
                marks.push(*repeated);
            }
        }
        bench.pass(Duration::from_secs(60));
    }
    assert_eq!(marks, [false, true]);
}

#[test]
fn what_only_another_staple_can_mend_is_not_tried_again() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.event(Event::Connected(TargetId(0)));
    bench.find("/a.pem", &subject, &[0], Some(staple));
    let id = requested(&bench.event(Event::RenewAll))[0];
    bench.not_delivered(0, id, DeliveryRetry::NextChange);
    assert!(deliveries(&bench.pass(DAY)).is_empty());
    let answer = authority.answer(&subject, bench.now.wall, 4 * DAY);
    assert_eq!(deliveries(&bench.answer(id, answer)), [0]);
}

#[test]
fn a_lost_connection_is_not_reported_for_every_certificate() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.event(Event::Connected(TargetId(0)));
    bench.find("/a.pem", &subject, &[0], Some(staple));
    let id = requested(&bench.event(Event::RenewAll))[0];
    let actions = bench.not_delivered(0, id, DeliveryRetry::NextConnection);
    assert!(reports(&actions).is_empty());
    // It may have been answered after the next connection was made: then it is sent again.
    assert_eq!(deliveries(&bench.pass(Duration::from_secs(1))), [0]);
}

#[test]
fn a_certificate_replaced_inside_haproxy_gets_its_staple_again() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.event(Event::Connected(TargetId(0)));
    bench.find("/a.pem", &subject, &[0], Some(staple));
    let id = requested(&bench.event(Event::RenewAll))[0];
    bench.delivered(0, id);
    let changed = |certificate| Event::StoreChanged {
        target: TargetId(0),
        certificate,
    };
    let other = CertificateReference::Fingerprint([9; 20]);
    assert!(deliveries(&bench.event(changed(other))).is_empty());
    for reference in CertificateReference::all(&subject.certificate) {
        assert_eq!(deliveries(&bench.event(changed(reference))), [0]);
        bench.delivered(0, id);
    }
}

#[test]
fn a_staple_near_its_end_is_neither_written_nor_delivered() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.find("/a.pem", &subject, &[0], Some(staple));
    bench.pass(4 * DAY - SHORTEST_LIFE + Duration::from_secs(1));
    assert!(deliveries(&bench.event(Event::Connected(TargetId(0)))).is_empty());
    assert!(writes(&bench.lies("/a.pem", StapleFile::Missing)).is_empty());
}

#[test]
fn a_delivery_that_fails_after_its_process_has_gone_is_left_to_the_next_connection() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    bench.event(Event::Connected(TargetId(0)));
    let id = requested(&bench.find("/a.pem", &subject, &[0], None))[0];
    bench.answer(id, authority.answer(&subject, NOW, 4 * DAY));
    bench.written(id, "/a.pem", true);
    bench.event(Event::Disconnected(TargetId(0)));
    bench.not_delivered(0, id, DeliveryRetry::Soon);
    assert!(bench.next_wakeup() > DAY, "only the renewal is waited for");
    assert_eq!(deliveries(&bench.event(Event::Connected(TargetId(0)))), [0]);
}

/// A certificate whose older staple is on its way, and the newer one that HAProxy holds.
fn older_on_its_way(
    authority: &Authority,
    bench: &mut Bench,
    held: Assessment,
) -> (CertificateId, Vec<Action>) {
    let subject = authority.subject(1);
    bench.event(Event::Connected(TargetId(0)));
    let older = NOW.saturating_sub(Duration::from_secs(3600));
    let staple = authority.staple(&subject, older, 4 * DAY);
    assert_eq!(
        deliveries(&bench.find("/a.pem", &subject, &[0], Some(staple))),
        [0]
    );
    let id = requested(&bench.event(Event::RenewAll))[0];
    let actions = bench.event(Event::HeldNewer {
        target: TargetId(0),
        certificate: id,
        assessment: Box::new(held),
    });
    (id, actions)
}

#[test]
fn a_newer_staple_found_in_haproxy_is_taken_over_and_written() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let held = authority.answer(&subject, NOW, 4 * DAY);
    let newer = held.stapling.clone().unwrap();
    let (id, actions) = older_on_its_way(&authority, &mut bench, held);
    assert_eq!(writes(&actions), ["/a.pem.ocsp"]);
    // Offered, since a second store of the same certificate may lack it.
    let offered = actions.iter().find_map(|action| match action {
        Action::Deliver(DeliveryOrder { staple, .. }) => Some(staple.der().to_vec()),
        _ => None,
    });
    assert_eq!(offered.as_deref(), Some(newer.der()));
    assert!(deliveries(&bench.delivered(0, id)).is_empty());
}

#[test]
fn a_revocation_found_in_haproxy_is_told_and_no_older_staple_replaces_it() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let held = authority.revocation(&subject, NOW, 1);
    let (_, actions) = older_on_its_way(&authority, &mut bench, held);
    assert!(matches!(reports(&actions)[..], [Notice::Revoked { .. }]));
    assert!(deliveries(&actions).is_empty() && writes(&actions).is_empty());
    assert_eq!(bench.state("/a.pem").kind(), "revoked");
}

#[test]
fn a_response_in_haproxy_that_is_not_newer_after_all_is_not_argued_about_in_a_circle() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let oldest = NOW.saturating_sub(Duration::from_secs(7200));
    let held = authority.answer(&subject, oldest, 4 * DAY);
    let (_, actions) = older_on_its_way(&authority, &mut bench, held);
    assert!(actions.is_empty(), "{actions:?}");
    assert_eq!(deliveries(&bench.pass(Duration::from_secs(60))), [0]);
}

/// Whether the delivery to the first process is an alarm in the status.
fn is_alarm(bench: &Bench) -> bool {
    let files: Vec<_> = bench.agent.status(bench.now.wall).collect();
    let certificate = files[0].certificate.as_ref().unwrap();
    certificate.live[0].1.is_alarm
}

#[test]
fn what_comes_and_goes_is_told_when_it_has_lasted() {
    for (retry, tries_meanwhile) in [
        (DeliveryRetry::Passing, true),
        (DeliveryRetry::Awaited, false),
    ] {
        let (authority, mut bench) = (Authority::new(), Bench::new());
        let subject = authority.subject(1);
        let staple = authority.staple(&subject, NOW, 4 * DAY);
        bench.event(Event::Connected(TargetId(0)));
        bench.find("/a.pem", &subject, &[0], Some(staple));
        let id = requested(&bench.event(Event::RenewAll))[0];
        let start = bench.now.monotonic;
        let mut told = bench.not_delivered(0, id, retry);
        let mut tries = 0;
        while reports(&told).is_empty() {
            assert!(!is_alarm(&bench));
            let wait = bench.next_wakeup();
            assert_eq!(deliveries(&bench.pass(wait)), [0]);
            told = bench.not_delivered(0, id, retry);
            tries += 1;
        }
        assert!(is_alarm(&bench));
        assert_eq!(tries > 1, tries_meanwhile, "{retry:?}");
        let lasted = bench.now.monotonic - start;
        assert!((90..160).contains(&lasted.as_secs()), "{lasted:?}");
        let [Notice::DeliveryFailed { repeated, .. }] = reports(&told)[..] else {
            panic!("{told:?}");
        };
        assert!(!repeated, "it is told for the first time");
    }
}

#[test]
fn what_somebody_wants_so_is_no_failure() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.event(Event::Connected(TargetId(0)));
    bench.find("/a.pem", &subject, &[0], Some(staple));
    let id = requested(&bench.event(Event::RenewAll))[0];
    let actions = bench.not_delivered(0, id, DeliveryRetry::ByDesign);
    assert!(reports(&actions).is_empty());
    assert!(deliveries(&bench.pass(DAY)).is_empty());
    assert!(!is_alarm(&bench));
    assert_eq!(deliveries(&bench.event(Event::Connected(TargetId(0)))), [0]);
}

#[test]
fn a_file_that_goes_and_comes_back_during_a_delivery_is_not_delivered_twice() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = || Some(authority.staple(&subject, NOW, 4 * DAY));
    bench.event(Event::Connected(TargetId(0)));
    bench.find("/elsewhere.pem", &subject, &[1], staple());
    assert_eq!(
        deliveries(&bench.find("/a.pem", &subject, &[0], staple())),
        [0]
    );
    bench.event(Event::FileGone("/a.pem".into()));
    assert!(deliveries(&bench.find("/a.pem", &subject, &[0], staple())).is_empty());
    bench.delivered(0, CertificateId(0));
    let again = bench.event(Event::Connected(TargetId(0)));
    assert_eq!(deliveries(&again), [0]);
    // And when it stays away, so does its staple.
    bench.event(Event::FileGone("/a.pem".into()));
    assert!(deliveries(&bench.delivered(0, CertificateId(0))).is_empty());
    assert!(deliveries(&bench.event(Event::Connected(TargetId(0)))).is_empty());
}
