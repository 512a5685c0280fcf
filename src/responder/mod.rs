//! An OCSP responder: for private CAs, and as a test bench.
//!
//! [`Responder`] turns the bytes of a request into the bytes of an answer, [`serve`] speaks HTTP.
//! Statuses come from a [`StatusSource`]: a closure, OpenSSL's `index.txt`, a directory with a
//! revocation list, a program of any language ([`program`]), or your own. Answers are signed once
//! and given from memory. Governed by RFC 6960, RFC 9919 (lightweight profile) and RFC 9654
//! (nonce).
//!
//! # What to depend on
//! ```toml
//! [dependencies]
//! staplerd = { path = "../staplerd", default-features = false, features = ["responder"] }
//! tokio = { version = "1", features = ["rt-multi-thread", "net"] }
//! tokio-util = "0.7"                  # the token that ends it
//! tracing-subscriber = "0.3"          # or another that shows what is logged
//! ```
//! Nothing is printed here. A request that cannot be answered (a source's [`SourceError`], its
//! panic, a signer that has expired) is an event of `tracing` at level ERROR, once in ten seconds;
//! without a subscriber it is lost, and clients see tryLater or internalError only.
//!
//! # Your own statuses
//! [`StatusSource`] is the one thing to write, or a closure as below; `examples/responder.rs` has a
//! table that changes while it runs. [`Inquiry::serial`] is the number's octets as the certificate
//! has them; [`serial`] has the way from integers and hexadecimal text to these, and back.
//!
//! # A complete responder
//! ```
//! use std::sync::Arc;
//! use std::time::{Duration, SystemTime};
//!
//! use staplerd::ocsp::{CertificateStatus, RevocationReason};
//! use staplerd::responder::{Authority, Inquiry, Responder, Server, Settings, SigningKey};
//! use staplerd::time::Timestamp;
//! use staplerd::x509::Bundle;
//! use tokio_util::sync::CancellationToken;
//!
//! # // The authority of this example; yours is in files.
//! # let authority_key = rcgen::KeyPair::generate()?;
//! # let mut parameters = rcgen::CertificateParams::new([])?;
//! # parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
//! # let ca_pem = parameters.self_signed(&authority_key)?.pem();
//! # let key_pem = authority_key.serialize_pem();
//! // The CA signs for itself; a delegate's certificate would stand in its second place.
//! let issuer = Bundle::from_pem(ca_pem.as_bytes())?.leaf().clone();
//! let key = SigningKey::from_pem(&key_pem)?;
//! let statuses = |inquiry: Inquiry<'_>| {
//!     Ok(match inquiry.serial {
//!         [1] => CertificateStatus::Good,
//!         [2] => CertificateStatus::Revoked {
//!             at: Timestamp::from_unix(1_768_478_400),
//!             reason: Some(RevocationReason::KeyCompromise),
//!         },
//!         _ => CertificateStatus::Unknown,
//!     })
//! };
//! let authority = Authority::new(issuer.clone(), issuer, key, statuses)?;
//! let settings = Settings {
//!     validity: Duration::from_secs(24 * 3600),
//!     ..Settings::default()
//! };
//! let server = Server {
//!     responder: Responder::new(vec![authority], settings),
//!     clock: || Timestamp::from(SystemTime::now()),
//!     faults: None,
//! };
//!
//! let runtime = tokio::runtime::Runtime::new()?;
//! runtime.block_on(async {
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!     println!("asking {} gets an answer", listener.local_addr()?);
//!     let stop = CancellationToken::new();
//!     let serving = tokio::spawn(staplerd::responder::serve(
//!         listener,
//!         Arc::new(server),
//!         stop.clone(),
//!     ));
//!     // Until it is cancelled:
//!     stop.cancel();
//!     serving.await?;
//!     Ok::<_, Box<dyn std::error::Error>>(())
//! })?;
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod answer;
mod authority;
mod caching;
mod clients;
pub mod crl;
pub mod fault;
mod http;
pub mod index;
mod key;
mod path;
mod presigned;
pub mod program;
mod question;
mod refusal;
pub mod serial;
pub mod sources;
mod status;
mod trickle;

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use aws_lc_rs::digest;
use hyper::body::Bytes;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

pub use answer::{ResponseContent, SingleAnswer, error_response};
pub use authority::{Authority, AuthorityError, Warning};
pub use http::{Server, serve};
pub use key::{KeyError, SigningFailed, SigningKey};
pub use path::{PathContent, from_path};
pub use question::Question;
pub use refusal::Refusal;
pub use status::{Inquiry, SourceError, Statement, StatementFuture, StatusSource};

