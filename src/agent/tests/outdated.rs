//! Responders that have nothing newer, and promise that they will not have anything soon.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// A certificate with a staple of so many days, which was given just now.
fn held(authority: &Authority, days: u32) -> (Bench, Arc<IssuedCertificate>, CertificateId) {
    let mut bench = Bench::new();
    let subject = authority.subject(1);
    let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    bench.answer(id, authority.answer(&subject, NOW, days * DAY));
    bench.written(id, "/a.pem", true);
    (bench, subject, id)
}

/// What was told of a response whose successor is overdue: what there is to say, and whether again.
fn told(actions: &[Action]) -> Vec<(Outdated, bool)> {
    let all = reports(actions).into_iter();
    all.filter_map(|report| match report {
        Notice::Outdated {
            outdated, repeated, ..
        } => Some((*outdated, *repeated)),
        _ => None,
    })
    .collect()
}

/// The request that is ordered.
fn order(actions: &[Action]) -> (bool, Option<Duration>, bool, &CacheValidators) {
    let mut orders = actions.iter().filter_map(|action| match action {
        Action::Request(RequestOrder {
            is_overdue,
            lasts,
            is_wanted_now,
            validators,
            ..
        }) => Some((*is_overdue, *lasts, *is_wanted_now, validators)),
        _ => None,
    });
    orders.next().unwrap()
}

#[test]
fn a_caching_promise_leaves_tries_before_the_alarm_however_often_it_is_repeated() {
    let (mut bench, ..) = held(&Authority::new(), 7);
    let id = requested(&bench.pass(DAY * 52 / 10))[0];
    bench.not_modified(id, Duration::from_secs(600_000));
    // The alarm is due at the end of the sixth day.
    assert_eq!(bench.next_wakeup(), DAY * 8 / 10 - 2 * HOUR);
    let mut requests = 0;
    while bench.now.wall < NOW.saturating_add(6 * DAY) {
        let wait = bench.next_wakeup();
        if !requested(&bench.pass(wait)).is_empty() {
            requests += 1;
            bench.not_modified(id, Duration::from_secs(600_000));
        }
    }
    assert!((2..=4).contains(&requests), "{requests}");
}

#[test]
fn past_the_alarm_the_same_again_is_a_state_of_its_own_and_asked_about_without_validators() {
    let authority = Authority::new();
    let (mut bench, subject, id) = held(&authority, 7);
    let answer = authority.answer(&subject, NOW, 7 * DAY);
    let actions = bench.pass(4 * DAY);
    let (is_overdue, lasts, is_wanted_now, validators) = order(&actions);
    assert_eq!((is_overdue, is_wanted_now), (false, false));
    assert_eq!(lasts, Some(3 * DAY));
    assert_eq!(validators.etag.as_deref(), Some("tag"));
    assert_eq!(told(&bench.answer(id, answer.clone())), []);
    assert_eq!(bench.state("/a.pem").kind(), "fresh");

    let actions = bench.pass(2 * DAY);
    let (is_overdue, _, _, validators) = order(&actions);
    assert!(is_overdue);
    assert_eq!(*validators, CacheValidators::default());
    let outdated = Outdated {
        this_update: NOW,
        refused_from: None,
    };
    assert_eq!(told(&bench.answer(id, answer.clone())), [(outdated, false)]);
    let state = bench.state("/a.pem");
    assert_eq!(state, State::Outdated(outdated));
    assert_eq!(
        state.to_string(),
        "the responder has nothing newer since 2026-01-15T12:00:00Z"
    );
    let wait = bench.next_wakeup();
    assert!(wait > HOUR && wait < 2 * HOUR, "{wait:?}");
    bench.pass(wait);
    assert_eq!(told(&bench.answer(id, answer)), [(outdated, true)]);
    bench.event(Event::RenewAll);
    let now = bench.now.wall;
    bench.answer(id, authority.answer(&subject, now, 7 * DAY));
    assert_eq!(bench.state("/a.pem").kind(), "fresh");
}

