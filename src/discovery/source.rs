//! Where certificates are looked for, and which files belong to each.
//!
//! Pure: names only, nothing is opened. HAProxy forms the names of a certificate's companions as
//! the configuration manual says (§3.1 `ssl-load-extra-files`, `issuers-chain-path`; §5.1 `crt`);
//! ocspbot forms them by masks.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::files::Reach;

/// What stands in a mask for the part that differs.
const PLACEHOLDER: &str = "{domain}";

/// One place to look for certificates.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Source {
    /// Every file of a directory that HAProxy would load from it.
    Directory(Directory),
    /// One file by its name.
    File(CertificateFile),
    /// The files of a folder whose names match ocspbot's masks.
    Masks(Masks),
}

impl Source {
    /// The folder that its certificates lie in, or below.
    pub fn folder(&self) -> &Path {
        match self {
            Source::Directory(directory) => &directory.path,
            Source::File(file) => folder_of(&file.path),
            Source::Masks(masks) => &masks.folder,
        }
    }

    /// The folder that its staples are written to, or below.
    pub fn staple_folder(&self) -> &Path {
        match self {
            Source::Directory(directory) => &directory.path,
            Source::File(file) => folder_of(&file.companions.staple),
            Source::Masks(masks) => &masks.staple_folder,
        }
    }

    /// Whether staples are written to the folders in that folder as well.
    pub fn is_recursive(&self) -> bool {
        match self {
            Source::Directory(directory) => directory.recursive,
            Source::File(_) => false,
            Source::Masks(masks) => masks.recursive,
        }
    }

    /// How far links may lead on the way to its certificates.
    pub(super) fn reach(&self) -> Reach<'_> {
        match self.is_recursive() {
            true => Reach::Tree(self.folder()),
            false => Reach::Anywhere,
        }
    }

    /// How far links may lead on the way to its staples.
    pub fn staple_reach(&self) -> Reach<'_> {
        match self.is_recursive() {
            true => Reach::Tree(self.staple_folder()),
            false => Reach::Anywhere,
        }
    }

    /// What belongs to the certificate file `name` in `folder`; none where the name does not
    /// match.
    pub(super) fn companions(&self, folder: &Path, name: &OsStr) -> Option<Companions> {
        match self {
            Source::Directory(directory) => Some(directory.naming.companions(&folder.join(name))),
            Source::File(file) => Some(file.companions.clone()),
            Source::Masks(masks) => masks.companions(folder, name),
        }
    }
}

/// The folder a path lies in; the working directory's name is `.`.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// A directory of certificates, as `bind … crt DIRECTORY` loads it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Directory {
    /// Its path, as HAProxy names it.
    pub path: PathBuf,
    /// Whether the folders in it are scanned as well (those whose names begin with a dot are not).
    pub recursive: bool,
    /// How the companions of its files are named.
    pub naming: Naming,
}

/// How HAProxy names the companions of a certificate file.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Naming {
    /// `ssl-load-extra-del-ext`: the companions of `site.crt` are `site.ocsp` and `site.issuer`.
    pub deletes_crt: bool,
    /// `ssl-load-extra-files` without `issuer`: HAProxy reads no `.issuer`.
    pub ignores_issuers: bool,
    /// `issuers-chain-path`: a folder of chains for certificates that come without one.
    pub issuers_chain_path: Option<PathBuf>,
}

impl Naming {
    /// The companions of this certificate file.
    pub fn companions(&self, certificate: &Path) -> Companions {
        let stem = self.stem(certificate);
        Companions {
            staple: with_suffix(&stem, ".ocsp"),
            issuer: (!self.ignores_issuers).then(|| with_suffix(&stem, ".issuer")),
            issuers_chain_path: self.issuers_chain_path.clone(),
            chains: Vec::new(),
        }
    }

    /// What the names of the companions begin with.
    pub(super) fn stem(&self, certificate: &Path) -> PathBuf {
        match certificate.extension() {
            Some(extension) if self.deletes_crt && extension == "crt" => {
                certificate.with_extension("")
            }
            _ => certificate.to_owned(),
        }
    }
}

/// One certificate file, named in a configuration.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CertificateFile {
    /// Its path, as HAProxy names it.
    pub path: PathBuf,
    /// What belongs to it.
    pub companions: Companions,
}

/// The files that belong to a certificate file.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Companions {
    /// Where its staple belongs.
    pub staple: PathBuf,
    /// Where HAProxy reads the issuer from once there is a staple: a file that is there has to hold
    /// the issuer.
    pub issuer: Option<PathBuf>,
    /// The folder in which HAProxy looks for the chain of a certificate that comes without one.
    pub issuers_chain_path: Option<PathBuf>,
    /// Files with certificates among which the issuer may be: ocspbot's, which HAProxy never reads.
    pub chains: Vec<PathBuf>,
}

