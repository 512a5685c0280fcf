//! Who appears: two honest certificates and the strangers, each with its files and its responder.

use std::ffi::OsStr;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::judge::{Authority, Signer, Wish};
use super::recorder::Recorder;
use super::scene::{Ground, Honest};
use super::stranger::{Content, Known, Stranger, Trial};
use crate::pki::{dns_names, ocsp_access, sha1};
use crate::scripted_responder::{Request, ScriptedResponder, Step, answer, ocsp_answer};
use crate::support::haproxy::{Haproxy, Setup, free_addresses};

/// The honest ones' names; their files lie between the strangers'.
const HONEST: [&str; 2] = ["a.honest.test", "s.honest.test"];

/// Answers a request for one certificate.
type Answer = Arc<dyn Fn(&Request) -> Vec<Step> + Send + Sync>;

/// A certificate's files, ready to be put in place.
struct Planted {
    stranger: Stranger,
    file: Vec<u8>,
    pem: String,
}

/// Everybody who is to appear.
pub struct Cast {
    pub authority: Arc<Authority>,
    pub honest: Vec<Honest>,
    pub responders: Vec<ScriptedResponder>,
    /// The honest ones' files: names and contents.
    files: Vec<(String, String)>,
    fingerprint: String,
    planted: Vec<Planted>,
    /// What the shared responder answers to a request for `/NUMBER/...`.
    answers: Vec<Answer>,
    shared: TcpListener,
    stats: SocketAddr,
    recorder: SocketAddr,
    victim: PathBuf,
}

impl Cast {
    /// The honest ones, and in `victim` one that nobody is to look after.
    pub fn new(recorder: &Recorder, victim: PathBuf) -> Self {
        let [stats, _] = free_addresses();
        let mut cast = Cast {
            authority: Arc::new(Authority::new(b"Honest CA")),
            honest: Vec::new(),
            responders: Vec::new(),
            files: Vec::new(),
            fingerprint: String::new(),
            planted: Vec::new(),
            answers: Vec::new(),
            shared: TcpListener::bind("127.0.0.1:0").unwrap(),
            stats,
            recorder: recorder.address,
            victim,
        };
        for (number, name) in HONEST.into_iter().enumerate() {
            let pem = cast.honest(name, vec![0x11, number as u8]);
            cast.files.push((format!("{name}.pem"), pem));
        }
        let nobodys = cast.honest("victim.test", vec![0x11, 0x7f]);
        cast.honest.truncate(HONEST.len());
        fs::write(cast.victim.join("site.pem"), nobodys).unwrap();
        fs::write(cast.victim.join("file"), "untouched").unwrap();
        cast
    }

    /// A certificate that means no harm, answered for by the shared responder.
    fn honest(&mut self, name: &'static str, serial: Vec<u8>) -> String {
        let url = format!("{}/{}", self.shared_url(), self.answers.len());
        let (pem, der) = self.authority.issue(Wish {
            subject: name.as_bytes(),
            serial: &serial,
            extensions: vec![dns_names(&[name]), ocsp_access(&[&url])],
        });
        let signer = Signer::new(self.authority.clone(), serial.clone());
        self.answers.push(Arc::new(move |_| {
            vec![Step::Send(ocsp_answer(&signer.good()))]
        }));
        self.fingerprint = sha1(&der)
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect();
        self.honest.push(Honest { name, serial });
        pem
    }

    fn shared_url(&self) -> String {
        format!("http://{}", self.shared.local_addr().unwrap())
    }

