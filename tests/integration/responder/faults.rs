//! Faults on request: each is what it says, and nothing else is wrong.
//!
//! Promises: `ocsp::verify` names exactly the fault that was asked for; connection faults are seen
//! on the wire; a fault strikes its serial number only.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use staplerd::ocsp::response::decode;
use staplerd::ocsp::{NotStapleable, Rejection};
use staplerd::responder::Settings;

use super::{Reply, Serving, authority, exchange, good, request};
use crate::pki::World;

fn with_fault(world: &World, fault: &str) -> Serving {
    Serving::start(vec![authority(world, good)], Settings::default(), &[fault])
}

fn reply(world: &World, fault: &str) -> Reply {
    with_fault(world, fault).post(&request(world))
}

#[test]
fn each_fault_is_what_it_says() {
    let world = World::new();
    let expected = [
        ("delay=1", "good"),
        ("malformed-request", "malformed_request"),
        ("internal-error", "internal_error"),
        ("try-later", "try_later"),
        ("sig-required", "sig_required"),
        ("unauthorized", "unauthorized"),
        ("garbage", "malformed"),
        ("truncated", "malformed"),
        ("oversized", "too_large"),
        ("status=revoked", "revoked"),
        ("status=unknown", "unknown"),
        ("wrong-serial", "certid_mismatch"),
        ("wrong-issuer", "certid_mismatch"),
        ("foreign-signature", "bad_signature"),
        ("expired", "expired"),
        ("future", "not_yet_valid"),
        ("no-next-update", "good"),
        ("sha256-certid", "good"),
        ("several-responses", "good"),
    ];
    for (fault, verdict) in expected {
        let reply = reply(&world, fault);
        assert_eq!(
            (reply.status, reply.verdict(&world)),
            (200, verdict),
            "{fault}"
        );
    }
}

#[test]
fn what_is_true_but_no_staple_is_true() {
    let world = World::new();
    let obstacle = |fault| {
        let assessment = reply(&world, fault).judged(&world).unwrap();
        assessment.stapling.unwrap_err()
    };
    assert_eq!(obstacle("no-next-update"), NotStapleable::NoNextUpdate);
    assert_eq!(
        obstacle("sha256-certid"),
        NotStapleable::CertidForm {
            found: "SHA-256".to_owned()
        }
    );
    assert_eq!(
        obstacle("several-responses"),
        NotStapleable::SeveralSingleResponses { count: 2 }
    );
}

#[test]
fn a_wrong_issuer_is_the_only_thing_that_is_wrong() {
    let world = World::new();
    let reply = reply(&world, "wrong-issuer");
    let Err(Rejection::CertidMismatch { mismatch, .. }) = reply.judged(&world) else {
        panic!("{:?}", reply.judged(&world));
    };
    assert_eq!(mismatch.to_string(), "the hash of another issuer name");
    let response = decode(&reply.body).unwrap();
    assert_eq!(
        response.single_responses[0].cert_id.serial,
        world.leaf.serial()
    );
}

#[test]
fn an_http_status_comes_with_its_retry_after() {
    let world = World::new();
    let reply = reply(&world, "http=503:120");
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("retry-after"), Some("120"));
    assert_eq!(self::reply(&world, "http=404").header("retry-after"), None);
}

#[test]
fn a_connection_is_reset() {
    let world = World::new();
    let serving = with_fault(&world, "reset");
    let body = request(&world);
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let error = exchange(serving.address, &[head.as_bytes(), &body].concat()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

/// Sends a request and says what has come within a moment.
fn first_bytes(world: &World, fault: &str) -> Vec<u8> {
    let serving = with_fault(world, fault);
    let body = request(world);
    let mut stream = TcpStream::connect(serving.address).unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream
        .write_all(&[head.as_bytes(), &body].concat())
        .unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(700)))
        .unwrap();
    let mut received = Vec::new();
    let end = stream.read_to_end(&mut received).unwrap_err();
    assert!(matches!(
        end.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut
    ));
    received
}

#[test]
fn an_answer_that_never_comes_does_not_come() {
    assert_eq!(first_bytes(&World::new(), "never-answer"), b"");
}

#[test]
fn an_answer_trickles_byte_by_byte_with_its_whole_length_stated() {
    let world = World::new();
    let serving = with_fault(&world, "trickle");
    let body = request(&world);
    let mut stream = TcpStream::connect(serving.address).unwrap();
    stream.set_read_timeout(Some(super::DEADLINE)).unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream
        .write_all(&[head.as_bytes(), &body].concat())
        .unwrap();
    let mut received = Vec::new();
    let mut byte = [0];
    while !received.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        received.push(byte[0]);
    }
    assert!(!String::from_utf8_lossy(&received).contains("content-length: 0"));
    let mut buffer = [0; 1024];
    for _ in 0..3 {
        let length = stream.read(&mut buffer).unwrap();
        assert!((1..50).contains(&length), "{length} bytes at once");
    }
}

#[test]
fn a_fault_strikes_its_serial_number_only() {
    let world = World::new();
    assert_eq!(
        reply(&world, "expired,serial=03A2EF").verdict(&world),
        "expired"
    );
    assert_eq!(
        reply(&world, "expired,serial=03A2F0").verdict(&world),
        "good"
    );
    assert_eq!(reply(&world, "expired,share=0").verdict(&world), "good");
}