use presigned::Presigned;

use crate::ocsp::CertificateStatus;
use crate::time::Timestamp;

/// How long answers are valid, unless configured otherwise (Baseline Requirements 4.9.9: 8 hours
/// to 10 days).
pub const VALIDITY: Duration = Duration::from_secs(4 * 24 * 3600);

/// The most memory that pre-signed answers take, in bytes: 100,000 with a delegate's certificate.
const MAX_PRESIGNED_BYTES: usize = 160 * 1024 * 1024;

/// How answers are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// From thisUpdate to nextUpdate; less where source or signer do not last so long.
    pub validity: Duration,
    /// Whether a request's nonce is echoed, which costs a signature each time (RFC 9654).
    pub echo_nonce: bool,
    /// How long expired certificates are remembered; stated as archive cutoff (RFC 6960 §4.4.4).
    pub archive: Option<Duration>,
}

impl Default for Settings {
    /// Four days, without nonce and archive cutoff.
    fn default() -> Self {
        Settings {
            validity: VALIDITY,
            echo_nonce: false,
            archive: None,
        }
    }
}

/// A signed answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedAnswer {
    /// The OCSPResponse.
    pub der: Bytes,
    /// When it was signed.
    pub produced_at: Timestamp,
    /// Its earliest nextUpdate.
    pub next_update: Timestamp,
    /// Tells it from others: half of its SHA-256.
    tag: u128,
}

impl SignedAnswer {
    fn new(der: Vec<u8>, produced_at: Timestamp, next_update: Timestamp) -> Self {
        let mut tag = [0; 16];
        for (to, from) in tag
            .iter_mut()
            .zip(digest::digest(&digest::SHA256, &der).as_ref())
        {
            *to = *from;
        }
        SignedAnswer {
            der: der.into(),
            produced_at,
            next_update,
            tag: u128::from_be_bytes(tag),
        }
    }

    /// Whether less than half of its life is over.
    fn is_fresh(&self, now: Timestamp) -> bool {
        let half = self.next_update.since(self.produced_at) / 2;
        self.produced_at <= now && now < self.produced_at.saturating_add(half)
    }
}

/// What a request gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// An answer for all clients that ask the same.
    Shared(Arc<SignedAnswer>),
    /// An answer with this client's nonce.
    Personal(Bytes),
}

/// Answers requests for one or several authorities.
#[derive(Debug)]
pub struct Responder {
    authorities: Vec<Arc<Authority>>,
    settings: Settings,
    presigned: Mutex<Presigned>,
    /// Signatures that may be made at once: as many as there are processors.
    signatures: Semaphore,
}

/// An answer that is not signed yet.
#[derive(Debug)]
pub struct Draft<'a> {
    /// Who will sign it.
    pub authority: &'a Arc<Authority>,
    /// What will be signed.
    pub data: ResponseContent,
}

impl std::fmt::Debug for Presigned {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Presigned")
    }
}

impl Responder {
    /// Answers for these authorities.
    pub fn new(authorities: Vec<Authority>, settings: Settings) -> Self {
        Responder {
            authorities: authorities.into_iter().map(Arc::new).collect(),
            settings,
            presigned: Mutex::new(Presigned::new(MAX_PRESIGNED_BYTES)),
            signatures: Semaphore::new(http::processors()),
        }
    }

    /// The authorities that are answered for.
    pub fn authorities(&self) -> &[Arc<Authority>] {
        &self.authorities
    }

    /// Answers the DER of a request: from memory where possible, signed now otherwise, on a thread
    /// for work that takes time. To be called within a tokio runtime.
    ///
    /// # Errors
    /// [`Refusal`], which says what the client is told instead.
    pub async fn answer(&self, request: &[u8], now: Timestamp) -> Result<Answer, Refusal> {
        let question = Question::read(request)?;
        let (authority, statements) = self.statements(&question, now).await?;
        let nonce = question.nonce.filter(|_| self.settings.echo_nonce);
        let reusable = match (&question.cert_ids[..], &statements[..], nonce) {
            ([cert_id], [statement], None) => Some((cert_id.raw, *statement)),
            _ => None,
        };
        if let Some((cert_id, statement)) = reusable {
            let known = self.presigned().get(cert_id, &statement, now);
            if let Some(signed) = known {
                return Ok(Answer::Shared(signed));
            }
        }
        let data = self.data(&question, nonce, authority, &statements, now)?;
        let ends = data.answers.iter().filter_map(|answer| answer.next_update);
        let end = ends.min().unwrap_or(now);
        let der = self.sign(authority, data).await?;
        if nonce.is_some() {
            return Ok(Answer::Personal(der.into()));
        }
        let signed = Arc::new(SignedAnswer::new(der, now, end));
        // Anybody can ask about numbers that no certificate has: they are not worth memory.
        if let Some((cert_id, statement)) = reusable
            && statement.status != CertificateStatus::Unknown
        {
            self.presigned()
                .insert(cert_id, statement, Arc::clone(&signed));
        }
        Ok(Answer::Shared(signed))
    }

