//! What strangers choose and what of it goes over a wire: nothing that another protocol could take
//! for a command, against real HAProxys' stats sockets and against listeners that take down all.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::time::Instant;

use staplerd::fetch::{ForeignListener, ListenerKind, OffLimits, Proxies, Validators};

use super::*;
use crate::scripted_responder::{Request, ScriptedResponder, Step, answer, ocsp_answer};
use crate::support::haproxy::{Haproxy, Setup, installations};

/// A request as a certificate with the serial number `\ndisable frontend tls\n` would make it, if
/// serial numbers of that length were taken.
const COMMAND: &[u8] = b"\x30\x16\ndisable frontend tls\n";

/// Gives one command over a TCP stats socket.
fn ask(socket: SocketAddr, command: &str) -> String {
    let mut stream = TcpStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(format!("{command}\n").as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

/// A job of this attacker's, at these URLs.
fn attack(urls: &[String]) -> Job<usize> {
    let mut job = job(0, urls);
    job.request = Arc::from(COMMAND);
    job.conditional = Some(Validators {
        url: "http://elsewhere.test/".to_owned(),
        etag: Some("\";disable frontend tls;\"".to_owned()),
        last_modified: Some(";disable frontend tls;".to_owned()),
    });
    job
}

#[test]
fn no_url_and_no_serial_number_gives_a_command_to_haproxys_stats_socket() {
    for installation in installations("commands by URL and serial number") {
        let setup = Setup {
            global: "stats socket ipv4@{other_tls} level admin".to_owned(),
            ..Setup::default()
        };
        let authority = crate::support::pki::Authority::new();
        let site = authority.issue("site", None).pem();
        let haproxy = Haproxy::start(&installation, setup, &[("site.pem", site.as_bytes())]);
        let socket = haproxy.other_tls;
        let is_open = || {
            let table = ask(socket, "show stat");
            let row = table.lines().find(|row| row.starts_with("tls,FRONTEND"));
            row.unwrap().split(',').nth(17) == Some("OPEN")
        };
        assert!(is_open(), "{installation:?}");
        let redirect = format!(
            "Location: http://{socket}/;disable%20frontend%20tls;?;disable frontend tls;\r\n"
        );
        let elsewhere = ScriptedResponder::always(answer("307 Temporary Redirect", &redirect, b""));
        for path in [
            ";prompt;?x",
            "?;disable frontend tls;",
            ";disable%20frontend%20tls;",
            "%0Adisable%20frontend%20tls%0A/;prompt;",
            &format!("{}?x", "long/".repeat(60)),
        ] {
            fetch_all(
                settings(),
                vec![attack(&[format!("http://{socket}/{path}")])],
            );
        }
        fetch_all(settings(), vec![attack(&[elsewhere.url()])]);
        fetch_all(
            settings(),
            vec![attack(&[format!("{}?x", elsewhere.url())])],
        );
        assert!(is_open(), "{installation:?}");

        // Where it is known for what it is, not even a connection is made.
        let off_limits = OffLimits::default();
        off_limits.replace(vec![ForeignListener {
            address: Some(socket.ip()),
            port: socket.port(),
            kind: ListenerKind::ControlSocket,
        }]);
        let url = format!("http://localhost:{}/", socket.port());
        let by_the_operator = Settings {
            off_limits,
            operators_urls: Arc::new([url.clone()].into()),
            ..settings()
        };
        let error = error(fetch_one(by_the_operator, &[url]));
        assert!(error.to_string().contains("control socket"), "{error}");
    }
}

/// A listener that speaks another protocol, and all that was said to it.
struct Other {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Other {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&heard);
        std::thread::spawn(move || {
            // Ends with the test's process.
            while let Ok((mut stream, _)) = listener.accept() {
                let mut buffer = [0; 4096];
                while let Ok(length @ 1..) = stream.read(&mut buffer) {
                    notes.lock().unwrap().extend(&buffer[..length]);
                    if stream.write_all(b"-ERR unknown command\r\n").is_err() {
                        break;
                    }
                }
            }
        });
        Other { address, heard }
    }
}

#[test]
fn who_does_not_speak_http_hears_only_words_without_separators() {
    let other = Other::start();
    let mut urls = Vec::new();
    for character in (0x21..0x7f).map(char::from).chain(['ä', '\u{85}']) {
        urls.push(format!("http://{}/x{character}y", other.address));
        urls.push(format!("http://{}/?x{character}y", other.address));
    }
    for url in urls {
        fetch_all(settings(), vec![attack(&[url])]);
    }
    let heard = other.heard.lock().unwrap();
    let text = String::from_utf8(heard.clone()).unwrap();
    assert!(text.contains("/x%3By") && text.contains("?x%60y"), "{text}");
    assert!(!text.contains("disable"), "no body, no validator: {text}");
    for line in text.lines() {
        let is_header = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
        assert!(line.bytes().all(is_header), "{line}");
        let path = line.strip_prefix("GET ").or(line.strip_prefix("POST "));
        if let Some(path) = path {
            let (path, version) = path.split_once(' ').unwrap();
            assert_eq!(version, "HTTP/1.1");
            assert!(
                !path.contains([';', '|', '&', '$', '`', '\\', '"', '\'', '<']),
                "{path}"
            );
        }
    }
}

fn bodies(responder: &ScriptedResponder) -> Vec<Vec<u8>> {
    let requests = responder.requests().into_iter();
    requests.map(|request| request.body).collect()
}

#[test]
fn a_body_is_preceded_by_a_question_without_one_and_only_once() {
    let responder = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let url = format!("{}?by=post", responder.url());
    let jobs = vec![job(0, std::slice::from_ref(&url))];
    fetch_all(settings(), jobs);
    assert_eq!(bodies(&responder), [&[][..], REQUEST]);
    // The service that knows is gone; within one, once is enough.
    let settings = Settings {
        renewal_threads: 1,
        ..settings()
    };
    let jobs = (0..3)
        .map(|key| job(key, std::slice::from_ref(&url)))
        .collect();
    fetch_all(settings, jobs);
    assert_eq!(
        bodies(&responder)[2..],
        [&[][..], REQUEST, REQUEST, REQUEST]
    );
}

#[test]
fn a_proxys_own_answer_does_not_make_anybody_behind_it_known() {
    let proxy = ScriptedResponder::always(answer("502 Bad Gateway", "", b""));
    let settings = Settings {
        proxies: Proxies::parse(Some(&proxy.url()), None, "").unwrap(),
        ..settings()
    };
    let error = error(fetch_one(settings, &["http://ocsp.test/?post".to_owned()]));
    assert_eq!(error.kind(), "not_http");
    assert!(bodies(&proxy).iter().all(Vec::is_empty));
}

#[test]
fn the_operators_own_url_needs_no_permission_and_is_sent_as_it_is() {
    let inside = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let url = format!("{};v=1", inside.url());
    let rules = Settings {
        operators_urls: Arc::new([url.clone()].into()),
        ..Settings::default()
    };
    assert_eq!(body(&fetch_one(rules.clone(), &[url])), RESPONSE);
    assert_eq!(inside.requests()[0].target, "/;v=1/MAMMAf8%3D");
    // Another path of the same host is not what he wrote.
    let outcome = fetch_one(rules.clone(), &[inside.url()]);
    assert_eq!(error(outcome).kind(), "address_refused");

    // Within the host he wrote redirects are followed; what is there is the responder's to say.
    let moved = ScriptedResponder::start(|request| {
        vec![Step::Send(match request.target.as_str() {
            "/there/%3Bx" => ocsp_answer(RESPONSE),
            _ => answer("302 Found", "Location: /there/;x\r\n", b""),
        })]
    });
    let by_the_operator = Settings {
        operators_urls: Arc::new([moved.url()].into()),
        ..Settings::default()
    };
    assert_eq!(body(&fetch_one(by_the_operator, &[moved.url()])), RESPONSE);

    // Where it redirects to otherwise is not his word.
    let headers = format!("Location: {}\r\n", inside.url());
    let redirecting = ScriptedResponder::always(answer("302 Found", &headers, b""));
    let rules = Settings {
        operators_urls: Arc::new([redirecting.url()].into()),
        ..rules
    };
    let outcome = fetch_one(rules, &[redirecting.url()]);
    assert_eq!(error(outcome).kind(), "address_refused");
    assert_eq!(inside.connections(), 1);
}

#[test]
fn the_programs_own_responder_is_asked_by_the_operators_word_only() {
    let own = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let off_limits = OffLimits::default();
    off_limits.replace(vec![ForeignListener {
        address: Some(own.address.ip()),
        port: own.address.port(),
        kind: ListenerKind::OwnResponder,
    }]);
    let by_default = Settings {
        off_limits: off_limits.clone(),
        ..settings()
    };
    let refused = error(fetch_one(by_default.clone(), &[own.url()]));
    assert!(refused.to_string().contains("own responder"), "{refused}");
    let by_url = Settings {
        operators_urls: Arc::new([own.url()].into()),
        ..by_default.clone()
    };
    let by_address = Settings {
        addresses: AddressRules::parse(&[own.address.to_string()]).unwrap(),
        ..by_default
    };
    for settings in [by_url, by_address] {
        assert_eq!(body(&fetch_one(settings, &[own.url()])), RESPONSE);
    }
}

#[test]
fn validators_go_to_the_url_that_gave_them_and_to_no_other() {
    let target = ScriptedResponder::start(|request: &Request| {
        let headers = "ETag: \"7\"\r\nContent-Type: application/ocsp-response\r\n";
        vec![Step::Send(match request.header("if-none-match") {
            Some("\"7\"") => answer("304 Not Modified", "ETag: \"7\"\r\n", b""),
            _ => answer("200 OK", headers, RESPONSE),
        })]
    });
    let location = format!("Location: {}there\r\n", target.url());
    let first = ScriptedResponder::always(answer("302 Found", &location, b""));
    let Ok(FetchedAnswer::Judged { caching, .. }) = fetch_one(settings(), &[first.url()]) else {
        panic!("no answer");
    };
    assert_eq!(caching.validators.url, format!("{}there", target.url()));

    let mut again = job(0, &[first.url()]);
    again.conditional = Some(caching.validators);
    let outcome = fetch_all(settings(), vec![again]).remove(0).outcome;
    assert!(
        matches!(outcome, Ok(FetchedAnswer::NotModified { .. })),
        "{outcome:?}"
    );
    let asked = |responder: &ScriptedResponder| {
        let requests = responder.requests();
        requests
            .last()
            .unwrap()
            .header("if-none-match")
            .map(str::to_owned)
    };
    assert_eq!(asked(&first), None);
    assert_eq!(asked(&target).as_deref(), Some("\"7\""));

    let mut elsewhere = job(0, &[first.url()]);
    elsewhere.conditional = Some(Validators {
        url: "http://other.test/".to_owned(),
        etag: Some("\"7\"".to_owned()),
        last_modified: None,
    });
    let outcome = fetch_all(settings(), vec![elsewhere]).remove(0).outcome;
    assert_eq!(body(&outcome), RESPONSE);
    assert_eq!(asked(&target), None);
}

#[test]
fn a_responder_that_is_silent_when_asked_by_get_is_asked_by_post_next_time() {
    let responder = ScriptedResponder::start(|request| {
        vec![match request.method.as_str() {
            "POST" => Step::Send(ocsp_answer(RESPONSE)),
            _ => Step::Hang,
        }]
    });
    let settings = Settings {
        renewal_threads: 1,
        ..impatient()
    };
    let jobs = (0..3).map(|key| job(key, &[responder.url()])).collect();
    let begun = Instant::now();
    let reports = fetch_all(settings, jobs);
    assert!(begun.elapsed() < DEADLINE);
    let answered = reports
        .iter()
        .filter(|report| report.outcome.is_ok())
        .count();
    assert_eq!(answered, 2, "{reports:?}");
    let methods: Vec<String> = responder
        .requests()
        .into_iter()
        .map(|it| it.method)
        .collect();
    assert_eq!(methods, ["GET", "POST", "POST", "POST"]);
}

#[test]
fn a_name_that_a_proxy_resolves_does_not_lead_to_a_control_sockets_port() {
    let proxy = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let off_limits = OffLimits::default();
    off_limits.replace(vec![ForeignListener {
        address: Some([10, 0, 0, 5].into()),
        port: 9999,
        kind: ListenerKind::ControlSocket,
    }]);
    let settings = Settings {
        proxies: Proxies::parse(Some(&proxy.url()), None, "").unwrap(),
        off_limits,
        ..settings()
    };
    let outcome = fetch_one(settings.clone(), &["http://haproxy.test:9999/".to_owned()]);
    assert_eq!(error(outcome).kind(), "address_refused");
    assert_eq!(proxy.connections(), 0);
    let other = fetch_one(settings, &["http://haproxy.test:9998/".to_owned()]);
    assert_eq!(body(&other), RESPONSE);
}
