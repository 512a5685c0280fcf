//! How it stands with everything, for the operator: the agent's own memory and what is known of the
//! HAProxy processes, in the control socket's words.
//!
//! Taken in two steps: what has to be copied while the daemon's loop waits, and the rest.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::differences::Differences;
use crate::agent::{self, Agent, Exclusion, Failure, FileStatus, State, TargetId};
use crate::control::{
    CertificateView, DirectoryStatus, LiveStatus, Names, PlaceView, Problem, ProcessView,
    QuarantinedStore, SCHEMA, SocketStatus, StapleStatus, StatusView, StoreDifference,
};
use crate::haproxy::{self, Address, Quarantine};
use crate::haproxy_config::{HaproxyConfig, OneSided};
use crate::ocsp::{self, Staple};
use crate::text::Printable;
use crate::time::Timestamp;
use crate::x509::Certificate;

/// What is known of the process behind a control socket.
#[derive(Clone, Default, Debug)]
pub(super) struct ConnectionSnapshot {
    /// The process, while there is a connection.
    pub(super) process: Option<haproxy::Process>,
    /// Why there is none, or what it may not do.
    pub(super) problem: Option<Failure>,
    /// What is worth knowing about the process.
    pub(super) notices: Vec<haproxy::ProcessNotice>,
    /// Its stores that are left alone.
    pub(super) quarantined: BTreeMap<String, Quarantine>,
}

/// One control socket with all that is known of it.
pub(super) struct SocketSnapshot<'daemon> {
    pub(super) id: TargetId,
    pub(super) address: &'daemon Address,
    pub(super) connection: Option<&'daemon ConnectionSnapshot>,
    /// What is on one side only, and whether a reload may end that.
    pub(super) differences: (&'daemon [OneSided], bool),
    /// The HAProxy configurations that its process may have been started with.
    pub(super) configs: Vec<&'daemon HaproxyConfig>,
    /// The names of the certificate stores that the process has loaded.
    pub(super) loaded: Option<&'daemon Vec<String>>,
}

/// What was copied.
pub(super) struct Snapshot {
    status: StatusView,
    /// For each of the sockets what it has loaded, where it says so.
    loaded: Vec<Option<Vec<String>>>,
    /// Only some certificates were asked for.
    is_part: bool,
}