    /// What would be signed for `question`, its nonce included, for those who change it first.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn draft<'a>(
        &'a self,
        question: &Question<'a>,
        now: Timestamp,
    ) -> Result<Draft<'a>, Refusal> {
        let (authority, statements) = self.statements(question, now).await?;
        let nonce = question.nonce.filter(|_| self.settings.echo_nonce);
        let data = self.data(question, nonce, authority, &statements, now)?;
        Ok(Draft { authority, data })
    }

    /// Signs elsewhere than on the threads that serve connections: an RSA signature takes
    /// milliseconds, and any client can ask for one.
    async fn sign(
        &self,
        authority: &Arc<Authority>,
        data: ResponseContent,
    ) -> Result<Vec<u8>, SigningFailed> {
        let permit = self.signatures.acquire().await;
        let authority = Arc::clone(authority);
        let signing = spawn_blocking(move || authority.sign(&data));
        let signed = signing.await.unwrap_or(Err(SigningFailed));
        drop(permit);
        signed
    }

    fn presigned(&self) -> std::sync::MutexGuard<'_, Presigned> {
        // A panic elsewhere leaves whole entries: the memory stays usable.
        self.presigned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The one authority that issued all certificates asked about, and what its source states.
    async fn statements(
        &self,
        question: &Question<'_>,
        now: Timestamp,
    ) -> Result<(&Arc<Authority>, Vec<Statement>), Refusal> {
        let issued_all =
            |authority: &&Arc<Authority>| question.cert_ids.iter().all(|one| authority.issued(one));
        let authority = self.authorities.iter().find(issued_all);
        let authority = authority.ok_or(Refusal::Unauthorized)?;
        let mut statements = Vec::with_capacity(question.cert_ids.len());
        for cert_id in &question.cert_ids {
            let inquiry = Inquiry {
                serial: cert_id.serial,
                issuer: authority.issuer(),
                now,
            };
            statements.push(ask(authority.source(), inquiry).await?);
        }
        Ok((authority, statements))
    }

    fn data(
        &self,
        question: &Question<'_>,
        nonce: Option<&[u8]>,
        authority: &Authority,
        statements: &[Statement],
        now: Timestamp,
    ) -> Result<ResponseContent, Refusal> {
        let not_after = authority.signer().not_after();
        if now >= not_after {
            return Err(Refusal::SignerExpired { not_after });
        }
        let answers = question.cert_ids.iter().zip(statements);
        let answers = answers.map(|(cert_id, statement)| {
            let latest = now.saturating_add(self.settings.validity).min(not_after);
            SingleAnswer {
                cert_id: cert_id.raw.to_vec(),
                status: statement.status,
                this_update: statement.this_update.unwrap_or(now),
                next_update: Some(statement.next_update.map_or(latest, |end| end.min(latest))),
                archive_cutoff: self
                    .settings
                    .archive
                    .map(|length| now.saturating_sub(length)),
            }
        });
        Ok(ResponseContent {
            key_hash: authority.key_hash(),
            produced_at: now,
            answers: answers.collect(),
            nonce: nonce.map(<[u8]>::to_vec),
            padding: 0,
        })
    }
}

/// Asks a source, whose panic is its own: neither the thread nor the connection ends by it.
async fn ask(source: &dyn StatusSource, inquiry: Inquiry<'_>) -> Result<Statement, Refusal> {
    let mut statement = None;
    poll_fn(|context| {
        // What panicked is not looked at again, but for the source itself, whose state is its own
        // concern (as a poisoned mutex is).
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let statement = statement.get_or_insert_with(|| source.statement(inquiry));
            statement.as_mut().poll(context)
        }));
        match answer {
            Ok(poll) => poll.map_err(Refusal::from),
            Err(panic) => Poll::Ready(Err(Refusal::SourcePanicked {
                message: words(&*panic),
            })),
        }
    })
    .await
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("it did not say why").to_owned()
}
