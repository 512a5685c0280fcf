//! Answers at the edges of HTTP, and faults that come together: each ends in an outcome of its own,
//! within the deadline, and never in bytes that nobody sent as an answer.

use super::*;
use crate::scripted_responder::{ScriptedResponder, Step, answer, ocsp_answer};

/// What a script has to end in.
#[derive(Debug)]
enum Expected {
    /// [`RESPONSE`].
    Answer,
    /// An error of this kind.
    Error(&'static str),
}
use Expected::{Answer as Good, Error as Bad};

struct Case {
    name: &'static str,
    steps: Vec<Step>,
    expected: Expected,
}

fn case(name: &'static str, bytes: impl Into<Vec<u8>>, expected: Expected) -> Case {
    // Whoever gets no answer by now gets none: the connection is closed.
    let steps = vec![Step::Send(bytes.into()), Step::Close];
    Case {
        name,
        steps,
        expected,
    }
}

/// A 200 answer with these header lines and the response as its body.
fn with(headers: &str) -> Vec<u8> {
    [
        b"HTTP/1.1 200 OK\r\n",
        headers.as_bytes(),
        b"\r\n",
        RESPONSE,
    ]
    .concat()
}

/// A 200 answer in these chunks.
fn chunked(chunks: &[u8]) -> Vec<u8> {
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        chunks,
    ]
    .concat()
}

/// Fetches from one responder for each case, all at the same time.
fn check(settings: Settings, cases: Vec<Case>) {
    let (responders, cases): (Vec<_>, Vec<_>) = cases
        .into_iter()
        .map(
            |Case {
                 name,
                 steps,
                 expected,
             }| {
                let responder = ScriptedResponder::start(move |_| steps.clone());
                (responder, (name, expected))
            },
        )
        .unzip();
    let jobs = responders
        .iter()
        .enumerate()
        .map(|(key, responder)| job(key, &[responder.url()]))
        .collect();
    let mut surprises = Vec::new();
    for report in fetch_all(settings, jobs) {
        let (name, expected) = &cases[report.key];
        let is_expected = match (&report.outcome, expected) {
            (Ok(FetchedAnswer::Judged { judgement, .. }), Good) => judgement == RESPONSE,
            (Err(failure), Bad(kind)) => failure.error.kind() == *kind,
            _ => false,
        };
        if !is_expected {
            surprises.push(format!("{name}: {:?}, not {expected:?}", report.outcome));
        }
    }
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
}

#[test]
fn status_lines_of_all_sorts() {
    let line = |line: &str| {
        let rest = b"\r\nContent-Length: 5\r\n\r\n";
        [line.as_bytes(), rest, RESPONSE].concat()
    };
    check(
        settings(),
        vec![
            case("no reason", line("HTTP/1.1 200 "), Good),
            case("no reason and no space", line("HTTP/1.1 200"), Good),
            case("HTTP/1.0", line("HTTP/1.0 200 OK"), Good),
            case("HTTP/2", line("HTTP/2.0 200 OK"), Bad("not_http")),
            case("lower case", line("http/1.1 200 OK"), Bad("not_http")),
            case("four digits", line("HTTP/1.1 2000 OK"), Bad("not_http")),
            case("no digits", line("HTTP/1.1 OK"), Bad("not_http")),
            case("another protocol", line("ICY 200 OK"), Bad("not_http")),
            case("blank line first", line("\r\nHTTP/1.1 200 OK"), Good),
            case("HTTP/0.9", RESPONSE, Bad("not_http")),
            case(
                "a TLS alert",
                b"\x15\x03\x01\x00\x02\x02\x28",
                Bad("not_http"),
            ),
            case("NUL", line("HTTP/1.1 200 O\0K"), Bad("not_http")),
        ],
    );
}

