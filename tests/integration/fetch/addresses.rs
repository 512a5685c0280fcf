//! Names, addresses, TLS: the way to a responder.

use std::io;
use std::net::IpAddr;
use std::sync::Mutex;

use staplerd::fetch::Lookup;

use super::faults::full_backlog;
use super::*;
use crate::scripted_responder::{ScriptedResponder, Step, ocsp_answer};
use crate::skip::skipped;
use crate::tls_responder::TlsResponder;

fn lookup(
    answers: impl Fn(&str) -> io::Result<Vec<&'static str>> + Send + Sync + 'static,
) -> Lookup {
    Arc::new(move |host| {
        let addresses = answers(host)?;
        Ok(addresses.iter().map(|text| text.parse().unwrap()).collect())
    })
}

fn url_by_name(responder: &ScriptedResponder) -> String {
    format!("http://ocsp.test:{}/", responder.address.port())
}

#[test]
fn a_dead_ipv6_address_is_not_waited_for_before_the_living_ipv4_one_is_tried() {
    let responder = ScriptedResponder::always(ocsp_answer(RESPONSE));
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        skipped("no IPv6 on this machine");
        return;
    }
    let (_silence, _) = full_backlog(&format!("[::1]:{}", responder.address.port()));
    let settings = Settings {
        lookup: lookup(|_| Ok(vec!["::1", "127.0.0.1"])),
        // Longer than this test may take: whoever waits for the dead address fails it.
        connect_timeout: 4 * DEADLINE,
        request_timeout: 4 * DEADLINE,
        renewal_threads: 1,
        ..settings()
    };
    // From then on the living one is tried first.
    let jobs = (0..50)
        .map(|key| job(key, &[url_by_name(&responder)]))
        .collect();
    for report in fetch_all(settings, jobs) {
        assert_eq!(body(&report.outcome), RESPONSE);
    }
}

#[test]
fn addresses_that_are_all_dead_time_out_together() {
    let (_silence, first) = full_backlog("127.0.0.1:0");
    let (_more_silence, _) = full_backlog(&format!("127.0.0.2:{}", first.port()));
    let settings = Settings {
        lookup: lookup(|_| Ok(vec!["127.0.0.1", "127.0.0.2"])),
        ..impatient()
    };
    let outcome = fetch_one(settings, &[format!("http://ocsp.test:{}/", first.port())]);
    assert_eq!(error(outcome), Error::ConnectTimeout);
}

#[test]
fn a_forbidden_address_is_not_tried_beside_the_others() {
    let inside =
        ScriptedResponder::start_on(std::net::TcpListener::bind("127.0.0.2:0").unwrap(), |_| {
            vec![Step::Send(ocsp_answer(RESPONSE))]
        });
    let port = inside.address.port();
    let (_silence, _) = full_backlog(&format!("127.0.0.1:{port}"));
    let settings = Settings {
        addresses: AddressRules::parse(&["127.0.0.1"]).unwrap(),
        lookup: lookup(|_| Ok(vec!["127.0.0.1", "127.0.0.2"])),
        ..impatient()
    };
    let outcome = fetch_one(settings, &[url_by_name(&inside)]);
    assert_eq!(error(outcome), Error::ConnectTimeout);
    assert_eq!(inside.connections(), 0);
}

#[test]
fn an_address_that_refuses_leaves_the_next_one() {
    let responder = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let settings = Settings {
        lookup: lookup(|_| Ok(vec!["127.0.0.9", "::1", "127.0.0.1"])),
        ..settings()
    };
    let outcome = fetch_one(settings, &[url_by_name(&responder)]);
    assert_eq!(body(&outcome), RESPONSE);
}

#[test]
fn a_name_that_leads_inwards_is_refused_and_nothing_connects() {
    let responder = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let settings = Settings {
        lookup: lookup(|_| Ok(vec!["127.0.0.1"])),
        ..Settings::default()
    };
    let error = error(fetch_one(settings, &[url_by_name(&responder)]));
    assert_eq!(error.kind(), "address_refused");
    assert_eq!(responder.connections(), 0);
}

