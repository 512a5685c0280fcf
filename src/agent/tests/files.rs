//! Files that come, change and go, and the staples beside them.

use super::*;

#[test]
fn one_certificate_in_two_files_is_asked_for_once_and_written_beside_both() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let number = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    bench.find("/b.pem", &subject, &[], None);
    let actions = bench.answer(number, authority.answer(&subject, NOW, 4 * DAY));
    assert_eq!(writes(&actions), ["/a.pem.ocsp", "/b.pem.ocsp"]);
}

#[test]
fn a_second_file_gets_the_staple_that_is_held_already() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.find("/a.pem", &subject, &[], Some(staple));
    let actions = bench.find("/b.pem", &subject, &[], None);
    assert_eq!(writes(&actions), ["/b.pem.ocsp"]);
    assert!(requested(&actions).is_empty());
}

#[test]
fn a_file_with_another_certificate_never_gets_the_old_ones_staple() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let (old, new) = (authority.subject(1), authority.subject(2));
    let old_number = requested(&bench.find("/a.pem", &old, &[0], None))[0];
    let asked = bench.find("/a.pem", &new, &[0], None);
    let new_number = requested(&asked)[0];
    assert_ne!(old_number, new_number);
    // The old one's answer was on its way and comes too late.
    let actions = bench.answer(old_number, authority.answer(&old, NOW, 4 * DAY));
    assert!(actions.is_empty(), "{actions:?}");
    let actions = bench.answer(new_number, authority.answer(&new, NOW, 4 * DAY));
    assert_eq!(writes(&actions), ["/a.pem.ocsp"]);
}

#[test]
fn a_late_report_of_a_write_for_the_old_certificate_is_not_taken_for_the_new_ones() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let (old, new) = (authority.subject(1), authority.subject(2));
    let old_number = requested(&bench.find("/a.pem", &old, &[], None))[0];
    bench.answer(old_number, authority.answer(&old, NOW, 4 * DAY));
    let new_number = requested(&bench.find("/a.pem", &new, &[], None))[0];
    // The old one's staple, which has just been written, does not stay beside the new one.
    let actions = bench.written(old_number, "/a.pem", true);
    assert_eq!(clearances(&actions), ["/a.pem.ocsp"]);
    bench.answer(new_number, authority.answer(&new, NOW, 4 * DAY));
    assert_eq!(writes(&bench.cleared("/a.pem")), ["/a.pem.ocsp"]);
}

#[test]
fn a_file_that_goes_is_forgotten_with_everything_that_was_planned() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.find("/a.pem", &subject, &[0], Some(staple));
    let actions = bench.event(Event::FileGone("/a.pem".into()));
    assert!(matches!(reports(&actions)[..], [Notice::Forgotten { .. }]));
    assert_eq!(clearances(&actions), ["/a.pem.ocsp"]);
    assert_eq!(bench.agent.states(NOW).count(), 0);
    assert_eq!(bench.agent.next_wakeup(bench.now), None);
}

#[test]
fn a_certificate_stays_while_one_of_its_files_does() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let number = requested(&bench.find("/a.pem", &subject, &[0], None))[0];
    bench.find("/b.pem", &subject, &[1], None);
    bench.event(Event::FileGone("/a.pem".into()));
    bench.event(Event::Connected(TargetId(0)));
    bench.event(Event::Connected(TargetId(1)));
    let actions = bench.answer(number, authority.answer(&subject, NOW, 4 * DAY));
    assert_eq!(writes(&actions), ["/b.pem.ocsp"]);
    assert_eq!(deliveries(&actions), [1]);
}

#[test]
fn a_failed_write_is_tried_again_later_and_does_not_stop_the_delivery() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    bench.event(Event::Connected(TargetId(0)));
    let number = requested(&bench.find("/a.pem", &subject, &[0], None))[0];
    let actions = bench.answer(number, authority.answer(&subject, NOW, 4 * DAY));
    assert_eq!(deliveries(&actions), [0]);
    assert_eq!(
        failure_kinds(&bench.written(number, "/a.pem", false)),
        ["no_space"]
    );
    let wait = bench.next_wakeup();
    assert_eq!(writes(&bench.pass(wait)), ["/a.pem.ocsp"]);
    bench.written(number, "/a.pem", true);
    assert!(writes(&bench.pass(Duration::from_secs(3600))).is_empty());
}

#[test]
fn a_staple_taken_away_by_somebody_else_is_written_again() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.find("/a.pem", &subject, &[], Some(staple));
    let actions = bench.lies("/a.pem", StapleFile::Missing);
    assert_eq!(writes(&actions), ["/a.pem.ocsp"]);
}

