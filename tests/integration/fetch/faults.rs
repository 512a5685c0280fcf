//! Each fault of a responder or of the way to it, one at a time.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use staplerd::fetch::{BODY_MAX, Error, HEADER_MAX, Settings};

use tokio::net::TcpSocket;

use super::*;
use crate::scripted_responder::{ScriptedResponder, Step, answer, ocsp_answer};

/// The error one request to a responder with this script ends in.
fn fault(script: impl Fn() -> Vec<Step> + Send + Sync + 'static) -> Error {
    let responder = ScriptedResponder::start(move |_| script());
    error(fetch_one(impatient(), &[responder.url()]))
}

fn fault_of_answer(bytes: Vec<u8>) -> Error {
    fault(move || vec![Step::Send(bytes.clone()), Step::Close])
}

#[test]
fn a_plain_answer_is_fetched_by_get_in_the_form_of_rfc_9919() {
    let responder = ScriptedResponder::always(ocsp_answer(RESPONSE));
    assert_eq!(body(&fetch_one(settings(), &[responder.url()])), RESPONSE);
    let [request] = &responder.requests()[..] else {
        panic!("one request");
    };
    assert_eq!(request.method, "GET");
    assert_eq!(request.target, "/MAMMAf8%3D");
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    assert_eq!(request.header("accept"), Some("application/ocsp-response"));
    assert_eq!(
        request.header("host"),
        Some(responder.address.to_string().as_str())
    );
    assert_eq!(request.header("if-none-match"), None);
}

#[test]
fn a_request_too_long_for_get_is_posted() {
    let responder = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let long: Vec<u8> = [0x30; 300].to_vec();
    let mut job = job(0, &[responder.url()]);
    job.request = Arc::from(long.clone());
    let outcome = fetch_all(settings(), vec![job]).remove(0).outcome;
    assert_eq!(body(&outcome), RESPONSE);
    // The first was without a body, to hear whether this is HTTP.
    let request = &responder.requests()[1];
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", "/")
    );
    assert_eq!(
        request.header("content-type"),
        Some("application/ocsp-request")
    );
    assert_eq!(request.body, long);
}

#[test]
fn a_404_on_get_is_asked_once_more_by_post() {
    let responder = ScriptedResponder::start(|request| {
        vec![Step::Send(match request.method.as_str() {
            "POST" => ocsp_answer(RESPONSE),
            _ => answer("404 Not Found", "", b"no"),
        })]
    });
    assert_eq!(body(&fetch_one(settings(), &[responder.url()])), RESPONSE);
    assert_eq!(responder.requests()[1].body, REQUEST);
}

#[test]
fn a_404_on_both_is_the_outcome_after_two_requests() {
    let responder = ScriptedResponder::always(answer("404 Not Found", "", b""));
    let error = error(fetch_one(settings(), &[responder.url()]));
    assert!(
        matches!(
            error,
            Error::HttpStatus {
                code: 404,
                retry_after: None
            }
        ),
        "{error}"
    );
    assert_eq!(responder.requests().len(), 2);
}

#[test]
fn server_errors_are_not_repeated_and_retry_after_is_handed_on() {
    let responder = ScriptedResponder::always(answer(
        "503 Service Unavailable",
        "Retry-After: 120\r\n",
        b"",
    ));
    let error = error(fetch_one(settings(), &[responder.url()]));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(120)));
    assert_eq!(responder.requests().len(), 1);
}

#[test]
fn too_many_requests_with_a_date_is_a_wait() {
    let responder = ScriptedResponder::always(answer(
        "429 Too Many Requests",
        "Date: Fri, 20 Nov 2026 08:00:00 GMT\r\nRetry-After: Fri, 20 Nov 2026 09:00:00 GMT\r\n",
        b"",
    ));
    let error = error(fetch_one(settings(), &[responder.url()]));
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)));
}

