//! `staplerd fetch`: one certificate's response, asked for, judged, shown and, if wanted, saved.
//!
//! By all rules of the configuration: proxies, other URLs, refused addresses, timeouts, exceptions
//! for old CAs. Exit code 0 for a response that says good, and that was saved where `--output` asks
//! for it; 1 otherwise. The first word of the last line is the verdict, as `staplerd verify` has
//! it, or `unreachable:<kind>`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::input::{choose_issuer, read_certificates};
use super::{configuration, wording};
use crate::config::{Config, Options};
use crate::fetch::{self, FetchedAnswer, JobReport, Judged, Need};
use crate::files::Reach;
use crate::ocsp::{
    self, Assessment, CertId, CertificateStatus, Policy, Standing, Staple, Subject,
    check_succession,
};
use crate::run::{fetch_settings, wall_clock};
use crate::store::{self, Claims, Ownership};
use crate::text::Printable;
use crate::x509::{self, Certificate};

/// Whose response to fetch, and where to put it.
#[derive(Args)]
#[command(after_help = "Example: staplerd fetch /etc/haproxy/certs/site.pem -o /tmp/site.pem.ocsp")]
pub(super) struct FetchArguments {
    /// Certificate, PEM or DER; the first of several
    #[arg(value_name = "CERT")]
    certificate: PathBuf,

    /// Issuer, PEM or DER, where neither CERT nor CERT.issuer holds it
    #[arg(short, long, value_name = "FILE")]
    issuer: Option<PathBuf>,

    /// Save the response here, if HAProxy can staple it [default: do not save it]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// Configuration file whose rules about responders count
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Responder addresses to allow although they are refused by default
    ///
    /// Comma-separated networks (192.0.2.0/24), addresses with a port (10.0.0.5:8080), or the words
    /// loopback and private.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    allow_addresses: Vec<String>,
}

/// Everything that has to be known before a request.
struct FetchPlan {
    certificate: Certificate,
    issuer: Certificate,
    policy: Policy,
    /// The response that lies at `--output` now.
    held: Option<Standing>,
}

impl FetchPlan {
    fn subject(&self) -> Subject<'_> {
        Subject {
            certificate: &self.certificate,
            issuer: &self.issuer,
        }
    }
}