#[test]
fn lengths_of_all_sorts() {
    check(
        settings(),
        vec![
            case("twice the same", with("Content-Length: 5\r\nContent-Length: 5\r\n"), Good),
            case("two different", with("Content-Length: 5\r\nContent-Length: 3\r\n"), Bad("not_http")),
            case("negative", with("Content-Length: -5\r\n"), Bad("not_http")),
            case("signed", with("Content-Length: +5\r\n"), Bad("not_http")),
            case("hexadecimal", with("Content-Length: 0x5\r\n"), Bad("not_http")),
            case("beyond 64 bits", with("Content-Length: 99999999999999999999\r\n"), Bad("not_http")),
            case("the largest", with("Content-Length: 18446744073709551615\r\n"), Bad("too_large")),
            case("shorter than the body", with("Content-Length: 4\r\n"), Bad("truncated")),
            case("zero", with("Content-Length: 0\r\n"), Bad("empty")),
            case("beside chunks", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n\x30\x03\x0a\x01\x03\r\n0\r\n\r\n", Good),
        ],
    );
}

#[test]
fn chunks_of_all_sorts() {
    check(
        settings(),
        vec![
            case(
                "extension",
                chunked(b"5;a=b\r\n\x30\x03\x0a\x01\x03\r\n0\r\n\r\n"),
                Good,
            ),
            case(
                "leading zeros",
                chunked(b"0005\r\n\x30\x03\x0a\x01\x03\r\n0\r\n\r\n"),
                Good,
            ),
            case(
                "trailer",
                chunked(b"5\r\n\x30\x03\x0a\x01\x03\r\n0\r\nX: y\r\n\r\n"),
                Good,
            ),
            case(
                "negative",
                chunked(b"-5\r\n\x30\x03\x0a\x01\x03\r\n0\r\n\r\n"),
                Bad("not_http"),
            ),
            case(
                "beyond 64 bits",
                chunked(b"fffffffffffffffff\r\n\x30"),
                Bad("not_http"),
            ),
            case(
                "no number",
                chunked(b"\r\n\x30\x03\x0a\x01\x03\r\n0\r\n\r\n"),
                Bad("not_http"),
            ),
            case(
                "longer than said",
                chunked(b"3\r\n\x30\x03\x0a\x01\x03\r\n0\r\n\r\n"),
                Bad("not_http"),
            ),
            case(
                "cut off in a size",
                chunked(b"5\r\n\x30\x03\x0a\x01\x03\r\n0"),
                Bad("truncated"),
            ),
            case("nothing", chunked(b"0\r\n\r\n"), Bad("empty")),
            case(
                "another coding",
                with("Transfer-Encoding: gzip, chunked\r\n"),
                Bad("truncated"),
            ),
        ],
    );
}

#[test]
fn headers_of_all_sorts() {
    let many = "X: y\r\n".repeat(1000);
    let long = format!("X: {}\r\n", "y".repeat(64 * 1024));
    check(
        settings(),
        vec![
            case(
                "folded",
                with("X: a\r\n b\r\nContent-Length: 5\r\n"),
                Bad("not_http"),
            ),
            case(
                "NUL in a value",
                with("X: a\0b\r\nContent-Length: 5\r\n"),
                Bad("not_http"),
            ),
            case(
                "NUL in a name",
                with("X\0: b\r\nContent-Length: 5\r\n"),
                Bad("not_http"),
            ),
            case(
                "no colon",
                with("X\r\nContent-Length: 5\r\n"),
                Bad("not_http"),
            ),
            case("Latin-1", with("X: \u{e9}\r\nContent-Length: 5\r\n"), Good),
            case("a thousand", with(&many), Bad("not_http")),
            case("64 KiB", with(&long), Bad("too_large")),
            case(
                "line feeds alone",
                b"HTTP/1.1 200 OK\nContent-Length: 5\n\n\x30\x03\x0a\x01\x03".to_vec(),
                Good,
            ),
        ],
    );
}

#[test]
fn codings_and_statuses_of_all_sorts() {
    let bomb = [&[0x1f, 0x8b, 0x08][..], &[0; 4096]].concat();
    check(
        settings(),
        vec![
            case(
                "identity",
                answer("200 OK", "Content-Encoding: identity\r\n", RESPONSE),
                Good,
            ),
            case(
                "gzip",
                answer("200 OK", "Content-Encoding: gzip\r\n", &bomb),
                Bad("encoding"),
            ),
            case("gzip unsaid", ocsp_answer(&bomb), Bad("not_ocsp")),
            case(
                "204",
                b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
                Bad("http_status"),
            ),
            case(
                "206",
                answer("206 Partial Content", "", RESPONSE),
                Bad("http_status"),
            ),
            case(
                "304 to no question",
                b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec(),
                Bad("http_status"),
            ),
            case(
                "407",
                answer("407 Proxy Authentication Required", "", b""),
                Bad("http_status"),
            ),
            case("999", answer("999 Denied", "", b""), Bad("http_status")),
            case(
                "101",
                b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec(),
                Bad("http_status"),
            ),
            case(
                "bytes after the DER",
                ocsp_answer(b"\x30\x03\x0a\x01\x03\0"),
                Bad("not_ocsp"),
            ),
            case(
                "two responses",
                ocsp_answer(&RESPONSE.repeat(2)),
                Bad("not_ocsp"),
            ),
        ],
    );
}

#[test]
fn redirects_of_all_sorts() {
    let to = |location: &str| answer("302 Found", &format!("Location: {location}\r\n"), b"");
    check(
        settings(),
        vec![
            case("empty", to(""), Bad("too_many_redirects")),
            case("only a fragment", to("#x"), Bad("too_many_redirects")),
            case(
                "with a user name",
                to("http://user@127.0.0.1/"),
                Bad("invalid_url"),
            ),
            case(
                "another scheme",
                to("gopher://127.0.0.1/"),
                Bad("invalid_url"),
            ),
            case("port zero", to("http://127.0.0.1:0/"), Bad("invalid_url")),
            case(
                "very long",
                to(&format!("/{}", "x".repeat(3000))),
                Bad("invalid_url"),
            ),
            case("nobody there", to("//127.0.0.1:1/"), Bad("connect_refused")),
            case(
                "unspecified address",
                to("http://0.0.0.0/"),
                Bad("address_refused"),
            ),
            case(
                "metadata service",
                to("http://169.254.169.254/"),
                Bad("address_refused"),
            ),
            case(
                "mapped metadata",
                to("http://[::ffff:169.254.169.254]/"),
                Bad("address_refused"),
            ),
        ],
    );
}

#[test]
fn time_is_measured_over_the_whole_exchange() {
    let pause = Duration::from_millis(1);
    let header = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n".to_vec();
    let steps = |name, steps, expected| Case {
        name,
        steps,
        expected,
    };
    let patient = Settings {
        request_timeout: Duration::from_secs(3),
        ..settings()
    };
    let step = Duration::from_millis(900);
    check(
        patient,
        vec![
            steps(
                "a trickle in time",
                vec![Step::Trickle(ocsp_answer(RESPONSE), pause)],
                Good,
            ),
            steps(
                "steps that add up",
                vec![
                    Step::Pause(step),
                    Step::Send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
                    Step::Pause(step),
                    Step::Send(header.clone()),
                    Step::Trickle(RESPONSE.to_vec(), step),
                ],
                Bad("timeout"),
            ),
            steps(
                "a header line at a time, for ever",
                vec![
                    Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()),
                    Step::Trickle(b"X: y\r\n".repeat(1000), Duration::from_millis(20)),
                ],
                Bad("timeout"),
            ),
            steps(
                "reset while it trickles",
                vec![
                    Step::Trickle(header, pause),
                    Step::Pause(pause * 50),
                    Step::Reset,
                ],
                Bad("truncated"),
            ),
        ],
    );
}

