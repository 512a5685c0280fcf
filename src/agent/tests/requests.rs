//! When responders are asked, and what their answers change.

use super::*;

#[test]
fn a_certificate_without_a_staple_is_asked_for_at_once_and_then_at_half_of_the_life() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let asked = bench.find("/a.pem", &subject, &[], None);
    let id = requested(&asked)[0];

    let answer = authority.answer(&subject, NOW, 4 * DAY);
    let actions = bench.answer(id, answer);
    assert!(requested(&actions).is_empty());
    assert_eq!(writes(&actions), ["/a.pem.ocsp"]);
    bench.written(id, "/a.pem", true);

    let wait = bench.next_wakeup();
    assert!(wait > DAY * 16 / 10 && wait <= DAY * 2, "{wait:?}");
    assert!(requested(&bench.pass(wait - Duration::from_secs(2))).is_empty());
    assert_eq!(requested(&bench.pass(Duration::from_secs(3))), [id]);
}

#[test]
fn a_valid_staple_on_disk_is_used_and_neither_asked_for_nor_written() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.event(Event::Connected(TargetId(0)));
    let actions = bench.find("/a.pem", &subject, &[0], Some(staple));
    assert!(requested(&actions).is_empty());
    assert!(writes(&actions).is_empty());
    assert_eq!(deliveries(&actions), [0]);
}

#[test]
fn without_recycling_a_staple_on_disk_is_renewed_at_once_but_still_used() {
    let (authority, mut bench) = (Authority::new(), Bench::with(false));
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.event(Event::Connected(TargetId(0)));
    let actions = bench.find("/a.pem", &subject, &[0], Some(staple));
    assert_eq!(requested(&actions).len(), 1);
    assert_eq!(deliveries(&actions), [0]);
}

#[test]
fn failures_back_off_and_never_take_the_good_staple_away() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.find("/a.pem", &subject, &[0], Some(staple.clone()));
    let id = requested(&bench.pass(3 * DAY))[0];
    let mut waits = Vec::new();
    for _ in 0..8 {
        assert_eq!(failure_kinds(&bench.fail(id, None)), ["timeout"]);
        let wait = bench.next_wakeup();
        waits.push(wait);
        assert_eq!(requested(&bench.pass(wait)), [id]);
    }
    assert!(waits[7] > waits[0] * 20, "{waits:?}");
    assert!(waits.iter().all(|wait| *wait <= schedule::LONGEST_RETRY));
    // A process that connects now is still offered it.
    let actions = bench.event(Event::Connected(TargetId(0)));
    assert_eq!(deliveries(&actions), [0]);
}

#[test]
fn retry_after_is_honoured_but_not_beyond_half_of_what_is_left() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    bench.fail(id, Some(Duration::from_secs(5000)));
    assert_eq!(requested(&bench.pass(Duration::from_secs(4999))), []);
    assert_eq!(requested(&bench.pass(Duration::from_secs(1))), [id]);

    let other = authority.subject(2);
    let staple = authority.staple(&other, NOW, 4 * DAY);
    let mut bench = Bench::new();
    bench.find("/b.pem", &other, &[], Some(staple));
    let id = requested(&bench.pass(4 * DAY - Duration::from_secs(4000)))[0];
    bench.fail(id, Some(DAY));
    assert_eq!(bench.next_wakeup(), Duration::from_secs(2000));
}

#[test]
fn an_older_response_never_replaces_a_newer_one() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    bench.answer(id, authority.answer(&subject, NOW, 4 * DAY));
    bench.written(id, "/a.pem", true);
    bench.event(Event::RenewAll);
    let older = authority.answer(&subject, NOW.saturating_sub(DAY), 4 * DAY);
    let actions = bench.answer(id, older);
    assert_eq!(failure_kinds(&actions), ["older_this_update"]);
    assert!(writes(&actions).is_empty());
}

#[test]
fn an_older_staple_found_beside_another_file_is_not_taken_over_but_replaced() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let new = authority.staple(&subject, NOW, 4 * DAY);
    let old = authority.staple(&subject, NOW.saturating_sub(DAY), 4 * DAY);
    bench.find("/a.pem", &subject, &[], Some(new));
    let actions = bench.find("/b.pem", &subject, &[], Some(old));
    assert_eq!(writes(&actions), ["/b.pem.ocsp"]);
}