#[test]
fn an_old_response_is_spoken_of_from_the_seventh_day_on_although_it_lives_for_months() {
    let authority = Authority::new();
    let (mut bench, subject, id) = held(&authority, 90);
    let answer = authority.answer(&subject, NOW, 90 * DAY);
    let promise = Some(60 * DAY);
    let (mut asked_at, mut first_told) = (vec![NOW], None);
    while bench.now.wall < NOW.saturating_add(12 * DAY) {
        let wait = bench.next_wakeup();
        if requested(&bench.pass(wait)).is_empty() {
            continue;
        }
        asked_at.push(bench.now.wall);
        let actions = bench.tagged_answer(id, answer.clone(), "tag", promise);
        if let Some((outdated, false)) = told(&actions).first() {
            first_told = Some((*outdated, bench.now.wall));
        }
    }
    let gaps = asked_at.windows(2).map(|pair| pair[1].since(pair[0]));
    assert!(gaps.max().unwrap() <= 4 * DAY, "{asked_at:?}");
    let (outdated, at) = first_told.unwrap();
    let age = at.since(NOW);
    assert!(age >= 7 * DAY && age <= 7 * DAY + DAY / 2, "{age:?}");
    assert_eq!(
        outdated.to_string(),
        "the responder has nothing newer since 2026-01-15T12:00:00Z; clients refuse it from \
         2026-01-25T12:00:00Z: let the CA sign more often"
    );
}

#[test]
fn the_maximum_age_is_the_operators() {
    let authority = Authority::new();
    let mut bench = Bench::new();
    let settings = bench.agent.settings;
    let patient = Settings {
        schedule: schedule::Settings {
            maximum_age: 60 * DAY,
            ..settings.schedule
        },
        ..settings
    };
    bench.event(Event::Reconfigured(patient));
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, NOW, 90 * DAY);
    bench.find("/a.pem", &subject, &[], Some(staple));
    bench.pass(20 * DAY);
    assert_ne!(bench.state("/a.pem").kind(), "outdated");
    bench.event(Event::Reconfigured(settings));
    assert_eq!(bench.state("/a.pem").kind(), "outdated");
}

#[test]
fn a_response_that_was_only_signed_again_is_not_written_again() {
    let authority = Authority::new();
    let (mut bench, subject, id) = held(&authority, 7);
    bench.pass(4 * DAY);
    // The signature is another one each time.
    let again = authority.answer(&subject, NOW, 7 * DAY);
    let actions = bench.answer(id, again);
    assert!(matches!(reports(&actions)[..], [Notice::Unchanged { .. }]));
    assert_eq!(writes(&actions), [""; 0]);
    // The same knowledge for longer is a gain.
    bench.event(Event::RenewAll);
    let longer = authority.answer(&subject, NOW, 8 * DAY);
    assert_eq!(writes(&bench.answer(id, longer)), ["/a.pem.ocsp"]);
}

#[test]
fn validators_of_a_refused_answer_are_not_kept() {
    let authority = Authority::new();
    let (mut bench, subject, id) = held(&authority, 7);
    bench.event(Event::RenewAll);
    let older = authority.answer(&subject, NOW.saturating_sub(DAY), 7 * DAY);
    let actions = bench.tagged_answer(id, older, "of the older one", None);
    assert_eq!(failure_kinds(&actions), ["older_this_update"]);
    let actions = bench.event(Event::RenewAll);
    let (_, _, is_wanted_now, validators) = order(&actions);
    assert!(is_wanted_now);
    assert_eq!(validators.etag.as_deref(), Some("tag"));
    let revocation = authority.revocation(&subject, bench.now.wall, 6);
    bench.tagged_answer(id, revocation, "of the revocation", None);
    let actions = bench.event(Event::RenewAll);
    assert_eq!(*order(&actions).3, CacheValidators::default());
}

#[test]
fn validators_do_not_outlive_the_staple_they_are_for() {
    let authority = Authority::new();
    let (mut bench, subject, _) = held(&authority, 7);
    let later = NOW.saturating_add(DAY);
    bench.pass(DAY);
    let found = authority.staple(&subject, later, 7 * DAY);
    bench.find("/a.pem", &subject, &[], Some(found));
    let actions = bench.event(Event::RenewAll);
    assert_eq!(*order(&actions).3, CacheValidators::default());
}

#[test]
fn a_staple_that_is_found_puts_the_request_off_to_its_own_renewal() {
    let authority = Authority::new();
    let mut bench = Bench::new();
    let subject = authority.subject(1);
    let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    bench.fail(id, None);
    let staple = authority.staple(&subject, NOW, 4 * DAY);
    bench.find("/a.pem", &subject, &[], Some(staple));
    let wait = bench.next_wakeup();
    assert!(wait > DAY * 16 / 10 && wait <= DAY * 2, "{wait:?}");
    assert_eq!(bench.state("/a.pem").kind(), "fresh");
}

