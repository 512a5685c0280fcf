//! What answers say, and who signs them.
//!
//! Promises: statuses come from the source, at once when they change; every hash algorithm of a
//! CertID and several requests in one message are answered; nonces are echoed where asked for;
//! several issuers have their own signers; trouble is tryLater or internalError.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_lc_rs::digest;
use staplerd::ocsp::extension;
use staplerd::ocsp::response::{BasicResponse, ResponderId, decode};
use staplerd::ocsp::{
    CertificateStatus, Policy, RevocationReason, Signer, Subject, encode_request, verify,
};
use staplerd::responder::{
    Authority, Inquiry, Settings, SigningKey, SourceError, Statement, StatementFuture, StatusSource,
};
use staplerd::x509::der;

use super::{Serving, authority, certify, good, request};
use crate::pki::{
    self, CertificateBuilder, DAY, HOUR, NOW, World, basic_constraints, sequence, sha1, time,
};

const REVOKED: CertificateStatus = CertificateStatus::Revoked {
    at: staplerd::time::Timestamp::from_unix(1_768_000_000),
    reason: Some(RevocationReason::Superseded),
};

fn settings(change: impl Fn(&mut Settings)) -> Settings {
    let mut settings = Settings::default();
    change(&mut settings);
    settings
}

#[test]
fn statuses_come_from_the_source_with_time_and_reason() {
    let world = World::new();
    for status in [CertificateStatus::Good, REVOKED, CertificateStatus::Unknown] {
        let source = move |inquiry: Inquiry<'_>| {
            assert_eq!(inquiry.serial, [0x03, 0xa2, 0xef]);
            assert_eq!(inquiry.now, NOW);
            Ok(status)
        };
        let authority = authority(&world, source);
        let serving = Serving::start(vec![authority], Settings::default(), &[]);
        let assessment = serving.post(&request(&world)).judged(&world).unwrap();
        assert_eq!(assessment.status, status);
        assert_eq!(assessment.this_update, NOW);
        assert_eq!(assessment.next_update, Some(NOW.saturating_add(4 * DAY)));
        assert!(matches!(assessment.signer, Signer::Delegate(_)));
    }
}

#[test]
fn a_ca_that_signs_itself_sends_no_certificate_and_names_its_key() {
    let mut world = World::new();
    let key = SigningKey::generate().unwrap();
    let builder = CertificateBuilder::new("Root", "Issuer", &[2]).with(basic_constraints(true));
    world.issuer = certify(&builder, &key, &world.root_key);
    let authority = Authority::new(world.issuer.clone(), world.issuer.clone(), key, good).unwrap();
    assert_eq!(authority.warnings(NOW), []);
    let serving = Serving::start(vec![authority], Settings::default(), &[]);
    let reply = serving.post(&request(&world));
    let response = decode(&reply.body).unwrap();
    assert_eq!(response.certificates, [] as [&[u8]; 0]);
    let key_hash = sha1(world.issuer.public_key_bits());
    assert_eq!(response.responder_id, ResponderId::ByKey(&key_hash));
    assert_eq!(reply.judged(&world).unwrap().signer, Signer::Issuer);
}

