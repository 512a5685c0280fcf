//! What a session is given to deliver.

use std::sync::Arc;

use crate::ocsp::{Policy, Staple};
use crate::x509::Certificate;

/// A staple to be made live in this session's HAProxy.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What to deliver.
    pub staple: Arc<Staple>,
    /// The certificate it is for.
    pub certificate: Certificate,
    /// Its issuer, for a HAProxy that has not read the `.issuer` beside the certificate, and for
    /// what HAProxy holds to be verified by.
    pub issuer: Certificate,
    /// What is accepted of its responders.
    pub policy: Policy,
}
