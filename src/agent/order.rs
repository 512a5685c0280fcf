//! What the agent orders of the rooms around it, as they get it.
//!
//! Pure.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::event::Notice;
use super::inventory::{
    CacheValidators, CertificateId, Identity, IssuedCertificate, Recollection, TargetId,
};
use crate::ocsp::{Standing, Staple};

/// An order to the rooms around the agent.
#[derive(Debug)]
pub enum Action {
    /// Ask a responder and validate what it says.
    Request(RequestOrder),
    /// The clock was ahead: what lies on disk and was taken to have ended may be valid after all.
    /// Every file is to be looked at again; answered by an [`Event::FileFound`] for each.
    ///
    /// [`Event::FileFound`]: super::Event::FileFound
    LookAgain,
    /// Write a staple beside its certificate.
    Write(WriteOrder),
    /// Remove what lies in the place of a staple and keeps HAProxy from starting, if it is this
    /// program's: what it has written there, or a response for this certificate.
    Clear(ClearOrder),
    /// Make a HAProxy process hold a staple.
    Deliver(DeliveryOrder),
    /// Keep this beyond the end of the process, in place of what was kept of the certificate
    /// before. Not answered.
    Remember(Recollection),
    /// Keep nothing of this certificate any more. Not answered.
    Forget(Identity),
    /// A notice for the log and the hooks.
    Report(Notice),
}

/// One response to be asked for.
#[derive(Debug)]
pub struct RequestOrder {
    /// Whose response.
    pub certificate: CertificateId,
    /// The certificate and its issuer.
    pub subject: Arc<IssuedCertificate>,
    /// The certificate demands a staple of its server (RFC 7633): to be asked for first.
    pub must_staple: bool,
    /// What the response held says: an older one is of no use.
    pub held: Option<Standing>,
    /// The successor of that response is overdue: the same one again is of no use either.
    pub is_overdue: bool,
    /// How long the staple that is held lasts; none where none is held.
    pub lasts: Option<Duration>,
    /// The operator wants it asked for now, even where its responder is being left alone.
    pub is_wanted_now: bool,
    /// For a conditional request; empty when the responder gave none.
    pub validators: CacheValidators,
}

/// One staple to be written.
#[derive(Debug)]
pub struct WriteOrder {
    /// Whose staple.
    pub certificate: CertificateId,
    /// The certificate file.
    pub path: PathBuf,
    /// Where the staple belongs.
    pub staple_path: PathBuf,
    /// What to write.
    pub staple: Arc<Staple>,
}

/// What lies in one staple's place, to be removed if it is this program's.
#[derive(Debug)]
pub struct ClearOrder {
    /// The certificate file.
    pub path: PathBuf,
    /// What is to be removed.
    pub staple_path: PathBuf,
    /// What HAProxy would read it for.
    pub reader: StapleReader,
}

/// One staple to be made live.
#[derive(Debug)]
pub struct DeliveryOrder {
    /// The HAProxy process.
    pub target: TargetId,
    /// Whose staple.
    pub certificate: CertificateId,
    /// The certificate and its issuer.
    pub subject: Arc<IssuedCertificate>,
    /// The staple.
    pub staple: Arc<Staple>,
}

/// What HAProxy would read a staple's file for.
#[derive(Debug)]
pub enum StapleReader {
    /// For a certificate.
    Certificate {
        /// The certificate and its issuer.
        subject: Arc<IssuedCertificate>,
        /// What the response held last says: one that may follow it is not removed.
        held: Option<Standing>,
    },
    /// For a file with nothing to staple for.
    Excluded,
    /// For a file that is gone, until another one comes to its place.
    Gone,
}
