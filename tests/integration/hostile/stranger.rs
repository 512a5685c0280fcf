//! A hostile thing as data: a certificate with its files and its responder, each of them honest but
//! for what a row changes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::judge::Signer;
use crate::scripted_responder::{Request, Step, ocsp_answer};

/// What a stranger tries to have done: on HAProxy, in a shell or in a log.
pub const ORDER: &str = "disable frontend canary";
/// What a stranger tries to have at the beginning of a log line.
pub const FORGERY: &str = "2026-01-01T00:00:00.000000Z  INFO FORGED";

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Row {
    /// What is hostile about it.
    pub name: &'static str,
    /// The thing itself.
    pub stranger: fn(&Known) -> Stranger,
}

/// A row of the table, or what was put together of several.
#[derive(Clone)]
pub struct Trial {
    pub name: String,
    pub stranger: Arc<dyn Fn(&Known) -> Stranger>,
}

impl From<&Row> for Trial {
    fn from(row: &Row) -> Self {
        Trial {
            name: row.name.to_owned(),
            stranger: Arc::new(row.stranger),
        }
    }
}

/// What a stranger may know of the scene.
pub struct Known {
    /// SHA-1 fingerprint of an honest certificate, in upper-case hexadecimal.
    pub fingerprint: String,
    /// Where the honest certificates' responder answers for the stranger, too.
    pub shared_url: String,
    /// Where the stranger's own responder answers.
    pub own_url: String,
    /// HAProxy's stats socket with the level admin, over TCP.
    pub stats: SocketAddr,
    /// A listener that keeps what it hears.
    pub recorder: SocketAddr,
    /// A directory that is nobody's business.
    pub victim: PathBuf,
}

/// A certificate with what belongs to it.
#[derive(Clone)]
pub struct Stranger {
    /// commonName, raw.
    pub subject: Vec<u8>,
    /// commonName of a CA of its own, which else is that of the honest certificates.
    pub authority: Option<Vec<u8>>,
    /// dNSNames, raw.
    pub names: Vec<Vec<u8>>,
    /// Whole extensions besides.
    pub extensions: Vec<Vec<u8>>,
    /// Content of the serial number; the scene's own choice where there is none.
    pub serial: Option<Vec<u8>>,
    /// Its responders.
    pub urls: Vec<String>,
    /// The name of its file, without `.pem`; the scene's own choice where there is none.
    pub file: Option<Vec<u8>>,
    /// It lies where HAProxy loads it; else where only the program looks.
    pub loaded: bool,
    /// How many there are of it.
    pub copies: usize,
    /// What stands in place of its certificate.
    pub in_place: Content,
    /// What lies beside it, where its staple belongs.
    pub beside: Content,
    /// Its responder.
    pub script: Script,
}

/// What lies under a name.
#[derive(Clone, Default)]
pub enum Content {
    /// What belongs there.
    #[default]
    Own,
    Bytes(Vec<u8>),
    Fifo,
    Socket,
    Directory,
    LinkTo(PathBuf),
    /// One that may not be read.
    Unreadable,
}

impl Content {
    /// Whether HAProxy can be started with it.
    pub fn can_be_loaded(&self) -> bool {
        matches!(self, Content::Own | Content::Bytes(_))
    }
}

/// What a responder does with a request; the signer knows the true answer to it, and false ones.
pub type Script = Arc<dyn Fn(&Request, &Signer) -> Vec<Step> + Send + Sync>;

impl Stranger {
    /// One that means no harm.
    pub fn harmless(known: &Known) -> Self {
        Stranger {
            subject: b"stranger.test".to_vec(),
            authority: None,
            names: vec![b"stranger.test".to_vec()],
            extensions: Vec::new(),
            serial: None,
            urls: vec![known.own_url.clone()],
            file: None,
            loaded: true,
            copies: 1,
            in_place: Content::Own,
            beside: Content::Own,
            script: Arc::new(|_, signer| vec![Step::Send(ocsp_answer(&signer.good()))]),
        }
    }

    pub fn subject(known: &Known, subject: impl AsRef<[u8]>) -> Self {
        Stranger {
            subject: subject.as_ref().to_vec(),
            ..Stranger::harmless(known)
        }
    }

    pub fn name(known: &Known, name: impl AsRef<[u8]>) -> Self {
        Stranger {
            names: vec![name.as_ref().to_vec()],
            ..Stranger::harmless(known)
        }
    }

    pub fn url(known: &Known, url: impl Into<String>) -> Self {
        Stranger {
            urls: vec![url.into()],
            ..Stranger::harmless(known)
        }
    }

    pub fn serial(known: &Known, serial: &[u8]) -> Self {
        Stranger {
            serial: Some(serial.to_vec()),
            ..Stranger::harmless(known)
        }
    }

    /// With this file name, where HAProxy loads it.
    pub fn file(known: &Known, name: impl AsRef<[u8]>) -> Self {
        Stranger {
            file: Some(name.as_ref().to_vec()),
            ..Stranger::harmless(known)
        }
    }

    /// With this where its staple belongs.
    pub fn beside(known: &Known, beside: Content) -> Self {
        Stranger {
            beside,
            ..Stranger::harmless(known)
        }
    }

    /// With this where its certificate belongs, where only the program looks.
    pub fn in_place(known: &Known, in_place: Content) -> Self {
        Stranger {
            in_place,
            loaded: false,
            ..Stranger::harmless(known)
        }
    }

    pub fn answering(
        known: &Known,
        script: impl Fn(&Request, &Signer) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        Stranger {
            script: Arc::new(script),
            ..Stranger::harmless(known)
        }
    }
}