/// The CertIDs of the leaf in all hash algorithms, with NULL parameters and without.
fn all_cert_ids(world: &World) -> Vec<Vec<u8>> {
    let algorithms: [(&str, &'static digest::Algorithm); 4] = [
        (pki::SHA1, &digest::SHA1_FOR_LEGACY_USE_ONLY),
        (pki::SHA256, &digest::SHA256),
        ("2.16.840.1.101.3.4.2.2", &digest::SHA384),
        ("2.16.840.1.101.3.4.2.3", &digest::SHA512),
    ];
    let mut cert_ids = Vec::new();
    for (identifier, algorithm) in algorithms {
        let hash = |bytes: &[u8]| digest::digest(algorithm, bytes).as_ref().to_vec();
        for parameters in [pki::NULL, &[]] {
            let identifier = pki::algorithm(identifier, parameters);
            let cert_id = pki::cert_id(&identifier, hash, &world.leaf, &world.issuer);
            cert_ids.push(cert_id);
        }
    }
    cert_ids
}

fn request_for(cert_ids: &[Vec<u8>]) -> Vec<u8> {
    let list: Vec<u8> = cert_ids.iter().flat_map(|one| sequence(&[one])).collect();
    sequence(&[&sequence(&[&sequence(&[&list])])])
}

fn raw_cert_ids(response: &BasicResponse<'_>) -> Vec<Vec<u8>> {
    let singles = response.single_responses.iter();
    singles.map(|single| single.cert_id.raw.to_vec()).collect()
}

#[test]
fn cert_ids_of_every_hash_algorithm_come_back_as_they_were_alone_and_together() {
    let world = World::new();
    let serving = Serving::good(&world);
    let cert_ids = all_cert_ids(&world);
    for cert_id in &cert_ids {
        let reply = serving.post(&request_for(std::slice::from_ref(cert_id)));
        assert_eq!(reply.verdict(&world), "good");
        let response = decode(&reply.body).unwrap();
        assert_eq!(raw_cert_ids(&response), std::slice::from_ref(cert_id));
    }
    let reply = serving.post(&request_for(&cert_ids));
    assert_eq!(reply.verdict(&world), "good");
    assert_eq!(raw_cert_ids(&decode(&reply.body).unwrap()), cert_ids);
}

#[test]
fn nonces_are_echoed_where_that_is_configured() {
    let world = World::new();
    let nonce = [0x5a; 32];
    let request = encode_request(&world.cert_id(), Some(&nonce));
    let subject = Subject {
        certificate: &world.leaf,
        issuer: &world.issuer,
    };
    for echo_nonce in [true, false] {
        let settings = settings(|settings| settings.echo_nonce = echo_nonce);
        let serving = Serving::start(vec![authority(&world, good)], settings, &[]);
        let reply = serving.post(&request);
        let response = decode(&reply.body).unwrap();
        let echoed = extension::find(&response.extensions, extension::NONCE);
        let expected = der::encode(der::OCTET_STRING, &[&nonce]);
        assert_eq!(echoed, echo_nonce.then_some(&expected[..]));
        let judged = verify(&reply.body, subject, Some(&nonce), NOW, Policy::default());
        assert_eq!(judged.unwrap().status, CertificateStatus::Good);
        let personal = reply.header("cache-control") == Some("no-store");
        assert_eq!(personal, echo_nonce);
        assert_eq!(reply.header("etag").is_none(), echo_nonce);
        // Without a nonce there is nothing personal.
        assert!(
            serving
                .post(&super::request(&world))
                .header("etag")
                .is_some()
        );
    }
}

#[test]
fn answers_are_signed_once_and_again_when_the_status_changes() {
    let world = World::new();
    let revoked = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&revoked);
    let source = move |_: Inquiry<'_>| {
        Ok(if seen.load(Ordering::SeqCst) {
            REVOKED
        } else {
            CertificateStatus::Good
        })
    };
    let serving = Serving::start(vec![authority(&world, source)], Settings::default(), &[]);
    let first = serving.post(&request(&world));
    assert_eq!(first.verdict(&world), "good");
    // An ECDSA signature is never made twice alike: the same bytes were signed once.
    assert_eq!(serving.post(&request(&world)).body, first.body);
    revoked.store(true, Ordering::SeqCst);
    assert_eq!(serving.post(&request(&world)).verdict(&world), "revoked");
}

#[test]
fn issuers_have_their_own_signers_and_are_not_mixed() {
    let (one, two) = (World::new(), World::new());
    let authorities = vec![authority(&one, good), authority(&two, good)];
    let serving = Serving::start(authorities, Settings::default(), &[]);
    for world in [&one, &two] {
        assert_eq!(serving.post(&request(world)).verdict(world), "good");
    }
    let both = [one.cert_id().der().to_vec(), two.cert_id().der().to_vec()];
    let reply = serving.post(&request_for(&both));
    assert_eq!(reply.verdict(&one), "unauthorized");
}

