//! Certificates and the places of their staples.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::LookedAfter;
use super::report::Findings;
use crate::cli::survey::{Survey, SurveyedFile};
use crate::cli::user::User;
use crate::config::ResponderOverride;
use crate::discovery::FileRefusal;
use crate::discovery::source::Source;
use crate::text::Printable;

/// Looking for files in a folder.
const LOOK: Access = Access::READ_OK.union(Access::EXEC_OK);
/// Making files in a folder.
const MAKE: Access = Access::WRITE_OK.union(Access::EXEC_OK);

/// Checks what was found in all places.
pub(super) fn check(world: &LookedAfter, survey: &Survey, user: &User, report: &mut Findings) {
    for (path, error) in &survey.failed {
        report.error("directory", format!("{} {error}", path.printable()));
    }
    for source in &world.sources {
        check_folder(source, user, report);
    }
    check_certificates(world, survey, user, report);
    check_staples(world, survey, user, report);
    check_backups(world, report);
}

fn check_folder(source: &Source, user: &User, report: &mut Findings) {
    let folder = match source {
        Source::Directory(directory) => &directory.path,
        Source::Masks(masks) => &masks.folder,
        Source::File(_) => return,
    };
    match user.check(folder, LOOK) {
        Ok(()) => report.ok("directory", folder.printable()),
        // What the survey has said is not said again.
        Err(_) if matches!(user, User::Current) => {}
        Err(problem) => report.error("directory", problem),
    }
}

fn check_certificates(world: &LookedAfter, survey: &Survey, user: &User, report: &mut Findings) {
    let mut stapled = 0;
    let mut without_responder = 0;
    let mut others = 0;
    let mut seen = BTreeSet::new();
    for file in survey.files.iter().filter(|file| seen.insert(&file.path)) {
        let path = file.path.printable();
        if let (User::Other { .. }, Err(problem)) = (user, user.check(&file.path, Access::READ_OK))
        {
            report.error("certificate", problem);
            continue;
        }
        match &file.content {
            Ok(_) if !responders_of(world, file).is_empty() => stapled += 1,
            Ok(_) | Err(FileRefusal::NoResponder) => without_responder += 1,
            Err(
                FileRefusal::CertificateAuthority | FileRefusal::SelfSigned | FileRefusal::KeyOnly,
            ) => {
                others += 1;
            }
            Err(refusal @ FileRefusal::Io(_)) => {
                report.error("certificate", format!("{path}: {refusal}"))
            }
            Err(refusal) => report.warning("certificate", format!("{path}: {refusal}")),
        }
    }
    let mut text = format!("{stapled} to staple for");
    for (number, what) in [
        (without_responder, "without a responder"),
        (others, "that are no server's"),
    ] {
        if number > 0 {
            text = format!("{text}, {number} {what}");
        }
    }
    match world.sources.is_empty() {
        // They are what HAProxy has loaded.
        true => {}
        false if stapled == 0 => report.warning("certificates", text),
        false => report.ok("certificates", text),
    }
}

/// The responders to ask about the certificate in a file; none if it is empty.
pub(super) fn responders_of(world: &LookedAfter, file: &SurveyedFile) -> Vec<String> {
    let Ok(finding) = &file.content else {
        return Vec::new();
    };
    let given = world.responders.get(file.source).and_then(Option::as_ref);
    let overrides = &world.config.overrides;
    ResponderOverride::responders(given, overrides, &finding.certificate, &finding.issuer)
}

/// Two certificates must not have one staple's place, and each place must be writable.
fn check_staples(world: &LookedAfter, survey: &Survey, user: &User, report: &mut Findings) {
    let mut places: BTreeMap<&Path, &SurveyedFile> = BTreeMap::new();
    let mut folders: BTreeSet<PathBuf> = BTreeSet::new();
    for source in &world.sources {
        folders.insert(source.staple_folder().to_owned());
    }
    for file in &survey.files {
        let Ok(finding) = &file.content else {
            continue;
        };
        if let Some(folder) = file
            .staple_path
            .parent()
            .filter(|it| !it.as_os_str().is_empty())
        {
            folders.insert(folder.to_owned());
        }
        let first = *places.entry(&file.staple_path).or_insert(file);
        let is_same = first
            .content
            .as_ref()
            .is_ok_and(|it| it.certificate == finding.certificate);
        if !is_same {
            report.error(
                "staple",
                format!(
                    "{} would hold the staples of two certificates: {} and {}",
                    file.staple_path.printable(),
                    first.path.printable(),
                    file.path.printable()
                ),
            );
        }
    }
    let is_known = |folder: &PathBuf| survey.failed.iter().any(|(path, _)| path == folder);
    for folder in folders.into_iter().filter(|folder| !is_known(folder)) {
        match user.check(&folder, MAKE) {
            Ok(()) => report.ok("staples", folder.printable()),
            Err(problem) => report.error("staples", problem),
        }
    }
}

/// HAProxy would take copies in a directory that it loads whole for certificates.
fn check_backups(world: &LookedAfter, report: &mut Findings) {
    if world.config.backups.is_none() {
        return;
    }
    let loaded = world.sources.iter().filter_map(|source| match source {
        Source::Directory(directory) => Some(&directory.path),
        Source::File(_) | Source::Masks(_) => None,
    });
    for directory in loaded {
        let lies_in = |source: &&Source| source.staple_folder().starts_with(directory);
        if let Some(source) = world.sources.iter().find(lies_in) {
            report.error(
                "make_backups",
                format!(
                    "backups in {} would be loaded by HAProxy as certificates",
                    source.staple_folder().printable()
                ),
            );
        }
    }
}
