//! One TLS handshake with a server, to see its certificates and its staple.
//!
//! Blocking, with one deadline for everything: name lookup, connecting, and every byte of the
//! handshake. TLS 1.2 and 1.3. Everything the server sends is accepted and kept; a server that
//! breaks off after its certificate (because it wants one from us) has still been seen.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, ProtocolVersion, SignatureScheme,
};

use super::ProbeTarget;
use crate::x509::{self, Certificate, KeyFamily};

/// Certificates of a chain that are looked at.
const CHAIN_MAX: usize = 16;

/// What the server showed.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// Where the connection went.
    pub address: SocketAddr,
    /// `TLS 1.2` or `TLS 1.3`; none where the server broke off before it was settled.
    pub protocol: Option<&'static str>,
    /// The server's certificate, and the chain after it; at least one.
    pub certificates: Vec<Certificate>,
    /// The stapled OCSP response, where there is one.
    pub staple: Option<Vec<u8>>,
    /// Why the handshake did not come to its end, where it did not.
    pub broken_off: Option<String>,
}

/// Why nothing was seen.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The name cannot be sent to a server.
    #[error("'{name}' is no host name that a TLS client can ask for")]
    InvalidName {
        /// As it was given.
        name: String,
    },
    /// The host's addresses could not be found out.
    #[error("'{host}' cannot be resolved: {reason}")]
    Resolve {
        /// The host that was looked up.
        host: String,
        /// What the system's resolver said.
        reason: String,
    },
    /// No process listens there.
    #[error("connection refused")]
    ConnectRefused,
    /// The connection could not be made for another reason.
    #[error("cannot connect: {reason}")]
    Connect {
        /// The system's words.
        reason: String,
    },
    /// The deadline has passed.
    #[error("no complete handshake within {} s", seconds.as_secs_f32())]
    Timeout {
        /// The time that it had.
        seconds: Duration,
    },
    /// The handshake failed before the server showed a certificate.
    #[error("the TLS handshake failed: {reason}")]
    Tls {
        /// What rustls or the system said.
        reason: String,
    },
    /// The server's certificate cannot be read.
    #[error("the server's certificate cannot be read: {0}")]
    Certificate(#[from] x509::Error),
}

impl Error {
    /// The variant's name in snake_case.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::InvalidName { .. } => "invalid_name",
            Error::Resolve { .. } => "resolve",
            Error::ConnectRefused => "connect_refused",
            Error::Connect { .. } => "connect",
            Error::Timeout { .. } => "timeout",
            Error::Tls { .. } => "tls",
            Error::Certificate(_) => "certificate",
        }
    }
}

/// Connects to `target` and makes a handshake that asks for `name` (nothing is asked for where it
/// is none) and for a staple. With a `family` of keys the server is told that only certificates
/// with such keys are understood, so that one with several shows that one.
///
/// # Errors
/// [`Error`] where no certificate was seen before `patience` was over.
pub fn handshake(
    target: &ProbeTarget,
    name: Option<&str>,
    family: Option<KeyFamily>,
    patience: Duration,
) -> Result<Handshake, Error> {
    let deadline = Deadline {
        end: Instant::now() + patience,
        patience,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let witness = Arc::new(Witness::new(&provider, family));
    let tls = |error: rustls::Error| Error::Tls {
        reason: error.to_string(),
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(tls)?
        .dangerous()
        .with_custom_certificate_verifier(witness.clone())
        .with_no_client_auth();
    config.enable_sni = name.is_some();
    let server_name = match name {
        Some(name) => ServerName::try_from(name.to_owned()).map_err(|_| Error::InvalidName {
            name: name.to_owned(),
        })?,
        // Without SNI it is never used.
        None => ServerName::IpAddress(IpAddr::from([0, 0, 0, 0]).into()),
    };
    let mut connection = ClientConnection::new(Arc::new(config), server_name).map_err(tls)?;

    let stream = connect(target, &deadline)?;
    let address = stream
        .peer_addr()
        .map_err(|error| connect_error(&error, patience))?;
    let mut stream = Timed { stream, deadline };
    let outcome = shake_hands(&mut connection, &mut stream);
    let protocol = connection.protocol_version().and_then(protocol_name);
    let Some(evidence) = witness.take() else {
        return Err(match outcome {
            Err(error) if is_timeout(&error) => Error::Timeout { seconds: patience },
            Err(error) => Error::Tls {
                reason: error.to_string(),
            },
            Ok(()) => Error::Tls {
                reason: "the server showed no certificate".to_owned(),
            },
        });
    };
    Ok(Handshake {
        address,
        protocol,
        certificates: evidence.certificates()?,
        staple: (!evidence.staple.is_empty()).then_some(evidence.staple),
        broken_off: outcome.err().map(|error| error.to_string()),
    })
}

/// Makes the whole handshake and takes leave.
fn shake_hands(connection: &mut ClientConnection, stream: &mut Timed) -> io::Result<()> {
    while connection.is_handshaking() {
        connection.complete_io(stream)?;
    }
    connection.send_close_notify();
    while connection.wants_write() {
        // What was to be seen has been seen.
        if connection.write_tls(stream).is_err() {
            break;
        }
    }
    Ok(())
}

fn protocol_name(version: ProtocolVersion) -> Option<&'static str> {
    match version {
        ProtocolVersion::TLSv1_2 => Some("TLS 1.2"),
        ProtocolVersion::TLSv1_3 => Some("TLS 1.3"),
        _ => None,
    }
}

/// The end of all patience.
#[derive(Clone, Copy)]
struct Deadline {
    end: Instant,
    patience: Duration,
}

impl Deadline {
    /// What is left; an error where that is nothing.
    fn left(&self) -> io::Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(left)
    }
}

