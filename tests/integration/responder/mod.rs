//! The responder over real sockets, in this process and as the command.
//!
//! Here: a server with a certification authority in memory, and an HTTP client that sends any
//! bytes. What comes back is judged by `ocsp::verify`, which shares no code with what writes it.

mod answers;
mod clients;
mod command;
mod corpus;
mod example;
mod faults;
mod files;
mod haproxy;
mod load;
mod oracles;
mod process;
mod protocol;
mod status_command;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use staplerd::ocsp::{
    Assessment, CertId, CertificateStatus, Policy, Rejection, Subject, encode_request, verify,
};
use staplerd::responder::fault::{Fault, Faults};
use staplerd::responder::{
    Authority, Inquiry, Responder, Server, Settings, SigningKey, SourceError, StatusSource, serve,
};
use staplerd::x509::Certificate;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::pki::{
    CertificateBuilder, Key, NOW, OCSP_SIGNING, World, extended_key_usage, key_usage, nocheck,
};

/// How long a test waits for a responder.
const DEADLINE: Duration = Duration::from_secs(20);

/// A key that signs, and a delegate's certificate of "Issuer" for it.
fn delegate(world: &World) -> (SigningKey, Certificate) {
    let key = SigningKey::generate().unwrap();
    let builder = CertificateBuilder::new("Issuer", "Responder", &[4])
        .with(key_usage(0x80))
        .with(extended_key_usage(&[OCSP_SIGNING]))
        .with(nocheck());
    let certificate = certify(&builder, &key, &world.issuer_key);
    (key, certificate)
}

fn certify(builder: &CertificateBuilder, key: &SigningKey, signer: &Key) -> Certificate {
    // A P-256 SubjectPublicKeyInfo ends in the key's bits.
    let mut public = Key::p256();
    let bits = public.public_key_info.len() - key.public_key_bits().len();
    public.public_key_info.truncate(bits);
    public.public_key_info.extend(key.public_key_bits());
    builder.sign(&public, signer)
}

/// Good for every certificate.
fn good(_: Inquiry<'_>) -> Result<CertificateStatus, SourceError> {
    Ok(CertificateStatus::Good)
}

fn authority(world: &World, source: impl StatusSource) -> Authority {
    let (key, signer) = delegate(world);
    Authority::new(world.issuer.clone(), signer, key, source).unwrap()
}

/// A responder at work; ends when dropped.
struct Serving {
    address: SocketAddr,
    stop: CancellationToken,
    _runtime: tokio::runtime::Runtime,
}

impl Serving {
    /// At the time [`NOW`].
    fn start(authorities: Vec<Authority>, settings: Settings, faults: &[&str]) -> Self {
        let faults: Vec<Fault> = faults.iter().map(|text| text.parse().unwrap()).collect();
        let faults =
            (!faults.is_empty()).then(|| Faults::new(faults, SigningKey::generate().unwrap()));
        let server = Server {
            responder: Responder::new(authorities, settings),
            clock: || NOW,
            faults,
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let stop = CancellationToken::new();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, Arc::new(server), stop.clone()));
        Serving {
            address,
            stop,
            _runtime: runtime,
        }
    }

    /// Good for all certificates of `world`.
    fn good(world: &World) -> Self {
        Serving::start(vec![authority(world, good)], Settings::default(), &[])
    }

    fn post(&self, request: &[u8]) -> Reply {
        post(self.address, "/", request)
    }

    fn get(&self, path: &str) -> Reply {
        get(self.address, path, "")
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// An HTTP response.
#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    /// What a server sent; all that follows the head is the body.
    fn read(received: &[u8]) -> Self {
        let end = received.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = received.split_at(end.unwrap() + 4);
        let head = String::from_utf8(head.to_vec()).unwrap();
        Reply {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head,
            body: body.to_vec(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value)
    }

    /// What `ocsp::verify` makes of it for the leaf of `world`.
    fn judged(&self, world: &World) -> Result<Assessment, Rejection> {
        judged(&self.body, world)
    }

    /// `good`, or the reason why not.
    fn verdict(&self, world: &World) -> &'static str {
        verdict(&self.body, world)
    }
}

fn judged(response: &[u8], world: &World) -> Result<Assessment, Rejection> {
    let subject = Subject {
        certificate: &world.leaf,
        issuer: &world.issuer,
    };
    verify(response, subject, None, NOW, Policy::default())
}

fn verdict(response: &[u8], world: &World) -> &'static str {
    match judged(response, world) {
        Err(rejection) => rejection.kind(),
        Ok(assessment) => match assessment.status {
            CertificateStatus::Good => "good",
            CertificateStatus::Revoked { .. } => "revoked",
            CertificateStatus::Unknown => "unknown",
        },
    }
}

/// Sends bytes and reads until the server closes.
fn exchange(address: SocketAddr, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.write_all(bytes)?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    Ok(reply)
}

fn ask(address: SocketAddr, head: &str, body: &[u8]) -> Reply {
    let mut bytes = format!("{head}Host: responder\r\nConnection: close\r\n\r\n").into_bytes();
    bytes.extend_from_slice(body);
    Reply::read(&exchange(address, &bytes).unwrap())
}

fn post(address: SocketAddr, path: &str, request: &[u8]) -> Reply {
    let head = format!(
        "POST {path} HTTP/1.1\r\nContent-Type: application/ocsp-request\r\nContent-Length: {}\r\n",
        request.len()
    );
    ask(address, &head, request)
}

fn get(address: SocketAddr, path: &str, headers: &str) -> Reply {
    ask(address, &format!("GET {path} HTTP/1.1\r\n{headers}"), &[])
}

/// The request for the leaf.
fn request(world: &World) -> Vec<u8> {
    encode_request(&CertId::new(&world.leaf, &world.issuer), None)
}
