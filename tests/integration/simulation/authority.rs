//! The CA of the simulated world: its certificates, and its responses, true and false ones.
//!
//! Everything is signed for real (P-256) and judged by `ocsp::verify`, so what the agent gets to
//! hold is an honest staple. Responses are produced in advance and handed out until the next round,
//! as public CAs do; each is signed when it is first asked for.

use std::sync::Arc;
use std::time::Duration;

use staplerd::agent::IssuedCertificate;
use staplerd::time::Timestamp;
use staplerd::x509::Certificate;

use crate::pki::{
    CertificateBuilder, Key, ResponseBuilder, basic_constraints, extension, revoked, time,
    tls_feature, unknown,
};

/// A response's life consists of so many rounds of the responder: it is replaced after one.
const ROUNDS: u32 = 10;
/// What no HAProxy takes: more than a command line.
const TOO_MUCH: usize = 12 * 1024;
const HOLD: u8 = 6;
const KEY_COMPROMISE: u8 = 1;

/// One certificate, and what its responder knows of it.
pub struct Case {
    pub subject: Arc<IssuedCertificate>,
    /// Who answers for it, in the order of its URLs.
    pub responders: Vec<usize>,
    /// From when until when it is revoked.
    pub revocation: Option<(Timestamp, Timestamp)>,
    /// The last response that was signed, with its thisUpdate.
    signed: Option<(Timestamp, Vec<u8>)>,
}

impl Case {
    /// Revoked at any time at all.
    pub fn is_ever_revoked(&self) -> bool {
        self.revocation.is_some()
    }
}

/// What is wrong with a response.
#[derive(Clone, Copy, Debug)]
pub enum Lie {
    OtherKey,
    OtherCertificate,
    Ended,
    Future,
    ShortLived,
    WithoutEnd,
    TooLarge,
    UnknownCertificate,
    Garbage,
    Older,
}

pub const LIES: [Lie; 10] = [
    Lie::OtherKey,
    Lie::OtherCertificate,
    Lie::Ended,
    Lie::Future,
    Lie::ShortLived,
    Lie::WithoutEnd,
    Lie::TooLarge,
    Lie::UnknownCertificate,
    Lie::Garbage,
    Lie::Older,
];

pub struct Authority {
    key: Key,
    stranger: Key,
    leaf_key: Key,
    pub issuer: Certificate,
    pub cases: Vec<Case>,
}

impl Authority {
    pub fn new() -> Self {
        let key = Key::p256();
        let issuer = CertificateBuilder::new("Issuer", "Issuer", &[1])
            .with(basic_constraints(true))
            .sign(&key, &key);
        Authority {
            key,
            stranger: Key::p256(),
            leaf_key: Key::p256(),
            issuer,
            cases: Vec::new(),
        }
    }

    /// A new certificate that is valid until `not_after`; its place in `cases`.
    pub fn issue(
        &mut self,
        responders: Vec<usize>,
        now: Timestamp,
        not_after: Timestamp,
        revocation: Option<(Timestamp, Timestamp)>,
    ) -> usize {
        let place = self.cases.len();
        let serial = [&[1][..], &(place as u32).to_be_bytes()].concat();
        let mut builder = CertificateBuilder::new("Issuer", "leaf", &serial);
        builder.not_before = time(now.saturating_sub(Duration::from_secs(3600)));
        builder.not_after = time(not_after);
        if place.is_multiple_of(10) {
            builder = builder.with(tls_feature(&[5]));
        }
        let leaf = builder.sign(&self.leaf_key, &self.key);
        self.cases.push(Case {
            subject: Arc::new(IssuedCertificate::new(
                leaf,
                self.issuer.clone(),
                Vec::new(),
                staplerd::ocsp::Policy::default(),
            )),
            responders,
            revocation,
            signed: None,
        });
        place
    }

    /// The place in `cases` of a certificate that was issued here.
    pub fn place_of(&self, subject: &IssuedCertificate) -> usize {
        let serial = subject.certificate.serial();
        let number: [u8; 4] = serial[serial.len() - 4..].try_into().unwrap();
        u32::from_be_bytes(number) as usize
    }

    /// When the response that is handed out at `now` was produced.
    pub fn produced(&self, place: usize, now: Timestamp, life: Duration) -> Timestamp {
        produced(place, now, life)
    }

    /// How long a response is handed out, where responses live for `life`.
    pub fn round(&self, life: Duration) -> Duration {
        life / ROUNDS
    }

    /// What the responder truly says at `now`, where responses live for `life`.
    pub fn response(&mut self, place: usize, now: Timestamp, life: Duration) -> Vec<u8> {
        let this_update = produced(place, now, life);
        if let Some((at, bytes)) = &self.cases[place].signed
            && *at == this_update
        {
            return bytes.clone();
        }
        let bytes = self.builder(place, this_update, life).sign(&self.key);
        self.cases[place].signed = Some((this_update, bytes.clone()));
        bytes
    }

    /// What a lying responder says at `now`.
    pub fn lie(&self, lie: Lie, place: usize, now: Timestamp, life: Duration) -> Vec<u8> {
        let this_update = produced(place, now, life);
        let mut builder = self.builder(place, this_update, life);
        let single = &mut builder.singles[0];
        match lie {
            Lie::OtherKey => return builder.sign(&self.stranger),
            Lie::OtherCertificate => {
                let other = (place + 1) % self.cases.len();
                single.cert_id = self.cases[other].subject.cert_id.der().to_vec();
                if other == place {
                    return Vec::new();
                }
            }
            Lie::Ended => single.next_update = Some(time(now.saturating_sub(life))),
            Lie::Future => single.this_update = time(now.saturating_add(life / 2)),
            Lie::ShortLived => {
                single.next_update = Some(time(now.saturating_add(Duration::from_secs(300))));
            }
            Lie::WithoutEnd => single.next_update = None,
            Lie::TooLarge => {
                builder.extensions = vec![extension("1.2.3.4", false, &vec![7; TOO_MUCH])];
            }
            Lie::UnknownCertificate => single.status = unknown(),
            Lie::Garbage => return b"<html>It works!</html>".to_vec(),
            Lie::Older => {
                let older = this_update.saturating_sub(life / ROUNDS);
                return self.builder(place, older, life).sign(&self.key);
            }
        }
        builder.sign(&self.key)
    }

    fn builder(&self, place: usize, this_update: Timestamp, life: Duration) -> ResponseBuilder {
        let case = &self.cases[place];
        let mut builder = ResponseBuilder::good(&case.subject.cert_id, &self.issuer);
        builder.produced_at = time(this_update);
        let single = &mut builder.singles[0];
        single.this_update = time(this_update);
        single.next_update = Some(time(this_update.saturating_add(life)));
        if let Some((from, until)) = case.revocation
            && from <= this_update
            && this_update < until
        {
            let is_hold = until < case.subject.certificate.not_after();
            let reason = if is_hold { HOLD } else { KEY_COMPROMISE };
            single.status = revoked(from, Some(reason));
        }
        builder
    }
}

/// When the responses that are handed out at `now` were produced; not all in the same second.
fn produced(place: usize, now: Timestamp, life: Duration) -> Timestamp {
    let length = (life / ROUNDS).as_secs() as i64;
    let shift = (place as i64 * 7919) % length;
    Timestamp::from_unix((now.unix() - shift).div_euclid(length) * length + shift)
}
