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

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::RoomNews;
use super::finder::{next_hint, skip_waiting_hints};
use super::testimonies::Testimonies;
use crate::config::Config;
use crate::discovery::{Hints, Interest, Interests};
use crate::haproxy_config::{
    self, ConfigNotice, Error, HaproxyConfig, LineLocation, Remark, Testimony,
};

/// How long to wait after a hint, so that all files of a deployment are in place.
const SETTLING: Duration = Duration::from_millis(500);

/// The processes that the files and folders of this configuration configure, each read by what it
/// has said of itself.
pub(super) fn read(
    config: &Config,
    testimonies: &Testimonies,
) -> Result<Vec<HaproxyConfig>, Error> {
    let start = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
    let variable = |name: &str| std::env::var(name).ok();
    let read = |paths: &[PathBuf], testimony: &Testimony| {
        haproxy_config::read(paths, &start, &variable, testimony)
    };
    let unheard = Testimony::default();
    let mut groups: Vec<(Vec<PathBuf>, HaproxyConfig)> = Vec::new();
    let mut has_sockets = false;
    for path in &config.haproxy_config {
        let alone = read(std::slice::from_ref(path), &unheard)?;
        let opens_sockets = !alone.sockets.is_empty();
        match groups.last_mut() {
            Some((group, _)) if !(has_sockets && opens_sockets) => group.push(path.clone()),
            _ => groups.push((vec![path.clone()], alone)),
        }
        has_sockets |= opens_sockets;
    }
    let processes = groups.into_iter().map(|(group, alone)| {
        let whole = match group.len() {
            1 => alone,
            // What one file says, such as crt-base, counts in the others.
            _ => read(&group, &unheard)?,
        };
        match testimonies.of(&whole, config) {
            Some(testimony) => read(&group, testimony),
            None => Ok(whole),
        }
    });
    let mut processes: Vec<HaproxyConfig> = processes.collect::<Result<_, Error>>()?;
    let has_sockets = config.no_haproxy_sockets || config.free_sockets().next().is_some();
    for process in &mut processes {
        if process.sockets.is_empty() && !has_sockets {
            note_first_line(process, Remark::NoControlSocket);
        }
        if process.sources().is_empty() {
            note_first_line(process, Remark::NoneNamed);
        }
    }
    Ok(processes)
}

/// Says something of a configuration as a whole.
fn note_first_line(process: &mut HaproxyConfig, remark: Remark) {
    if let Some(file) = process.files.first() {
        let place = LineLocation {
            file: file.as_path().into(),
            line: 1,
        };
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

/// Reads them again at every hint that one of their files has changed, whenever a process says
/// something else of itself, and every refresh interval; tells what they are when they are others.
/// Ends when `stop` is cancelled.
pub(super) async fn watch(
    config: Config,
    mut known: Arc<Vec<HaproxyConfig>>,
    mut testimonies: watch::Receiver<Testimonies>,
    news: mpsc::UnboundedSender<RoomNews>,
    stop: CancellationToken,
) {
    // The finder logs it when there can be no hints.
    let mut hints = Hints::new().ok();
    let mut told = None;
    loop {
        if let Some(hints) = &mut hints {
            hints.watch(interests(&known));
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(config.refresh_interval) => {}
            changed = testimonies.changed() => if changed.is_err() {
                return;
            },
            () = next_hint(&mut hints) => sleep(SETTLING).await,
        }
        // However many changes there were, one reading sees them all.
        skip_waiting_hints(&mut hints).await;
        let (config, said) = (config.clone(), testimonies.borrow_and_update().clone());
        match tokio::task::spawn_blocking(move || read(&config, &said)).await {
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
