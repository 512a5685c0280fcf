//! `staplerd probe`: what a TLS client gets from a server, for people and scripts.
//!
//! Exit code 0 for a valid staple that says good, 1 otherwise. The first word of the last line is
//! the verdict: those of `staplerd verify`, `no_staple`, `no_responder`, `no_issuer`, or
//! `unreachable:<kind>`. With `--all`, one handshake for each certificate of the configuration.

mod all;
mod json;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::input::{choose_issuer, read_certificates};
use super::{configuration, print_json};
use crate::config::Options;
use crate::ocsp::Policy;
use crate::probe::{self, ProbeTarget};
use crate::run::wall_clock;
use crate::x509::{Certificate, KeyFamily};

use report::Probed;

/// The server to ask, and how.
#[derive(Args)]
#[command(after_help = "Examples:\n  staplerd probe www.example.com\n  \
                  staplerd probe 127.0.0.1:443 --name www.example.com --json\n  \
                  staplerd probe 127.0.0.1:443 --all -d /etc/haproxy/certs")]
pub(super) struct ProbeArguments {
    /// Server to ask; the port is 443 where none is given
    #[arg(value_name = "HOST:PORT")]
    target: ProbeTarget,

    /// Name to ask for (SNI) [default: HOST, where it is a name]
    #[arg(short, long, value_name = "NAME", conflicts_with = "all")]
    name: Option<String>,

    /// Ask for a certificate with this kind of key [default: as the server likes]
    #[arg(short, long, value_name = "KIND", conflicts_with = "all")]
    key: Option<KeyKind>,

    /// Issuer of the certificate, PEM or DER, for servers that do not send it
    #[arg(
        short,
        long,
        visible_alias = "ca-file",
        value_name = "FILE",
        conflicts_with = "all"
    )]
    issuer: Option<PathBuf>,

    /// Accept SHA-1 signatures and RSA keys below 2048 bits, for private CAs
    #[arg(long)]
    allow_sha1: bool,

    /// Time for one whole handshake
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = configuration::duration)]
    timeout: Duration,

    /// Print one JSON object
    #[arg(short, long)]
    json: bool,

    /// Probe every certificate of the configuration by its name, the worst first
    #[arg(short, long, help_heading = "Every certificate")]
    all: bool,

    /// Configuration file that says where the certificates are
    #[arg(
        short,
        long,
        value_name = "FILE",
        requires = "all",
        help_heading = "Every certificate"
    )]
    config: Option<PathBuf>,

    /// Directories with certificates, in place of those of the configuration
    #[arg(
        short, long, value_name = "DIR", num_args = 1.., requires = "all",
        help_heading = "Every certificate"
    )]
    directories: Vec<PathBuf>,

    /// HAProxy's configuration files, which name certificates
    #[arg(
        long, value_name = "FILE", num_args = 1.., requires = "all",
        help_heading = "Every certificate"
    )]
    haproxy_config: Vec<PathBuf>,

    /// Look into the folders in the directories, too
    #[arg(
        short = 'R',
        long,
        requires = "all",
        help_heading = "Every certificate"
    )]
    recursive: bool,
}

/// The kinds of keys, as a client tells them apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum KeyKind {
    Rsa,
    Ecdsa,
    Ed25519,
}

impl From<KeyKind> for KeyFamily {
    fn from(key: KeyKind) -> Self {
        match key {
            KeyKind::Rsa => KeyFamily::Rsa,
            KeyKind::Ecdsa => KeyFamily::Ecdsa,
            KeyKind::Ed25519 => KeyFamily::Ed25519,
        }
    }
}

/// Probes and prints.
pub(super) fn run(arguments: &ProbeArguments) -> ExitCode {
    let outcome = if arguments.all {
        probe_all(arguments)
    } else {
        probe_one(arguments)
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the server sends a good staple.
fn probe_one(arguments: &ProbeArguments) -> Result<bool, String> {
    let target = &arguments.target;
    let given = arguments
        .issuer
        .as_deref()
        .map(read_certificates)
        .transpose()?;
    let host = target.host();
    let host_name = target.address().is_none().then_some(host);
    let name = arguments.name.as_deref().or(host_name);
    let family = arguments.key.map(KeyFamily::from);
    let seen = probe::handshake(target, name, family, arguments.timeout);
    let probed = Probed::new(name, seen, |seen| {
        let issuer = given.as_ref().zip(seen.certificates.first());
        let issuer = issuer.map(|(given, certificate)| choose_issuer(certificate, given).clone());
        let policy = |_: &Certificate| arguments.policy();
        let staple = seen.staple.as_deref();
        probe::judge(
            &seen.certificates,
            staple,
            issuer.as_slice(),
            wall_clock(),
            policy,
        )
    });
    if arguments.json {
        print_json(&json::One::new(target, &probed));
    } else {
        report::print(target, &probed);
    }
    Ok(probed.is_good())
}

/// Whether the server sends good staples for all certificates.
fn probe_all(arguments: &ProbeArguments) -> Result<bool, String> {
    let options = Options {
        directories: arguments.directories.clone(),
        recursive: arguments.recursive,
        haproxy_config: arguments.haproxy_config.clone(),
        ..Options::default()
    };
    let loaded = configuration::for_daemon(options, arguments.config.as_deref())
        .map_err(|errors| configuration::in_lines(&errors))?;
    let rows = all::probe(&arguments.target, &loaded.config, arguments)?;
    if arguments.json {
        print_json(&json::All::new(&arguments.target, &rows));
    } else {
        report::print_table(&rows);
    }
    Ok(rows.iter().all(report::ProbeRow::is_good))
}

impl ProbeArguments {
    fn policy(&self) -> Policy {
        Policy {
            allow_sha1: self.allow_sha1,
            staple_revoked: false,
        }
    }
}
