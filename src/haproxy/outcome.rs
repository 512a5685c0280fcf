//! What a session tells: how a delivery ended, and what it learns about its process.

use std::collections::BTreeMap;

use super::error::{DeliveryError, Error};
use super::notice::ProcessNotice;
use super::process::{Circumstances, Process};
use super::quarantine::Quarantine;
use super::reply::Fingerprint;
use crate::x509::CertificateReference;

/// How a staple came to be live.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arrival {
    /// It replaced the response in an existing slot.
    Pushed,
    /// The certificate had no slot, and got one.
    Attached,
    /// HAProxy held these very bytes already.
    AlreadyHeld,
}

/// What a session tells the agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SessionReport {
    /// There is a connection, to a process that may hold nothing: every staple is to be delivered.
    Connected(Process),
    /// How this process was built and started: said once for every connection, where that is
    /// wanted.
    Circumstances(Circumstances),
    /// There is no connection; said once for every loss and every new kind of failure.
    Disconnected(Error),
    /// What became of one delivery; exactly one for every delivery taken.
    Delivered {
        /// The certificate, as `Staple` names it.
        fingerprint: Fingerprint,
        /// Live, or why not.
        outcome: Result<Arrival, DeliveryError>,
    },
    /// What is worth knowing about this process, all of it; said whenever it is something else.
    Noticed(Vec<ProcessNotice>),
    /// The names of the certificate stores of this process, as far as it knows them by these names:
    /// said once for every connection, and whenever they are others.
    Loaded(Vec<String>),
    /// The certificate stores of this process that are left alone, and why: said whenever they are
    /// others, and for every connection where there are some.
    Quarantined(BTreeMap<String, Quarantine>),
    /// These certificates are loaded, and no others: said when all stores have been read and
    /// whenever they are others.
    Serves(Vec<CertificateReference>),
    /// A store holds this certificate, and not as it did before: replaced by `set ssl cert` and
    /// `commit ssl cert`, newly added, or its place for a staple is gone. Its staple is to be
    /// delivered (again).
    StoreChanged {
        /// The store's name in HAProxy.
        store: String,
        /// The certificate it holds now.
        certificate: CertificateReference,
    },
    /// A store holds the certificate that it held before, in a version that does not show
    /// responses: where the certificate was deployed once more, its staple is gone. Said in turn,
    /// once within the refresh interval, where staples may be replaced; less often where several
    /// stores hold the certificate, for there each repetition takes a transaction for each.
    StapleUnseen {
        /// The certificate.
        certificate: CertificateReference,
    },
}
