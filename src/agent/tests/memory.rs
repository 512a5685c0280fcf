//! What outlives the process: revocations, and the newest response that was given to anybody.

use super::*;

#[test]
fn a_revocation_outlives_a_restart_and_the_old_good_is_not_handed_out_again() {
    let authority = Authority::new();
    let subject = authority.subject(1);
    let good = authority.staple(&subject, NOW, 4 * DAY);
    let mut bench = Bench::new();
    let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    bench.answer(id, authority.answer(&subject, NOW, 4 * DAY));
    bench.pass(DAY);
    let later = bench.now.wall;
    bench.answer(id, authority.revocation(&subject, later, 1));
    assert_eq!(bench.state("/a.pem").kind(), "revoked");

    bench.restart();
    bench.event(Event::Connected(TargetId(0)));
    let actions = bench.find("/a.pem", &subject, &[0], Some(good));
    assert!(deliveries(&actions).is_empty());
    assert_eq!(bench.state("/a.pem").kind(), "revoked");
    assert_eq!(requested(&actions), [CertificateId(0)]);
    let actions = bench.answer(CertificateId(0), authority.answer(&subject, later, DAY));
    assert_eq!(failure_kinds(&actions), ["good_after_revoked"]);
}

#[test]
fn an_older_staple_on_disk_does_not_follow_the_newer_one_that_was_given_before_a_restart() {
    let authority = Authority::new();
    let subject = authority.subject(1);
    let older = authority.staple(&subject, NOW, 4 * DAY);
    let mut bench = Bench::new();
    bench.event(Event::Connected(TargetId(0)));
    let id = requested(&bench.find("/a.pem", &subject, &[0], None))[0];
    bench.pass(DAY);
    let newer = bench.now.wall;
    let actions = bench.answer(id, authority.answer(&subject, newer, 4 * DAY));
    assert_eq!(deliveries(&actions), [0]);
    bench.delivered(0, id);

    bench.restart();
    bench.event(Event::Connected(TargetId(0)));
    let actions = bench.find("/a.pem", &subject, &[0], Some(older));
    assert!(deliveries(&actions).is_empty());
    assert_eq!(requested(&actions), [CertificateId(0)]);
    let actions = bench.answer(CertificateId(0), authority.answer(&subject, newer, 4 * DAY));
    assert_eq!(deliveries(&actions), [0]);
    assert_eq!(writes(&actions), ["/a.pem.ocsp"]);
}

#[test]
fn the_staple_on_disk_that_is_remembered_is_used_at_once() {
    let authority = Authority::new();
    let subject = authority.subject(1);
    let mut bench = Bench::new();
    let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    bench.answer(id, authority.answer(&subject, NOW, 4 * DAY));
    bench.restart();
    bench.event(Event::Connected(TargetId(0)));
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    let actions = bench.find("/a.pem", &subject, &[0], Some(staple));
    assert_eq!(deliveries(&actions), [0]);
    assert!(requested(&actions).is_empty());
    assert_eq!(bench.state("/a.pem").kind(), "fresh");
}

#[test]
fn what_is_remembered_ends_with_the_certificate_and_is_bounded() {
    let authority = Authority::new();
    let subject = authority.subject(1);
    let mut bench = Bench::new();
    let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    bench.answer(id, authority.answer(&subject, NOW, 4 * DAY));
    assert_eq!(bench.memory.len(), 1);
    bench.event(Event::FileGone("/a.pem".into()));
    assert_eq!(bench.memory.len(), 1, "it may come back");
    bench.now.wall = subject.certificate.not_after();
    bench.restart();
    bench.event(Event::Wakeup);
    assert_eq!(bench.memory.len(), 0);
    assert_eq!(bench.agent.footprint().remembered, 0);
}
