//! What a configuration's lines ask HAProxy to load, before anything is looked up on disk.
//!
//! Pure. Names are formed as HAProxy forms them (configuration manual §3.1 `crt-base`, §5.1 `crt`,
//! §12.7 `crt-store`), so that they equal what `show ssl cert` prints.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::notice::{LineLocation, Remark};
use super::words::Word;
use crate::discovery::source::{Companions, Naming};

/// What holds for the names on a line because of lines before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// `crt-base`.
    pub crt_base: Option<Word>,
    /// How companions are named.
    pub naming: Naming,
    /// `ssl-load-extra-files` with `bundle`: a missing `a.pem` may be `a.pem.rsa` and
    /// `a.pem.ecdsa`.
    pub bundles: bool,
    /// The folder that relative names are in.
    pub folder: PathBuf,
    /// Whether that depends on where HAProxy was started.
    pub depends_on_start: bool,
    /// Whether this HAProxy has crt-stores (3.0 and later), so that a name that begins with `@` may
    /// be of one, and has no base.
    pub has_stores: bool,
}

impl Settings {
    /// A name as HAProxy completes it.
    ///
    /// # Errors
    /// The base has a variable whose value is not known.
    pub fn complete(&self, name: &str) -> Result<String, Remark> {
        match self.has_stores && name.starts_with('@') {
            true => Ok(name.to_owned()),
            false => below(self.crt_base.as_ref(), name),
        }
    }

    /// A name that begins with `@` as a HAProxy without crt-stores completes it.
    ///
    /// # Errors
    /// As of [`complete`](Self::complete).
    pub fn complete_plainly(&self, name: &str) -> Result<String, Remark> {
        below(self.crt_base.as_ref(), name)
    }

    /// The file of this name.
    pub fn locate(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The companions of a certificate that a line names with these options.
    pub fn companions(&self, certificate: &Path, options: &CertificateOptions) -> Companions {
        let mut companions = self.naming.companions(certificate);
        if options.names_files {
            companions.issuer = options.issuer.as_deref().map(|issuer| self.locate(issuer));
            if let Some(staple) = &options.staple {
                companions.staple = self.locate(staple);
            }
        }
        companions
    }
}

/// `name` below a base, unless it is a whole path.
fn below(base: Option<&Word>, name: &str) -> Result<String, Remark> {
    match base {
        Some(base) if !name.starts_with('/') => match &base.unknown {
            Some(variable) => Err(Remark::UnknownVariable(variable.clone())),
            None => Ok(format!("{}/{name}", base.text)),
        },
        _ => Ok(name.to_owned()),
    }
}

/// Something to load, and where it is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The line.
    pub place: LineLocation,
    /// What holds there.
    pub settings: Rc<Settings>,
    /// What is asked for.
    pub what: What,
}

/// What a line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// A certificate, or by its name a folder, a bundle or a store.
    Certificate(WantedCertificate),
    /// `crt-list FILE`.
    List(String),
}

/// A certificate as a line names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WantedCertificate {
    /// Its store's name.
    pub name: String,
    /// Its file; where the name is all there is, that is the file.
    pub file: String,
    /// What the line says about it.
    pub options: CertificateOptions,
}

impl WantedCertificate {
    /// A certificate by its name.
    pub fn by_name(name: String, options: CertificateOptions) -> Self {
        WantedCertificate {
            file: name.clone(),
            name,
            options,
        }
    }

    /// What a `load` line in a `crt-store` section of this name loads, its files below `base`. In a
    /// section without a name the store is called by the global `crt-base`, even if the section has
    /// its own.
    ///
    /// # Errors
    /// The line names no certificate, or a base has a variable whose value is not known.
    pub fn of_store(
        store: Option<&str>,
        [base, global_base]: [Option<&Word>; 2],
        mut options: CertificateOptions,
    ) -> Result<Self, Remark> {
        options.names_files = true;
        for companion in [&mut options.staple, &mut options.issuer]
            .into_iter()
            .flatten()
        {
            *companion = below(base, companion)?;
        }
        let certificate = options.certificate()?;
        let file = below(base, certificate)?;
        let name = match (store, options.alias.as_deref()) {
            (None, None) => below(global_base, certificate)?,
            (Some(store), None) => format!("@{store}/{}", certificate.trim_start_matches('/')),
            (store, Some(alias)) => format!("@{}/{alias}", store.unwrap_or_default()),
        };
        Ok(WantedCertificate {
            name,
            file,
            options,
        })
    }

    /// Whether HAProxy reads no staple for it at its start: files are named, and none is a staple.
    pub fn lacks_staple(&self) -> bool {
        let options = &self.options;
        options.names_files && options.staple.is_none() && !options.renewed_by_haproxy
    }

    /// Whether it refers to what a `crt-store` has loaded, rather than to a file.
    pub fn is_reference(&self) -> bool {
        self.name.starts_with('@') && self.name == self.file
    }
}

/// The options of a certificate that matter here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CertificateOptions {
    /// `crt`.
    pub certificate: Option<String>,
    /// `alias`.
    pub alias: Option<String>,
    /// `ocsp`.
    pub staple: Option<String>,
    /// `issuer`.
    pub issuer: Option<String>,
    /// Whether HAProxy reads only the files that are named: so it is as soon as one is, and for
    /// every certificate of a crt-store.
    pub names_files: bool,
    /// `ocsp-update on`.
    pub renewed_by_haproxy: bool,
    /// It stands in a crt-list, and its only filter is `*`.
    pub only_filter_is_any: bool,
}

impl CertificateOptions {
    /// Picks the options from the words of a line.
    ///
    /// # Errors
    /// One of them has a variable whose value is not known, or lacks its value.
    pub fn read(words: &[Word]) -> Result<CertificateOptions, Remark> {
        let mut options = CertificateOptions::default();
        let mut words = words.iter();
        while let Some(keyword) = words.next() {
            let mut value = || known(words.next(), &keyword.text).map(Some);
            match keyword.text.as_str() {
                "crt" => options.certificate = value()?,
                "alias" => options.alias = value()?,
                "ocsp" => {
                    options.staple = value()?;
                    options.names_files = true;
                }
                "issuer" => {
                    options.issuer = value()?;
                    options.names_files = true;
                }
                // Where they are does not matter, only that they are named; a variable may hide it.
                "key" | "sctl" => {
                    words.next();
                    options.names_files = true;
                }
                "ocsp-update" => options.renewed_by_haproxy = value()?.as_deref() == Some("on"),
                _ => {}
            }
        }
        Ok(options)
    }

    /// The certificate that has to be named.
    ///
    /// # Errors
    /// It is not.
    pub fn certificate(&self) -> Result<&str, Remark> {
        let missing = || Remark::MissingValue("crt".to_owned());
        self.certificate.as_deref().ok_or_else(missing)
    }
}

/// The text of a keyword's value.
///
/// # Errors
/// There is none, or it has a variable whose value is not known.
pub fn known(value: Option<&Word>, keyword: &str) -> Result<String, Remark> {
    match value {
        Some(Word {
            unknown: Some(variable),
            ..
        }) => Err(Remark::UnknownVariable(variable.clone())),
        Some(word) if !word.text.is_empty() => Ok(word.text.clone()),
        _ => Err(Remark::MissingValue(keyword.to_owned())),
    }
}
