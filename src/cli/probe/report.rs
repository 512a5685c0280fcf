//! What was seen, and how it is shown to people.

use std::path::PathBuf;
use std::time::Duration;

use super::super::wording;
use crate::probe::{Error, Handshake, Judgement, ProbeTarget, StapleVerdict, covers};
use crate::run::wall_clock;
use crate::text::Printable;
use crate::time::Timestamp;
use crate::x509::Certificate;
use humantime::format_duration;

/// One handshake and what is made of it.
pub(super) struct Probed {
    /// The name that was asked for.
    pub(super) name: Option<String>,
    pub(super) seen: Result<(Handshake, Judgement), Error>,
}

impl Probed {
    pub(super) fn new(
        name: Option<&str>,
        seen: Result<Handshake, Error>,
        judge: impl FnOnce(&Handshake) -> Judgement,
    ) -> Self {
        Probed {
            name: name.map(str::to_owned),
            seen: seen.map(|seen| {
                let judgement = judge(&seen);
                (seen, judgement)
            }),
        }
    }

    pub(super) fn is_good(&self) -> bool {
        self.verdict().is_some_and(StapleVerdict::is_good)
    }

    /// The server's certificate.
    pub(super) fn certificate(&self) -> Option<&Certificate> {
        let (seen, _) = self.seen.as_ref().ok()?;
        seen.certificates.first()
    }

    fn verdict(&self) -> Option<&StapleVerdict> {
        self.seen
            .as_ref()
            .ok()
            .map(|(_, judgement)| &judgement.verdict)
    }

    pub(super) fn word(&self) -> String {
        match &self.seen {
            Ok((_, judgement)) => judgement.verdict.word(),
            Err(error) => format!("unreachable:{}", error.kind()),
        }
    }

    pub(super) fn explanation(&self) -> Option<String> {
        match &self.seen {
            Ok((_, judgement)) => judgement.verdict.explanation(),
            Err(error) => Some(error.to_string()),
        }
    }

    /// The end of the staple's life.
    fn expires(&self) -> Option<Timestamp> {
        match self.verdict()? {
            StapleVerdict::Stapled(assessment) => Some(assessment.expires),
            _ => None,
        }
    }

    /// Whether the certificate is for the name that was asked for.
    pub(super) fn name_matches(&self) -> Option<bool> {
        Some(covers(self.certificate()?, self.name.as_deref()?))
    }
}

/// One certificate of the configuration.
pub(super) struct ProbeRow {
    /// Its file.
    pub(super) file: PathBuf,
    pub(super) state: ProbeState,
}

/// How it stands with it.
pub(super) enum ProbeState {
    /// The server was asked for it.
    Probed(Probed),
    /// The server was asked for it and showed another one.
    OtherCertificate(Probed),
    /// There was nothing to ask for: why.
    NotProbed(&'static str, String),
}

impl ProbeRow {
    pub(super) fn is_good(&self) -> bool {
        matches!(&self.state, ProbeState::Probed(probed) if probed.is_good())
    }

    /// The worst first, then those whose staples end first.
    pub(super) fn rank(&self) -> (bool, Option<Timestamp>, PathBuf) {
        let expires = match &self.state {
            ProbeState::Probed(probed) => probed.expires(),
            _ => None,
        };
        (self.is_good(), expires, self.file.clone())
    }

    pub(super) fn word(&self) -> String {
        match &self.state {
            ProbeState::Probed(probed) => probed.word(),
            ProbeState::OtherCertificate(_) => "other_certificate".to_owned(),
            ProbeState::NotProbed(kind, _) => format!("not_probed:{kind}"),
        }
    }

    pub(super) fn explanation(&self) -> Option<String> {
        match &self.state {
            ProbeState::Probed(probed) => probed.explanation(),
            ProbeState::OtherCertificate(probed) => {
                let subject = probed.certificate().map(Certificate::subject_display);
                Some(format!(
                    "the server shows another certificate, '{}'",
                    subject.unwrap_or_default()
                ))
            }
            ProbeState::NotProbed(_, reason) => Some(reason.clone()),
        }
    }

    pub(super) fn probed(&self) -> Option<&Probed> {
        match &self.state {
            ProbeState::Probed(probed) | ProbeState::OtherCertificate(probed) => Some(probed),
            ProbeState::NotProbed(..) => None,
        }
    }

