//! `staplerd validate`: a configuration, and whether the world is as it says.
//!
//! Takes the daemon's options and answers for what the daemon would do with them.
//! Mistakes of the configuration end it; otherwise everything is looked at: directories,
//! certificates, the places of staples, control sockets, responders, hooks, logs. A line for each,
//! the verdict last. Nothing is changed. Exit code 0 or 78; warnings do not count. What a
//! certificate says is foreign: a responder of its own that cannot be found is a warning, one that
//! the configuration names is an error.

mod files;
mod network;
mod readers;
mod report;
mod settings;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use self::report::Findings;
use super::configuration::Loaded;
use super::daemon::DaemonOptions;
use super::survey::Survey;
use super::user::User;
use super::{EXIT_CONFIGURATION, configuration};
use crate::config::{Config, Error, ResponderOverride};
use crate::discovery::source::Source;
use crate::haproxy::Address;
use crate::run;
use crate::text::counted;

/// What to check, and for which user.
#[derive(Args)]
pub(super) struct ValidateArguments {
    /// Configuration file, as with -c; or directories with certificates
    ///
    /// Without any, what the daemon takes: the first there is of /etc/staplerd/staplerd.yaml,
    /// ~/.staplerd.yaml and the places of stapled and ocspd, or else /etc/haproxy/haproxy.cfg.
    #[arg(value_name = "CONFIG|DIR")]
    places: Vec<PathBuf>,

    #[command(flatten)]
    daemon: DaemonOptions,

    /// Judge permissions for this user [default: who runs this command]
    ///
    /// By owner, groups and mode; access control lists are not looked at.
    #[arg(long, value_name = "NAME", help_heading = "Check")]
    user: Option<String>,
}

/// What the daemon would look after.
struct LookedAfter {
    config: Config,
    sources: Vec<Source>,
    /// The responders to ask about the certificates of each source.
    responders: Vec<Option<ResponderOverride>>,
    sockets: Vec<Address>,
}

/// Checks and prints.
pub(super) fn run(arguments: &ValidateArguments) -> ExitCode {
    let mut report = Findings::default();
    check(arguments, &mut report);
    for line in report.lines() {
        println!("{line}");
    }
    match report.is_good() {
        true => ExitCode::SUCCESS,
        false => ExitCode::from(EXIT_CONFIGURATION),
    }
}

fn check(arguments: &ValidateArguments, report: &mut Findings) {
    let user = match arguments
        .user
        .as_deref()
        .map_or(Ok(User::Current), User::named)
    {
        Ok(user) => user,
        Err(problem) => return report.error("user", problem),
    };
    let loaded = match arguments.load() {
        Ok(loaded) => loaded,
        Err(errors) => {
            for error in errors {
                report.error("configuration", error);
            }
            return;
        }
    };
    for place in &loaded.passed_over {
        report.warning("configuration", place);
    }
    let mut config = loaded.config;
    config.address_rules = config.address_rules.by_key();
    for warning in &config.warnings {
        report.warning("configuration", warning);
    }
    report.ok(
        "configuration",
        match (loaded.file, loaded.notice) {
            (Some(file), _) => format!("{file}: no mistakes in it"),
            (None, Some(notice)) => notice,
            (None, None) => "no mistakes in the options".to_owned(),
        },
    );
    let world = LookedAfter::of(config, report);
    settings::check(&world.config, &user, report);
    let survey = Survey::of(
        world.sources.iter().cloned(),
        world.config.selection.clone(),
    );
    files::check(&world, &survey, &user, report);
    readers::check(&world.config, &survey, &user, report);
    network::check(&world, &survey, report);
}

impl ValidateArguments {
    /// What the daemon would read: the only place that is no directory is its file.
    fn load(&self) -> Result<Loaded, Vec<Error>> {
        let (named, directories) = match (self.daemon.config(), &self.places[..]) {
            (None, [place]) if !place.is_dir() => (Some(place.as_path()), &[][..]),
            (named, directories) => (named, directories),
        };
        configuration::for_daemon(self.daemon.options(directories), named)
    }
}

impl LookedAfter {
    /// What the daemon would look after.
    fn of(config: Config, report: &mut Findings) -> Self {
        let intent = run::intent(&config);
        let intent = intent.map_err(|error| report.error("haproxy_config", error));
        let (mut sources, mut responders, mut sockets) = Default::default();
        if let Ok(intent) = intent {
            for notice in &intent.notices {
                report.warning("haproxy_config", notice);
            }
            if !config.haproxy_config.is_empty() {
                let count = counted(intent.named_by_haproxy, "place", "places");
                report.ok("haproxy_config", count);
            }
            let places = intent.places.into_iter();
            (sources, responders) = places.map(|it| (it.source, it.responder)).unzip();
            sockets = intent.sockets;
        }
        LookedAfter {
            config,
            sources,
            responders,
            sockets,
        }
    }
}