impl Snapshot {
    /// Copies how it stands with the certificate files that are meant.
    pub(super) fn take(
        agent: &Agent,
        targets: &[SocketSnapshot<'_>],
        directories: &BTreeMap<PathBuf, Failure>,
        names: &mut Names,
        now: Timestamp,
    ) -> Self {
        let sockets: BTreeMap<TargetId, String> = targets
            .iter()
            .map(|target| (target.id, target.address.to_string()))
            .collect();
        let files = agent.status(now);
        let meant = files.filter(|file| names.mean(file.path, file.dns_names()));
        let certificates: Vec<CertificateView> = meant
            .map(|file| certificate(&file, &sockets, now))
            .collect();
        let is_part = !names.is_empty();
        let concerned = targets.iter().filter(|target| {
            let socket = sockets.get(&target.id);
            let serves =
                |it: &CertificateView| it.live.iter().any(|live| Some(&live.socket) == socket);
            !is_part || certificates.iter().any(serves)
        });
        let (sockets, loaded) = concerned
            .map(|target| (socket(target), stores(target)))
            .unzip();
        let concerned = directories.iter().filter(|(folder, _)| {
            let lies_there = |it: &CertificateView| Path::new(&it.path).starts_with(folder);
            !is_part || certificates.iter().any(lies_there)
        });
        let unusable_directories = concerned
            .map(|(path, failure)| DirectoryStatus {
                path: path.printable().to_string(),
                error: problem(failure),
            })
            .collect();
        Snapshot {
            status: StatusView {
                schema: SCHEMA,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                pid: std::process::id(),
                time: now,
                needs_attention: false,
                certificates,
                sockets,
                unusable_directories,
            },
            loaded,
            is_part,
        }
    }

    /// Adds what follows from what was copied.
    pub(super) fn finish(self) -> StatusView {
        let mut status = self.status;
        status.certificates.sort_by(|one, other| {
            let key = |it: &CertificateView| {
                let until = it.staple.as_ref().map(|staple| staple.until);
                (badness(it), until)
            };
            (key(one), &one.path).cmp(&(key(other), &other.path))
        });
        for (socket, loaded) in status.sockets.iter_mut().zip(self.loaded) {
            let Some(loaded) = loaded else {
                continue;
            };
            let differences = Differences::new(&socket.socket, &status.certificates, &loaded);
            socket.stores = Some(loaded.len());
            socket.not_loaded = differences.not_loaded;
            if !self.is_part {
                socket.not_looked_after = differences.not_looked_after;
            }
        }
        status.needs_attention = status.certificates.iter().any(|it| it.needs_attention)
            || status.sockets.iter().any(|it| it.needs_attention)
            || !status.unusable_directories.is_empty();
        status
    }
}

/// The place in the list, the worst first: what needs a person, what is not as it should be, what
/// is well, what is passed over.
fn badness(certificate: &CertificateView) -> u8 {
    match (certificate.needs_attention, certificate.staple.is_some()) {
        (true, false) => 0,
        (true, true) => 1,
        _ if certificate.failures > 0 => 2,
        _ if certificate.disk.is_none() => 5,
        (false, false) => 3,
        (false, true) => 4,
    }
}

fn certificate(
    file: &FileStatus<'_>,
    sockets: &BTreeMap<TargetId, String>,
    now: Timestamp,
) -> CertificateView {
    let known = file.certificate.as_ref();
    let certificate = known.map(|it| &it.subject.certificate);
    let mut status = CertificateView {
        path: file.path.printable().to_string(),
        state: file.state.kind().to_owned(),
        message: file.state.to_string().printable().to_string(),
        reason: match &file.state {
            State::Failing(failure) => Some(failure.kind.to_owned()),
            _ => None,
        },
        needs_attention: false,
        subject: certificate.map(|it| it.subject_display().to_owned()),
        names: certificate.into_iter().flat_map(names).collect(),
        not_after: certificate.map(|it| it.not_after()),
        must_staple: certificate.is_some_and(|it| it.must_staple()),
        staple: known.and_then(|it| it.staple).map(|it| staple(it)),
        next_request: known.and_then(|it| it.next_request),
        failures: known.map(|it| it.failures).unwrap_or_default(),
        not_asked: known.and_then(|it| it.not_asked).map(problem),
        staple_path: known.map(|it| it.staple_path.printable().to_string()),
        disk: known.map(|it| place(&it.disk)),
        live: Vec::new(),
    };
    for (target, live) in known.map(|it| &it.live).into_iter().flatten() {
        status.live.push(LiveStatus {
            socket: sockets.get(target).cloned().unwrap_or_default(),
            place: place(live),
        });
    }
    let places = known.into_iter().flat_map(|it| {
        let live = it.live.iter().map(|(_, place)| place);
        live.chain([&it.disk])
    });
    let is_misplaced = places.into_iter().any(|place| place.is_alarm);
    status.needs_attention = is_misplaced || is_wrong(&file.state, &status, now);
    status
}

/// The DNS names of a certificate, as they are shown.
fn names(certificate: &Certificate) -> impl Iterator<Item = String> {
    let names = certificate.names().iter();
    names.map(|name| name.printable().to_string())
}

/// Whether a person has to do something about the certificate or its responder, as the
/// documentation of the key says.
fn is_wrong(state: &State, status: &CertificateView, now: Timestamp) -> bool {
    match state {
        State::Revoked { .. } | State::Expired { .. } => true,
        State::Excluded(Exclusion::NoIssuer { .. } | Exclusion::Unreadable { .. }) => true,
        State::Failing(_) => status.staple.is_none(),
        State::Outdated(outdated) => outdated.refused_from.is_some_and(|from| from <= now),
        State::Excluded(Exclusion::NoResponder | Exclusion::NotApplicable { .. })
        | State::Waiting
        | State::Fresh
        | State::Renewing => false,
    }
}

fn staple(staple: &Staple) -> StapleStatus {
    StapleStatus {
        status: match staple.status() {
            ocsp::CertificateStatus::Revoked { .. } => "revoked",
            ocsp::CertificateStatus::Good | ocsp::CertificateStatus::Unknown => "good",
        }
        .to_owned(),
        this_update: staple.this_update(),
        next_update: staple.next_update(),
        until: staple.expires(),
    }
}

fn place(place: &agent::PlaceSummary<'_>) -> PlaceView {
    PlaceView {
        current: place.is_current,
        error: place.failure.map(problem),
    }
}

fn problem(failure: &Failure) -> Problem {
    Problem {
        reason: failure.kind.to_owned(),
        message: failure.message.printable().to_string(),
    }
}

fn notice(notice: &haproxy::ProcessNotice) -> Problem {
    Problem {
        reason: notice.kind().to_owned(),
        message: notice.to_string(),
    }
}

fn socket(target: &SocketSnapshot<'_>) -> SocketStatus {
    let connection = target.connection;
    let process = connection.and_then(|it| it.process.as_ref());
    let notices = connection.map_or(&[][..], |it| &it.notices);
    let error = connection.and_then(|it| it.problem.as_ref()).map(problem);
    let mut stores = connection.iter().flat_map(|it| it.quarantined.values());
    SocketStatus {
        socket: target.address.to_string(),
        needs_attention: error.is_some()
            || notices.iter().any(haproxy::ProcessNotice::needs_attention)
            || stores.any(Quarantine::needs_attention),
        process: process.map(|process| ProcessView {
            version: format!("{}.{}", process.version.major, process.version.minor),
            release: process.release.text().to_owned(),
            pid: process.pid,
        }),
        error,
        notices: notices.iter().map(notice).collect(),
        stores: None,
        not_loaded: Vec::new(),
        not_looked_after: Vec::new(),
        differences: differences(target),
        quarantined: connection.map(quarantined).unwrap_or_default(),
    }
}

fn differences(target: &SocketSnapshot<'_>) -> Vec<StoreDifference> {
    const AWAITS_RELOAD: &str =
        "HAProxy's configuration was changed after the process was started: reload it";
    let (differences, awaits_reload) = target.differences;
    let status = differences.iter().map(|it| StoreDifference {
        store: it.name.printable().to_string(),
        problem: Problem {
            reason: it.lack.kind().to_owned(),
            message: match awaits_reload {
                true => AWAITS_RELOAD.to_owned(),
                false => it.message().printable().to_string(),
            },
        },
    });
    status.collect()
}

fn quarantined(connection: &ConnectionSnapshot) -> Vec<QuarantinedStore> {
    let stores = connection.quarantined.iter();
    let status = stores.map(|(store, why)| QuarantinedStore {
        store: store.printable().to_string(),
        problem: Problem {
            reason: why.kind().to_owned(),
            message: why.to_string(),
        },
    });
    status.collect()
}

/// What the process has loaded, while there is a connection to it: the files' names where the
/// configuration says which files they are.
fn stores(target: &SocketSnapshot<'_>) -> Option<Vec<String>> {
    target.connection?.process.as_ref()?;
    let names = target.loaded?.iter();
    let is_of_server = |name: &str| target.configs.iter().any(|it| it.servers.contains(name));
    let files: HashMap<&str, &Path> = target
        .configs
        .iter()
        .flat_map(|it| it.files_by_name())
        .collect();
    let file_of = |name: &String| match files.get(name.as_str()) {
        Some(file) => file.printable().to_string(),
        None => name.printable().to_string(),
    };
    let names = names.filter(|name| !is_of_server(name));
    Some(names.map(file_of).collect())
}
