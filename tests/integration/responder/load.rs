//! Many clients at once, half of which send what is no request.
//!
//! Promises: who asks properly gets an answer, and the right one, whatever the others do: send
//! garbage, no HTTP, half of a request, or nothing at all.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use fastrand::Rng;
use staplerd::ocsp::{CertificateStatus, Policy, Subject, encode_request, verify};
use staplerd::responder::Settings;

use super::{DEADLINE, Reply, Serving, authority, good, request};
use crate::pki::{NOW, World};

/// Clients of each kind.
const CLIENTS: usize = 4;
/// Requests of each client.
const REQUESTS: usize = 150;
/// Connections that are opened and say nothing.
const SILENT: usize = 100;

fn message(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// One reply of a connection that stays open.
fn read_reply(stream: &mut TcpStream) -> Reply {
    let mut received = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer).unwrap();
        assert!(length > 0, "closed in the middle of an answer");
        received.extend_from_slice(&buffer[..length]);
        if received.windows(4).any(|four| four == b"\r\n\r\n") {
            let reply = Reply::read(&received);
            let stated = reply.header("content-length").unwrap();
            if reply.body.len() == stated.parse::<usize>().unwrap() {
                return reply;
            }
        }
    }
}

/// Asks with a nonce every other time, on one connection; every answer has to be good and its own.
fn ask_properly(address: SocketAddr, world: &World, seed: u64) {
    let mut random = Rng::with_seed(seed);
    let mut stream = connect(address);
    let subject = Subject {
        certificate: &world.leaf,
        issuer: &world.issuer,
    };
    for round in 0..REQUESTS {
        let nonce: [u8; 32] = std::array::from_fn(|_| random.u8(..));
        let nonce = (round % 2 == 0).then_some(&nonce);
        let body = encode_request(&world.cert_id(), nonce);
        stream.write_all(&message(&body)).unwrap();
        let reply = read_reply(&mut stream);
        assert_eq!(reply.status, 200);
        let judged = verify(&reply.body, subject, nonce, NOW, Policy::default());
        assert_eq!(judged.unwrap().status, CertificateStatus::Good);
    }
}

/// Sends what is no request, in all ways in turn; what comes back does not matter to it.
fn ask_badly(address: SocketAddr, proper: &[u8], seed: u64) {
    let mut random = Rng::with_seed(seed);
    for round in 0..REQUESTS {
        let mut damaged = proper.to_vec();
        let at = random.usize(0..damaged.len());
        damaged[at] ^= random.u8(1..);
        let sent = match round % 5 {
            0 => message(&damaged),
            1 => message(b"\x30\x82\xff\xff"),
            2 => b"\x00\xff no HTTP at all\r\n\r\n".to_vec(),
            3 => message(&vec![b'x'; 20_000]),
            _ => {
                let whole = message(proper);
                whole[..random.usize(1..whole.len())].to_vec()
            }
        };
        let mut stream = connect(address);
        // The server may have closed already.
        let _ = stream.write_all(&sent);
        if round % 5 != 4 {
            let _ = stream.read(&mut [0; 4096]);
        }
    }
}

#[test]
fn a_load_that_is_half_malformed_harms_no_proper_request() {
    let world = World::new();
    let settings = Settings {
        echo_nonce: true,
        ..Settings::default()
    };
    let serving = Serving::start(vec![authority(&world, good)], settings, &[]);
    let address = serving.address;
    let silent: Vec<TcpStream> = (0..SILENT).map(|_| connect(address)).collect();
    let (world, answered) = (&world, AtomicUsize::new(0));
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let seed = client as u64;
            let answered = &answered;
            scope.spawn(move || {
                ask_properly(address, world, seed);
                answered.fetch_add(1, Ordering::SeqCst);
            });
            scope.spawn(move || ask_badly(address, &request(world), seed));
        }
    });
    assert_eq!(answered.into_inner(), CLIENTS);
    drop(silent);
    assert_eq!(serving.post(&request(world)).verdict(world), "good");
}
