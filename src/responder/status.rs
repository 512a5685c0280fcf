//! What a responder knows about certificates, and where it knows it from.
//!
//! [`StatusSource`] is the one thing an embedder writes: serial number and issuer in, status out.
//! A closure is a source; files are in [`super::sources`]. Nothing is signed or sent here, and the
//! time is an argument. The statuses are those of RFC 6960 §2.2.

use std::pin::Pin;

use super::program::ProgramError;
use crate::ocsp::CertificateStatus;
use crate::time::Timestamp;
use crate::x509::Certificate;

/// The certificate a client asks about.
#[derive(Clone, Copy, Debug)]
pub struct Inquiry<'a> {
    /// Content octets of the serial number's INTEGER, as the certificate has them;
    /// [`super::serial`] relates them to numbers and text.
    pub serial: &'a [u8],
    /// The authority that issued it.
    pub issuer: &'a Certificate,
    /// The time of the request.
    pub now: Timestamp,
}

/// What a source states about a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Statement {
    /// The status.
    pub status: CertificateStatus,
    /// When it was known to be correct; the time of signing where the source is always current.
    pub this_update: Option<Timestamp>,
    /// Until when the source vouches for it; as long as responses are valid where it sets no limit.
    pub next_update: Option<Timestamp>,
}

impl From<CertificateStatus> for Statement {
    /// Correct at any time.
    fn from(status: CertificateStatus) -> Self {
        Statement {
            status,
            this_update: None,
            next_update: None,
        }
    }
}

/// Why a source has no statement. The texts are for the log.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SourceError {
    /// It has none at the moment: clients are told tryLater.
    #[error("{0}")]
    Unavailable(String),
    /// A program has none.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

impl SourceError {
    /// The kind in snake_case: log reason.
    pub fn kind(&self) -> &'static str {
        match self {
            SourceError::Unavailable(_) => "status_unavailable",
            SourceError::Program(error) => error.kind(),
        }
    }
}

/// A statement on its way.
pub type StatementFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Statement, SourceError>> + Send + 'a>>;

/// Knows the status of an authority's certificates. It is asked once for every certificate in every
/// request, also where the answer is signed already: a revocation shows in the next answer. If it
/// panics, the client is told internalError, and everything else goes on.
pub trait StatusSource: Send + Sync + 'static {
    /// The status of one certificate; `Unknown` for one the authority did not issue.
    fn statement<'a>(&'a self, inquiry: Inquiry<'a>) -> StatementFuture<'a>;
}

/// A closure as source, for what can be answered without waiting.
impl<F> StatusSource for F
where
    F: Fn(Inquiry<'_>) -> Result<CertificateStatus, SourceError> + Send + Sync + 'static,
{
    fn statement<'a>(&'a self, inquiry: Inquiry<'a>) -> StatementFuture<'a> {
        let statement = self(inquiry).map(Statement::from);
        Box::pin(std::future::ready(statement))
    }
}
