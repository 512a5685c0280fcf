//! Which accepted response may follow which.

use std::time::Duration;

use super::{WORLD, judge};
use crate::ocsp::{
    CertificateStatus, RevocationReason, Standing, SuccessionError, check_succession,
};
use crate::pki::{DAY, HOUR, NOW};

const SECOND: Duration = Duration::from_secs(1);

fn good() -> Standing {
    Standing {
        status: CertificateStatus::Good,
        this_update: NOW.saturating_sub(HOUR),
        expires: NOW.saturating_add(DAY),
    }
}

fn revoked(reason: Option<RevocationReason>) -> Standing {
    Standing {
        status: CertificateStatus::Revoked { at: NOW, reason },
        ..good()
    }
}

#[test]
fn newer_and_equally_old_responses_follow() {
    let newer = Standing {
        this_update: NOW,
        ..good()
    };
    assert_eq!(check_succession(&good(), &newer, NOW), Ok(()));
    assert_eq!(check_succession(&good(), &good(), NOW), Ok(()));
}

#[test]
fn an_older_one_follows_only_what_has_expired() {
    let older = Standing {
        this_update: good().this_update.saturating_sub(SECOND),
        ..good()
    };
    let setback = check_succession(&good(), &older, NOW).unwrap_err();
    assert_eq!(setback.kind(), "older_this_update");
    assert!(setback.to_string().contains("2026-01-15T10:59:59Z"));
    let end = good().expires;
    let just_before = end.saturating_sub(SECOND);
    assert!(check_succession(&good(), &older, just_before).is_err());
    assert_eq!(check_succession(&good(), &older, end), Ok(()));
}

#[test]
fn good_follows_a_hold_but_no_other_revocation() {
    let hold = revoked(Some(RevocationReason::CertificateHold));
    assert_eq!(check_succession(&hold, &good(), NOW), Ok(()));
    for reason in [None, Some(RevocationReason::KeyCompromise)] {
        let setback = check_succession(&revoked(reason), &good(), NOW).unwrap_err();
        assert_eq!(
            setback,
            SuccessionError::GoodAfterRevoked { revoked_at: NOW }
        );
        assert_eq!(setback.kind(), "good_after_revoked");
        let long_after = NOW.saturating_add(30 * DAY);
        assert!(check_succession(&revoked(reason), &good(), long_after).is_err());
    }
}

#[test]
fn revoked_follows_anything() {
    for held in [good(), revoked(None)] {
        assert_eq!(check_succession(&held, &revoked(None), NOW), Ok(()));
    }
}

#[test]
fn an_older_revocation_counts_against_good_unless_it_is_a_hold() {
    let older = |reason| Standing {
        this_update: good().this_update.saturating_sub(SECOND),
        ..revoked(reason)
    };
    let for_ever = older(Some(RevocationReason::KeyCompromise));
    assert_eq!(check_succession(&good(), &for_ever, NOW), Ok(()));
    assert!(check_succession(&revoked(None), &for_ever, NOW).is_err());
    let hold = older(Some(RevocationReason::CertificateHold));
    assert!(check_succession(&good(), &hold, NOW).is_err());
}

#[test]
fn an_older_good_response_does_not_end_a_hold_even_when_that_has_expired() {
    let hold = revoked(Some(RevocationReason::CertificateHold));
    let older = Standing {
        this_update: hold.this_update.saturating_sub(SECOND),
        expires: NOW.saturating_add(30 * DAY),
        ..good()
    };
    let long_after = hold.expires.saturating_add(DAY);
    let setback = check_succession(&hold, &older, long_after).unwrap_err();
    assert_eq!(setback.kind(), "older_this_update");
}

#[test]
fn assessment_and_staple_have_the_same_standing() {
    let assessment = judge(&WORLD.direct().sign(&WORLD.issuer_key)).unwrap();
    let standing = assessment.standing();
    assert_eq!(standing.this_update, assessment.this_update);
    assert_eq!(standing.expires, assessment.expires);
    assert_eq!(assessment.stapling.unwrap().standing(), standing);
}