#[test]
fn a_wrong_content_type_is_forgiven_only_where_the_body_is_an_ocsp_response() {
    let mislabelled = answer("200 OK", "Content-Type: text/html\r\n", RESPONSE);
    let responder = ScriptedResponder::always(mislabelled);
    assert_eq!(body(&fetch_one(settings(), &[responder.url()])), RESPONSE);

    let page = answer(
        "200 OK",
        "Content-Type: text/html\r\n",
        b"<html>Sorry</html>",
    );
    let error = fault_of_answer(page);
    assert!(matches!(&error, Error::NotOcsp { content_type } if content_type == "text/html"));
    for body in [&b"MIIBojCC"[..], b"-----BEGIN OCSP RESPONSE-----\n"] {
        assert_eq!(fault_of_answer(ocsp_answer(body)).kind(), "not_ocsp");
    }
}

#[test]
fn an_empty_answer_is_empty() {
    assert_eq!(fault_of_answer(ocsp_answer(b"")), Error::Empty);
}

#[test]
fn a_body_cut_off_is_never_taken_for_an_answer() {
    let by_length = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n\x30\x03\x0a\x01\x03".to_vec();
    let by_chunks =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n\x30\x03\x0a\x01\x03\r\n"
            .to_vec();
    let by_close = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\x30\x03\x0a".to_vec();
    for bytes in [by_length, by_chunks, by_close] {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(fault_of_answer(bytes), Error::Truncated, "{text}");
    }
}

#[test]
fn chunks_and_a_body_up_to_the_close_are_read() {
    let chunked =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\x30\x03\r\n3\r\n\x0a\x01\x03\r\n0\r\n\r\n"
            .to_vec();
    let to_the_close = b"HTTP/1.0 200 OK\r\n\r\n\x30\x03\x0a\x01\x03".to_vec();
    for bytes in [chunked, to_the_close] {
        let responder =
            ScriptedResponder::start(move |_| vec![Step::Send(bytes.clone()), Step::Close]);
        assert_eq!(body(&fetch_one(settings(), &[responder.url()])), RESPONSE);
    }
}

#[test]
fn an_interim_answer_is_skipped() {
    let mut bytes = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
    bytes.extend(ocsp_answer(RESPONSE));
    let responder = ScriptedResponder::always(bytes);
    assert_eq!(body(&fetch_one(settings(), &[responder.url()])), RESPONSE);
}

#[test]
fn a_body_beyond_the_bound_is_refused_by_its_length_or_on_the_way() {
    let claimed = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        BODY_MAX + 1
    );
    // The body never comes: the length alone decides.
    let error = fault(move || vec![Step::Send(claimed.clone().into_bytes()), Step::Hang]);
    assert_eq!(error, Error::TooLarge { limit: BODY_MAX });

    let endless = || {
        let mut steps = vec![Step::Send(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
        )];
        let chunk = [&b"1000\r\n"[..], &[0x30; 0x1000], b"\r\n"].concat();
        steps.extend(vec![Step::Send(chunk); 100]);
        steps
    };
    assert_eq!(fault(endless), Error::TooLarge { limit: BODY_MAX });
}

#[test]
fn the_largest_allowed_body_is_taken() {
    let mut largest = vec![0x30, 0x82, 0xff, 0xfc, 0x0a];
    largest.resize(BODY_MAX, 0);
    let responder = ScriptedResponder::always(ocsp_answer(&largest));
    assert_eq!(body(&fetch_one(settings(), &[responder.url()])), largest);
}

#[test]
fn an_endless_header_is_refused() {
    let header = format!("HTTP/1.1 200 OK\r\nX: {}\r\n", "x".repeat(2 * HEADER_MAX));
    let error = fault(move || vec![Step::Send(header.clone().into_bytes()), Step::Hang]);
    assert_eq!(error.kind(), "too_large");
}

#[test]
fn content_codings_are_refused() {
    let zipped = answer("200 OK", "Content-Encoding: gzip\r\n", &[0x1f, 0x8b, 0x08]);
    let error = fault_of_answer(zipped);
    assert!(
        matches!(&error, Error::Encoding { coding } if coding == "gzip"),
        "{error}"
    );
}

#[test]
fn an_answer_that_is_no_http_is_refused() {
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"HTTP/1.1 huh\r\n\r\n",
        &[0; 40],
    ] {
        assert_eq!(fault_of_answer(bytes.to_vec()).kind(), "not_http");
    }
}

