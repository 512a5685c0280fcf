//! Answers no honest responder sends: whatever the bytes, fetching ends, and takes only whole
//! OCSP responses for answers.

use std::sync::Mutex;

use super::*;
use crate::scripted_responder::{ScriptedResponder, Step, answer, ocsp_answer};

/// Fetches from a responder that mangles each answer; the same every time.
const FETCHES: usize = 500;

/// Answers to be mangled: with a length, in chunks, up to the close, redirected, interim, not 200.
fn originals() -> Vec<Vec<u8>> {
    vec![
        ocsp_answer(RESPONSE),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\x30\x03\r\n3\r\n\x0a\x01\x03\r\n0\r\n\r\n"
            .to_vec(),
        b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n\x30\x03\x0a\x01\x03".to_vec(),
        answer("302 Found", "Location: /elsewhere\r\n", b""),
        [b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec(), ocsp_answer(RESPONSE)].concat(),
        answer("503 Service Unavailable", "Retry-After: 99\r\nDate: x\r\n", b""),
        answer("304 Not Modified", "ETag: \"1\"\r\nExpires: 0\r\n", b""),
    ]
}

/// A few random changes: bytes set, cut out, doubled, pieces of HTTP put in.
fn mangle(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    const PIECES: [&[u8]; 10] = [
        b"\r\n",
        b"\r\n\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 18446744073709551616\r\n",
        b"Content-Length: -1\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"Location: //\r\n",
    ];
    for _ in 0..random.usize(1..4) {
        let place = random.usize(0..=bytes.len());
        let end = (place + random.usize(0..20)).min(bytes.len());
        match random.u8(0..4) {
            0 if place < bytes.len() => bytes[place] = random.u8(..),
            1 => drop(bytes.drain(place..end)),
            2 => {
                let piece = bytes[place..end].to_vec();
                bytes.splice(place..place, piece);
            }
            _ => {
                let piece = PIECES[random.usize(0..PIECES.len())];
                bytes.splice(place..place, piece.iter().copied());
            }
        }
    }
}

#[test]
fn mangled_answers_end_in_an_outcome_and_never_in_half_a_response() {
    let random = Mutex::new(fastrand::Rng::with_seed(20_261_120));
    let originals = originals();
    let responder = ScriptedResponder::start(move |request| {
        let mut random = random.lock().unwrap();
        let mut bytes = originals[request.number % originals.len()].clone();
        mangle(&mut bytes, &mut random);
        vec![Step::Send(bytes), Step::Close]
    });
    // A responder of this kind would soon be left alone, so each certificate is a fetcher's first.
    let mut answered = 0;
    for _ in 0..FETCHES {
        let outcome = fetch_one(impatient(), &[responder.url()]);
        if let Ok(FetchedAnswer::Judged { judgement, .. }) = &outcome {
            answered += 1;
            assert!(judgement.starts_with(&[0x30]), "{judgement:02x?}");
            assert_eq!(judgement.len(), usize::from(judgement[1]) + 2);
        }
    }
    assert!(answered > 0, "the mangling leaves some answers whole");
}

#[test]
fn interim_answers_without_end_time_out() {
    let responder = ScriptedResponder::start(|_| {
        let flood = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
        vec![Step::Send(flood); 10_000]
    });
    let error = error(fetch_one(impatient(), &[responder.url()]));
    assert!(
        ["timeout", "too_large", "not_http"].contains(&error.kind()),
        "{error}"
    );
}