/// ocspbot's `scan_keys` entry: files found by what their names have in common. In each mask
/// `{domain}` stands for the part that differs.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Masks {
    /// The folder that is scanned.
    pub folder: PathBuf,
    /// Whether the folders in it are scanned as well.
    pub recursive: bool,
    /// The mask of certificates' names.
    pub certificate: String,
    /// The mask of the names of their chains.
    pub chain: String,
    /// The mask of the names of their chains with the root.
    pub rootchain: String,
    /// The mask of the names of their staples.
    pub staple: String,
    /// The folder of the staples; a certificate's folder below the scanned one is kept in it.
    pub staple_folder: PathBuf,
}

impl Masks {
    /// What belongs to the certificate file `name` in `folder`, if the name matches.
    pub(super) fn companions(&self, folder: &Path, name: &OsStr) -> Option<Companions> {
        let domain = differing_part(&self.certificate, name.to_str()?)?;
        let below = folder.strip_prefix(&self.folder).ok()?;
        let beside = |mask: &str| folder.join(filled(mask, domain));
        Some(Companions {
            staple: self
                .staple_folder
                .join(below)
                .join(filled(&self.staple, domain)),
            issuer: None,
            issuers_chain_path: None,
            chains: vec![beside(&self.chain), beside(&self.rootchain)],
        })
    }
}

fn filled(mask: &str, domain: &str) -> String {
    mask.replace(PLACEHOLDER, domain)
}

/// What stands in `name` where `mask` has its placeholder.
fn differing_part<'name>(mask: &str, name: &'name str) -> Option<&'name str> {
    let start = mask.find(PLACEHOLDER)?;
    let places = mask.matches(PLACEHOLDER).count();
    let fixed = mask.len() - places * PLACEHOLDER.len();
    let length = name.len().checked_sub(fixed)? / places;
    let domain = name.get(start..start + length)?;
    (!domain.is_empty() && filled(mask, domain) == name).then_some(domain)
}

/// `path` with `suffix` appended to its name, as HAProxy forms `.ocsp` and `.issuer` names.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_companions_of_a_crt_file_lose_its_extension_where_haproxy_is_told_so() {
        let naming = |deletes_crt| Naming {
            deletes_crt,
            ..Naming::default()
        };
        for (name, deletes_crt, staple) in [
            ("/certs/a.pem", false, "/certs/a.pem.ocsp"),
            ("/certs/a.crt", false, "/certs/a.crt.ocsp"),
            ("/certs/a.crt", true, "/certs/a.ocsp"),
            ("/certs/a.pem", true, "/certs/a.pem.ocsp"),
        ] {
            let companions = naming(deletes_crt).companions(Path::new(name));
            assert_eq!(companions.staple, Path::new(staple));
        }
    }

    #[test]
    fn masks_give_the_names_of_what_belongs_together() {
        let masks = Masks {
            folder: "/certs".into(),
            recursive: true,
            certificate: "{domain}.pem".into(),
            chain: "{domain}-chain.pem".into(),
            rootchain: "{domain}-rootchain.pem".into(),
            staple: "{domain}.ocsp-resp".into(),
            staple_folder: "/ocsp".into(),
        };
        let companions = masks
            .companions(Path::new("/certs/sites"), OsStr::new("a.example.pem"))
            .unwrap();
        assert_eq!(
            companions.staple,
            Path::new("/ocsp/sites/a.example.ocsp-resp")
        );
        assert_eq!(
            companions.chains,
            [
                Path::new("/certs/sites/a.example-chain.pem"),
                Path::new("/certs/sites/a.example-rootchain.pem")
            ]
        );
        assert_eq!(companions.issuer, None);
        let other = masks.companions(Path::new("/certs"), OsStr::new("a.example.key"));
        assert_eq!(other, None);
    }

    #[test]
    fn a_mask_matches_only_where_all_its_places_hold_the_same() {
        for (mask, name, domain) in [
            ("{domain}.pem", "a.pem", Some("a")),
            ("{domain}.pem", ".pem", None),
            ("cert-{domain}", "cert-b", Some("b")),
            ("{domain}/{domain}.pem", "a/a.pem", Some("a")),
            ("{domain}/{domain}.pem", "a/b.pem", None),
            ("{domain}.pem", "\u{e4}.pem", Some("\u{e4}")),
            ("x{domain}", "\u{e4}", None),
            ("fixed.pem", "fixed.pem", None),
        ] {
            assert_eq!(differing_part(mask, name), domain, "{mask} {name}");
        }
    }
}
