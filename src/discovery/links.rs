//! Where a change can make a path lead somewhere else.
//!
//! A certificate may be reached through links: certbot's `live/` leads to `archive/`, Kubernetes
//! swaps `..data`, a directory may be a link itself. Every link on the way and the file at its end
//! lie in some real folder under some name; those pairs are what is worth watching.

use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel follows in one path (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// The real folders and the names in them that decide what `path` leads to: every link on the way,
/// and the end of the way.
pub(super) fn on_the_way(path: &Path) -> Vec<(PathBuf, OsString)> {
    let mut names = Vec::new();
    let Ok(path) = std::path::absolute(path) else {
        return names;
    };
    let mut real = PathBuf::from("/");
    let mut ahead = reversed(&path);
    let mut links = 0;
    while let Some(step) = ahead.pop() {
        if step == ".." {
            real.pop();
            continue;
        }
        let candidate = real.join(&step);
        let target = fs::read_link(&candidate);
        if target.is_ok() || ahead.is_empty() {
            names.push((real.clone(), step));
        }
        match target {
            Ok(target) => {
                links += 1;
                if links > MOST_LINKS {
                    break;
                }
                if target.is_absolute() {
                    real = PathBuf::from("/");
                }
                ahead.extend(reversed(&target));
            }
            Err(_) => real = candidate,
        }
    }
    names
}

/// The steps of a path, the last one first.
fn reversed(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_and_the_end_are_on_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(directory.path()).unwrap();
        for folder in ["archive", "live", "..2026"] {
            fs::create_dir(base.join(folder)).unwrap();
        }
        symlink("..2026", base.join("..data")).unwrap();
        symlink("../archive/../..data/real.pem", base.join("live/a.pem")).unwrap();
        symlink(base.join("live"), base.join("current")).unwrap();
        let way: Vec<String> = on_the_way(&base.join("current/a.pem"))
            .into_iter()
            .map(|(folder, name)| {
                let folder = folder.strip_prefix(&base).unwrap().to_owned();
                folder.join(name).to_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(way, ["current", "live/a.pem", "..data", "..2026/real.pem"]);
    }

    #[test]
    fn a_circle_of_links_ends() {
        let directory = tempfile::tempdir().unwrap();
        symlink("b", directory.path().join("a")).unwrap();
        symlink("a", directory.path().join("b")).unwrap();
        assert!(on_the_way(&directory.path().join("a")).len() <= MOST_LINKS + 1);
    }
}
