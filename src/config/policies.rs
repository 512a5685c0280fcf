//! What is accepted of which issuer beyond the rules: SHA-1 signatures, for private CAs; and
//! whether a revocation is stapled.
//!
//! Pure. An issuer is named by a part of its subject, as in `responders`: `CN=Old CA` or
//! `O=Example, CN=Old CA`. The issuer is the one in the certificate's own file. The operator put it
//! there, so a stranger cannot claim the name.

use crate::ocsp::Policy;
use crate::x509::{Certificate, NamePattern};

/// What happens to a response that says that the certificate is revoked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnRevoked {
    /// It is not handed out; the last good staple runs out where it lies.
    #[default]
    Withhold,
    /// It is stapled, so that clients learn of the revocation.
    Staple,
}

impl OnRevoked {
    /// The words of the configuration.
    pub(super) const WORDS: [(&str, Self); 2] =
        [("withhold", Self::Withhold), ("staple", Self::Staple)];
}

/// The operator's exceptions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policies {
    allow_sha1: Vec<NamePattern>,
    on_revoked: OnRevoked,
}

/// What stands for an issuer and names none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("'{0}' names no issuer: give a part of its subject, such as 'CN=Old CA'")]
pub struct InvalidIssuer(String);

impl Policies {
    /// Reads the issuers whose responders may sign with SHA-1 or RSA keys below 2048 bits;
    /// `on_revoked` is for all issuers.
    ///
    /// # Errors
    /// [`InvalidIssuer`] for the first that names none.
    pub fn parse(allow_sha1: &[String], on_revoked: OnRevoked) -> Result<Self, InvalidIssuer> {
        let patterns = allow_sha1
            .iter()
            .map(|issuer| NamePattern::parse(issuer).ok_or_else(|| InvalidIssuer(issuer.clone())));
        Ok(Policies {
            allow_sha1: patterns.collect::<Result<_, _>>()?,
            on_revoked,
        })
    }

    /// What is accepted of this issuer's responders.
    pub fn of(&self, issuer: &Certificate) -> Policy {
        Policy {
            allow_sha1: self
                .allow_sha1
                .iter()
                .any(|pattern| pattern.matches(issuer.subject_display())),
            staple_revoked: self.on_revoked == OnRevoked::Staple,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::World;

    #[test]
    fn exceptions_are_for_the_issuer_that_is_named_and_no_other() {
        let world = World::new();
        let policies = Policies::parse(&["CN=Issuer".to_owned()], OnRevoked::Withhold).unwrap();
        assert!(policies.of(&world.issuer).allow_sha1);
        assert!(!policies.of(&world.root).allow_sha1);
        assert!(!Policies::default().of(&world.issuer).allow_sha1);
    }

    #[test]
    fn a_word_that_names_no_issuer_is_refused() {
        let error = Policies::parse(&["everyone".to_owned()], OnRevoked::Withhold).unwrap_err();
        assert!(error.to_string().contains("'everyone'"));
    }

    #[test]
    fn a_revocation_is_stapled_only_where_the_operator_says_so() {
        let world = World::new();
        for (on_revoked, stapled) in [(OnRevoked::Withhold, false), (OnRevoked::Staple, true)] {
            let policies = Policies::parse(&[], on_revoked).unwrap();
            assert_eq!(policies.of(&world.issuer).staple_revoked, stapled);
        }
    }
}
