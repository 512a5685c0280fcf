//! Requests as clients and proxies form them.
//!
//! Promises: what RFC 9112 allows is answered, however the client spells it; what it forbids gets
//! an error below 500 and the next client does not notice; oversize is refused and the client reads
//! so.

use std::future::{Future as _, poll_fn};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::task::Poll;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use staplerd::responder::{Responder, Settings};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

use super::{DEADLINE, Reply, Serving, authority, exchange, good, request, verdict};
use crate::pki::{NOW, World};
use crate::skip::skipped;
use crate::support::haproxy::wait_for;

const MALFORMED: &[u8] = &[0x30, 0x03, 0x0a, 0x01, 0x01];

/// Sends bytes and reads until the server closes.
fn raw(serving: &Serving, bytes: &[u8]) -> Reply {
    Reply::read(&exchange(serving.address, bytes).unwrap())
}

fn with_body(head: &str, body: &[u8]) -> Vec<u8> {
    [head.as_bytes(), body].concat()
}

fn in_chunks(body: &[u8], length: usize) -> Vec<u8> {
    let chunks = body.chunks(length).flat_map(|chunk| {
        // The server bounds extensions: one, in the chunk that ends a short body.
        let extension = if chunk.len() < length { ";more=1" } else { "" };
        let size = format!("{:x}{extension}\r\n", chunk.len());
        [size.as_bytes(), chunk, b"\r\n"].concat()
    });
    let mut sent: Vec<u8> = chunks.collect();
    sent.extend(b"0\r\nTrailer: yes\r\n\r\n");
    sent
}

#[test]
fn every_form_of_a_message_is_answered() {
    let world = World::new();
    let serving = Serving::good(&world);
    let body = request(&world);
    let length = body.len();
    let path = STANDARD.encode(&body).replace('+', "%2B");
    let close = "Connection: close\r\n\r\n";
    let messages = [
        // RFC 1945: no Host, and the connection ends with the answer.
        with_body(&format!("GET /{path} HTTP/1.0\r\n\r\n"), &[]),
        with_body(
            &format!("POST / HTTP/1.0\r\nContent-Length: {length}\r\n\r\n"),
            &body,
        ),
        // To a proxy (RFC 9112 section 3.2.2).
        with_body(
            &format!("GET http://ocsp.example.com/{path} HTTP/1.1\r\nHost: x\r\n{close}"),
            &[],
        ),
        with_body(
            &format!(
                "POST http://ocsp.example.com HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{close}"
            ),
            &body,
        ),
        // With a query, which somebody appended against caches.
        with_body(
            &format!("GET /{path}?t=1 HTTP/1.1\r\nHost: x\r\n{close}"),
            &[],
        ),
        with_body(
            &format!("POST /ocsp?t=1 HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{close}"),
            &body,
        ),
        // A GET with a body, which says nothing.
        with_body(
            &format!("GET /{path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n{close}"),
            b"abc",
        ),
        // Content types that are right, right with a parameter, wrong, or empty.
        with_body(
            &format!(
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/ocsp-request; charset=binary\r\nContent-Length: {length}\r\n{close}"
            ),
            &body,
        ),
        with_body(
            &format!(
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {length}\r\n{close}"
            ),
            &body,
        ),
        with_body(
            &format!(
                "POST / HTTP/1.1\r\nHost: x\r\nContent-Type:\r\nContent-Length: {length}\r\n{close}"
            ),
            &body,
        ),
        // In chunks, with extensions and a trailer.
        with_body(
            &format!("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n{close}"),
            &in_chunks(&body, 7),
        ),
        // Names in capitals, lines that end without CR, an empty line in front.
        with_body(
            &format!("\r\nPOST / HTTP/1.1\nHOST:x\nCONTENT-LENGTH:{length}\nCONNECTION:CLOSE\n\n"),
            &body,
        ),
    ];
    for message in messages {
        let reply = raw(&serving, &message);
        let text = String::from_utf8_lossy(&message);
        assert_eq!(
            (reply.status, reply.verdict(&world)),
            (200, "good"),
            "{text}"
        );
    }
}