/// Fetches and prints.
pub(super) fn run(arguments: &FetchArguments) -> ExitCode {
    match fetch_and_show(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the certificate is good and everything was done.
fn fetch_and_show(arguments: &FetchArguments) -> Result<bool, String> {
    let options = Options {
        allow_addresses: arguments.allow_addresses.clone(),
        ..Options::default()
    };
    let config = configuration::check(options, arguments.config.as_deref())
        .map_err(|errors| configuration::in_lines(&errors))?;
    let ownership = Ownership::new(config.file_mode, config.file_group.as_deref())
        .map_err(|error| error.to_string())?;
    let question = Arc::new(question(arguments, &config)?);
    let (url, judged) = match ask(&config, Arc::clone(&question))? {
        Ok(FetchedAnswer::Judged { judgement, url, .. }) => (url, judgement),
        // Nothing conditional was asked.
        Ok(FetchedAnswer::NotModified { url, .. }) => return Err(format!("{url}: nothing new")),
        Err(failure) => {
            println!("unreachable:{} {failure}", failure.error.kind());
            return Ok(false);
        }
    };
    println!("answer of {url}");
    let assessment = match judged {
        Ok(assessment) => assessment,
        Err(rejection) => {
            println!("reject:{} {rejection}", rejection.kind());
            return Ok(false);
        }
    };
    for line in wording::details(&assessment) {
        println!("{line}");
    }
    let saved = match &arguments.output {
        None => Ok(()),
        Some(path) => save(path, &assessment, question.held.as_ref(), ownership),
    };
    if let (Ok(()), Some(path)) = (&saved, &arguments.output) {
        println!("saved as {}", path.printable());
    }
    println!("{}", wording::verdict_with_stapling(&assessment));
    saved?;
    Ok(assessment.status == CertificateStatus::Good)
}

/// Reads the files and applies the rules.
fn question(arguments: &FetchArguments, config: &Config) -> Result<FetchPlan, String> {
    let path = &arguments.certificate;
    let bundle = read_certificates(path)?;
    let certificate = bundle.leaf();
    let issuer = match &arguments.issuer {
        Some(issuer) => choose_issuer(certificate, &read_certificates(issuer)?).clone(),
        None => match x509::find_issuer(certificate, bundle.chain()) {
            Some(issuer) => issuer.clone(),
            None => match x509::unsupported_issuer(certificate, bundle.chain()) {
                Some(error) => {
                    return Err(format!(
                        "{}: its issuer's signature cannot be checked: {error}",
                        path.printable()
                    ));
                }
                None => issuer_beside(path, certificate)?,
            },
        },
    };
    let policy = config.policies.of(&issuer);
    let mut question = FetchPlan {
        certificate: certificate.clone(),
        issuer,
        policy,
        held: None,
    };
    question.held = match &arguments.output {
        None => None,
        Some(path) => {
            let bytes = store::load(path, Reach::Anywhere).map_err(|error| error.to_string())?;
            bytes.and_then(|bytes| {
                let held = ocsp::verify(&bytes, question.subject(), None, wall_clock(), policy);
                held.ok().map(|held| held.standing())
            })
        }
    };
    Ok(question)
}

/// The issuer in `CERT.issuer`, where HAProxy looks for it as well.
fn issuer_beside(path: &Path, certificate: &Certificate) -> Result<Certificate, String> {
    let mut name = path.as_os_str().to_owned();
    name.push(".issuer");
    let beside = PathBuf::from(name);
    let missing = || {
        format!(
            "{}: no issuer found: append the issuing CA's certificate, put it into {}, or name it \
             with --issuer",
            path.printable(),
            beside.printable()
        )
    };
    if !beside.exists() {
        return Err(missing());
    }
    let bundle = read_certificates(&beside)?;
    x509::find_issuer(certificate, bundle.certificates())
        .cloned()
        .ok_or_else(missing)
}

/// Asks the certificate's responders, or those that the configuration names instead.
fn ask(
    config: &Config,
    question: Arc<FetchPlan>,
) -> Result<Result<FetchedAnswer<Judged>, fetch::UrlFailure>, String> {
    let urls = question.certificate.ocsp_urls();
    let cert_id = CertId::new(&question.certificate, &question.issuer);
    let job = fetch::Job {
        urls: config
            .overrides
            .apply(question.issuer.subject_display(), urls),
        request: ocsp::encode_request(&cert_id, None).into(),
        need: Need::default(),
        conditional: None,
        key: question,
    };
    let judge = |question: &Arc<FetchPlan>, response: &[u8]| {
        let now = wall_clock();
        let judged = ocsp::verify(response, question.subject(), None, now, question.policy);
        fetch::verdict(judged, question.held.as_ref(), false, now)
    };
    let settings = fetch_settings(config);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let report: Option<JobReport<_, _>> = runtime.block_on(async {
        let (jobs, taken) = mpsc::unbounded_channel();
        let (results, mut reports) = mpsc::channel(1);
        // The receiver is alive: it is read below.
        let _ = jobs.send(job);
        drop(jobs);
        let service = fetch::run(settings, taken, judge, results, CancellationToken::new());
        tokio::join!(service, reports.recv()).1
    });
    // A name lookup that hangs is not waited for.
    runtime.shutdown_background();
    let report = report.ok_or("the request was given up")?;
    Ok(report.outcome)
}

/// Saves what is a valid staple and no step back.
fn save(
    path: &Path,
    assessment: &Assessment,
    held: Option<&Standing>,
    ownership: Ownership,
) -> Result<(), String> {
    let not_saved =
        |reason: &dyn std::fmt::Display| format!("{}: not saved: {reason}", path.printable());
    let staple: Staple = assessment
        .stapling
        .clone()
        .map_err(|reason| not_saved(&reason))?;
    if let Some(held) = held {
        check_succession(held, &staple.standing(), wall_clock())
            .map_err(|error| not_saved(&error))?;
    }
    let mut results = store::write(
        &[(path.to_owned(), Arc::new(staple))],
        &Claims::default(),
        ownership,
    );
    match results.pop() {
        Some(Err(error)) => Err(error.to_string()),
        _ => Ok(()),
    }
}
