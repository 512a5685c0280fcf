//! What a HAProxy process has loaded, beside what is looked after for it.
//!
//! Pure. Stores are named by their paths as HAProxy's configuration has them, which need not be the
//! paths as staplerd has them: the two are compared without `.` and doubled slashes, and a relative
//! one with the ends of the absolute ones.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use crate::control::CertificateView;

/// What stands before the name of a store that is no path (`crt-store` sections, HAProxy 3.0).
const NO_PATH: char = '@';

/// What is on one side only.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Differences {
    /// Files that are looked after for the process and not loaded by it.
    pub(super) not_loaded: Vec<String>,
    /// Stores that it has loaded and that this program does not look after.
    pub(super) not_looked_after: Vec<String>,
}

impl Differences {
    /// Compares the certificates with what the process behind `socket` has loaded. A certificate
    /// whose staple is live is loaded, under any name. Every certificate that was found counts as
    /// looked after, also one that is passed over.
    pub(super) fn new(socket: &str, certificates: &[CertificateView], loaded: &[String]) -> Self {
        let stores = Paths::new(loaded.iter().filter(|store| !store.starts_with(NO_PATH)));
        let files = Paths::new(certificates.iter().map(|it| &it.path));
        let is_missing = |certificate: &&CertificateView| {
            let mut live = certificate.live.iter();
            live.any(|live| live.socket == socket && !live.place.current)
                && !stores.have(&certificate.path)
        };
        let not_loaded = certificates.iter().filter(is_missing);
        let unknown = |store: &&String| !store.starts_with(NO_PATH) && !files.have(store);
        Differences {
            not_loaded: not_loaded.map(|it| it.path.clone()).collect(),
            not_looked_after: loaded.iter().filter(unknown).cloned().collect(),
        }
    }
}

/// Paths, found also where one side has only a relative end of what the other has.
struct Paths {
    whole: HashSet<String>,
    /// All relative ends of the absolute ones.
    ends: HashSet<String>,
}

impl Paths {
    fn new<'a>(paths: impl Iterator<Item = &'a String>) -> Self {
        let whole: HashSet<String> = paths.map(|path| comparable(path)).collect();
        let ends = whole.iter().flat_map(|path| ends(path));
        Paths {
            ends: ends.map(str::to_owned).collect(),
            whole,
        }
    }

    fn have(&self, path: &str) -> bool {
        let path = comparable(path);
        self.whole.contains(&path)
            || self.ends.contains(&path)
            || ends(&path).any(|end| self.whole.contains(end))
    }
}

/// The path without `.` and doubled slashes.
fn comparable(path: &str) -> String {
    let components = Path::new(path).components();
    let named = components.filter(|component| *component != Component::CurDir);
    named.collect::<PathBuf>().to_string_lossy().into_owned()
}

/// The ends of an absolute path that are paths themselves.
fn ends(path: &str) -> impl Iterator<Item = &str> {
    let slashes = path.match_indices('/').filter(|_| path.starts_with('/'));
    slashes.map(|(at, _)| &path[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{LiveStatus, PlaceView};

    /// A certificate file for the process behind `socket`, live there or not.
    fn file(path: &str, socket: &str, current: bool) -> CertificateView {
        let place = PlaceView {
            current,
            error: None,
        };
        CertificateView {
            path: path.to_owned(),
            live: vec![LiveStatus {
                socket: socket.to_owned(),
                place,
            }],
            ..CertificateView::default()
        }
    }

    fn differences(files: &[CertificateView], loaded: &[&str]) -> (Vec<String>, Vec<String>) {
        let loaded: Vec<String> = loaded.iter().map(|store| (*store).to_owned()).collect();
        let Differences {
            not_loaded,
            not_looked_after,
        } = Differences::new("/s", files, &loaded);
        (not_loaded, not_looked_after)
    }

    #[test]
    fn each_side_is_told_what_only_it_has() {
        let files = [
            file("/certs/both.pem", "/s", true),
            file("/certs/new.pem", "/s", false),
            file("/certs/other.pem", "/other", false),
        ];
        assert_eq!(
            differences(&files, &["/certs/both.pem", "/elsewhere/a.pem"]),
            (
                vec!["/certs/new.pem".to_owned()],
                vec!["/elsewhere/a.pem".to_owned()]
            )
        );
    }

    #[test]
    fn paths_are_the_same_however_they_are_written() {
        let nothing = (Vec::new(), Vec::new());
        for (file_path, store) in [
            ("/certs/a.pem", "/certs//./a.pem"),
            ("./certs/a.pem", "certs/a.pem"),
            ("/etc/haproxy/certs/a.pem", "certs/a.pem"),
            ("certs/a.pem", "/etc/haproxy/certs/a.pem"),
        ] {
            let files = [file(file_path, "/s", false)];
            assert_eq!(
                differences(&files, &[store]),
                nothing,
                "{file_path} {store}"
            );
        }
        let files = [file("/etc/certs/a.pem", "/s", false)];
        let (missing, unknown) = differences(&files, &["erts/a.pem"]);
        assert_eq!((missing.len(), unknown.len()), (1, 1));
    }

    #[test]
    fn what_is_live_is_loaded_and_names_that_are_no_paths_are_not_compared() {
        let files = [file("/certs/a.pem", "/s", true)];
        let found = differences(&files, &["@store/a"]);
        assert_eq!(found, (Vec::new(), Vec::new()));
    }

    #[test]
    fn what_is_passed_over_is_looked_after() {
        let passed_over = CertificateView {
            path: "/certs/a.pem".to_owned(),
            ..CertificateView::default()
        };
        let found = differences(&[passed_over], &["/certs/a.pem"]);
        assert_eq!(found, (Vec::new(), Vec::new()));
    }
}