/// Tries the host's addresses one after the other, each with its share of the time that is left.
fn connect(target: &ProbeTarget, deadline: &Deadline) -> Result<TcpStream, Error> {
    let addresses = resolve(target, deadline)?;
    let mut failure = Error::Resolve {
        host: target.host().to_owned(),
        reason: "it has no address".to_owned(),
    };
    for (tried, address) in addresses.iter().enumerate() {
        let rest = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let attempt = deadline
            .left()
            .and_then(|left| TcpStream::connect_timeout(address, left / rest));
        match attempt {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = connect_error(&error, deadline.patience),
        }
    }
    Err(failure)
}

fn connect_error(error: &io::Error, patience: Duration) -> Error {
    match error.kind() {
        ErrorKind::ConnectionRefused => Error::ConnectRefused,
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Error::Timeout { seconds: patience },
        _ => Error::Connect {
            reason: error.to_string(),
        },
    }
}

/// Looks the host up. The system's resolver knows no deadline: one that hangs is left behind.
fn resolve(target: &ProbeTarget, deadline: &Deadline) -> Result<Vec<SocketAddr>, Error> {
    if let Some(address) = target.address() {
        return Ok(vec![SocketAddr::new(address, target.port())]);
    }
    let failed = |reason: String| Error::Resolve {
        host: target.host().to_owned(),
        reason,
    };
    let (sender, answer) = mpsc::channel();
    let (host, port) = (target.host().to_owned(), target.port());
    thread::spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs();
        // The receiver may be gone.
        let _ = sender.send(found.map(Iterator::collect));
    });
    let left = deadline.left().unwrap_or_default();
    match answer.recv_timeout(left) {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed("no answer in time".to_owned())),
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// A connection all of whose operations end at the deadline.
struct Timed {
    stream: TcpStream,
    deadline: Deadline,
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.deadline.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.deadline.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Accepts every certificate and keeps what it saw.
#[derive(Debug)]
struct Witness {
    schemes: Vec<SignatureScheme>,
    evidence: Mutex<Option<Evidence>>,
}

#[derive(Debug)]
struct Evidence {
    chain: Vec<Vec<u8>>,
    staple: Vec<u8>,
}

impl Evidence {
    /// The server's certificate, which has to be readable, and what of the chain is.
    fn certificates(&self) -> Result<Vec<Certificate>, x509::Error> {
        let mut certificates = Vec::new();
        for (place, der) in self.chain.iter().take(CHAIN_MAX).enumerate() {
            match Certificate::from_der(der) {
                Ok(certificate) => certificates.push(certificate),
                Err(error) if place == 0 => return Err(error),
                Err(_) => {}
            }
        }
        Ok(certificates)
    }
}

impl Witness {
    fn new(provider: &CryptoProvider, family: Option<KeyFamily>) -> Self {
        let mut schemes = provider
            .signature_verification_algorithms
            .supported_schemes();
        if let Some(family) = family {
            schemes.retain(|scheme| family_of(*scheme) == Some(family));
        }
        Witness {
            schemes,
            evidence: Mutex::new(None),
        }
    }

    fn take(&self) -> Option<Evidence> {
        let mut evidence = self.evidence.lock().unwrap_or_else(PoisonError::into_inner);
        evidence.take()
    }
}

/// The keys that sign in this way.
fn family_of(scheme: SignatureScheme) -> Option<KeyFamily> {
    match scheme {
        SignatureScheme::RSA_PKCS1_SHA256
        | SignatureScheme::RSA_PKCS1_SHA384
        | SignatureScheme::RSA_PKCS1_SHA512
        | SignatureScheme::RSA_PSS_SHA256
        | SignatureScheme::RSA_PSS_SHA384
        | SignatureScheme::RSA_PSS_SHA512 => Some(KeyFamily::Rsa),
        SignatureScheme::ECDSA_NISTP256_SHA256
        | SignatureScheme::ECDSA_NISTP384_SHA384
        | SignatureScheme::ECDSA_NISTP521_SHA512 => Some(KeyFamily::Ecdsa),
        SignatureScheme::ED25519 => Some(KeyFamily::Ed25519),
        _ => None,
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        staple: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let all = std::iter::once(certificate).chain(chain);
        let evidence = Evidence {
            chain: all.map(|certificate| certificate.to_vec()).collect(),
            staple: staple.to_vec(),
        };
        *self.evidence.lock().unwrap_or_else(PoisonError::into_inner) = Some(evidence);
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}
