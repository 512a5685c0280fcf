//! What is looked after, and for which HAProxy processes.
//!
//! Made of the configuration, of the HAProxy configurations it names, and of what processes say
//! that they have loaded. Sources and control sockets keep their numbers through every change, so
//! that what is known of those that stay is kept. Decides nothing else and touches nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::agent::TargetId;
use crate::config::{Config, Origin, Policies, ResponderOverride};
use crate::discovery::source::{CertificateFile, Naming, Source};
use crate::discovery::{Selection, SourceId};
use crate::fetch::Overrides;
use crate::files::Reach;
use crate::haproxy::{self, Address};
use crate::haproxy_config::HaproxyConfig;
use crate::x509::Certificate;

/// What is looked after.
#[derive(Clone, Default, Debug)]
pub(super) struct Plan {
    /// Every plan has a number of its own, the later one the greater.
    pub(super) number: u64,
    pub(super) sources: BTreeMap<SourceId, Planned>,
    pub(super) selection: Selection,
    pub(super) policies: Policies,
    pub(super) overrides: Overrides,
    /// Time between scans.
    pub(super) refresh_interval: Duration,
}

/// What the plan depends on beside the configuration.
#[derive(Default, Debug)]
pub(super) struct World {
    /// The processes that the HAProxy configurations configure.
    pub(super) haproxy_configs: Arc<Vec<HaproxyConfig>>,
    /// The certificate stores that each process says it has loaded.
    pub(super) loaded: BTreeMap<TargetId, Vec<String>>,
}

/// One source and what is done with its certificates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Planned {
    pub(super) source: Source,
    /// The processes that load it.
    pub(super) targets: Arc<[TargetId]>,
    /// The responders to ask in place of those that its certificates name.
    pub(super) responder: Option<ResponderOverride>,
}

/// The numbers of what is planned. A number is never given twice.
#[derive(Default, Debug)]
pub(super) struct Ids {
    sources: HashMap<Source, SourceId>,
    sockets: BTreeMap<TargetId, Socket>,
    next_source: usize,
    next_target: usize,
    last_plan: u64,
}

/// What makes a session of a control socket another one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Socket {
    pub(super) address: Address,
    pub(super) settings: haproxy::Settings,
}

impl Ids {
    /// The control sockets of the plan made last.
    pub(super) fn sockets(&self) -> &BTreeMap<TargetId, Socket> {
        &self.sockets
    }

    /// The number of the plan made last.
    pub(super) fn last_plan(&self) -> u64 {
        self.last_plan
    }

    fn target(&mut self, socket: Socket) -> TargetId {
        let known = self.sockets.iter().find(|(_, known)| **known == socket);
        if let Some((target, _)) = known {
            return *target;
        }
        let target = TargetId(self.next_target);
        self.next_target += 1;
        self.sockets.insert(target, socket);
        target
    }

    fn source(&mut self, source: &Source) -> SourceId {
        let next = SourceId(self.next_source);
        let number = *self.sources.entry(source.clone()).or_insert(next);
        self.next_source += usize::from(number == next);
        number
    }
}

