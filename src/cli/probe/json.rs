//! What was seen, for programs.
//!
//! The keys and the words in them are a promise (docs/reference.md, "JSON of probe"): keys may be
//! added, none changes its meaning without another `schema` number.

use serde::Serialize;

use super::super::wording;
use super::report::{ProbeRow, Probed, names};
use crate::ocsp::Assessment;
use crate::probe::{ProbeTarget, StapleVerdict};
use crate::run::wall_clock;
use crate::text::Printable;
use crate::text::shown_hexadecimal;
use crate::time::Timestamp;
use crate::x509::Certificate;

/// The version of the JSON's form.
const SCHEMA: u32 = 1;

/// The JSON object of one handshake.
#[derive(Serialize)]
pub(super) struct One {
    schema: u32,
    target: String,
    #[serde(flatten)]
    handshake: HandshakeReport,
}

/// The JSON object of `--all`.
#[derive(Serialize)]
pub(super) struct All {
    schema: u32,
    target: String,
    good: bool,
    certificates: Vec<CertificateRow>,
}

#[derive(Serialize)]
struct CertificateRow {
    file: String,
    #[serde(flatten)]
    handshake: HandshakeReport,
}

/// Everything that is known of one handshake; what is not known is null.
#[derive(Serialize, Default)]
struct HandshakeReport {
    good: bool,
    verdict: String,
    reason: Option<String>,
    name: Option<String>,
    name_matches: Option<bool>,
    address: Option<String>,
    protocol: Option<&'static str>,
    certificate: Option<CertificateReport>,
    chain: Vec<CertificateReport>,
    issuer: Option<String>,
    staple: Option<StapleReport>,
}

#[derive(Serialize)]
struct CertificateReport {
    subject: String,
    names: Vec<String>,
    serial: String,
    sha256: String,
    not_before: String,
    not_after: String,
    must_staple: bool,
}

#[derive(Serialize)]
struct StapleReport {
    bytes: usize,
    /// Null where the staple is rejected or cannot be judged, as all below.
    status: Option<String>,
    signer: Option<String>,
    produced_at: Option<String>,
    this_update: Option<String>,
    next_update: Option<String>,
    expires: Option<String>,
    life_left_seconds: Option<u64>,
    notes: Vec<String>,
}

impl One {
    pub(super) fn new(target: &ProbeTarget, probed: &Probed) -> Self {
        One {
            schema: SCHEMA,
            target: target.to_string(),
            handshake: HandshakeReport::new(probed),
        }
    }
}

impl All {
    pub(super) fn new(target: &ProbeTarget, rows: &[ProbeRow]) -> Self {
        let certificates = rows.iter().map(|row| CertificateRow {
            file: row.file.printable().to_string(),
            handshake: HandshakeReport {
                good: row.is_good(),
                verdict: row.word(),
                reason: row.explanation(),
                ..row.probed().map(HandshakeReport::new).unwrap_or_default()
            },
        });
        All {
            schema: SCHEMA,
            target: target.to_string(),
            good: rows.iter().all(ProbeRow::is_good),
            certificates: certificates.collect(),
        }
    }
}

impl HandshakeReport {
    fn new(probed: &Probed) -> Self {
        let mut report = HandshakeReport {
            good: probed.is_good(),
            verdict: probed.word(),
            reason: probed.explanation(),
            name: probed.name.clone(),
            name_matches: probed.name_matches(),
            ..HandshakeReport::default()
        };
        if let Ok((seen, judgement)) = &probed.seen {
            let mut certificates = seen.certificates.iter().map(CertificateReport::new);
            report.address = Some(seen.address.to_string());
            report.protocol = seen.protocol;
            report.certificate = certificates.next();
            report.chain = certificates.collect();
            report.issuer = judgement
                .issuer
                .as_ref()
                .map(|issuer| issuer.subject_display().to_owned());
            report.staple = seen
                .staple
                .as_ref()
                .map(|staple| StapleReport::new(staple, &judgement.verdict));
        }
        report
    }
}

impl CertificateReport {
    fn new(certificate: &Certificate) -> Self {
        CertificateReport {
            subject: certificate.subject_display().to_owned(),
            names: names(certificate),
            serial: shown_hexadecimal(certificate.serial()),
            sha256: shown_hexadecimal(&certificate.sha256_fingerprint()),
            not_before: certificate.not_before().to_string(),
            not_after: certificate.not_after().to_string(),
            must_staple: certificate.must_staple(),
        }
    }
}

impl StapleReport {
    fn new(staple: &[u8], verdict: &StapleVerdict) -> Self {
        let assessment = match verdict {
            StapleVerdict::Stapled(assessment) => Some(assessment),
            _ => None,
        };
        let of = |time: fn(&Assessment) -> Timestamp| {
            assessment.map(|assessment| time(assessment).to_string())
        };
        StapleReport {
            bytes: staple.len(),
            status: assessment.map(|_| verdict.word()),
            signer: assessment.map(|assessment| wording::signer(assessment)),
            produced_at: of(|assessment| assessment.produced_at),
            this_update: of(|assessment| assessment.this_update),
            next_update: assessment
                .and_then(|assessment| assessment.next_update)
                .map(|time| time.to_string()),
            expires: of(|assessment| assessment.expires),
            life_left_seconds: assessment
                .map(|assessment| assessment.expires.since(wall_clock()).as_secs()),
            notes: assessment
                .map(|assessment| assessment.notes.iter().map(ToString::to_string).collect())
                .unwrap_or_default(),
        }
    }
}
