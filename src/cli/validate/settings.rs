//! The single files, programs and names of a configuration.

use std::path::Path;

use rustix::fs::Access;

use super::report::Findings;
use crate::cli::user::User;
use crate::config::{Config, Invocation, Statuses};
use crate::store::Ownership;
use crate::text::Printable;

/// Reading, for a file.
const READ: Access = Access::READ_OK;
/// Making files in a folder.
const MAKE: Access = Access::WRITE_OK.union(Access::EXEC_OK);

/// Checks them.
pub(super) fn check(config: &Config, user: &User, report: &mut Findings) {
    if let Err(error) = Ownership::new(config.file_mode, config.file_group.as_deref()) {
        report.error("file_group", error);
    }
    for Invocation { program, .. } in config.hooks.programs() {
        match user.check_program(program) {
            Ok(()) => report.ok("hook", program.printable()),
            Err(problem) => report.error("hook", problem),
        }
    }
    if let Some(folder) = config.control_socket.as_deref().and_then(Path::parent) {
        // systemd makes it, when the service starts.
        if let Err(problem) = user.check(folder, MAKE) {
            report.warning("control_socket", problem);
        }
    }
    if let Some(folder) = &config.state_directory {
        // It is made where only it is missing.
        let existing = folder.exists().then_some(folder.as_path());
        match user.check(existing.or(folder.parent()).unwrap_or(folder), MAKE) {
            Ok(()) => report.ok("state_directory", folder.printable()),
            Err(problem) => report.warning("state_directory", problem),
        }
    }
    if let Some(folder) = &config.logging.directory {
        directory("logdir", folder, user, report);
    }
    for (subject, log) in [
        ("output_log", &config.output_log),
        ("error_log", &config.error_log),
    ] {
        if let Some(folder) = log.as_ref().and_then(|log| log.fixed_folder()) {
            directory(subject, &folder, user, report);
        }
    }
    for authority in config.responder.iter().flat_map(|it| &it.authorities) {
        let mut files = vec![&authority.issuer, &authority.key];
        files.extend(&authority.signer);
        match &authority.statuses {
            Statuses::Index(index) => files.push(index),
            Statuses::List { crl, certificates } => files.extend([crl, certificates]),
            Statuses::Command(command) => match user.check_program(&command.program) {
                Ok(()) => report.ok("status_command", command.program.printable()),
                Err(problem) => report.error("status_command", problem),
            },
        }
        for file in files {
            match user.check(file, READ) {
                Ok(()) => report.ok("responder", file.printable()),
                Err(problem) => report.error("responder", problem),
            }
        }
    }
}

fn directory(subject: &'static str, folder: &Path, user: &User, report: &mut Findings) {
    match user.check(folder, MAKE) {
        Ok(()) => report.ok(subject, folder.printable()),
        Err(problem) => report.error(subject, problem),
    }
}