#[test]
fn when_the_clock_is_set_right_what_has_no_staple_is_asked_for_and_the_disk_looked_at() {
    let authority = Authority::new();
    let mut bench = Bench::new();
    let right = bench.now.wall;
    bench.now.wall = right.saturating_add(30 * DAY);
    let subject = authority.subject(1);
    let staple = authority.staple(&subject, right, 4 * DAY);
    let id = requested(&bench.find("/a.pem", &subject, &[], None))[0];
    for _ in 0..10 {
        bench.fail_by("expired", id, None);
        let wait = bench.next_wakeup();
        bench.pass(wait);
    }
    bench.fail_by("expired", id, None);
    bench.now.wall = right;
    let actions = bench.event(Event::Wakeup);
    assert_eq!(requested(&actions), [id]);
    let looks = |action: &Action| matches!(action, Action::LookAgain);
    assert!(actions.iter().any(looks));
    bench.find("/a.pem", &subject, &[], Some(staple));
    assert!(
        bench
            .agent
            .status(right)
            .next()
            .unwrap()
            .certificate
            .unwrap()
            .staple
            .is_some()
    );
    // An answer that was judged by the wrong clock says nothing.
    let actions = bench.fail_by("expired", id, None);
    assert_eq!(failure_kinds(&actions), ["expired"]);

    bench.now.wall = right.saturating_add(30 * DAY);
    bench.event(Event::RenewAll);
    bench.now.wall = right;
    bench.event(Event::Wakeup);
    let actions = bench.fail_by("expired", id, None);
    let reported = failure_kinds(&actions).len();
    assert_eq!(
        (requested(&actions).len(), reported),
        (0, 1),
        "it has a staple"
    );
}

#[test]
fn other_ways_have_what_failed_asked_for_again_and_what_is_under_way_once_more() {
    let authority = Authority::new();
    let mut bench = Bench::new();
    let ask = |bench: &mut Bench, serial: u8, staple| {
        let subject = authority.subject(serial);
        let path = format!("/{serial}.pem");
        requested(&bench.find(&path, &subject, &[], staple))
    };
    let failing = ask(&mut bench, 1, None)[0];
    let postponed = ask(&mut bench, 2, None)[0];
    let under_way = ask(&mut bench, 3, None)[0];
    let well = authority.staple(&authority.subject(4), NOW, 4 * DAY);
    assert_eq!(ask(&mut bench, 4, Some(well)), []);
    bench.fail_by("address_refused", failing, None);
    bench.postponed(postponed, HOUR);
    let actions = bench.event(Event::WaysChanged);
    assert_eq!(requested(&actions), [failing, postponed]);
    assert_eq!(requested(&bench.fail(under_way, None)), [under_way]);
    // Once.
    assert_eq!(requested(&bench.fail(under_way, None)), []);
}

#[test]
fn a_new_certificate_that_its_responder_does_not_know_yet_is_no_trouble_for_half_an_hour() {
    let authority = Authority::new();
    let builder = |age: Duration| {
        let mut builder = CertificateBuilder::new("Issuer", "leaf", &[0x10, 9]);
        builder.not_before = time(NOW.saturating_sub(age));
        authority.subject_of(builder)
    };
    let informed = |actions: &[Action]| {
        let all = reports(actions);
        all.iter()
            .any(|report| matches!(report, Notice::NotKnownYet { .. }))
    };
    for kind in ["unknown", "unauthorized"] {
        let mut bench = Bench::new();
        let id = requested(&bench.find("/a.pem", &builder(HOUR), &[], None))[0];
        let begun = bench.now.monotonic;
        let mut expiring = Vec::new();
        while bench.now.monotonic < begun + HOUR / 2 {
            let actions = bench.fail_by(kind, id, None);
            assert!(informed(&actions), "{kind}");
            assert_eq!(failure_kinds(&actions), [""; 0]);
            assert_eq!(bench.state("/a.pem").kind(), "waiting");
            let wait = bench.next_wakeup();
            assert!(wait <= HOUR / 12, "{wait:?}");
            expiring = bench.pass(wait);
            if requested(&expiring).is_empty() {
                break;
            }
        }
        let why = reports(&expiring)
            .into_iter()
            .find_map(|report| match report {
                Notice::Expiring { failure, .. } => failure.as_ref().map(|failure| failure.kind),
                _ => None,
            });
        assert_eq!(why, Some(kind));
        assert_eq!(bench.state("/a.pem").kind(), "failing");
        bench.event(Event::RenewAll);
        let actions = bench.fail_by(kind, id, None);
        assert_eq!(failure_kinds(&actions), [kind]);
    }
    // Of an older one it is trouble at once, and so is every other failure of a new one.
    for (age, kind) in [(3 * DAY, "unauthorized"), (HOUR, "timeout")] {
        let mut bench = Bench::new();
        let id = requested(&bench.find("/a.pem", &builder(age), &[], None))[0];
        let actions = bench.fail_by(kind, id, None);
        assert_eq!(failure_kinds(&actions), [kind]);
        assert_eq!(bench.state("/a.pem").kind(), "failing");
    }
}