#[test]
fn a_responder_that_never_answers_times_out() {
    assert_eq!(fault(|| vec![Step::Hang]), Error::Timeout);
}

#[test]
fn a_responder_that_trickles_times_out_although_it_is_never_idle() {
    let slow = || {
        vec![Step::Trickle(
            ocsp_answer(RESPONSE),
            Duration::from_millis(50),
        )]
    };
    assert_eq!(fault(slow), Error::Timeout);
    let slow_body = || {
        vec![
            Step::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\x30".to_vec()),
            Step::Trickle(RESPONSE[1..].to_vec(), Duration::from_millis(400)),
        ]
    };
    assert_eq!(fault(slow_body), Error::Timeout);
}

#[test]
fn a_reset_and_a_close_without_an_answer_are_told_apart() {
    assert_eq!(fault(|| vec![Step::Reset]), Error::Reset);
    assert_eq!(fault(|| vec![Step::Close]), Error::Closed);
    let half_a_header = || {
        vec![
            Step::Send(b"HTTP/1.1 200 OK\r\nConte".to_vec()),
            Step::Close,
        ]
    };
    assert_eq!(fault(half_a_header), Error::Closed);
}

#[test]
fn a_reset_within_the_body_cuts_it_off() {
    let error = fault(|| {
        let part = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\x30\x03";
        // The pause lets the part arrive before the reset discards what was not read.
        vec![
            Step::Send(part.to_vec()),
            Step::Pause(Duration::from_millis(100)),
            Step::Reset,
        ]
    });
    assert_eq!(error, Error::Truncated);
}

#[test]
fn a_port_where_nobody_listens_refuses() {
    let vacated = ScriptedResponder::always(Vec::new()).url();
    assert_eq!(
        error(fetch_one(settings(), &[vacated])),
        Error::ConnectRefused
    );
}

#[test]
fn a_host_that_drops_connection_attempts_times_out_on_connecting() {
    let (_silence, address) = full_backlog("127.0.0.1:0");
    let outcome = fetch_one(impatient(), &[format!("http://{address}/")]);
    assert_eq!(error(outcome), Error::ConnectTimeout);
}

#[test]
fn a_kept_connection_closed_under_us_costs_one_retry_and_no_error() {
    // Each connection answers one request, then closes exactly when the next one arrives.
    let responder = ScriptedResponder::start(|request| match request.number_on_connection {
        0 => vec![Step::Send(ocsp_answer(RESPONSE))],
        _ => vec![Step::Reset],
    });
    let one_at_a_time = Settings {
        renewal_threads: 1,
        ..settings()
    };
    let jobs = (0..5).map(|key| job(key, &[responder.url()])).collect();
    for report in fetch_all(one_at_a_time, jobs) {
        assert_eq!(body(&report.outcome), RESPONSE);
    }
    assert_eq!(responder.connections(), 5);
    assert_eq!(responder.requests().len(), 9);
}

#[test]
fn a_fresh_connection_closed_without_an_answer_is_not_retried() {
    let responder = ScriptedResponder::start(|_| vec![Step::Close]);
    assert_eq!(
        error(fetch_one(settings(), &[responder.url()])),
        Error::Closed
    );
    assert_eq!(responder.connections(), 1);
}

#[test]
fn connections_are_kept_and_used_again() {
    let responder = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let settings = Settings {
        renewal_threads: 1,
        ..settings()
    };
    let jobs = (0..20).map(|key| job(key, &[responder.url()])).collect();
    fetch_all(settings, jobs);
    assert_eq!(
        (responder.connections(), responder.requests().len()),
        (1, 20)
    );
}

