//! The HAProxy configurations that say what is looked after: read at start, and whenever they may
//! have changed.
//!
//! Files named together are one process's (`haproxy -f ONE -f TWO`), unless several of them open
//! control sockets: then each of those begins a process of its own, to which the files after it
//! belong.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::RoomNews;
use super::finder::{next_hint, skip_waiting_hints};
use crate::discovery::{Hints, Interest, Interests};
use crate::haproxy_config::{self, ConfigNotice, Error, HaproxyConfig, LineLocation, Remark};

/// How long to wait after a hint, so that all files of a deployment are in place.
const SETTLING: Duration = Duration::from_millis(500);

/// The processes that these files and folders configure.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<HaproxyConfig>, Error> {
    let start = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let variable = |name: &str| std::env::var(name).ok();
    let read = |paths: &[PathBuf]| haproxy_config::read(paths, &start, &variable);
    let mut groups: Vec<(Vec<PathBuf>, HaproxyConfig)> = Vec::new();
    let mut has_sockets = false;
    for path in paths {
        let alone = read(std::slice::from_ref(path))?;
        let opens_sockets = !alone.sockets.is_empty();
        match groups.last_mut() {
            Some((group, _)) if !(has_sockets && opens_sockets) => group.push(path.clone()),
            _ => groups.push((vec![path.clone()], alone)),
        }
        has_sockets |= opens_sockets;
    }
    let processes = groups.into_iter().map(|(group, alone)| match group.len() {
        1 => Ok(alone),
        // What one file says, such as crt-base, counts in the others.
        _ => read(&group),
    });
    let mut processes: Vec<HaproxyConfig> = processes.collect::<Result<_, Error>>()?;
    for process in &mut processes {
        note_emptiness(process);
    }
    Ok(processes)
}

/// Says where a process has no certificates, as HAProxy's configuration has none as it is
/// installed.
fn note_emptiness(process: &mut HaproxyConfig) {
    if let (true, Some(file)) = (process.sources().is_empty(), process.files.first()) {
        let place = LineLocation {
            file: file.as_path().into(),
            line: 1,
        };
        let remark = Remark::NoneNamed;
        process.notices.push(ConfigNotice { place, remark });
    }
}

/// Says what the operator should know of these configurations, as far as it was not said of those
/// before.
pub(super) fn log_notices(configs: &[HaproxyConfig], before: &[HaproxyConfig]) {
    let notices = |configs: &[HaproxyConfig]| -> Vec<String> {
        let all = configs.iter().flat_map(|config| &config.notices);
        all.map(ToString::to_string).collect()
    };
    let said: HashSet<String> = notices(before).into_iter().collect();
    for notice in notices(configs) {
        if !said.contains(&notice) {
            tracing::warn!(reason = "haproxy_configuration", "{notice}");
        }
    }
}

/// Reads them again at every hint that one of their files has changed, and every refresh interval;
/// tells what they are when they are others. Ends when `stop` is cancelled.
pub(super) async fn watch(
    paths: Vec<PathBuf>,
    mut known: Arc<Vec<HaproxyConfig>>,
    refresh_interval: Duration,
    news: mpsc::UnboundedSender<RoomNews>,
    stop: CancellationToken,
) {
    // The finder says when there are no hints to be had.
    let mut hints = Hints::new().ok();
    let mut told = None;
    loop {
        if let Some(hints) = &mut hints {
            hints.watch(interests(&known));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(refresh_interval) => {}
            () = next_hint(&mut hints) => sleep(SETTLING).await,
        }
        // However many changes there were, one reading sees them all.
        skip_waiting_hints(&mut hints).await;
        let paths = paths.clone();
        match tokio::task::spawn_blocking(move || read(&paths)).await {
            Ok(Ok(configs)) => {
                told = None;
                if configs != *known {
                    known = Arc::new(configs);
                    let _ = news.send(RoomNews::HaproxyConfigured {
                        configs: Arc::clone(&known),
                        watch: stop.clone(),
                    });
                }
            }
            Ok(Err(error)) => {
                if told.as_ref() != Some(&error) {
                    tracing::error!(
                        reason = error.kind(),
                        "{error}; what it said before goes on"
                    );
                    told = Some(error);
                }
            }
            Err(_) => return,
        }
    }
}

/// The folders of the files, and the names in them that matter.
fn interests(configs: &[HaproxyConfig]) -> Interests {
    let mut interests = Interests::new();
    for path in configs.iter().flat_map(|config| &config.files) {
        if path.is_dir() {
            interests.insert(path.clone(), Interest::Everything);
        } else if let (Some(folder), Some(name)) = (path.parent(), path.file_name())
            && let Interest::Names(names) = interests
                .entry(folder.to_owned())
                .or_insert_with(|| Interest::Names(HashSet::new()))
        {
            names.insert(name.to_owned());
        }
    }
    interests
}