#[test]
fn the_same_response_again_is_no_failure_and_asked_for_again_later() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let answer = authority.answer(&subject, NOW, 4 * DAY);
    let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    bench.answer(id, answer.clone());
    bench.written(id, "/a.pem", true);
    let wait = bench.next_wakeup();
    assert_eq!(requested(&bench.pass(wait)), [id]);
    let actions = bench.answer(id, answer);
    assert!(matches!(reports(&actions)[..], [Notice::Unchanged { .. }]));
    assert!(writes(&actions).is_empty());
    assert!(bench.next_wakeup() >= schedule::SHORTEST_REPEAT);
}

#[test]
fn a_response_that_is_still_current_is_asked_about_conditionally_and_kept() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    bench.answer(id, authority.answer(&subject, NOW, 4 * DAY));
    bench.written(id, "/a.pem", true);
    let wait = bench.next_wakeup();
    let actions = bench.pass(wait);
    let Some(Action::Request(RequestOrder {
        validators, held, ..
    })) = actions.first()
    else {
        panic!("{actions:?}");
    };
    assert_eq!(validators.etag.as_deref(), Some("tag"));
    assert_eq!(held.map(|held| held.this_update), Some(NOW));
    let actions = bench.not_modified(id, Duration::from_secs(20_000));
    assert!(matches!(reports(&actions)[..], [Notice::Unchanged { .. }]));
    assert!(writes(&actions).is_empty());
    assert_eq!(bench.next_wakeup(), Duration::from_secs(20_000));
}

#[test]
fn not_modified_about_a_staple_that_has_ended_meanwhile_is_asked_again_in_full() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    bench.answer(id, authority.answer(&subject, NOW, 4 * DAY));
    bench.pass(3 * DAY);
    bench.pass(DAY);
    let actions = bench.not_modified(id, DAY);
    let Some(Action::Request(RequestOrder { validators, .. })) = actions.first() else {
        panic!("{actions:?}");
    };
    assert_eq!(*validators, CacheValidators::default());
}

#[test]
fn revocation_is_reported_once_withheld_and_the_old_staple_is_left_to_run_out() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    bench.event(Event::Connected(TargetId(0)));
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    let id = {
        bench.find("/a.pem", &subject, &[0], Some(staple));
        requested(&bench.event(Event::RenewAll))[0]
    };
    let later = NOW.saturating_add(Duration::from_secs(60));
    let revocation = authority.revocation(&subject, later, 1);
    let actions = bench.answer(id, revocation.clone());
    assert!(matches!(
        reports(&actions)[..],
        [Notice::Revoked {
            repeated: false,
            staple_until: Some(_),
            ..
        }]
    ));
    assert!(writes(&actions).is_empty() && deliveries(&actions).is_empty());
    // It goes on asking, without another alarm.
    let wait = bench.next_wakeup();
    assert_eq!(requested(&bench.pass(wait)), [id]);
    let actions = bench.answer(id, revocation);
    assert!(matches!(
        reports(&actions)[..],
        [Notice::Revoked { repeated: true, .. }]
    ));
}

#[test]
fn good_after_revoked_is_refused_unless_it_was_a_hold() {
    for (reason, refused) in [(1, true), (6, false)] {
        let (authority, mut bench) = (Authority::new(), Bench::new());
        let subject = authority.subject(1);
        let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
        bench.answer(id, authority.revocation(&subject, NOW, reason));
        bench.event(Event::RenewAll);
        let later = NOW.saturating_add(Duration::from_secs(60));
        let actions = bench.answer(id, authority.answer(&subject, later, 4 * DAY));
        assert_eq!(writes(&actions).is_empty(), refused, "reason {reason}");
        assert_eq!(failure_kinds(&actions) == ["good_after_revoked"], refused);
    }
}

#[test]
fn a_staple_that_ends_without_successor_is_reported_and_not_offered_any_more() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.find("/a.pem", &subject, &[0], Some(staple));
    let id = requested(&bench.pass(3 * DAY))[0];
    let actions = bench.pass(DAY);
    assert!(matches!(
        reports(&actions)[..],
        [Notice::StapleExpired { .. }]
    ));
    assert_eq!(clearances(&actions), ["/a.pem.ocsp"]);
    bench.cleared("/a.pem");
    assert!(deliveries(&bench.event(Event::Connected(TargetId(0)))).is_empty());
    // The request is still under way and its answer still welcome.
    let answer = authority.answer(&subject, bench.now.wall, 4 * DAY);
    let actions = bench.answer(id, answer);
    assert_eq!(writes(&actions), ["/a.pem.ocsp"]);
    assert_eq!(deliveries(&actions), [0]);
}

