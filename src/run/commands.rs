//! The operator's commands to the daemon: where it listens for them, and what it answers.
//!
//! Without a control socket it goes on all the same: nothing of its work depends on one.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::snapshot::{Snapshot, SocketSnapshot};
use super::{Daemon, Reload, Reloading, wall_clock};
use crate::agent::{Event, IssuedCertificate};
use crate::config::CONTROL_SOCKET;
use crate::control::{
    BindError, ControlQuestion, ControlRefusal, ControlReply, ControlRequest, Listener, Names,
    NotAsked, PendingReply, Reloaded, Renewal,
};
use crate::fetch::Pauses;
use crate::text::Printable;

/// Requests of clients that may wait for the daemon's loop.
const QUESTIONS: usize = 8;

/// The control socket, if there is one, and what its clients ask.
pub(super) struct Commands {
    questions: mpsc::Receiver<ControlQuestion>,
    sender: mpsc::Sender<ControlQuestion>,
    listening: Option<Listening>,
}

struct Listening {
    path: PathBuf,
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Commands {
    /// Listens nowhere yet.
    pub(super) fn new() -> Self {
        let (sender, questions) = mpsc::channel(QUESTIONS);
        Commands {
            questions,
            sender,
            listening: None,
        }
    }

    /// The next request.
    pub(super) async fn next(&mut self) -> Option<ControlQuestion> {
        self.questions.recv().await
    }

    /// Listens at this path from now on, and at no other.
    pub(super) async fn listen(&mut self, path: Option<&Path>) {
        let listening = self.listening.as_ref();
        if listening.map(|listening| listening.path.as_path()) == path {
            return;
        }
        self.stop().await;
        let Some(path) = path else {
            return;
        };
        match Listener::bind(path).await {
            Ok(listener) => {
                let stop = CancellationToken::new();
                let serving = listener.serve(self.sender.clone(), stop.clone());
                self.listening = Some(Listening {
                    path: path.to_owned(),
                    task: tokio::spawn(serving),
                    stop,
                });
            }
            Err(error) => log(&error, path),
        }
    }

    /// Listens no more; the socket is gone when this returns.
    pub(super) async fn stop(&mut self) {
        if let Some(listening) = self.listening.take() {
            listening.stop.cancel();
            // It can only have ended.
            let _ = listening.task.await;
        }
    }
}

impl Daemon {
    /// Does what is asked. Work that takes long and needs nothing more of the daemon is left to the
    /// task of the answer.
    pub(super) fn answer(&mut self, question: ControlQuestion, reload: &mut Reload) {
        let answer = match question.request {
            ControlRequest::Status { names } => self.status(names),
            ControlRequest::Reload => {
                let reply = said_of(self.reload(reload()));
                Box::new(move || reply)
            }
            ControlRequest::Renew { names } => {
                let reply = self.renew(names);
                Box::new(move || reply)
            }
        };
        // A client that has gone needs no answer.
        let _ = question.answer.send(answer);
    }

    fn status(&self, names: Vec<String>) -> PendingReply {
        let mut configs = self.configs_of_processes();
        let targets: Vec<SocketSnapshot<'_>> = self
            .names
            .sockets
            .iter()
            .map(|(target, address)| SocketSnapshot {
                id: *target,
                address,
                connection: self.connections.get(target),
                differences: self.accounts.of(*target),
                configs: configs.remove(target).unwrap_or_default(),
                loaded: self.world.loaded.get(target),
            })
            .collect();
        let mut names = Names::new(names);
        let snapshot = Snapshot::take(
            &self.agent,
            &targets,
            &self.directories,
            &mut names,
            wall_clock(),
        );
        let unknown = refuse_unknown(&names);
        Box::new(move || unknown.unwrap_or_else(|| ControlReply::Status(snapshot.finish())))
    }

