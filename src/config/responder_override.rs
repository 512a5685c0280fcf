//! The responders to ask in place of those that the certificate names itself.
//!
//! Pure.

use crate::fetch::Overrides;
use crate::x509::Certificate;

/// ocspbot's `ocsp_responder_uri`; it outranks the `responders` of the whole configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ResponderOverride {
    /// This URL is asked.
    Url(String),
    /// The URLs that the certificate names are asked.
    Certificate,
}

impl ResponderOverride {
    /// The responders to ask about a certificate: those `given` for its source, or else those of
    /// the whole configuration. None if it is empty.
    pub fn responders(
        given: Option<&Self>,
        overrides: &Overrides,
        certificate: &Certificate,
        issuer: &Certificate,
    ) -> Vec<String> {
        match given {
            Some(ResponderOverride::Url(url)) => vec![url.clone()],
            Some(ResponderOverride::Certificate) => certificate.ocsp_urls().to_vec(),
            None => overrides.apply(issuer.subject_display(), certificate.ocsp_urls()),
        }
    }
}