#[test]
fn an_expired_certificate_is_reported_once_and_left_alone() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    bench.now.wall = subject.certificate.not_after().saturating_add(DAY);
    let actions = bench.find("/a.pem", &subject, &[], None);
    assert!(requested(&actions).is_empty());
    let expired = |actions: &[Action]| {
        let all = reports(actions);
        all.iter()
            .filter(|report| matches!(report, Notice::CertificateExpired { .. }))
            .count()
    };
    assert_eq!(expired(&actions), 1);
    let later = bench.pass(30 * DAY);
    assert!(later.is_empty(), "{later:?}");
    assert!(requested(&bench.event(Event::RenewAll)).is_empty());
}

#[test]
fn one_request_at_a_time_for_one_certificate() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    assert_eq!(
        requested(&bench.find("/a.pem", &subject, &[], None)).len(),
        1
    );
    assert!(requested(&bench.find("/b.pem", &subject, &[], None)).is_empty());
    assert!(requested(&bench.event(Event::RenewAll)).is_empty());
    assert!(requested(&bench.pass(DAY)).is_empty());
}

#[test]
fn the_wall_clock_jumping_back_does_not_stop_retries() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    bench.fail(id, None);
    bench.now.wall = bench.now.wall.saturating_sub(100 * DAY);
    bench.now.monotonic += schedule::FIRST_RETRY;
    assert_eq!(requested(&bench.event(Event::Wakeup)), [id]);
}

#[test]
fn the_wall_clock_jumping_forward_renews_at_once() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.find("/a.pem", &subject, &[], Some(staple));
    bench.now.wall = bench.now.wall.saturating_add(3 * DAY);
    assert_eq!(requested(&bench.event(Event::Wakeup)).len(), 1);
}

#[test]
fn certificates_are_not_all_renewed_at_the_same_second() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    for serial in 0..20 {
        let subject = authority.subject(serial);
        let staple = authority.staple(&subject, NOW, 4 * DAY);
        bench.find(&format!("/{serial}.pem"), &subject, &[], Some(staple));
    }
    let wait = bench.next_wakeup();
    assert_eq!(requested(&bench.pass(wait)).len(), 1);
}

#[test]
fn a_responder_that_is_left_alone_is_no_failure_of_the_certificate() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    for _ in 0..20 {
        let actions = bench.postponed(id, Duration::from_secs(100));
        assert!(matches!(
            reports(&actions)[..],
            [Notice::RequestPostponed { .. }]
        ));
        assert_eq!(requested(&bench.pass(Duration::from_secs(99))), []);
        assert_eq!(requested(&bench.pass(Duration::from_secs(26))), [id]);
    }
    // The first failure is still the first.
    bench.fail(id, None);
    assert!(bench.next_wakeup() <= schedule::FIRST_RETRY);
}

#[test]
fn a_revoked_certificate_has_its_good_staple_handed_to_nobody_any_more() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.find("/a.pem", &subject, &[0], Some(staple.clone()));
    let id = requested(&bench.event(Event::RenewAll))[0];
    let later = NOW.saturating_add(Duration::from_secs(60));
    bench.answer(id, authority.revocation(&subject, later, 1));
    assert!(deliveries(&bench.event(Event::Connected(TargetId(0)))).is_empty());
    assert!(writes(&bench.lies("/a.pem", StapleFile::Missing)).is_empty());
    // What is found on disk is the same good staple, and older than the revocation.
    let actions = bench.find("/b.pem", &subject, &[0], Some(staple));
    assert!(writes(&actions).is_empty() && deliveries(&actions).is_empty());
}

#[test]
fn a_revocation_that_is_to_be_stapled_is_written_delivered_and_reported_also_when_found_on_disk() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    bench.event(Event::Connected(TargetId(0)));
    let id = requested(&bench.find("/a.pem", &subject, &[0], None))[0];
    let revocation = authority.stapleable_revocation(&subject, NOW);
    let staple = Arc::new(revocation.stapling.clone().unwrap());
    let actions = bench.answer(id, revocation);
    let revoked = |actions: &[Action]| {
        let all = reports(actions);
        all.iter().any(|report| {
            matches!(
                report,
                Notice::Revoked {
                    repeated: false,
                    ..
                }
            )
        })
    };
    assert!(revoked(&actions));
    assert_eq!(writes(&actions), ["/a.pem.ocsp"]);
    assert_eq!(deliveries(&actions), [0]);

    let mut restarted = Bench::new();
    let actions = restarted.find("/a.pem", &subject, &[0], Some(staple));
    assert!(revoked(&actions));
    assert_eq!(restarted.state("/a.pem").kind(), "revoked");
}