#[test]
fn a_newer_staple_that_comes_during_a_write_is_written_after_it() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let number = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    bench.answer(number, authority.answer(&subject, NOW, 4 * DAY));
    bench.event(Event::RenewAll);
    let newer = NOW.saturating_add(Duration::from_secs(60));
    let actions = bench.answer(number, authority.answer(&subject, newer, 4 * DAY));
    assert!(
        writes(&actions).is_empty(),
        "one write at a time for one file"
    );
    assert_eq!(
        writes(&bench.written(number, "/a.pem", true)),
        ["/a.pem.ocsp"]
    );
}

#[test]
fn a_file_that_is_no_certificate_is_reported_once_and_replaced_when_it_becomes_one() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let unreadable = || {
        Event::FileFound(FoundFile {
            path: "/a.pem".into(),
            staple_path: "/a.pem.ocsp".into(),
            targets: Arc::default(),
            content: FileContent::Excluded(Exclusion::NoResponder),
        })
    };
    assert_eq!(reports(&bench.event(unreadable())).len(), 1);
    assert!(bench.event(unreadable()).is_empty());
    let subject = authority.subject(1);
    assert_eq!(
        requested(&bench.find("/a.pem", &subject, &[], None)).len(),
        1
    );
    assert_eq!(reports(&bench.event(unreadable())).len(), 1);
    assert_eq!(bench.state("/a.pem").kind(), "no_responder");
}

#[test]
fn a_certificate_that_comes_back_does_not_fall_behind_what_was_held() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let older = authority.staple(&subject, NOW.saturating_sub(DAY), 4 * DAY);
    bench.event(Event::Connected(TargetId(0)));
    bench.find("/a.pem", &subject, &[0], Some(older.clone()));
    let number = requested(&bench.event(Event::RenewAll))[0];
    bench.answer(number, authority.answer(&subject, NOW, 4 * DAY));
    // The disk did not take the newer one, and the file goes for a moment.
    bench.written(number, "/a.pem", false);
    bench.event(Event::FileGone("/a.pem".into()));
    let actions = bench.find("/a.pem", &subject, &[0], Some(older));
    let ordered: Vec<Timestamp> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Write(WriteOrder { staple, .. })
            | Action::Deliver(DeliveryOrder { staple, .. }) => Some(staple.this_update()),
            _ => None,
        })
        .collect();
    assert_eq!(ordered, [NOW, NOW], "{actions:?}");
}

#[test]
fn a_certificate_that_comes_back_is_still_revoked() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    let number = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    bench.answer(number, authority.revocation(&subject, NOW, 1));
    bench.event(Event::FileGone("/a.pem".into()));
    bench.find("/a.pem", &subject, &[], None);
    assert_eq!(bench.state("/a.pem").kind(), "revoked");
}

#[test]
fn one_certificate_in_several_directories_is_delivered_once_to_each_process() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = authority.subject(1);
    for target in [0, 1] {
        bench.event(Event::Connected(TargetId(target)));
    }
    let number = requested(&bench.find("/a/x.pem", &subject, &[0], None))[0];
    assert!(requested(&bench.find("/b/y.pem", &subject, &[0, 1], None)).is_empty());
    let actions = bench.answer(number, authority.answer(&subject, NOW, 4 * DAY));
    assert_eq!(writes(&actions), ["/a/x.pem.ocsp", "/b/y.pem.ocsp"]);
    assert_eq!(deliveries(&actions), [0, 1]);
}

#[test]
fn the_certificates_of_a_bundle_are_looked_after_separately() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let (rsa, ecdsa) = (authority.subject(1), authority.subject(2));
    let number = requested(&bench.find("/x.pem.rsa", &rsa, &[0], None))[0];
    let other = requested(&bench.find("/x.pem.ecdsa", &ecdsa, &[0], None))[0];
    let actions = bench.answer(number, authority.answer(&rsa, NOW, 4 * DAY));
    assert_eq!(writes(&actions), ["/x.pem.rsa.ocsp"]);
    bench.fail(other, None);
    assert_eq!(bench.state("/x.pem.rsa").kind(), "fresh");
    assert_eq!(bench.state("/x.pem.ecdsa").kind(), "failing");
}

#[test]
fn a_write_ordered_for_the_certificate_before_is_written_over() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let [first, second] = [1, 2].map(|serial| authority.subject(serial));
    let number = requested(&bench.find("/a.pem", &first, &[], None))[0];
    let actions = bench.answer(number, authority.answer(&first, NOW, 4 * DAY));
    assert_eq!(writes(&actions), ["/a.pem.ocsp"]);
    // Replaced while the write is under way, by a certificate whose staple lies there still.
    let staple = authority.staple(&second, NOW, 4 * DAY);
    let actions = bench.find("/a.pem", &second, &[], Some(staple));
    assert!(writes(&actions).is_empty());
    assert_eq!(
        writes(&bench.written(number, "/a.pem", true)),
        ["/a.pem.ocsp"]
    );
}
