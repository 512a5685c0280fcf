//! Names of temporary files: beside the staple they become, and harmless if they are left there.
//!
//! `.<name>.<random>.ocsp` begins with a dot and ends in `.ocsp`, the one form that no HAProxy
//! version takes for a certificate (its directory loader refuses to start over anything else).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::AtFlags;

use crate::files::{self, Reach};

/// The number of random letters and digits in a temporary name.
const RANDOM_LENGTH: usize = 8;
/// How much of a certificate's name goes into a temporary one, to stay within NAME_MAX.
const LONGEST_STEM: usize = 200;

/// A new temporary name for the staple file of this name.
pub(super) fn name_for(staple_name: &OsStr) -> OsString {
    let random: String = std::iter::repeat_with(fastrand::alphanumeric)
        .take(RANDOM_LENGTH)
        .collect();
    let name = staple_name.as_bytes();
    let stem = name.strip_suffix(b".ocsp").unwrap_or(name);
    let mut temporary = OsString::from(".");
    temporary.push(OsStr::from_bytes(stem.get(..LONGEST_STEM).unwrap_or(stem)));
    temporary.push(format!(".{random}.ocsp"));
    temporary
}

/// Removes temporary files that an earlier run left behind in this directory, and with `recursive`
/// in the folders in it. Only names of the form that this program makes are touched, no links are
/// followed, and what cannot be read or removed does no harm where it is.
pub(super) fn sweep(directory: &Path, recursive: bool) {
    sweep_below(directory, directory, recursive);
}

fn sweep_below(top: &Path, directory: &Path, recursive: bool) {
    let opened = files::open_directory(directory, Reach::Tree(top));
    let (Ok(opened), Ok(entries)) = (opened, fs::read_dir(directory)) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else {
            continue;
        };
        let name = entry.file_name();
        if kind.is_file() && is_temporary(name.as_bytes()) {
            let _ = rustix::fs::unlinkat(&opened, &name, AtFlags::empty());
        } else if recursive && kind.is_dir() && !name.as_bytes().starts_with(b".") {
            sweep_below(top, &entry.path(), recursive);
        }
    }
}

/// Whether a name has the form `.<name>.<random>.ocsp`.
pub(super) fn is_temporary(name: &[u8]) -> bool {
    let Some(inner) = name
        .strip_prefix(b".")
        .and_then(|rest| rest.strip_suffix(b".ocsp"))
    else {
        return false;
    };
    let Some(dot) = inner.iter().rposition(|byte| *byte == b'.') else {
        return false;
    };
    let (stem, random) = inner.split_at(dot);
    !stem.is_empty()
        && random.len() == RANDOM_LENGTH + 1
        && random.iter().skip(1).all(u8::is_ascii_alphanumeric)
}
