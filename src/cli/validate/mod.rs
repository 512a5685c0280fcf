//! `staplerd validate`: a configuration, and whether the world is as it says.
//!
//! Mistakes of the configuration end it; otherwise everything is looked at: directories,
//! certificates, the places of staples, control sockets, responders, hooks, logs. A line for each,
//! the verdict last. Nothing is changed. Exit code 0 or 78; warnings do not count. What a
//! certificate says is foreign: a responder of its own that cannot be found is a warning, one that
//! the configuration names is an error.

mod files;
mod network;
mod report;
mod settings;
mod user;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use self::report::Report;
use self::user::User;
use super::survey::Survey;
use super::{EXIT_CONFIGURATION, configuration};
use crate::config::{Config, Options, ResponderOverride};
use crate::discovery::haproxy_config;
use crate::discovery::source::Source;
use crate::haproxy::Address;

/// What to check, and for whom.
#[derive(Args)]
pub(super) struct ValidateArguments {
    /// Configuration file [default: /etc/staplerd/staplerd.yaml, or ~/.staplerd.yaml]
    #[arg(value_name = "CONFIG")]
    config: Option<PathBuf>,

    /// Judge permissions for this user [default: who runs this command]
    ///
    /// By owner, groups and mode; access control lists are not looked at.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

/// Everything that the configuration names, HAProxy's own configuration read.
struct World {
    config: Config,
    sources: Vec<Source>,
    /// Those of the configuration come first, in its order.
    responders: Vec<Option<ResponderOverride>>,
    sockets: Vec<Address>,
}

/// Checks and prints.
pub(super) fn run(arguments: &ValidateArguments) -> ExitCode {
    let mut report = Report::default();
    check(arguments, &mut report);
    for line in report.lines() {
        println!("{line}");
    }
    match report.is_good() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_CONFIGURATION),
    }
}

fn check(arguments: &ValidateArguments, report: &mut Report) {
    let user = match arguments
        .user
        .as_deref()
        .map_or(Ok(User::Current), User::named)
    {
        Ok(user) => user,
        Err(problem) => return report.error("user", problem),
    };
    let mut config = match configuration::check(Options::default(), arguments.config.as_deref()) {
        Ok(config) => config,
        Err(errors) => {
            for error in errors {
                report.error("configuration", error);
            }
            return;
        }
    };
    config.address_rules = config.address_rules.by_key();
    for warning in &config.warnings {
        report.warning("configuration", warning);
    }
    report.ok("configuration", "no mistakes in it");
    let world = World::of(config, report);
    settings::check(&world.config, &user, report);
    let survey = Survey::of(
        world.sources.iter().cloned(),
        world.config.selection.clone(),
    );
    files::check(&world, &survey, &user, report);
    network::check(&world, &survey, report);
}

impl World {
    /// The configuration with what HAProxy's own configuration adds to it.
    fn of(config: Config, report: &mut Report) -> Self {
        let configured = config.sources.iter();
        let mut sources: Vec<Source> = configured.map(|it| it.source.clone()).collect();
        let configured = config.sources.iter();
        let mut responders: Vec<_> = configured.map(|it| it.responder.clone()).collect();
        let mut sockets = config.sockets.clone();
        if !config.haproxy_config.is_empty() {
            let variable = |name: &str| std::env::var(name).ok();
            match haproxy_config::read(&config.haproxy_config, Path::new("."), &variable) {
                Err(error) => report.error("haproxy_config", error),
                Ok(read) => {
                    for notice in &read.notices {
                        report.warning("haproxy_config", notice);
                    }
                    let found = read.sources();
                    report.ok(
                        "haproxy_config",
                        Report::count(found.len(), "place", "places"),
                    );
                    sources.extend(found);
                    responders.resize(sources.len(), None);
                    // All of them belong to one process; the most powerful one is used.
                    let first = read.sockets.first();
                    sockets.extend(first.and_then(|socket| socket.address.parse().ok()));
                }
            }
        }
        if sources.is_empty() && sockets.is_empty() {
            report.error(
                "configuration",
                "names no certificates and no control sockets",
            );
        }
        World {
            config,
            sources,
            responders,
            sockets,
        }
    }
}
