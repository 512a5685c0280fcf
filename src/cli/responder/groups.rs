//! The options of `staplerd responder` that come in groups, one group for each authority.
//!
//! Every `--issuer` begins a group; what follows it belongs to it. Nothing is opened here.

use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, FromArgMatches, value_parser};

use crate::config::{AuthorityConfig, Invocation, Statuses};
use crate::text::Printable;

/// The options that come in groups, in the order of the command line.
pub(super) struct Authorities(Vec<Group>);

#[derive(Default)]
struct Group {
    issuer: PathBuf,
    signer: Option<PathBuf>,
    key: Option<PathBuf>,
    index: Option<PathBuf>,
    crl: Option<PathBuf>,
    certificates: Option<PathBuf>,
    status_command: Option<PathBuf>,
}

/// The options of a group with what they are for; `issuer` comes first.
const GROUP: [(&str, &str, &str); 7] = [
    (
        "issuer",
        "FILE",
        "Certificate of a CA to answer for; begins a group of the options below",
    ),
    (
        "signer",
        "FILE",
        "Certificate that signs; the issuer's own where it is not given",
    ),
    (
        "key",
        "FILE",
        "Private key of the signer: PKCS#8, SEC1 or PKCS#1 in PEM, not encrypted",
    ),
    (
        "index",
        "FILE",
        "Statuses: the index.txt of openssl ca, read again when it changes",
    ),
    (
        "crl",
        "FILE",
        "Statuses: a revocation list, together with --certificates",
    ),
    (
        "certificates",
        "DIR",
        "The certificates that were issued, for --crl",
    ),
    (
        "status-command",
        "PROGRAM",
        "Statuses: a program that is asked in lines of JSON and kept running",
    ),
];

impl Args for Authorities {
    fn augment_args(command: Command) -> Command {
        GROUP
            .into_iter()
            .fold(command, |command, (name, value, help)| {
                command.arg(
                    clap::Arg::new(name)
                        .long(name)
                        .value_name(value)
                        .help(help)
                        .value_parser(value_parser!(PathBuf))
                        .action(clap::ArgAction::Append),
                )
            })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Authorities {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut given: Vec<(usize, &str, &PathBuf)> = Vec::new();
        for (name, _, _) in GROUP {
            let places = matches.indices_of(name).into_iter().flatten();
            let values = matches.get_many::<PathBuf>(name).into_iter().flatten();
            given.extend(
                places
                    .zip(values)
                    .map(|(place, value)| (place, name, value)),
            );
        }
        given.sort_unstable_by_key(|(place, _, _)| *place);
        let mut groups: Vec<Group> = Vec::new();
        for (_, name, value) in given {
            let conflict =
                |text: String| clap::Error::raw(clap::error::ErrorKind::ArgumentConflict, text);
            if name == "issuer" {
                groups.push(Group {
                    issuer: value.clone(),
                    ..Group::default()
                });
                continue;
            }
            let group = groups
                .last_mut()
                .ok_or_else(|| conflict(format!("--{name} stands before the first --issuer\n")))?;
            let place = match name {
                "signer" => &mut group.signer,
                "key" => &mut group.key,
                "index" => &mut group.index,
                "crl" => &mut group.crl,
                "certificates" => &mut group.certificates,
                _ => &mut group.status_command,
            };
            if place.replace(value.clone()).is_some() {
                return Err(conflict(format!(
                    "--{name} is there twice for one --issuer\n"
                )));
            }
        }
        Ok(Authorities(groups))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Authorities {
    /// Whether there is no group at all.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The authorities; what is missing and too much is added to `problems`.
    pub(super) fn check(self, problems: &mut Vec<String>) -> Vec<AuthorityConfig> {
        let checked = self.0.into_iter().filter_map(|group| group.check(problems));
        checked.collect()
    }
}

impl Group {
    fn check(self, problems: &mut Vec<String>) -> Option<AuthorityConfig> {
        let name = self.issuer.printable();
        if self.key.is_none() {
            problems.push(format!("--issuer {name}: its --key is missing"));
        }
        let command = self.status_command.map(|program| Invocation {
            program,
            arguments: Vec::new(),
        });
        let statuses = Statuses::of(self.index, self.crl, self.certificates, command);
        if statuses.is_none() {
            problems.push(format!(
                "--issuer {name}: give one of --index, --status-command, and --crl with \
                 --certificates"
            ));
        }
        Some(AuthorityConfig {
            issuer: self.issuer,
            signer: self.signer,
            key: self.key?,
            statuses: statuses?,
        })
    }
}