impl Plan {
    /// What this configuration wants looked after; where it names only processes, that is what they
    /// have loaded. What is not planned any more loses its number.
    pub(super) fn new(config: &Config, world: &World, numbers: &mut Ids) -> Self {
        numbers.last_plan += 1;
        let mut plan = Plan {
            number: numbers.last_plan,
            sources: BTreeMap::new(),
            selection: config.selection.clone(),
            policies: config.policies.clone(),
            overrides: config.overrides.clone(),
            refresh_interval: config.refresh_interval,
        };
        let mut target = |address: &Address| {
            numbers.target(Socket {
                address: address.clone(),
                settings: haproxy::Settings {
                    refresh_interval: config.refresh_interval,
                    push: config.push,
                    asks_circumstances: !config.haproxy_config.is_empty(),
                },
            })
        };
        let targets: Vec<TargetId> = config.sockets.iter().map(&mut target).collect();
        let processes: Vec<Vec<TargetId>> = world
            .haproxy_configs
            .iter()
            .map(|process| {
                sockets_of(process, config)
                    .iter()
                    .map(&mut target)
                    .collect()
            })
            .collect();
        for configured in &config.sources {
            let sockets = configured.sockets.iter();
            plan.add(
                configured.source.clone(),
                sockets.filter_map(|socket| targets.get(*socket).copied()),
                configured.responder.clone(),
                numbers,
            );
        }
        for (process, targets) in world.haproxy_configs.iter().zip(&processes) {
            for source in process.sources() {
                plan.add(source, targets.iter().copied(), None, numbers);
            }
        }
        if config.origin() == Origin::Processes {
            for target in &targets {
                for store in world.loaded.get(target).into_iter().flatten() {
                    plan.add(file_of(store), [*target], None, numbers);
                }
            }
        }
        let all: BTreeSet<TargetId> = targets
            .into_iter()
            .chain(processes.into_iter().flatten())
            .collect();
        numbers.sockets.retain(|target, _| all.contains(target));
        numbers
            .sources
            .retain(|_, number| plan.sources.contains_key(number));
        plan
    }

    /// Adds a source; one that is there already is loaded by these processes as well.
    fn add(
        &mut self,
        source: Source,
        targets: impl IntoIterator<Item = TargetId>,
        responder: Option<ResponderOverride>,
        numbers: &mut Ids,
    ) {
        let number = numbers.source(&source);
        let planned = self.sources.entry(number).or_insert_with(|| Planned {
            source,
            targets: Arc::default(),
            responder: None,
        });
        let all: BTreeSet<TargetId> = planned.targets.iter().copied().chain(targets).collect();
        planned.targets = all.into_iter().collect();
        planned.responder = planned.responder.take().or(responder);
    }

    /// The responders to ask about a certificate of this source; none if it is empty.
    pub(super) fn responders(
        &self,
        source: SourceId,
        certificate: &Certificate,
        issuer: &Certificate,
    ) -> Vec<String> {
        let planned = self.sources.get(&source);
        let given = planned.and_then(|planned| planned.responder.as_ref());
        ResponderOverride::responders(given, &self.overrides, certificate, issuer)
    }

    /// How far links may lead on the way to the staples of a source.
    pub(super) fn staple_reach(&self, source: SourceId) -> Reach<'_> {
        let planned = self.sources.get(&source);
        planned.map_or(Reach::Anywhere, |planned| planned.source.staple_reach())
    }

    /// The folders that staples are written to, whether those in them belong to them, and the
    /// sources behind each.
    pub(super) fn staple_folders(&self) -> BTreeMap<PathBuf, StapleFolder> {
        let mut folders: BTreeMap<PathBuf, StapleFolder> = BTreeMap::new();
        for (number, planned) in &self.sources {
            let path = planned.source.staple_folder().to_owned();
            let folder = folders.entry(path).or_default();
            folder.recursive |= planned.source.is_recursive();
            folder.sources.push(*number);
        }
        folders
    }
}

/// The control sockets of a configured process: those that the operator names without a directory,
/// else the first of those that it opens and that can be connected to.
pub(super) fn sockets_of(process: &HaproxyConfig, config: &Config) -> Vec<Address> {
    if config.no_haproxy_sockets {
        return Vec::new();
    }
    let free: Vec<Address> = config.free_sockets().cloned().collect();
    if !free.is_empty() {
        return free;
    }
    let mut addresses = process.sockets.iter();
    let usable = addresses.find_map(|socket| socket.address.parse().ok());
    usable.into_iter().collect()
}

/// The file of a store: HAProxy names it by the path as it is configured.
fn file_of(store: &str) -> Source {
    let path = PathBuf::from(store);
    Source::File(CertificateFile {
        companions: Naming::default().companions(&path),
        path,
    })
}

/// A folder that staples are written to.
#[derive(Default, Debug)]
pub(super) struct StapleFolder {
    pub(super) recursive: bool,
    pub(super) sources: Vec<SourceId>,
}
