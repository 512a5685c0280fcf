//! Who may read a certificate and will not be let read its staple: HAProxy does not start where it
//! finds a `.ocsp` that it cannot read.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::report::Findings;
use crate::cli::survey::{Survey, SurveyedFile};
use crate::cli::user::User;
use crate::config::Config;
use crate::files::{self, Reach};
use crate::store::Ownership;
use crate::text::Printable;

/// The most that is read of the system's users or groups, in bytes.
const LARGEST_NAMES: u64 = 64 * 1024 * 1024;

/// The owner of a file, and the rights that its mode gives.
#[derive(Clone, Copy)]
struct Permissions {
    user: u32,
    group: u32,
    mode: u32,
}

/// A user who reads files.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum FileReader {
    User(u32),
    Group(u32),
    Others,
}

/// Warns of those who are shut out; one line for each, however many certificates it concerns.
pub(super) fn check(config: &Config, survey: &Survey, user: &User, report: &mut Findings) {
    // What is wrong with the group has been said.
    let Ok(ownership) = Ownership::new(config.file_mode, config.file_group.as_deref()) else {
        return;
    };
    let mut found: BTreeMap<FileReader, (&Path, usize)> = BTreeMap::new();
    for file in survey.files.iter().filter(|file| file.content.is_ok()) {
        for reader in readers_shut_out(file, ownership, config.file_mode, user) {
            found.entry(reader).or_insert((&file.path, 0)).1 += 1;
        }
    }
    for (reader, (path, count)) in found {
        let (who, path, mode) = (name_of(reader), path.printable(), config.file_mode);
        let others = match count {
            1 => String::new(),
            2 => " and another one".to_owned(),
            _ => format!(" and {} others", count - 1),
        };
        report.warning(
            "file_mode",
            format!(
                "{who} may read {path}{others}, but not a staple beside it (mode {mode:04o}): \
                 an HAProxy that runs so does not start; see file_mode and file_group"
            ),
        );
    }
}

fn readers_shut_out(
    file: &SurveyedFile,
    ownership: Ownership,
    mode: u32,
    user: &User,
) -> Vec<FileReader> {
    let folder = file.staple_path.parent().map(fs::metadata);
    let (Ok(certificate), Some(Ok(folder))) = (fs::metadata(&file.path), folder) else {
        return Vec::new();
    };
    let certificate = Permissions {
        user: certificate.uid(),
        group: certificate.gid(),
        mode: certificate.mode(),
    };
    let staple = Permissions {
        user: user.number(),
        group: ownership.group().unwrap_or(folder.gid()),
        mode,
    };
    shut_out(certificate, staple)
}

/// Who may read the one file and not the other. Root reads everything; whether a user is in a group
/// is not asked, so that he counts as being in it.
fn shut_out(certificate: Permissions, staple: Permissions) -> Vec<FileReader> {
    let Permissions { user, group, mode } = certificate;
    let all = staple.mode & 0o004 != 0;
    let its_group = staple.mode & 0o040 != 0;
    let readers = [
        (
            0o400,
            FileReader::User(user),
            user == 0 || user == staple.user || its_group,
        ),
        (
            0o040,
            FileReader::Group(group),
            group == 0 || (its_group && group == staple.group),
        ),
        (0o004, FileReader::Others, false),
    ];
    let may_read = readers.into_iter().filter(|(bit, ..)| mode & bit != 0);
    let refused = may_read.filter(|(_, _, is_let)| !is_let && !all);
    refused.map(|(_, reader, _)| reader).collect()
}

fn name_of(reader: FileReader) -> String {
    match reader {
        FileReader::User(number) => format!("the user {}", name_in("/etc/passwd", number)),
        FileReader::Group(number) => format!("the group {}", name_in("/etc/group", number)),
        FileReader::Others => "everybody".to_owned(),
    }
}

/// The name of a number, as passwd(5) and group(5) write it: `name:password:number:…`.
fn name_in(names: &str, number: u32) -> String {
    let number = number.to_string();
    let text = files::read_text(Path::new(names), LARGEST_NAMES, Reach::Anywhere);
    let text = text.unwrap_or_default();
    let named = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    named.unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_read_the_certificate_and_not_the_staple_is_shut_out() {
        let file = |user, group, mode| Permissions { user, group, mode };
        for (certificate, staple, expected) in [
            // Everybody reads the staple.
            (file(1, 2, 0o644), file(9, 9, 0o644), vec![]),
            // HAProxy reads it as root.
            (file(0, 0, 0o600), file(9, 9, 0o600), vec![]),
            (file(0, 0, 0o640), file(9, 9, 0o600), vec![]),
            // By its group.
            (file(0, 2, 0o640), file(9, 2, 0o640), vec![]),
            (
                file(0, 2, 0o640),
                file(9, 3, 0o640),
                vec![FileReader::Group(2)],
            ),
            (
                file(0, 2, 0o640),
                file(9, 2, 0o600),
                vec![FileReader::Group(2)],
            ),
            // By its owner.
            (file(1, 2, 0o600), file(1, 2, 0o600), vec![]),
            (
                file(1, 2, 0o600),
                file(9, 2, 0o600),
                vec![FileReader::User(1)],
            ),
            (file(1, 2, 0o600), file(9, 2, 0o640), vec![]),
            (
                file(1, 2, 0o644),
                file(9, 3, 0o600),
                vec![
                    FileReader::User(1),
                    FileReader::Group(2),
                    FileReader::Others,
                ],
            ),
        ] {
            assert_eq!(shut_out(certificate, staple), expected);
        }
    }

    #[test]
    fn numbers_that_nobody_has_are_shown_as_they_are() {
        assert_eq!(name_in("/etc/passwd", 0), "root");
        assert_eq!(name_in("/etc/group", 3_999_999_999), "3999999999");
        assert_eq!(name_in("/nonexistent", 7), "7");
    }
}