#[test]
fn a_responder_that_repeats_itself_after_the_clock_was_ahead_is_asked_again_before_the_end() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    let answer = authority.answer(&subject, NOW, 4 * DAY);
    bench.now.wall = NOW.saturating_add(3 * DAY);
    bench.answer(id, answer);
    // The clock is put right: the next request does not wait for the wrong time to come again.
    bench.now.wall = NOW;
    assert_eq!(requested(&bench.pass(DAY / 12)), [id]);
}

#[test]
fn short_responses_are_renewed_at_their_half_too() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    bench.answer(
        id,
        authority.answer(&subject, NOW, Duration::from_secs(3600)),
    );
    let wait = bench.next_wakeup().as_secs();
    assert!((1440..=1800).contains(&wait), "{wait}");
}

#[test]
fn a_response_from_the_future_does_not_stand_in_the_way_once_the_clock_is_right() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    let ahead = NOW.saturating_add(2 * DAY);
    bench.now.wall = ahead;
    bench.answer(id, authority.answer(&subject, ahead, 4 * DAY));
    bench.written(id, "/a.pem", true);
    bench.now.wall = NOW;
    bench.event(Event::RenewAll);
    let actions = bench.answer(id, authority.answer(&subject, NOW, 4 * DAY));
    assert_eq!(writes(&actions), ["/a.pem.ocsp"]);
}

#[test]
fn a_response_from_the_future_is_replaced_when_the_clock_is_set_right() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let right = bench.now.wall;
    bench.now.wall = right.saturating_add(3 * DAY);
    let id = requested(&bench.find("/a.pem", &subject, &[0], None))[0];
    let future = bench.now.wall.saturating_sub(DAY);
    bench.answer(id, authority.answer(&subject, future, 4 * DAY));
    bench.event(Event::Connected(TargetId(0)));
    bench.now.wall = right;
    assert_eq!(requested(&bench.event(Event::Wakeup)), [id]);
    let present = authority.answer(&subject, right, 4 * DAY);
    bench.answer(id, present);
    assert_eq!(bench.state("/a.pem").kind(), "fresh");
    assert!(requested(&bench.event(Event::Wakeup)).is_empty(), "once");
}

#[test]
fn a_process_that_came_while_the_clock_was_ahead_gets_its_staple_when_it_is_set_right() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.find("/a.pem", &subject, &[0], Some(staple));
    let right = bench.now.wall;
    // Beyond the staple's end, and beyond the certificate's.
    for ahead in [5 * DAY, 50 * 365 * DAY] {
        bench.now.wall = right.saturating_add(ahead);
        assert!(deliveries(&bench.event(Event::Connected(TargetId(0)))).is_empty());
        bench.now.wall = right;
        assert_eq!(deliveries(&bench.event(Event::Wakeup)), [0]);
        bench.event(Event::Disconnected(TargetId(0)));
        bench.not_delivered(0, CertificateId(0), DeliveryRetry::NextConnection);
    }
}

#[test]
fn a_response_from_the_future_is_no_staple_also_for_a_certificate_that_went_and_came_back() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let right = bench.now.wall;
    bench.now.wall = right.saturating_add(3 * DAY);
    let id = requested(&bench.find("/a.pem", &subject, &[0], None))[0];
    let future = bench.now.wall.saturating_sub(DAY);
    bench.answer(id, authority.answer(&subject, future, 4 * DAY));
    bench.event(Event::FileGone(PathBuf::from("/a.pem")));
    bench.now.wall = right;
    bench.event(Event::Connected(TargetId(0)));
    let found = bench.find("/a.pem", &subject, &[0], None);
    assert!(deliveries(&found).is_empty() && writes(&found).is_empty());
    let asked = requested(&found);
    assert_eq!(asked.len(), 1, "asked at once");
    bench.answer(asked[0], authority.answer(&subject, right, 4 * DAY));
    assert_eq!(bench.state("/a.pem").kind(), "fresh");
}

#[test]
fn a_process_that_came_while_the_clock_was_behind_gets_its_staple_when_it_is_set_right() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.find("/a.pem", &subject, &[0], Some(staple));
    bench.now.wall = NOW.saturating_sub(DAY);
    bench.event(Event::Wakeup);
    assert!(deliveries(&bench.event(Event::Connected(TargetId(0)))).is_empty());
    bench.now.wall = NOW;
    assert_eq!(deliveries(&bench.event(Event::Wakeup)), [0]);
}
