//! The names by which an operator means certificate files.
//!
//! Pure. A name is the file's path, an end of it (`site.pem`, `certs/site.pem`; whole components),
//! or a DNS name that the certificate is for, one that a wildcard covers included (RFC 9525 §6.3).
//! A path whose characters are not all seen is also meant by the form in which status shows it.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use crate::text::Printable;

/// Names that were asked for, and which of them have been met.
#[derive(Debug)]
pub struct Names {
    asked: Vec<String>,
    /// The places in `asked` by path.
    paths: HashMap<String, Vec<usize>>,
    /// The places in `asked` by DNS name, and by the wildcard that covers it.
    hosts: HashMap<String, Vec<usize>>,
    met: BTreeSet<usize>,
}

impl Names {
    /// These names; where there are none, every certificate is meant.
    pub fn new(asked: Vec<String>) -> Self {
        let mut paths: HashMap<String, Vec<usize>> = HashMap::new();
        let mut hosts: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, name) in asked.iter().enumerate() {
            let path = name.trim_start_matches("./").to_owned();
            paths.entry(path).or_default().push(place);
            let host = name.trim_end_matches('.').to_ascii_lowercase();
            if let Some((label, domain)) = host.split_once('.')
                && label != "*"
            {
                let wildcard = format!("*.{domain}");
                hosts.entry(wildcard).or_default().push(place);
            }
            hosts.entry(host).or_default().push(place);
        }
        Names {
            asked,
            paths,
            hosts,
            met: BTreeSet::new(),
        }
    }

    /// Whether every certificate is meant.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Whether this certificate file is meant, with the DNS names that it is for.
    pub fn mean(&mut self, path: &Path, dns_names: &[String]) -> bool {
        if self.asked.is_empty() {
            return true;
        }
        let forms = [
            path.to_string_lossy().into_owned(),
            path.printable().to_string(),
        ];
        let by_path = forms
            .iter()
            .flat_map(|path| {
                let ends = path.match_indices('/').map(|(at, _)| &path[at + 1..]);
                std::iter::once(path.as_str()).chain(ends)
            })
            .filter_map(|path| self.paths.get(path));
        let by_host = dns_names
            .iter()
            .filter_map(|name| self.hosts.get(&name.to_ascii_lowercase()));
        let mut is_meant = false;
        for places in by_path.chain(by_host) {
            is_meant = true;
            self.met.extend(places);
        }
        is_meant
    }

    /// The names that no certificate file has had so far.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        let asked = self.asked.iter().enumerate();
        asked
            .filter(|(place, _)| !self.met.contains(place))
            .map(|(_, name)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(name: &str, path: &str, dns_names: &[&str]) -> bool {
        let dns_names: Vec<String> = dns_names.iter().map(|name| (*name).to_owned()).collect();
        let mut names = Names::new(vec![name.to_owned()]);
        let is_meant = names.mean(Path::new(path), &dns_names);
        assert_eq!(names.unknown().count(), usize::from(!is_meant));
        is_meant
    }

    #[test]
    fn files_are_meant_by_their_path_and_by_whole_ends_of_it() {
        let path = "/etc/haproxy/certs/site.pem";
        for name in [path, "site.pem", "./site.pem", "certs/site.pem"] {
            assert!(means(name, path, &[]), "{name}");
        }
        for name in ["ite.pem", "site", "/site.pem", "certs", "SITE.PEM", ""] {
            assert!(!means(name, path, &[]), "{name}");
        }
        assert!(means("a.pem", "a.pem", &[]), "a relative path");
        assert!(means("certs/a\nb.pem", "/certs/a\nb.pem", &[]), "as it is");
        assert!(means(r"a\nb.pem", "/certs/a\nb.pem", &[]), "as it is shown");
    }

    #[test]
    fn files_are_meant_by_the_names_their_certificates_are_for() {
        let dns_names = ["www.Example.com", "*.example.org"];
        for name in [
            "www.example.com",
            "WWW.example.COM.",
            "a.example.org",
            "*.example.org",
        ] {
            assert!(means(name, "/a.pem", &dns_names), "{name}");
        }
        for name in ["example.com", "a.b.example.org", "example.org"] {
            assert!(!means(name, "/a.pem", &dns_names), "{name}");
        }
    }

    #[test]
    fn without_names_every_file_is_meant_and_with_several_the_unmet_ones_are_told() {
        let mut all = Names::new(Vec::new());
        assert!(all.is_empty() && all.mean(Path::new("/a.pem"), &[]));
        let asked = ["a.pem", "b.pem", "c.pem"].map(str::to_owned).to_vec();
        let mut names = Names::new(asked);
        assert!(names.mean(Path::new("/x/b.pem"), &[]));
        assert!(!names.mean(Path::new("/x/d.pem"), &[]));
        assert_eq!(names.unknown().collect::<Vec<_>>(), ["a.pem", "c.pem"]);
    }
}
