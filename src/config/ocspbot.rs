//! ocspbot's certificates: `domains`, `scan_keys` and `includes`.
//!
//! Pure. Relative paths are relative to the working directory, those of staples to `ocsp_folder`;
//! relative folders in `includes` are looked for beside the including file first. `chain` and
//! `rootchain` may be left out, which ocspbot did not allow: the issuer may be in the certificate's
//! own file. `sockets` is added: the processes that load the certificates.

use std::path::{Path, PathBuf};

use super::document::{Location, Table, Value};
use super::responder_override::ResponderOverride;
use super::sockets::sockets;
use crate::discovery::source::{CertificateFile, Companions, Masks};
use crate::fetch::Overrides;
use crate::haproxy::Address;

/// What stands for a certificate's name in a mask.
const PLACEHOLDER: &str = "{domain}";
/// The word for the certificate's own responders.
const CERTIFICATE: &str = "certificate";

/// One entry of `domains`.
#[derive(Clone, Debug)]
pub(super) struct Domain {
    pub identifier: String,
    pub place: Location,
    pub certificate: PathBuf,
    pub chains: Vec<PathBuf>,
    /// Relative to `ocsp_folder`.
    pub staple: PathBuf,
    pub staple_place: Location,
    pub responder: Option<ResponderOverride>,
    pub sockets: Vec<Address>,
}

impl Domain {
    /// All entries of the file, in its order.
    pub fn read_all(value: Value<'_>) -> Option<Vec<Self>> {
        let entries = value.entries()?.into_iter();
        let domains = entries.filter_map(|(identifier, value)| {
            value.table(|table| Self::read(identifier, &value, table))
        });
        let mut domains: Vec<Self> = domains.collect();
        domains.sort_by_key(|domain| domain.place.position());
        Some(domains)
    }

    fn read(identifier: &str, value: &Value<'_>, table: &Table<'_>) -> Option<Self> {
        let path = |key| table.read(key, |value| value.path());
        let required = |key| {
            let value = table.required(key)?;
            Some((value.path()?, value.place()))
        };
        let chains = [path("chain"), path("rootchain")];
        let certificate = required("cert");
        let staple = required("ocsp");
        let responder = table.read("ocsp_responder_uri", |value| value.parsed(responder));
        let sockets = sockets(table, "sockets");
        let (certificate, _) = certificate?;
        let (staple, staple_place) = staple?;
        Some(Domain {
            identifier: identifier.to_owned(),
            place: value.place(),
            certificate,
            chains: chains.into_iter().flatten().collect(),
            staple,
            staple_place,
            responder,
            sockets,
        })
    }

    /// The certificate's files, with staples in this folder.
    pub fn files(&self, ocsp_folder: &Path) -> CertificateFile {
        CertificateFile {
            path: super::with_folder(self.certificate.clone()),
            companions: Companions {
                staple: super::with_folder(ocsp_folder.join(&self.staple)),
                issuer: None,
                issuers_chain_path: None,
                chains: self.chains.clone(),
            },
        }
    }
}

fn responder(text: &str) -> Result<ResponderOverride, String> {
    if text == CERTIFICATE {
        return Ok(ResponderOverride::Certificate);
    }
    // Any host will do: only the URL is checked.
    Overrides::parse([("host.invalid", Some(text))])
        .map(|_| ResponderOverride::Url(text.to_owned()))
        .map_err(|error| format!("{error}; expected a URL, or the word {CERTIFICATE}"))
}

/// One entry of `scan_keys`.
#[derive(Clone, Debug)]
pub(super) struct ScanKey {
    pub place: Location,
    pub folder: PathBuf,
    pub recursive: bool,
    pub certificate: String,
    pub chain: String,
    pub rootchain: String,
    pub staple: String,
    pub sockets: Vec<Address>,
}

impl ScanKey {
    /// One entry, with ocspbot's defaults.
    pub fn read(value: Value<'_>) -> Option<Self> {
        value.table(|table| {
            let mask = |key, check: fn(&str) -> Result<String, String>, default: &str| {
                let given = table.read(key, |value| value.parsed(check));
                given.unwrap_or_else(|| default.to_owned())
            };
            let folder = table.read("folder", |value| value.text());
            let recursive = table.read("recursive", |value| value.boolean());
            Some(ScanKey {
                place: value.place(),
                folder: PathBuf::from(folder.unwrap_or_default()),
                recursive: recursive.unwrap_or(true),
                certificate: mask("cert_mask", certificate_mask, "{domain}.pem"),
                chain: mask("chain_mask", companion_mask, "{domain}-chain.pem"),
                rootchain: mask("rootchain_mask", companion_mask, "{domain}-rootchain.pem"),
                staple: mask("ocsp_mask", companion_mask, "{domain}.ocsp-resp"),
                sockets: sockets(table, "sockets"),
            })
        })
    }

    /// The masks, with staples in this folder.
    pub fn masks(&self, ocsp_folder: &Path) -> Masks {
        Masks {
            folder: super::by_components(&self.folder),
            recursive: self.recursive,
            certificate: self.certificate.clone(),
            chain: self.chain.clone(),
            rootchain: self.rootchain.clone(),
            staple: self.staple.clone(),
            staple_folder: super::by_components(ocsp_folder),
        }
    }

    /// Whether a staple would be written over a file that it belongs to.
    pub fn overwrites(&self, masks: &Masks) -> bool {
        masks.folder == masks.staple_folder
            && [&self.certificate, &self.chain, &self.rootchain].contains(&&self.staple)
    }
}

/// A mask with one placeholder, for names without folders.
fn certificate_mask(text: &str) -> Result<String, String> {
    if text.contains('/') || text.matches(PLACEHOLDER).count() > 1 {
        return Err(format!(
            "'{text}': expected a file's name, without folders, with {PLACEHOLDER} in it once"
        ));
    }
    companion_mask(text)
}

/// A mask with a placeholder.
fn companion_mask(text: &str) -> Result<String, String> {
    let rest = text.replace(PLACEHOLDER, "");
    if rest.len() == text.len() || rest.contains(['{', '}']) {
        return Err(format!(
            "'{text}': expected a file's name with {PLACEHOLDER} in it, such as '{PLACEHOLDER}.pem'"
        ));
    }
    Ok(text.to_owned())
}

/// A folder of further configuration files.
#[derive(Clone, Debug)]
pub(super) struct Include {
    pub folder: PathBuf,
    pub place: Location,
}

impl Include {
    /// One entry of `includes`.
    pub fn read(value: Value<'_>) -> Option<Self> {
        Some(Include {
            folder: value.path()?,
            place: value.place(),
        })
    }

    /// Where it may be, in this order, for a file of this name.
    pub fn candidates(&self, file: &str) -> [PathBuf; 2] {
        let beside = Path::new(file).parent().unwrap_or(Path::new(""));
        [
            super::by_components(&beside.join(&self.folder)),
            self.folder.clone(),
        ]
    }
}
