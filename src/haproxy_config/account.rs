//! Whether a configuration accounts for what a process has loaded, and the other way round.
//!
//! Pure: names only. A name in a folder is accounted for if HAProxy loads files of that name from
//! it. For what is on one side only the nearest reason is told: something that a line has kept from
//! being known is nearer than what another client may have done over the control socket.

use std::collections::{BTreeSet, HashSet};

use super::notice::{ConfigNotice, Remark};
use super::{HaproxyConfig, Store};
use crate::discovery::is_loaded_by_haproxy;
use crate::discovery::source::Source;

/// The names that a configuration accounts for.
struct Named<'a> {
    stores: HashSet<&'a str>,
    folders: HashSet<&'a str>,
    servers: &'a HashSet<String>,
}

/// A name that is on one side only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct OneSided {
    /// The certificate's name in HAProxy.
    pub name: String,
    /// The side that lacks it.
    pub lack: Lack,
    /// The notice that comes nearest to explaining it, if there is one.
    pub notice: Option<String>,
}

/// The side on which a name lacks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Lack {
    /// It is loaded, and no line names it.
    NotNamed,
    /// A line names it, and it is not loaded.
    NotLoaded,
}

impl Lack {
    /// The variant's name in snake_case: log reason.
    pub fn kind(self) -> &'static str {
        match self {
            Lack::NotNamed => "not_named",
            Lack::NotLoaded => "named_not_loaded",
        }
    }
}

impl OneSided {
    /// Whether its file's name begins with a dot.
    fn is_hidden(&self) -> bool {
        let file = self.name.rsplit('/').next();
        file.is_some_and(|file| file.starts_with('.'))
    }

    /// What it is, and why, as far as that is known.
    pub fn message(&self) -> String {
        match (self.lack, &self.notice) {
            (Lack::NotNamed, Some(notice)) => {
                format!("HAProxy has loaded it, and it is not looked after; perhaps for this: {notice}")
            }
            (Lack::NotNamed, None) if self.is_hidden() => {
                "HAProxy has loaded it from its directory, as 2.2 does although its name begins with a \
                 dot, and it is not looked after: give it another name"
                    .to_owned()
            }
            (Lack::NotNamed, None) => {
                "HAProxy has loaded it, and it is not looked after: no line of HAProxy's configuration \
                 names it; it may have been added over the control socket ('new ssl cert')"
                    .to_owned()
            }
            (Lack::NotLoaded, Some(notice)) => {
                format!("it is looked after, and HAProxy has not loaded it; perhaps for this: {notice}")
            }
            (Lack::NotLoaded, None) => {
                "HAProxy's configuration names it, and HAProxy has not loaded it: it was started with \
                 another configuration, or it was taken out over the control socket; reload it"
                    .to_owned()
            }
        }
    }
}

impl Named<'_> {
    fn has(&self, name: &str) -> bool {
        let is_in_folder = || {
            let (folder, file) = name.rsplit_once('/')?;
            Some(self.folders.contains(folder) && is_loaded_by_haproxy(file.as_bytes()))
        };
        self.stores.contains(name) || self.servers.contains(name) || is_in_folder() == Some(true)
    }
}

impl HaproxyConfig {
    fn named(&self) -> Named<'_> {
        let (folders, stores): (Vec<&Store>, Vec<&Store>) = self
            .stores
            .iter()
            .partition(|store| matches!(store.source, Source::Directory(_)));
        Named {
            stores: stores.into_iter().map(|it| it.name.as_str()).collect(),
            folders: folders.into_iter().map(|it| it.name.as_str()).collect(),
            servers: &self.servers,
        }
    }

    /// How many names are on one side only.
    pub(super) fn differences(&self, loaded: &BTreeSet<String>) -> usize {
        let named = self.named();
        let unnamed = loaded.iter().filter(|name| !named.has(name)).count();
        let missing = named.stores.iter().filter(|name| !loaded.contains(**name));
        unnamed + missing.count()
    }

    /// The names that are on one side only: loaded and not accounted for, or the other way round.
    /// Of what is in folders, only the first is told: which files are there is not known here.
    pub fn one_sided(&self, loaded: &[String]) -> Vec<OneSided> {
        let named = self.named();
        let are_loaded: HashSet<&str> = loaded.iter().map(String::as_str).collect();
        let unnamed = loaded.iter().filter(|name| !named.has(name));
        let unnamed = unnamed.map(|name| (name.as_str(), Lack::NotNamed));
        let missing = named.stores.iter().copied();
        let missing = missing.filter(|name| !are_loaded.contains(name));
        let all = unnamed.chain(missing.map(|name| (name, Lack::NotLoaded)));
        all.map(|(name, lack)| OneSided {
            name: name.to_owned(),
            lack,
            notice: self.nearest(name, lack).map(ToString::to_string),
        })
        .collect()
    }

    /// The notice that may explain why a name is on one side only.
    fn nearest(&self, name: &str, lack: Lack) -> Option<&ConfigNotice> {
        let explains = |notice: &&ConfigNotice| match (&notice.remark, lack) {
            (Remark::Undecided(_), _) => true,
            (_, Lack::NotLoaded) => false,
            (Remark::NotUtf8, Lack::NotNamed) => name.contains('\u{fffd}'),
            (remark, Lack::NotNamed) => hides_names(remark),
        };
        let nearness = |notice: &&ConfigNotice| match &notice.remark {
            Remark::NotUtf8 => 0,
            Remark::UnknownVariable(_) | Remark::UnreadableList { .. } => 1,
            Remark::Undecided(_) => 2,
            _ => 3,
        };
        self.notices.iter().filter(explains).min_by_key(nearness)
    }
}