#[test]
fn trouble_of_the_source_is_try_later_and_an_expired_signer_an_internal_error() {
    let world = World::new();
    let broken = |_: Inquiry<'_>| Err(SourceError::Unavailable("the database is away".to_owned()));
    let serving = Serving::start(vec![authority(&world, broken)], Settings::default(), &[]);
    let reply = serving.post(&request(&world));
    assert_eq!((reply.status, reply.verdict(&world)), (200, "try_later"));

    let key = SigningKey::generate().unwrap();
    let mut builder = World::delegate_builder();
    builder.not_after = time(NOW);
    let expired = certify(&builder, &key, &world.issuer_key);
    let authority = Authority::new(world.issuer.clone(), expired, key, good).unwrap();
    let serving = Serving::start(vec![authority], Settings::default(), &[]);
    let reply = serving.post(&request(&world));
    assert_eq!(
        (reply.status, reply.verdict(&world)),
        (200, "internal_error")
    );
}

/// Panics in what it returns, once it has been waited for.
struct PanicsLate;

impl StatusSource for PanicsLate {
    fn statement<'a>(&'a self, _: Inquiry<'a>) -> StatementFuture<'a> {
        Box::pin(async {
            tokio::task::yield_now().await;
            panic!("late");
        })
    }
}

#[test]
fn a_source_that_panics_is_an_internal_error_and_the_next_question_is_answered() {
    let world = World::new();
    let first = std::sync::atomic::AtomicBool::new(true);
    let panics_once = move |_: Inquiry<'_>| {
        let is_first = first.swap(false, std::sync::atomic::Ordering::Relaxed);
        assert!(!is_first, "at once");
        Ok(CertificateStatus::Good)
    };
    let sources = authority(&world, panics_once);
    let serving = Serving::start(vec![sources], Settings::default(), &[]);
    let verdict = || serving.post(&request(&world)).verdict(&world);
    assert_eq!([verdict(), verdict()], ["internal_error", "good"]);

    let late = authority(&world, PanicsLate);
    let serving = Serving::start(vec![late], Settings::default(), &[]);
    let verdict = || serving.post(&request(&world)).verdict(&world);
    assert_eq!([verdict(), verdict()], ["internal_error"; 2]);
}

#[test]
fn no_answer_outlives_its_signer() {
    let world = World::new();
    let key = SigningKey::generate().unwrap();
    let mut builder = World::delegate_builder();
    builder.not_after = time(NOW.saturating_add(HOUR));
    let signer = certify(&builder, &key, &world.issuer_key);
    let authority = Authority::new(world.issuer.clone(), signer, key, good).unwrap();
    let serving = Serving::start(vec![authority], Settings::default(), &[]);
    let assessment = serving.post(&request(&world)).judged(&world).unwrap();
    assert_eq!(assessment.next_update, Some(NOW.saturating_add(HOUR)));
}

/// States when its knowledge is from, and until when it counts; and takes its time to answer.
struct Dated;

impl StatusSource for Dated {
    fn statement<'a>(&'a self, _: Inquiry<'a>) -> StatementFuture<'a> {
        Box::pin(async {
            tokio::task::yield_now().await;
            Ok(Statement {
                status: CertificateStatus::Good,
                this_update: Some(NOW.saturating_sub(DAY)),
                next_update: Some(NOW.saturating_add(2 * DAY)),
            })
        })
    }
}

#[test]
fn a_source_may_wait_and_may_limit_what_it_vouches_for() {
    let world = World::new();
    let serving = Serving::start(vec![authority(&world, Dated)], Settings::default(), &[]);
    let assessment = serving.post(&request(&world)).judged(&world).unwrap();
    assert_eq!(assessment.produced_at, NOW);
    assert_eq!(assessment.this_update, NOW.saturating_sub(DAY));
    assert_eq!(assessment.next_update, Some(NOW.saturating_add(2 * DAY)));
}

#[test]
fn the_archive_cutoff_is_stated_where_it_is_configured() {
    const ARCHIVE_CUTOFF: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x30\x01\x06";
    let world = World::new();
    let year = Duration::from_secs(365 * 24 * 3600);
    for archive in [None, Some(year)] {
        let settings = settings(|settings| settings.archive = archive);
        let serving = Serving::start(vec![authority(&world, good)], settings, &[]);
        let reply = serving.post(&request(&world));
        let response = decode(&reply.body).unwrap();
        let single = &response.single_responses[0];
        let cutoff = extension::find(&single.extensions, ARCHIVE_CUTOFF);
        let expected = archive.map(|length| time(NOW.saturating_sub(length)));
        assert_eq!(cutoff, expected.as_deref());
        assert_eq!(reply.verdict(&world), "good");
    }
}
