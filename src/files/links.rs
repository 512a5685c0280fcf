//! Where a change can make a path lead somewhere else.
//!
//! A certificate may be reached through links: certbot's `live/` leads to `archive/`, Kubernetes
//! swaps `..data`, a directory may be a link itself. Every link on the way and the file at its end
//! lie in some real folder under some name; those pairs are what is worth watching, and whose the
//! links are is what tells whether they may be followed.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// As many links as the kernel follows in one path (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// A link on the way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Link {
    /// The real folder it lies in.
    folder: PathBuf,
    /// Its name there.
    name: OsString,
    /// The number of the user whose it is.
    pub(super) owner: u32,
}

/// One walk along a path.
struct Walk {
    links: Vec<Link>,
    /// The real folder of the last step that was taken, and its name; none for `/`.
    last: Option<(PathBuf, OsString)>,
    end: PathBuf,
}

/// The real folders and the names in them that decide what `path` leads to: every link on the way,
/// and the end of the way.
pub fn on_the_way(path: &Path) -> Vec<(PathBuf, OsString)> {
    let walk = walk(path);
    let links = walk.links.into_iter().map(|link| (link.folder, link.name));
    let mut names: Vec<(PathBuf, OsString)> = links.collect();
    names.extend(walk.last);
    names.dedup();
    names
}

/// The links on the way along `path`, and the real path of what it leads to.
pub(super) fn end_of(path: &Path) -> (Vec<Link>, PathBuf) {
    let walk = walk(path);
    (walk.links, walk.end)
}

fn walk(path: &Path) -> Walk {
    let mut walk = Walk {
        links: Vec::new(),
        last: None,
        end: PathBuf::from("/"),
    };
    let Ok(path) = std::path::absolute(path) else {
        return walk;
    };
    let mut ahead = reversed(&path);
    while let Some(step) = ahead.pop() {
        if step == ".." {
            walk.end.pop();
            continue;
        }
        walk.last = Some((walk.end.clone(), step.clone()));
        let candidate = walk.end.join(&step);
        let Some((target, owner)) = read_link(&candidate) else {
            walk.end = candidate;
            continue;
        };
        let folder = walk.end.clone();
        walk.links.push(Link {
            folder,
            name: step,
            owner,
        });
        if walk.links.len() > MOST_LINKS {
            break;
        }
        if target.is_absolute() {
            walk.end = PathBuf::from("/");
        }
        ahead.extend(reversed(&target));
    }
    walk
}

/// The target and the owner of one and the same link; none for anything else.
fn read_link(path: &Path) -> Option<(PathBuf, u32)> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let link = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let target = rustix::fs::readlinkat(&link, c"", Vec::new()).ok()?;
    let owner = rustix::fs::fstat(&link).ok()?.st_uid;
    let target = OsString::from_vec(target.into_bytes());
    Some((PathBuf::from(target), owner))
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
    use std::fs;
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
        assert!(on_the_way(&directory.path().join("a")).len() <= MOST_LINKS + 2);
    }
}
