//! What to do with a validated or refused answer: the retry rules for what responders say.
//!
//! Pure. Validation itself is `ocsp::verify`'s; here its result becomes a [`Verdict`] about whether
//! another way of asking may bring something better (RFC 6960 §2.3, §4.2.1; RFC 9919 §6.2: a cache
//! may hold what is no longer current).

use super::Verdict;
use crate::ocsp::{
    Assessment, CertificateStatus, NotStapleable, Rejection, ResponderError, Standing,
};
use crate::time::Timestamp;

/// An answer as `ocsp::verify` judges it.
pub type Judged = Result<Assessment, Rejection>;

/// Whether to take `judged`, or to ask again and how. `held` is the response held for the same
/// certificate, if there is one; where its successor `is_overdue`, the same again is as outdated as
/// an older one.
pub fn verdict(
    judged: Judged,
    held: Option<&Standing>,
    is_overdue: bool,
    now: Timestamp,
) -> Verdict<Judged> {
    match &judged {
        Ok(assessment) => {
            let older = held.is_some_and(|held| {
                let is_same = is_overdue
                    && assessment.status == held.status
                    && assessment.this_update == held.this_update
                    && assessment.expires <= held.expires;
                let is_older = assessment.this_update < held.this_update;
                now < held.expires && (is_older || is_same)
            });
            let nearly_over =
                matches!(assessment.stapling, Err(NotStapleable::LifeTooShort { .. }));
            if older || nearly_over {
                Verdict::Outdated(judged)
            } else if assessment.status == CertificateStatus::Unknown {
                Verdict::NextUrl(judged)
            } else {
                Verdict::Settled(judged)
            }
        }
        Err(Rejection::Expired { .. } | Rejection::TooOld { .. }) => Verdict::Outdated(judged),
        Err(Rejection::Responder(error)) => match error {
            ResponderError::InternalError | ResponderError::TryLater => Verdict::Unable(judged),
            ResponderError::Unauthorized => Verdict::NextUrl(judged),
            ResponderError::MalformedRequest | ResponderError::SigRequired => {
                Verdict::OtherForm(judged)
            }
        },
        // The clocks differ, or its keys are wrong: another form of the request changes neither.
        Err(
            Rejection::NotYetValid { .. }
            | Rejection::ProducedInFuture { .. }
            | Rejection::WeakSignature { .. }
            | Rejection::UnsupportedSignature { .. },
        ) => Verdict::NextUrl(judged),
        // Nonsense, or an answer to another client's question: perhaps a cache's fault.
        Err(_) => Verdict::OtherForm(judged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ocsp::Signer;

    const NOW: Timestamp = Timestamp::from_unix(1_000_000);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix(NOW.unix() + seconds)
    }

    fn assessment(status: CertificateStatus, this_update: Timestamp) -> Assessment {
        Assessment {
            status,
            stapling: Err(NotStapleable::NoNextUpdate),
            notes: Vec::new(),
            signer: Signer::Issuer,
            produced_at: this_update,
            this_update,
            next_update: None,
            expires: at(1000),
        }
    }

    fn held(this_update: Timestamp, expires: Timestamp) -> Standing {
        Standing {
            status: CertificateStatus::Good,
            this_update,
            expires,
        }
    }

    #[test]
    fn a_current_answer_is_taken_and_an_unknown_one_only_for_want_of_a_better() {
        let good = assessment(CertificateStatus::Good, at(-10));
        assert!(matches!(
            verdict(Ok(good), None, false, NOW),
            Verdict::Settled(_)
        ));
        let revoked = CertificateStatus::Revoked {
            at: at(-100),
            reason: None,
        };
        let revoked = assessment(revoked, at(-10));
        assert!(matches!(
            verdict(Ok(revoked), None, false, NOW),
            Verdict::Settled(_)
        ));
        let unknown = assessment(CertificateStatus::Unknown, at(-10));
        assert!(matches!(
            verdict(Ok(unknown), None, false, NOW),
            Verdict::NextUrl(_)
        ));
    }

    #[test]
    fn an_answer_older_than_the_one_held_is_asked_for_again() {
        let judge = |held: Standing| {
            let good = assessment(CertificateStatus::Good, at(-500));
            verdict(Ok(good), Some(&held), false, NOW)
        };
        assert!(matches!(
            judge(held(at(-10), at(1000))),
            Verdict::Outdated(_)
        ));
        assert!(matches!(
            judge(held(at(-500), at(1000))),
            Verdict::Settled(_)
        ));
        assert!(matches!(judge(held(at(-10), at(-1))), Verdict::Settled(_)));
    }

    #[test]
    fn the_same_answer_again_is_outdated_once_its_successor_is_overdue() {
        let judge = |is_overdue, held: Standing| {
            let good = assessment(CertificateStatus::Good, at(-500));
            verdict(Ok(good), Some(&held), is_overdue, NOW)
        };
        let same = held(at(-500), at(1000));
        assert!(matches!(judge(false, same), Verdict::Settled(_)));
        assert!(matches!(judge(true, same), Verdict::Outdated(_)));
        // Newer, or good for longer: worth taking.
        let older = held(at(-600), at(1000));
        assert!(matches!(judge(true, older), Verdict::Settled(_)));
        let shorter = held(at(-500), at(900));
        assert!(matches!(judge(true, shorter), Verdict::Settled(_)));
    }

    #[test]
    fn an_answer_past_or_near_its_end_is_asked_for_again_past_the_caches() {
        let expired = Rejection::Expired {
            next_update: at(-1),
            now: NOW,
        };
        assert!(matches!(
            verdict(Err(expired), None, false, NOW),
            Verdict::Outdated(_)
        ));
        let mut ending = assessment(CertificateStatus::Good, at(-500));
        ending.stapling = Err(NotStapleable::LifeTooShort {
            expires: at(100),
            minimum: 600,
        });
        assert!(matches!(
            verdict(Ok(ending), None, false, NOW),
            Verdict::Outdated(_)
        ));
    }

    #[test]
    fn each_responder_error_has_its_rule() {
        let judge = |error| verdict(Err(Rejection::Responder(error)), None, false, NOW);
        use ResponderError::*;
        assert!(matches!(judge(MalformedRequest), Verdict::OtherForm(_)));
        assert!(matches!(judge(InternalError), Verdict::Unable(_)));
        assert!(matches!(judge(TryLater), Verdict::Unable(_)));
        assert!(matches!(judge(SigRequired), Verdict::OtherForm(_)));
        assert!(matches!(judge(Unauthorized), Verdict::NextUrl(_)));
    }

    #[test]
    fn nonsense_is_asked_for_once_more_in_the_other_form() {
        let judged = Err(Rejection::NoSingleResponse);
        assert!(matches!(
            verdict(judged, None, false, NOW),
            Verdict::OtherForm(_)
        ));
    }
}
