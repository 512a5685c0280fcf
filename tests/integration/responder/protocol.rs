//! GET, POST and whatever else comes in.
//!
//! Promises: every spelling of a request gets the same answer; nothing gets a 5xx; what is no
//! request is answered malformedRequest, what is not ours unauthorized; caches are told the truth.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use staplerd::ocsp::Rejection;
use staplerd::responder::Settings;

use super::{Serving, ask, authority, get, good, post, request};
use crate::pki::{NONCE, World, extension, octets, sequence, tagged};

const OCSP_RESPONSE: Option<&str> = Some("application/ocsp-response");

/// A request for the leaf whose base64 has `/` and `+` in it: the nonce sees to that.
fn awkward_request(world: &World) -> Vec<u8> {
    let one = sequence(&[world.cert_id().der()]);
    let nonce = extension(
        NONCE,
        false,
        &octets(&[0xff, 0xef, 0xbe, 0xfb, 0xff, 0xff, 0xbe]),
    );
    let extensions = tagged(2, &sequence(&[&nonce]));
    (0..3)
        .map(|more| {
            // One to three octets of a requestor name move the base64 by its three phases.
            let name = tagged(1, &octets(&vec![0; more]));
            sequence(&[&sequence(&[&name, &sequence(&[&one]), &extensions])])
        })
        .find(|request| {
            let text = STANDARD.encode(request);
            text.contains('/') && text.contains('+')
        })
        .expect("one of the phases has both")
}

#[test]
fn every_spelling_of_a_request_is_answered() {
    let world = World::new();
    let serving = Serving::good(&world);
    let bytes = awkward_request(&world);
    let plain = STANDARD.encode(&bytes);
    let encoded = plain
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3d");
    for text in [plain.as_str(), &encoded, plain.trim_end_matches('=')] {
        for prefix in ["/", "//", "/status/", "/status//"] {
            let reply = serving.get(&format!("{prefix}{text}"));
            assert_eq!(reply.status, 200);
            assert_eq!(reply.header("content-type"), OCSP_RESPONSE);
            assert_eq!(reply.verdict(&world), "good", "{prefix}{text}");
        }
    }
    for path in ["/", "/status", "/status/"] {
        assert_eq!(post(serving.address, path, &bytes).verdict(&world), "good");
    }
}

#[test]
fn somebody_who_looks_who_is_there_is_told() {
    let serving = Serving::good(&World::new());
    for path in ["/", "//"] {
        let reply = serving.get(path);
        assert_eq!(reply.status, 200);
        assert!(String::from_utf8_lossy(&reply.body).contains("RFC 6960"));
    }
    let reply = ask(serving.address, "DELETE / HTTP/1.1\r\n", &[]);
    assert_eq!(reply.status, 405);
    assert_eq!(reply.header("allow"), Some("GET, HEAD, POST"));
}

#[test]
fn head_is_get_without_a_body() {
    let world = World::new();
    let serving = Serving::good(&world);
    let path = format!("/{}", STANDARD.encode(request(&world)).replace('/', "%2F"));
    let full = serving.get(&path);
    let head = ask(serving.address, &format!("HEAD {path} HTTP/1.1\r\n"), &[]);
    assert_eq!(head.status, 200);
    assert!(head.body.is_empty());
    let length = full.body.len().to_string();
    assert_eq!(head.header("content-length"), Some(length.as_str()));
    assert_eq!(head.header("etag"), full.header("etag"));
}

#[test]
fn what_is_no_request_is_malformed_and_is_not_cached() {
    let world = World::new();
    let serving = Serving::good(&world);
    let valid = request(&world);
    let too_large = vec![0x30; 100_000];
    let version_2 = {
        let version = tagged(0, &[0x02, 0x01, 0x01]);
        let list = sequence(&[&sequence(&[world.cert_id().der()])]);
        sequence(&[&sequence(&[&version, &list])])
    };
    let bodies: [&[u8]; 6] = [
        b"",
        b"<html>",
        &valid[..valid.len() - 1],
        &[valid.clone(), vec![0]].concat(),
        &too_large,
        &version_2,
    ];
    let mut replies: Vec<_> = bodies.iter().map(|body| serving.post(body)).collect();
    replies.push(serving.get("/favicon.ico"));
    replies.push(serving.get("/%zz"));
    replies.push(serving.get(&format!("/{}", "A".repeat(30_000))));
    for reply in replies {
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), OCSP_RESPONSE);
        assert_eq!(reply.body, [0x30, 0x03, 0x0a, 0x01, 0x01]);
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        for header in ["etag", "expires", "last-modified"] {
            assert_eq!(reply.header(header), None);
        }
    }
}