#[test]
fn a_name_that_turns_inwards_between_two_lookups_is_judged_each_time() {
    let responder = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let asked = Mutex::new(0);
    let settings = Settings {
        addresses: AddressRules::parse(&["127.0.0.1"]).unwrap(),
        lookup: lookup(move |_| {
            let mut asked = asked.lock().unwrap();
            *asked += 1;
            Ok(vec![if *asked == 1 {
                "127.0.0.1"
            } else {
                "127.0.0.2"
            }])
        }),
        ..settings()
    };
    let first = url_by_name(&responder);
    assert_eq!(
        body(&fetch_one(settings.clone(), std::slice::from_ref(&first))),
        RESPONSE
    );
    assert_eq!(
        error(fetch_one(settings, &[first])).kind(),
        "address_refused"
    );
}

#[test]
fn a_name_without_addresses_is_an_error_of_its_own() {
    for answer in [Ok(vec![]), Err(())] {
        let settings = Settings {
            lookup: lookup(move |_| answer.clone().map_err(|()| io::Error::other("SERVFAIL"))),
            ..settings()
        };
        let error = error(fetch_one(settings, &["http://ocsp.test/".to_owned()]));
        assert_eq!(error.kind(), "resolve");
    }
}

#[test]
fn slow_name_lookup_times_out_and_holds_up_nobody_else() {
    let alive = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let settings = Settings {
        lookup: lookup(move |host| match host {
            "slow.test" => {
                let _ = held.lock().unwrap().recv();
                Err(io::Error::other("released"))
            }
            _ => Ok(vec!["127.0.0.1"]),
        }),
        ..impatient()
    };
    let jobs = (0..100)
        .map(|key| match key % 10 {
            0 => job(key, &["http://slow.test/".to_owned()]),
            _ => job(key, &[url_by_name(&alive)]),
        })
        .collect();
    for report in fetch_all(settings, jobs) {
        match report.key % 10 {
            0 => assert!(["resolve", "circuit_open"].contains(&error(report.outcome).kind())),
            _ => assert_eq!(body(&report.outcome), RESPONSE),
        }
    }
    drop(release);
}

#[test]
fn a_host_name_is_looked_up_once_for_many_certificates() {
    let responder = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let lookups = Arc::new(Mutex::new(0));
    let counter = lookups.clone();
    let settings = Settings {
        lookup: lookup(move |_| {
            *counter.lock().unwrap() += 1;
            Ok(vec!["127.0.0.1"])
        }),
        ..settings()
    };
    let jobs = (0..100)
        .map(|key| job(key, &[url_by_name(&responder)]))
        .collect();
    fetch_all(settings, jobs);
    assert_eq!(*lookups.lock().unwrap(), 1);
}

#[test]
fn a_responder_over_ipv6_is_asked_as_any_other() {
    let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else {
        skipped("no IPv6 on this machine");
        return;
    };
    let responder =
        ScriptedResponder::start_on(listener, |_| vec![Step::Send(ocsp_answer(RESPONSE))]);
    assert_eq!(body(&fetch_one(settings(), &[responder.url()])), RESPONSE);
    assert_eq!(responder.address.ip(), "::1".parse::<IpAddr>().unwrap());
}

#[test]
fn a_tls_responder_nobody_vouches_for_is_refused() {
    let responder = TlsResponder::start(RESPONSE);
    let error = error(fetch_one(settings(), &[responder.url()]));
    assert_eq!(error.kind(), "tls", "{error}");
}

#[test]
fn a_tls_responder_the_system_trusts_is_asked() {
    let responder = TlsResponder::start(RESPONSE);
    // The trusted certificates are read from the environment once, so a process of its own.
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fetch::addresses::trusting", "--ignored"])
        .stdout(std::process::Stdio::null())
        .env("SSL_CERT_FILE", responder.certificate.path())
        .env(TRUSTED_URL, responder.url())
        .status()
        .unwrap();
    assert!(status.success());
}

/// Names the URL that [`trusting`] asks.
const TRUSTED_URL: &str = "STAPLERD_TEST_TRUSTED_URL";

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn trusting() {
    let url = std::env::var(TRUSTED_URL).unwrap();
    assert_eq!(body(&fetch_one(settings(), &[url])), RESPONSE);
}

#[test]
fn a_responder_that_speaks_no_tls_is_a_tls_error() {
    let responder =
        ScriptedResponder::start_on(std::net::TcpListener::bind("127.0.0.1:0").unwrap(), |_| {
            Vec::new()
        });
    let address = responder.address;
    let error = error(fetch_one(impatient(), &[format!("https://{address}/")]));
    assert!(
        ["connect_timeout", "tls"].contains(&error.kind()),
        "{error}"
    );
}