#[test]
fn what_is_no_http_gets_an_error_below_500_and_harms_nobody() {
    let world = World::new();
    let serving = Serving::good(&world);
    let long = "A".repeat(100_000);
    let messages: [(&[u8], &[u16]); 9] = [
        (b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", &[400]),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[400]),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", &[400]),
        (
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            &[400],
        ),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
            &[400],
        ),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            &[400],
        ),
        (b"GET /a b c HTTP/1.1\r\n\r\n", &[400]),
        (b"OPTIONS * HTTP/1.1\r\nConnection: close\r\n\r\n", &[405]),
        (
            &with_body(&format!("GET /{long} HTTP/1.1\r\n\r\n"), &[]),
            &[414, 431],
        ),
    ];
    for (message, expected) in messages {
        let reply = exchange(serving.address, message).unwrap_or_default();
        let text = String::from_utf8_lossy(message.get(..60).unwrap_or(message));
        // A connection that is closed without a word is an answer to what is not even HTTP.
        if !reply.is_empty() {
            let status = Reply::read(&reply).status;
            assert!(expected.contains(&status), "{status} for {text}");
        }
        assert_eq!(
            serving.post(&request(&world)).verdict(&world),
            "good",
            "{text}"
        );
    }
}

#[test]
fn a_get_a_post_and_garbage_take_turns_on_one_connection() {
    let world = World::new();
    let serving = Serving::good(&world);
    let body = request(&world);
    let get = format!(
        "GET /{} HTTP/1.1\r\nHost: x\r\n\r\n",
        STANDARD.encode(&body)
    );
    let post = |body: &[u8]| {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        with_body(&head, body)
    };
    let chunked = with_body(
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        &in_chunks(&body, 7),
    );
    let last = with_body(
        &format!(
            "POST / HTTP/1.1\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        ),
        &body,
    );
    let all = [
        get.into_bytes(),
        post(b"garbage"),
        post(&body),
        b"GET /favicon.ico HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        b"DELETE / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        chunked,
        post(&vec![0x30; 30_000]),
        last,
    ];
    let received = exchange(serving.address, &all.concat()).unwrap();
    let mut verdicts = Vec::new();
    let mut rest = received.as_slice();
    while !rest.is_empty() {
        let reply = Reply::read(rest);
        let length: usize = reply.header("content-length").unwrap().parse().unwrap();
        rest = &rest[reply.head.len() + length..];
        verdicts.push(match reply.status {
            200 => verdict(&reply.body[..length], &world),
            _ => "http error",
        });
    }
    let (good, malformed) = ("good", "malformed_request");
    let expected = [
        good,
        malformed,
        good,
        malformed,
        "http error",
        good,
        malformed,
        good,
    ];
    assert_eq!(verdicts, expected);
}

/// Opens a connection, sends a head, reads until an empty line, sends a body, reads to the end.
fn asking_first(serving: &Serving, head: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(serving.address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut first = Vec::new();
    while !first.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        first.extend(byte);
    }
    let first = String::from_utf8(first).unwrap();
    if first.starts_with("HTTP/1.1 100 ") {
        stream.write_all(body).unwrap();
    }
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    (first, rest)
}

#[test]
fn a_client_that_asks_first_is_told_to_go_on_or_that_it_is_too_much() {
    let world = World::new();
    let serving = Serving::good(&world);
    let body = request(&world);
    let head = |length: usize| {
        format!(
            "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )
    };
    let (first, rest) = asking_first(&serving, &head(body.len()), &body);
    assert_eq!(first, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(Reply::read(&rest).verdict(&world), "good");
    let (first, rest) = asking_first(&serving, &head(10_000_000_000), &[]);
    assert!(first.starts_with("HTTP/1.1 200 OK\r\n"), "{first}");
    assert_eq!(rest, MALFORMED);
}

#[test]
fn oversize_is_malformed_also_for_a_client_that_sends_all_of_it_first() {
    let serving = Serving::good(&World::new());
    let large = vec![0x30; 8 * 1024 * 1024];
    assert_eq!(serving.post(&large).body, MALFORMED);
    let chunked = with_body(
        "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
        &in_chunks(&large, 4096),
    );
    assert_eq!(raw(&serving, &chunked).body, MALFORMED);
}

#[test]
fn pythons_http_client_is_served() {
    const CLIENT: &str = "\
import base64, http.client, sys, urllib.parse, urllib.request
port, body = int(sys.argv[1]), base64.b64decode(sys.argv[2])
url = 'http://127.0.0.1:%d/' % port
path = urllib.parse.quote(base64.b64encode(body).decode(), safe='')
head = {'Content-Type': 'application/ocsp-request', 'Accept': 'application/ocsp-response'}
answers = [urllib.request.urlopen(url + path).read(),
           urllib.request.urlopen(url + urllib.parse.quote(path, safe='')).read(),
           urllib.request.urlopen(urllib.request.Request(url, body, head)).read()]
connection = http.client.HTTPConnection('127.0.0.1', port)
for _ in range(3):
    connection.request('POST', '/', iter([body[:9], body[9:]]), head, encode_chunked=True)
    answers.append(connection.getresponse().read())
for answer in answers:
    print(base64.b64encode(answer).decode())
";
    let world = World::new();
    let serving = Serving::good(&world);
    let output = Command::new("timeout")
        .args(["30", "python3", "-c", CLIENT])
        .arg(serving.address.port().to_string())
        .arg(STANDARD.encode(request(&world)))
        .output();
    let Ok(output) = output.map(|output| (output.status.code(), output)) else {
        return skipped("there is no timeout command on this machine");
    };
    match output {
        (Some(127), _) => skipped("there is no python3 on this machine"),
        (code, output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(code, Some(0), "{errors}");
            let text = String::from_utf8(output.stdout).unwrap();
            let answers: Vec<Vec<u8>> = text
                .lines()
                .map(|line| STANDARD.decode(line).unwrap())
                .collect();
            assert_eq!(answers.len(), 6);
            for answer in answers {
                assert_eq!(verdict(&answer, &world), "good");
            }
        }
    }
}

/// Connections from this address that send the beginning of a request and no more.
async fn half_open(from: &str, to: SocketAddr, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(from.parse().unwrap()).unwrap();
        let mut stream = socket.connect(to).await.unwrap();
        // A connection that is refused may be gone already.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHo").await;
        streams.push(stream.into_std().unwrap());
    }
    streams
}

#[test]
fn a_client_with_a_thousand_half_open_connections_keeps_nobody_out() {
    // Both ends of them all are in this process.
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    let world = World::new();
    let serving = Serving::good(&world);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let hostile = half_open("127.0.0.2:0", serving.address, 1_100);
    let hostile = runtime.block_on(hostile);
    assert_eq!(serving.post(&request(&world)).verdict(&world), "good");
    drop(hostile);
    // Its places are its own again.
    wait_for("the hostile client's places", || {
        let again = runtime.block_on(half_open("127.0.0.2:0", serving.address, 1));
        let mut stream = &again[0];
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let _ = stream.write_all(b"st: responder\r\nConnection: close\r\n\r\n");
        let mut reply = String::new();
        let _ = stream.read_to_string(&mut reply);
        reply.starts_with("HTTP/1.1 200")
    });
}

#[test]
fn nothing_is_signed_on_the_threads_that_serve_connections() {
    let world = World::new();
    let responder = Responder::new(vec![authority(&world, good)], Settings::default());
    let request = request(&world);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        // While the only thread that may sign is busy, nothing is signed.
        let (release, released) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || released.recv());
        let mut answering = std::pin::pin!(responder.answer(&request, NOW));
        let at_once = poll_fn(|context| Poll::Ready(answering.as_mut().poll(context)));
        assert!(at_once.await.is_pending(), "signed here");
        release.send(()).unwrap();
        busy.await.unwrap().unwrap();
        assert!(answering.await.is_ok());
        // What is signed already is at hand.
        let mut answering = std::pin::pin!(responder.answer(&request, NOW));
        let at_once = poll_fn(|context| Poll::Ready(answering.as_mut().poll(context)));
        assert!(at_once.await.is_ready());
    });
}