#[test]
fn what_follows_an_answer_on_a_kept_connection_is_no_answer_to_the_next_request() {
    // Another certificate's answer, as far as bytes can tell, right behind the first.
    const SMUGGLED: &[u8] = &[0x30, 0x03, 0x0a, 0x01, 0x06];
    for after in [ocsp_answer(SMUGGLED), SMUGGLED.to_vec(), b"\r\n".to_vec()] {
        let bytes = [ocsp_answer(RESPONSE), after].concat();
        let responder = ScriptedResponder::start(move |_| vec![Step::Send(bytes.clone())]);
        let one_at_a_time = Settings {
            renewal_threads: 1,
            ..settings()
        };
        let jobs = (0..20).map(|key| job(key, &[responder.url()])).collect();
        for report in fetch_all(one_at_a_time, jobs) {
            assert_eq!(body(&report.outcome), RESPONSE);
        }
        assert_eq!(responder.requests().len(), 20);
    }
}

#[test]
fn two_responders_that_redirect_to_each_other_end_it() {
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let here = place.local_addr().unwrap();
    let redirect = move |to: String| answer("301 Moved", &format!("Location: {to}\r\n"), b"");
    let there = ScriptedResponder::always(redirect(format!("http://{here}/back")));
    let to = there.url();
    let one = ScriptedResponder::start_on(place, move |_| vec![Step::Send(redirect(to.clone()))]);
    assert_eq!(
        error(fetch_one(settings(), &[one.url()])),
        Error::TooManyRedirects
    );
    assert!(one.requests().len() + there.requests().len() <= 8);
}

#[test]
fn a_redirect_to_https_on_a_plain_port_is_a_tls_error() {
    let plain = ScriptedResponder::always(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
    let location = format!("Location: https://{}/\r\n", plain.address);
    let redirecting = ScriptedResponder::always(answer("302 Found", &location, b""));
    let kind = error(fetch_one(impatient(), &[redirecting.url()])).kind();
    // The plain one waits for the end of a request that never comes.
    assert!(
        ["tls", "connect_timeout", "timeout"].contains(&kind),
        "{kind}"
    );
}
