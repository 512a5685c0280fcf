//! What a user may do with files, without being that user.
//!
//! For the user who runs the command the system is asked. For another one, owner, groups and mode
//! decide, on the path and on every folder on the way to it; access control lists do not.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::text::Printable;
use rustix::fs::Access;

/// The user for whom permissions are judged.
pub(in crate::cli) enum User {
    /// Who runs the command.
    Current,
    /// Another user.
    Other {
        /// As on the command line.
        name: String,
        /// The number.
        user: u32,
        /// The numbers of all groups.
        groups: Vec<u32>,
    },
}

impl User {
    /// The user of this name or number, with the groups the system gives it.
    pub(in crate::cli) fn named(name: &str) -> Result<Self, String> {
        let user = numbers_of("-u", name)?;
        let user = user.first().copied();
        Ok(User::Other {
            name: name.to_owned(),
            user: user.ok_or_else(|| format!("'{name}': there is no such user"))?,
            groups: numbers_of("-G", name)?,
        })
    }

    /// Its number.
    pub(super) fn number(&self) -> u32 {
        match self {
            User::Current => rustix::process::geteuid().as_raw(),
            User::Other { user, .. } => *user,
        }
    }

    /// Whether this user may do all of `access` with what is at `path`.
    ///
    /// # Errors
    /// A line that says what keeps the user from it.
    pub(in crate::cli) fn check(&self, path: &Path, access: Access) -> Result<(), String> {
        let about = |problem: &dyn std::fmt::Display| format!("{}: {problem}", path.printable());
        match self {
            User::Current => {
                rustix::fs::access(path, access).map_err(|error| about(&reason(&error.into())))
            }
            User::Other { user: 0, .. } => fs::metadata(path)
                .map(drop)
                .map_err(|error| about(&reason(&error))),
            User::Other { name, .. } => {
                // The real path: a link's own permissions mean nothing.
                let real = fs::canonicalize(path).map_err(|error| about(&reason(&error)))?;
                for folder in real.ancestors().skip(1) {
                    if !self
                        .has(folder, Access::EXEC_OK)
                        .map_err(|error| about(&error))?
                    {
                        let folder = folder.printable();
                        return Err(about(&format!("{name} may not enter {folder}")));
                    }
                }
                match self.has(&real, access).map_err(|error| about(&error))? {
                    true => Ok(()),
                    false => Err(about(&format!("{name} may not {}", words(access)))),
                }
            }
        }
    }

    /// Whether owner, groups and mode allow it.
    fn has(&self, path: &Path, access: Access) -> io::Result<bool> {
        let metadata = fs::metadata(path)?;
        let User::Other { user, groups, .. } = self else {
            return Ok(true);
        };
        let shift = if metadata.uid() == *user {
            6
        } else if groups.contains(&metadata.gid()) {
            3
        } else {
            0
        };
        let wanted = access.bits() & 0o7;
        Ok(metadata.mode() >> shift & wanted == wanted)
    }

    /// A program's path, looked for in `PATH` where it is a name only.
    pub(in crate::cli) fn check_program(&self, program: &Path) -> Result<(), String> {
        if program.components().count() > 1 || program.is_absolute() {
            if program.is_dir() {
                return Err(format!("{}: is a directory", program.printable()));
            }
            return self.check(program, Access::EXEC_OK);
        }
        let folders = std::env::var_os("PATH").unwrap_or_default();
        let found: Option<PathBuf> = std::env::split_paths(&folders)
            .map(|folder| folder.join(program))
            .find(|path| path.is_file());
        match found {
            Some(path) => self.check(&path, Access::EXEC_OK),
            None => Err(format!("{}: not found in PATH", program.printable())),
        }
    }
}

/// The usual reasons without the system's numbers.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

fn words(access: Access) -> String {
    let words = [
        (Access::READ_OK, "read"),
        (Access::WRITE_OK, "write"),
        (Access::EXEC_OK, "enter or run"),
    ];
    let words = words.iter().filter(|(one, _)| access.contains(*one));
    let words: Vec<&str> = words.map(|(_, word)| *word).collect();
    format!("{} it", words.join(", "))
}

/// What id(1) says about a user: it knows directories of users that no file holds.
fn numbers_of(option: &str, name: &str) -> Result<Vec<u32>, String> {
    let output = Command::new("id")
        .args([option, "--", name])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("id: {error}"))?;
    if !output.status.success() {
        return Err(format!("'{name}': there is no such user"));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_whitespace().flat_map(str::parse).collect())
}
