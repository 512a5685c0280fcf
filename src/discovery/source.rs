//! Where certificates are looked for, and which files belong to each.
//!
//! Pure: names only, nothing is opened. HAProxy forms the names of a certificate's companions as
//! the configuration manual says (§3.1 `ssl-load-extra-files`, `issuers-chain-path`; §5.1 `crt`);
//! ocspbot forms them by masks.

use std::path::{Path, PathBuf};

use super::certificate_file::with_suffix;

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
    /// `issuers-chain-path`: a folder of chains for certificates that come without one.
    pub chains: Option<PathBuf>,
}

impl Naming {
    /// The companions of this certificate file.
    pub fn companions(&self, certificate: &Path) -> Companions {
        let stem = match certificate.extension() {
            Some(extension) if self.deletes_crt && extension == "crt" => {
                certificate.with_extension("")
            }
            _ => certificate.to_owned(),
        };
        Companions {
            staple: with_suffix(&stem, ".ocsp"),
            issuer: Some(with_suffix(&stem, ".issuer")),
            chains: self.chains.iter().cloned().collect(),
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
    /// Files, or folders of files, with certificates among which the issuer may be.
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
