//! What is accepted of which issuer beyond the rules: SHA-1 signatures, for private CAs.
//!
//! Pure. An issuer is named by a part of its subject, as in `responders`: `CN=Old CA` or
//! `O=Example, CN=Old CA`. The issuer is the one in the certificate's own file, which the operator
//! put there, so nobody else can claim the name.

use crate::ocsp::Policy;
use crate::x509::{Certificate, NamePattern};

/// The operator's exceptions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Policies {
    allow_sha1: Vec<NamePattern>,
}

/// What stands for an issuer and names none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("'{0}' names no issuer: give a part of its subject, such as 'CN=Old CA'")]
pub struct InvalidIssuer(String);

impl Policies {
    /// Reads the issuers whose responders may sign with SHA-1 or RSA keys below 2048 bits.
    ///
    /// # Errors
    /// [`InvalidIssuer`] for the first that names none.
    pub fn parse(allow_sha1: &[String]) -> Result<Self, InvalidIssuer> {
        let patterns = allow_sha1
            .iter()
            .map(|issuer| NamePattern::parse(issuer).ok_or_else(|| InvalidIssuer(issuer.clone())));
        Ok(Policies {
            allow_sha1: patterns.collect::<Result<_, _>>()?,
        })
    }

    /// What is accepted of this issuer's responders.
    pub fn of(&self, issuer: &Certificate) -> Policy {
        Policy {
            allow_sha1: self
                .allow_sha1
                .iter()
                .any(|pattern| pattern.matches(issuer.subject_display())),
            staple_revoked: false,
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
        let policies = Policies::parse(&["CN=Issuer".to_owned()]).unwrap();
        assert!(policies.of(&world.issuer).allow_sha1);
        assert!(!policies.of(&world.root).allow_sha1);
        assert!(!Policies::default().of(&world.issuer).allow_sha1);
    }

    #[test]
    fn a_word_that_names_no_issuer_is_refused() {
        let error = Policies::parse(&["everyone".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("'everyone'"));
    }
}
