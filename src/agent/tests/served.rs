//! Certificates that are served although no file holds them any more.

use super::*;
use crate::x509::CertificateReference;

fn serves(bench: &mut Bench, subjects: &[&Arc<IssuedCertificate>]) -> Vec<Action> {
    let fingerprints = subjects.iter().map(|subject| {
        let [fingerprint, _] = CertificateReference::all(&subject.certificate);
        fingerprint
    });
    bench.event(Event::Serves {
        target: TargetId(0),
        certificates: fingerprints.collect(),
    })
}

/// A certificate that lies in a file and is live.
fn live(authority: &Authority, bench: &mut Bench) -> Arc<IssuedCertificate> {
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.event(Event::Connected(TargetId(0)));
    serves(bench, &[&subject]);
    bench.find("/a.pem", &subject, &[0], Some(staple));
    bench.delivered(0, CertificateId(0));
    subject
}

#[test]
fn what_was_replaced_on_disk_is_renewed_where_it_is_served_until_it_is_not() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let old = live(&authority, &mut bench);
    let new = authority.subject(2);
    let actions = bench.find("/a.pem", &new, &[0], None);
    let [id] = requested(&actions)[..] else {
        panic!("{actions:?}")
    };
    let told = reports(&actions);
    assert!(
        told.iter()
            .any(|it| matches!(it, Notice::StillServed { .. }))
    );
    bench.answer(id, authority.answer(&new, NOW, 4 * DAY));
    bench.written(id, "/a.pem", true);
    bench.pass(DAY);
    let asked = requested(&bench.event(Event::RenewAll));
    assert_eq!(asked, [CertificateId(0), id]);
    let now = bench.now.wall;
    let actions = bench.answer(CertificateId(0), authority.answer(&old, now, 4 * DAY));
    assert_eq!(deliveries(&actions), [0]);
    assert!(writes(&actions).is_empty());
    // The reload.
    serves(&mut bench, &[&new]);
    assert_eq!(bench.agent.footprint().certificates, 1);
}

#[test]
fn what_cannot_be_read_for_a_moment_goes_on_as_if_nothing_had_been() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    let subject = live(&authority, &mut bench);
    let due = bench.agent.next_wakeup(bench.now);
    bench.event(Event::FileFound(FoundFile {
        path: "/a.pem".into(),
        staple_path: "/a.pem.ocsp".into(),
        targets: [TargetId(0)].into(),
        content: FileContent::Excluded(Exclusion::Unreadable {
            reason: "half a file".to_owned(),
        }),
    }));
    assert_eq!(bench.agent.next_wakeup(bench.now), due);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    let actions = bench.find("/a.pem", &subject, &[0], Some(staple));
    assert!(requested(&actions).is_empty() && deliveries(&actions).is_empty());
    assert_eq!(bench.agent.footprint().certificates, 1);
}

#[test]
fn what_a_process_served_that_does_not_come_back_is_let_go() {
    let (authority, mut bench) = (Authority::new(), Bench::new());
    live(&authority, &mut bench);
    bench.event(Event::FileGone("/a.pem".into()));
    let certificates = |bench: &Bench| bench.agent.footprint().certificates;
    assert_eq!(certificates(&bench), 1);
    bench.event(Event::Disconnected(TargetId(0)));
    bench.pass(Duration::from_secs(300));
    bench.event(Event::Connected(TargetId(0)));
    bench.pass(Duration::from_secs(900));
    assert_eq!(certificates(&bench), 1);
    bench.event(Event::Disconnected(TargetId(0)));
    bench.pass(Duration::from_secs(605));
    assert_eq!(certificates(&bench), 0);
    assert_eq!(bench.agent.footprint().timers, 0);
}