    fn name(&self) -> Option<&str> {
        self.probed()?.name.as_deref()
    }
}

/// What is left until `end`: `3d 2h 5m`, nothing where it is over.
fn left(end: Timestamp) -> Duration {
    let seconds = end.since(wall_clock()).as_secs();
    // Seconds do not matter where there are hours.
    Duration::from_secs(match seconds {
        3600.. => seconds - seconds % 60,
        _ => seconds,
    })
}

/// Prints one handshake for people.
pub(super) fn print(target: &ProbeTarget, probed: &Probed) {
    if let Ok((seen, judgement)) = &probed.seen {
        print_server(target, probed, seen);
        print_certificates(seen, judgement);
        print_staple(seen, judgement);
    }
    match &probed.seen {
        Err(error) => println!("{} {target}: {error}", probed.word()),
        Ok((_, judgement)) => match &judgement.verdict {
            StapleVerdict::Stapled(assessment) => println!("{}", wording::verdict(assessment)),
            other => {
                let reason = other.explanation().unwrap_or_default();
                println!("{} {reason}", other.word());
            }
        },
    }
}

fn print_server(target: &ProbeTarget, probed: &Probed, seen: &Handshake) {
    let address = seen.address.to_string();
    if address == target.to_string() {
        print!("server {target}");
    } else {
        print!("server {target} at {address}");
    }
    if let Some(protocol) = seen.protocol {
        print!(", {protocol}");
    }
    match &probed.name {
        Some(name) => println!(", asked for {name}"),
        None => println!(", asked for no name"),
    }
    if let Some(reason) = &seen.broken_off {
        println!("note: the server broke off after it had shown its certificate: {reason}");
    }
    if probed.name_matches() == Some(false) {
        println!("note: the certificate is not for this name");
    }
}

fn print_certificates(seen: &Handshake, judgement: &Judgement) {
    let Some((certificate, chain)) = seen.certificates.split_first() else {
        return;
    };
    println!("certificate '{}'", certificate.subject_display());
    let names = names(certificate);
    if !names.is_empty() {
        println!("for {}", names.join(", "));
    }
    let (start, end) = (certificate.not_before(), certificate.not_after());
    println!("valid from {start} to {end}");
    if certificate.must_staple() {
        println!("must-staple: clients may insist on a staple");
    }
    for link in chain {
        println!("chain '{}'", link.subject_display());
    }
    match &judgement.issuer {
        Some(issuer) => println!("issuer '{}'", issuer.subject_display()),
        None => println!("issuer unknown"),
    }
}

fn print_staple(seen: &Handshake, judgement: &Judgement) {
    let Some(staple) = &seen.staple else {
        return;
    };
    println!("staple of {} bytes", staple.len());
    if let StapleVerdict::Stapled(assessment) = &judgement.verdict {
        for line in wording::details(assessment) {
            println!("{line}");
        }
        println!("life left {}", format_duration(left(assessment.expires)));
    }
}

pub(super) fn names(certificate: &Certificate) -> Vec<String> {
    let addresses = certificate.ip_addresses().iter().map(ToString::to_string);
    certificate
        .names()
        .iter()
        .cloned()
        .chain(addresses)
        .collect()
}

/// Prints all certificates for people, a line each.
pub(super) fn print_table(rows: &[ProbeRow]) {
    let cells: Vec<[String; 4]> = rows
        .iter()
        .map(|row| {
            let expires = row.probed().and_then(Probed::expires);
            let life = expires.map(|end| format_duration(left(end)).to_string());
            [
                row.word(),
                life.unwrap_or_else(|| "-".to_owned()),
                row.name().unwrap_or("-").to_owned(),
                row.file.printable().to_string(),
            ]
        })
        .collect();
    let mut widths = ["verdict", "life left", "name", "certificate"].map(str::len);
    for line in &cells {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let [verdict, life, name, _] = widths;
    println!(
        "{:verdict$}  {:life$}  {:name$}  certificate",
        "verdict", "life left", "name"
    );
    for (row, [first, second, third, file]) in rows.iter().zip(&cells) {
        println!("{first:verdict$}  {second:life$}  {third:name$}  {file}");
        if !row.is_good()
            && let Some(reason) = row.explanation()
        {
            println!("  {reason}");
        }
    }
    let good = rows.iter().filter(|row| row.is_good()).count();
    println!("{good} of {} good", rows.len());
}