    /// Lets a trial's strangers appear.
    pub fn stranger(&mut self, number: usize, trial: &Trial) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let known = Known {
            fingerprint: self.fingerprint.clone(),
            shared_url: format!("{}/{}", self.shared_url(), self.answers.len()),
            own_url: format!("http://{}", listener.local_addr().unwrap()),
            stats: self.stats,
            recorder: self.recorder,
            victim: self.victim.clone(),
        };
        let stranger = (trial.stranger)(&known);
        let authority = match &stranger.authority {
            Some(common_name) => Arc::new(Authority::new(common_name)),
            None => self.authority.clone(),
        };
        for copy in 0..stranger.copies {
            let serial = stranger.serial_of(number, copy);
            let (pem, _) = authority.issue(Wish {
                subject: &stranger.subject,
                serial: &serial,
                extensions: stranger.all_extensions(),
            });
            let file = stranger.file_of(number, copy);
            let stranger = stranger.clone();
            self.planted.push(Planted {
                stranger,
                file,
                pem,
            });
        }
        // Each copy gets the answer for the first: what a stranger's own requests bring is not
        // the promise.
        let script = stranger.script.clone();
        let signer = Signer::new(authority, stranger.serial_of(number, 0));
        let answer: Answer = Arc::new(move |request| script(request, &signer));
        self.answers.push(answer.clone());
        self.responders
            .push(ScriptedResponder::start_on(listener, move |request| {
                answer(request)
            }));
    }

    /// Opens the responder that the honest ones share with strangers.
    pub fn with_shared_responder(mut self) -> Self {
        let answers = self.answers.clone();
        let listener = self.shared.try_clone().unwrap();
        let shared = ScriptedResponder::start_on(listener, move |request| {
            let number = request.target.split('/').nth(1).unwrap_or_default();
            match number
                .parse()
                .ok()
                .and_then(|place: usize| answers.get(place))
            {
                Some(answer) => answer(request),
                None => vec![Step::Send(answer("404 Not Found", "", b""))],
            }
        });
        self.responders.push(shared);
        self
    }

    /// Whether HAProxy starts with everything that lies where it loads from.
    pub fn can_be_loaded(&self) -> bool {
        self.planted
            .iter()
            .filter(|planted| planted.stranger.loaded)
            .all(|planted| planted.stranger.beside.can_be_loaded())
    }

    /// Starts HAProxy with the honest ones and the strangers that it loads, a frontend that must
    /// stay enabled, and a stats socket over TCP.
    pub fn start_haproxy(&self, ground: &Ground) -> Haproxy {
        let mut files = self.files.clone();
        for planted in self.planted.iter().filter(|it| it.stranger.loaded) {
            let name = String::from_utf8(planted.file.clone()).unwrap();
            if let Content::Bytes(bytes) = &planted.stranger.beside {
                let text = String::from_utf8(bytes.clone()).unwrap();
                files.push((format!("{name}.ocsp"), text));
            }
            files.push((name, planted.pem.clone()));
        }
        let files: Vec<(&str, &[u8])> = files
            .iter()
            .map(|(name, content)| (name.as_str(), content.as_bytes()))
            .collect();
        let setup = Setup {
            global: format!("stats socket ipv4@{} level admin", self.stats),
            bind: Some(
                "crt {dir}/certs\n  http-request return status 200\n\
                 frontend canary\n  bind {other_tls}"
                    .to_owned(),
            ),
            master: true,
            ..Setup::default()
        };
        Haproxy::start(&ground.installation, setup, &files)
    }

    /// Puts in place what HAProxy could not be started with, or does not load.
    pub fn plant(&self, haproxy: &Haproxy, others: &Path) {
        let certs = haproxy.dir.path().join("certs");
        for planted in &self.planted {
            let stranger = &planted.stranger;
            let directory = if stranger.loaded { &certs } else { others };
            let path = directory.join(OsStr::from_bytes(&planted.file));
            let mut beside = path.clone().into_os_string();
            beside.push(".ocsp");
            if !stranger.loaded {
                match &stranger.in_place {
                    Content::Own => fs::write(&path, &planted.pem).unwrap(),
                    other => put(&path, other),
                }
            }
            if !(stranger.loaded && stranger.beside.can_be_loaded()) {
                put(Path::new(&beside), &stranger.beside);
            }
        }
    }
}

impl Stranger {
    fn serial_of(&self, number: usize, copy: usize) -> Vec<u8> {
        match &self.serial {
            Some(serial) if copy == 0 => serial.clone(),
            Some(serial) => [&serial[..], &[copy as u8]].concat(),
            None => vec![0x22, number as u8, copy as u8],
        }
    }

    fn file_of(&self, number: usize, copy: usize) -> Vec<u8> {
        let copy = if copy == 0 {
            String::new()
        } else {
            format!("-{copy}")
        };
        let name = match &self.file {
            Some(name) => name.clone(),
            None => format!("h{number:03}").into_bytes(),
        };
        [&name[..], copy.as_bytes(), b".pem"].concat()
    }

    fn all_extensions(&self) -> Vec<Vec<u8>> {
        let mut extensions = self.extensions.clone();
        if !self.names.is_empty() {
            extensions.push(dns_names(&self.names));
        }
        if !self.urls.is_empty() {
            extensions.push(ocsp_access(&self.urls));
        }
        extensions
    }
}

/// Makes what is wanted under this name.
fn put(path: &Path, content: &Content) {
    match content {
        Content::Own => {}
        Content::Bytes(bytes) => fs::write(path, bytes).unwrap(),
        Content::Fifo => mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap(),
        Content::Socket => drop(UnixListener::bind(path).unwrap()),
        Content::Directory => fs::create_dir(path).unwrap(),
        Content::LinkTo(target) => symlink(target, path).unwrap(),
        Content::Unreadable => {
            fs::write(path, "").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
        }
    }
}