#[test]
fn no_damage_to_a_request_makes_an_error_of_the_server() {
    let world = World::new();
    let serving = Serving::start(
        vec![authority(&world, good)],
        Settings {
            echo_nonce: true,
            ..Settings::default()
        },
        &[],
    );
    let mut random = Rng::with_seed(6960);
    let seeds = [request(&world), awkward_request(&world)];
    for round in 0..300 {
        let mut bytes = seeds[round % 2].clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..bytes.len());
            match random.u8(0..3) {
                0 => bytes[at] = random.u8(..),
                1 => bytes.truncate(at + 1),
                _ => bytes.insert(at, random.u8(..)),
            }
        }
        let reply = match round % 3 {
            0 => serving.get(&format!("/{}", STANDARD.encode(&bytes))),
            _ => serving.post(&bytes),
        };
        assert_eq!(reply.status, 200);
        // A whole OCSP response in any case, and one that counts for the leaf only where the
        // damage left its CertID alone.
        match reply.judged(&world) {
            Ok(assessment) => {
                let cert_id = world.cert_id();
                let kept = bytes
                    .windows(cert_id.der().len())
                    .any(|window| window == cert_id.der());
                assert!(kept, "{assessment:?}");
            }
            Err(Rejection::Malformed { part, error }) => panic!("{part}: {error}"),
            Err(_) => {}
        }
    }
}

#[test]
fn certificates_of_other_issuers_are_unauthorized() {
    let world = World::new();
    let serving = Serving::good(&world);
    let other = World::new();
    let reply = serving.post(&request(&other));
    assert_eq!(reply.verdict(&other), "unauthorized");
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

#[test]
fn caches_learn_until_when_and_whether_they_have_it() {
    let world = World::new();
    let serving = Serving::good(&world);
    let path = format!("/{}", STANDARD.encode(request(&world)));
    let first = serving.get(&path);
    assert_eq!(
        first.header("cache-control"),
        Some("max-age=345600, public, no-transform, must-revalidate")
    );
    assert_eq!(
        first.header("last-modified"),
        Some("Thu, 15 Jan 2026 12:00:00 GMT")
    );
    assert_eq!(
        first.header("expires"),
        Some("Mon, 19 Jan 2026 12:00:00 GMT")
    );
    let tag = first.header("etag").unwrap();
    for condition in [
        format!("If-None-Match: {tag}\r\n"),
        "If-Modified-Since: Thu, 15 Jan 2026 12:00:00 GMT\r\n".to_owned(),
    ] {
        let again = get(serving.address, &path, &condition);
        assert_eq!(again.status, 304, "{condition}");
        assert!(again.body.is_empty());
        assert_eq!(again.header("etag"), Some(tag));
    }
    let changed = get(serving.address, &path, "If-None-Match: \"other\"\r\n");
    assert_eq!(changed.status, 200);
    assert_eq!(changed.body, first.body);
}

#[test]
fn one_connection_serves_many_requests() {
    use std::io::{Read, Write};
    let world = World::new();
    let serving = Serving::good(&world);
    let body = request(&world);
    let answer = serving.post(&body).body;
    let mut stream = std::net::TcpStream::connect(serving.address).unwrap();
    stream.set_read_timeout(Some(super::DEADLINE)).unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: responder\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let one = [head.as_bytes(), &body].concat();
    // Sent at once, as pipelining clients do.
    stream.write_all(&one.repeat(10)).unwrap();
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    let count = |received: &[u8]| {
        let windows = received.windows(answer.len());
        windows.filter(|window| *window == answer).count()
    };
    while count(&received) < 10 {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "closed after {} answers", count(&received));
        received.extend_from_slice(&buffer[..length]);
    }
}