    fn renew(&mut self, names: Vec<String>) -> ControlReply {
        let mut names = Names::new(names);
        let mut paths = Vec::new();
        let mut passed_over = None;
        let mut postponed = PostponedFiles::new(self.rooms.pauses());
        for file in self.agent.status(wall_clock()) {
            if !names.mean(file.path, file.dns_names()) {
                continue;
            }
            match file.certificate {
                Some(certificate) => {
                    paths.push(file.path.to_owned());
                    postponed.add(certificate.subject);
                }
                None => passed_over = Some((file.path.to_owned(), file.state)),
            }
        }
        if let Some(refused) = refuse_unknown(&names) {
            return refused;
        }
        if let (true, false, Some((path, state))) =
            (paths.is_empty(), names.is_empty(), passed_over)
        {
            let message = format!("nothing to renew: {}: {state}", path.printable());
            return ControlReply::Refused(ControlRefusal { message });
        }
        let certificates = paths.len();
        let not_asked = postponed.not_asked();
        log_renewal(certificates, &not_asked);
        if names.is_empty() {
            self.handle(Event::RenewAll);
        } else {
            for path in paths {
                self.handle(Event::Renew(path));
            }
        }
        ControlReply::Renewal(Renewal {
            certificates,
            not_asked,
        })
    }

    /// Renews everything, as a signal says.
    pub(super) fn renew_all(&mut self) {
        let mut postponed = PostponedFiles::new(self.rooms.pauses());
        let mut certificates = 0;
        for file in self.agent.status(wall_clock()) {
            if let Some(certificate) = file.certificate {
                certificates += 1;
                postponed.add(certificate.subject);
            }
        }
        log_renewal(certificates, &postponed.not_asked());
        self.handle(Event::RenewAll);
    }
}

fn log_renewal(certificates: usize, not_asked: &[NotAsked]) {
    tracing::info!("asked to renew {certificates} certificate files now");
    for not_asked in not_asked {
        tracing::warn!(reason = "circuit_open", "{not_asked}");
    }
}

/// The certificate files that are not asked for, because each of their responders is left alone,
/// but for one certificate of each responder.
struct PostponedFiles<'daemon> {
    pauses: &'daemon Pauses,
    /// Of each responder: for how long, whose request goes through, and how many files wait.
    responders: BTreeMap<String, (Duration, [u8; 32], usize)>,
}

impl<'daemon> PostponedFiles<'daemon> {
    fn new(pauses: &'daemon Pauses) -> Self {
        PostponedFiles {
            pauses,
            responders: BTreeMap::new(),
        }
    }

    /// A file with this certificate is to be asked for.
    fn add(&mut self, subject: &IssuedCertificate) {
        let urls = subject.responders.iter();
        let pauses: Option<Vec<_>> = urls.map(|url| self.pauses.at(url)).collect();
        // The first one is asked, if only once.
        let Some((responder, pause)) = pauses.and_then(|pauses| pauses.into_iter().next()) else {
            return;
        };
        let certificate = subject.certificate.sha256_fingerprint();
        // No request goes through while a probe is on its way.
        let probe = match pause.is_zero() {
            true => [0; 32],
            false => certificate,
        };
        let (_, probe, waiting) = self
            .responders
            .entry(responder)
            .or_insert((pause, probe, 0));
        *waiting += usize::from(*probe != certificate);
    }

    fn not_asked(self) -> Vec<NotAsked> {
        let responders = self.responders.into_iter();
        let not_asked = responders.map(|(responder, (pause, _, certificates))| NotAsked {
            responder,
            certificates,
            seconds: pause.as_secs(),
        });
        not_asked.filter(|it| it.certificates > 0).collect()
    }
}

/// What became of reading the configuration again, as a reply.
fn said_of(reloading: Reloading) -> ControlReply {
    match reloading {
        Ok(warnings) => ControlReply::Reloaded(Reloaded { warnings }),
        Err(mistakes) => ControlReply::Refused(ControlRefusal {
            message: mistakes.join("\n"),
        }),
    }
}

/// The refusal where some names are those of nothing.
fn refuse_unknown(names: &Names) -> Option<ControlReply> {
    let mut unknown = names.unknown();
    let first = unknown.next()?;
    let more = match unknown.count() {
        0 => String::new(),
        count => format!(" (and {count} more)"),
    };
    let message = format!(
        "no certificate file is called '{first}'{more}, and no certificate is for that name; \
         staplerd status lists them all"
    );
    Some(ControlReply::Refused(ControlRefusal { message }))
}

/// A user who tries the program has no directory at the default place, which is no error.
fn log(error: &BindError, path: &Path) {
    let reason = error.kind();
    let consequence = "staplerd status and renew cannot reach this daemon (see --control-socket)";
    let is_usual = matches!(error, BindError::Unusable { error, .. }
        if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied));
    if is_usual && path == Path::new(CONTROL_SOCKET) {
        tracing::warn!(reason, "{error}; {consequence}");
    } else {
        tracing::error!(reason, "{error}; {consequence}");
    }
}
