//! What a served staple is worth to a client.
//!
//! Pure: bytes and the time are handed in.

use crate::ocsp::{self, Assessment, CertificateStatus, Policy, Rejection, Subject};
use crate::time::Timestamp;
use crate::x509::{self, Certificate};

/// The first label of the name that stands for a wildcard's names.
const MADE_UP_LABEL: &str = "staplerd-probe";

/// What is made of a handshake.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The issuer of the server's certificate, where it was found.
    pub issuer: Option<Certificate>,
    /// What the staple is worth.
    pub verdict: StapleVerdict,
}

/// What a staple is worth.
#[derive(Clone, Debug)]
pub enum StapleVerdict {
    /// There is a staple, and it is true; what it says is in it.
    Stapled(Box<Assessment>),
    /// There is a staple that clients have to refuse.
    Rejected(Rejection),
    /// There is none, although the certificate names a responder.
    NoStaple {
        /// The certificate says that there must be one (RFC 7633): clients may refuse it.
        must_staple: bool,
    },
    /// There is none, and the certificate names no responder.
    NoResponder,
    /// There is one, but the issuer is not known, so it cannot be judged.
    NoIssuer,
}

impl StapleVerdict {
    /// Whether a client gets a valid staple that says good.
    pub fn is_good(&self) -> bool {
        matches!(self, StapleVerdict::Stapled(assessment) if assessment.status == CertificateStatus::Good)
    }

    /// `good`, `revoked`, `unknown`, `reject:<kind>` as `staplerd verify` has them, or `no_staple`,
    /// `no_responder`, `no_issuer`.
    pub fn word(&self) -> String {
        match self {
            StapleVerdict::Stapled(assessment) => match assessment.status {
                CertificateStatus::Good => "good",
                CertificateStatus::Revoked { .. } => "revoked",
                CertificateStatus::Unknown => "unknown",
            }
            .to_owned(),
            StapleVerdict::Rejected(rejection) => format!("reject:{}", rejection.kind()),
            StapleVerdict::NoStaple { .. } => "no_staple".to_owned(),
            StapleVerdict::NoResponder => "no_responder".to_owned(),
            StapleVerdict::NoIssuer => "no_issuer".to_owned(),
        }
    }

    /// What there is to say beyond the word; none for a staple that says good.
    pub fn explanation(&self) -> Option<String> {
        match self {
            StapleVerdict::Stapled(assessment) => match assessment.status {
                CertificateStatus::Good => None,
                CertificateStatus::Unknown => {
                    Some("the responder does not know the certificate".to_owned())
                }
                CertificateStatus::Revoked { at, reason } => {
                    let reason = reason.map_or("no reason given", ocsp::RevocationReason::name);
                    Some(format!("revoked at {at}, {reason}"))
                }
            },
            StapleVerdict::Rejected(rejection) => Some(rejection.to_string()),
            StapleVerdict::NoStaple { must_staple: true } => Some(
                "no staple, and the certificate demands one (must-staple): clients may refuse it"
                    .to_owned(),
            ),
            StapleVerdict::NoStaple { must_staple: false } => {
                Some("the server sends no staple".to_owned())
            }
            StapleVerdict::NoResponder => {
                Some("no staple, and the certificate names no OCSP responder".to_owned())
            }
            StapleVerdict::NoIssuer => Some(
                "the staple cannot be judged: the served chain holds no issuer whose signature can be \
                 checked; give it with --issuer"
                    .to_owned(),
            ),
        }
    }
}

/// Judges what the server of `certificates` (its own first) sent as `staple`. The issuer is looked
/// for among `issuers`, then in the served chain; `policy` says what is accepted of it.
pub fn judge(
    certificates: &[Certificate],
    staple: Option<&[u8]>,
    issuers: &[Certificate],
    now: Timestamp,
    policy: impl Fn(&Certificate) -> Policy,
) -> Judgement {
    let Some((certificate, chain)) = certificates.split_first() else {
        return Judgement {
            issuer: None,
            verdict: StapleVerdict::NoIssuer,
        };
    };
    let issuer = x509::find_issuer(certificate, issuers)
        .or_else(|| x509::find_issuer(certificate, chain))
        .cloned();
    let verdict = match (staple, &issuer) {
        (None, _) if certificate.ocsp_urls().is_empty() && !certificate.must_staple() => {
            StapleVerdict::NoResponder
        }
        (None, _) => StapleVerdict::NoStaple {
            must_staple: certificate.must_staple(),
        },
        (Some(_), None) => StapleVerdict::NoIssuer,
        (Some(staple), Some(issuer)) => {
            let subject = Subject {
                certificate,
                issuer,
            };
            match ocsp::verify(staple, subject, None, now, policy(issuer)) {
                Ok(assessment) => StapleVerdict::Stapled(Box::new(assessment)),
                Err(rejection) => StapleVerdict::Rejected(rejection),
            }
        }
    };
    Judgement { issuer, verdict }
}