#[test]
fn redirects_are_followed_three_times_and_not_in_circles() {
    let target = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let location = format!("{}end", target.url());
    let chain = |hops: usize| {
        let location = location.clone();
        ScriptedResponder::start(move |request| {
            let next = if request.number + 1 == hops {
                location.clone()
            } else {
                format!("/hop{}", request.number)
            };
            vec![Step::Send(answer(
                "302 Found",
                &format!("Location: {next}\r\n"),
                b"",
            ))]
        })
    };
    let three = chain(3);
    assert_eq!(body(&fetch_one(settings(), &[three.url()])), RESPONSE);
    assert_eq!(target.requests()[0].target, "/end");

    let circle = ScriptedResponder::start(|_| {
        vec![Step::Send(answer("301 Moved", "Location: /again\r\n", b""))]
    });
    let error = error(fetch_one(settings(), &[circle.url()]));
    assert_eq!(error, Error::TooManyRedirects);
    // GET: the URL, /again, stop; then the same by POST.
    assert_eq!(circle.requests().len(), 4);
}

#[test]
fn a_redirected_post_stays_a_post() {
    let responder = ScriptedResponder::start(|request| {
        vec![Step::Send(
            match (request.method.as_str(), request.target.as_str()) {
                ("POST", "/") => answer("307 Temporary Redirect", "Location: /there\r\n", b""),
                ("POST", "/there") => ocsp_answer(RESPONSE),
                _ => answer("405 Method Not Allowed", "", b""),
            },
        )]
    });
    assert_eq!(body(&fetch_one(settings(), &[responder.url()])), RESPONSE);
    assert_eq!(responder.requests()[2].body, REQUEST);
}

#[test]
fn a_redirect_to_a_forbidden_address_is_refused_and_nothing_connects_there() {
    let inside = ScriptedResponder::start_on(TcpListener::bind("127.0.0.2:0").unwrap(), |_| {
        vec![Step::Send(ocsp_answer(RESPONSE))]
    });
    let headers = format!("Location: {}\r\n", inside.url());
    let outside = ScriptedResponder::always(answer("302 Found", &headers, b""));
    let only_outside = Settings {
        addresses: AddressRules::parse(&["127.0.0.1"]).unwrap(),
        ..settings()
    };
    let error = error(fetch_one(only_outside, &[outside.url()]));
    assert_eq!(
        error.to_string(),
        "127.0.0.2 is a loopback address; --allow-addresses loopback would allow it"
    );
    assert_eq!(inside.connections(), 0);
}

#[test]
fn redirects_to_other_schemes_and_nowhere_are_refused() {
    let error = fault_of_answer(answer("302 Found", "Location: file:///etc/passwd\r\n", b""));
    assert_eq!(error.kind(), "invalid_url");
    let error = fault_of_answer(answer("302 Found", "", b""));
    assert!(
        matches!(error, Error::HttpStatus { code: 302, .. }),
        "{error}"
    );
}

#[test]
fn loopback_in_any_spelling_is_refused_by_default_and_nothing_connects() {
    let responder = ScriptedResponder::always(ocsp_answer(RESPONSE));
    let port = responder.address.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "[::ffff:127.0.0.1]",
    ] {
        let url = format!("http://{host}:{port}/");
        let error = error(fetch_one(Settings::default(), &[url]));
        assert!(
            ["address_refused", "resolve"].contains(&error.kind()),
            "{host}: {error}"
        );
    }
    assert_eq!(responder.connections(), 0);
}

/// A listener whose queue is full, so that the kernel drops further attempts to connect; and what
/// keeps it full.
pub(super) fn full_backlog(address: &str) -> (Silence, SocketAddr) {
    let address: SocketAddr = address.parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(async {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4().unwrap(),
            SocketAddr::V6(_) => TcpSocket::new_v6().unwrap(),
        };
        socket.bind(address).unwrap();
        socket.listen(1).unwrap().into_std().unwrap()
    });
    let address = listener.local_addr().unwrap();
    let mut fillers = Vec::new();
    while let Ok(filler) = TcpStream::connect_timeout(&address, Duration::from_millis(100)) {
        fillers.push(filler);
        assert!(fillers.len() < 16, "the queue is never full");
    }
    (
        Silence {
            _listener: listener,
            _fillers: fillers,
        },
        address,
    )
}

pub(super) struct Silence {
    _listener: TcpListener,
    _fillers: Vec<TcpStream>,
}