/// Whether a line of which this is said may name a certificate that is not known for it.
fn hides_names(remark: &Remark) -> bool {
    matches!(
        remark,
        Remark::UnclosedQuote
            | Remark::InvalidEscape
            | Remark::InvalidVariable
            | Remark::LineTooLong(_)
            | Remark::UnknownVariable(_)
            | Remark::StrayDirective(_)
            | Remark::Unended
            | Remark::MissingValue(_)
            | Remark::UnknownDefaultPath(_)
            | Remark::UnclosedBracket
            | Remark::NoCertificate
            | Remark::UnreadableList { .. }
            | Remark::EnvironmentTooLarge(_)
            | Remark::MoreNotices(_)
            | Remark::TooManyCertificates(_)
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::discovery::source::{CertificateFile, Directory, Naming};
    use crate::haproxy_config::LineLocation;

    fn place(line: usize) -> LineLocation {
        LineLocation {
            file: Path::new("/haproxy.cfg").into(),
            line,
        }
    }

    fn config(remarks: Vec<Remark>) -> HaproxyConfig {
        let naming = Naming::default();
        let file = Source::File(CertificateFile {
            path: "/certs/a.pem".into(),
            companions: naming.companions(Path::new("/certs/a.pem")),
        });
        let folder = Source::Directory(Directory {
            path: "/sites".into(),
            recursive: false,
            naming,
        });
        let stores = [("/certs/a.pem", file), ("/sites", folder)];
        let notices = remarks.into_iter().enumerate();
        HaproxyConfig {
            stores: stores
                .map(|(name, source)| Store {
                    name: name.to_owned(),
                    source,
                    place: place(1),
                })
                .into(),
            servers: HashSet::from(["/client.pem".to_owned()]),
            notices: notices
                .map(|(line, remark)| ConfigNotice {
                    place: place(line + 1),
                    remark,
                })
                .collect(),
            ..HaproxyConfig::default()
        }
    }

    fn one_sided(remarks: Vec<Remark>, loaded: &[&str]) -> Vec<(String, Lack, String)> {
        let loaded: Vec<String> = loaded.iter().map(|name| (*name).to_owned()).collect();
        let found = config(remarks).one_sided(&loaded).into_iter();
        let told = found.map(|it| (it.name, it.lack, it.notice.unwrap_or_default()));
        told.collect()
    }

    #[test]
    fn what_a_line_or_a_folder_or_a_server_names_is_accounted_for() {
        let loaded = ["/certs/a.pem", "/sites/b.pem", "/client.pem"];
        assert_eq!(one_sided(vec![], &loaded), []);
        let loaded = [
            "/certs/a.pem",
            "/sites/b.pem.ocsp",
            "/sites/in/c.pem",
            "@s/x",
        ];
        let names = loaded[1..].iter();
        let expected = names.map(|name| ((*name).to_owned(), Lack::NotNamed, String::new()));
        assert_eq!(one_sided(vec![], &loaded), expected.collect::<Vec<_>>());
        let missing = ("/certs/a.pem".to_owned(), Lack::NotLoaded, String::new());
        assert_eq!(one_sided(vec![], &[]), [missing]);
    }

    /// Seen on 2.2; 2.6 and later pass such files over.
    #[test]
    fn a_name_that_begins_with_a_dot_is_a_reason() {
        let found = config(vec![]).one_sided(&["/certs/a.pem", "/sites/.b.pem"].map(str::to_owned));
        assert_eq!(found.len(), 1);
        assert!(found[0].message().contains("begins with a dot"));
    }

    #[test]
    fn the_nearest_reason_is_that_which_hides_names() {
        let remarks = vec![
            Remark::StaplesNotRead,
            Remark::NotUtf8,
            Remark::UnclosedQuote,
            Remark::Undecided("feature(X)".to_owned()),
            Remark::UnknownVariable("X".to_owned()),
        ];
        for (name, place) in [("/b.pem", ":5: "), ("/\u{fffd}.pem", ":2: ")] {
            let found = one_sided(remarks.clone(), &["/certs/a.pem", name]);
            assert!(found[0].2.contains(place), "{found:?}");
        }
        let found = one_sided(remarks, &[]);
        assert!(found[0].2.contains(":4: "), "{found:?}");
    }
}