/// The name under which a server is asked for this certificate: its first whole DNS name, else its
/// first wildcard with a made-up label, else the subject's common name, which HAProxy goes by as
/// well. None where it has no name that a client could ask for.
pub fn name_to_ask(certificate: &Certificate) -> Option<String> {
    let names = certificate.names();
    let common_name = certificate.common_name();
    let candidates = || names.iter().map(String::as_str).chain(common_name);
    let whole = candidates().find(|name| is_host_name(name));
    let from_wildcard = || {
        candidates()
            .filter_map(|name| name.strip_prefix("*."))
            .find(|rest| is_host_name(rest))
            .map(|rest| format!("{MADE_UP_LABEL}.{rest}"))
    };
    whole.map(str::to_owned).or_else(from_wildcard)
}

fn is_host_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

/// Whether the certificate is for this host name or address (RFC 9525 §6: a wildcard stands for
/// one label, the first).
pub fn covers(certificate: &Certificate, name: &str) -> bool {
    if let Ok(address) = name.parse() {
        return certificate.ip_addresses().contains(&address);
    }
    certificate.names().iter().any(|pattern| {
        let same = pattern.eq_ignore_ascii_case(name);
        let by_wildcard = pattern.strip_prefix("*.").is_some_and(|rest| {
            name.split_once('.')
                .is_some_and(|(label, tail)| !label.is_empty() && tail.eq_ignore_ascii_case(rest))
        });
        same || by_wildcard
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{CertificateBuilder, NOW, World, dns_names, revoked, tls_feature};

    fn word(world: &World, chain: &[&Certificate], staple: Option<&[u8]>) -> String {
        let chain: Vec<Certificate> = chain.iter().map(|link| (*link).clone()).collect();
        judge(&chain, staple, &[], world.now, |_| Policy::default())
            .verdict
            .word()
    }

    #[test]
    fn a_staple_is_judged_by_the_issuer_in_the_chain() {
        let world = World::new();
        let good = world.direct().sign(&world.issuer_key);
        let chain = [&world.leaf, &world.root, &world.issuer];
        assert_eq!(word(&world, &chain, Some(&good)), "good");
        assert_eq!(word(&world, &[&world.leaf], Some(&good)), "no_issuer");
        assert_eq!(word(&world, &chain, Some(b"nonsense")), "reject:malformed");
        let mut builder = world.direct();
        builder.singles[0].status = revoked(NOW, Some(1));
        let staple = builder.sign(&world.issuer_key);
        assert_eq!(word(&world, &chain, Some(&staple)), "revoked");
    }

    #[test]
    fn an_issuer_that_is_given_counts_where_the_chain_has_none() {
        let world = World::new();
        let good = world.direct().sign(&world.issuer_key);
        let judgement = judge(
            std::slice::from_ref(&world.leaf),
            Some(&good),
            &[world.root.clone(), world.issuer.clone()],
            world.now,
            |_| Policy::default(),
        );
        assert!(judgement.verdict.is_good());
        assert_eq!(judgement.issuer, Some(world.issuer));
    }

    #[test]
    fn no_staple_is_worse_where_the_certificate_demands_one_and_normal_where_nobody_can_answer() {
        let world = World::new();
        let plain = CertificateBuilder::new("Issuer", "leaf", &[9]);
        let quiet = plain.clone().sign(&world.leaf_key, &world.issuer_key);
        assert_eq!(word(&world, &[&quiet], None), "no_responder");
        let demanding = plain
            .with(tls_feature(&[5]))
            .sign(&world.leaf_key, &world.issuer_key);
        assert_eq!(word(&world, &[&demanding], None), "no_staple");
        let judgement = judge(&[demanding], None, &[], world.now, |_| Policy::default());
        let explanation = judgement.verdict.explanation().unwrap();
        assert!(explanation.contains("must-staple"), "{explanation}");
    }

    #[test]
    fn the_name_to_ask_is_one_that_a_client_could_ask() {
        let world = World::new();
        let asked = |names: &[&str], subject: &str| {
            let builder = CertificateBuilder::new("Issuer", subject, &[9]).with(dns_names(names));
            name_to_ask(&builder.sign(&world.leaf_key, &world.issuer_key))
        };
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(asked(&["*.a.example", "b.example"], "x"), some("b.example"));
        assert_eq!(
            asked(&["*.a.example"], "two words"),
            some("staplerd-probe.a.example")
        );
        let bare = CertificateBuilder::new("Issuer", "c.example", &[9]);
        let bare = bare.sign(&world.leaf_key, &world.issuer_key);
        assert_eq!(name_to_ask(&bare), some("c.example"));
        assert_eq!(asked(&["*"], "two words"), None);
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        let world = World::new();
        let builder = CertificateBuilder::new("Issuer", "x", &[9])
            .with(dns_names(&["*.a.example", "b.example"]));
        let certificate = builder.sign(&world.leaf_key, &world.issuer_key);
        for (name, expected) in [
            ("www.a.example", true),
            ("B.example", true),
            ("a.example", false),
            ("x.y.a.example", false),
            ("x", false),
            ("192.0.2.1", false),
        ] {
            assert_eq!(covers(&certificate, name), expected, "{name}");
        }
    }
}
