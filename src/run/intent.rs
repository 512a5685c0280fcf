//! What the daemon would look after with a configuration, for commands that only look.
//!
//! The same reading of HAProxy's configurations and the same plan as the daemon's. Nothing is
//! connected to: what processes say that they have loaded is not known here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::haproxy_files;
use super::plan::{Ids, Plan, World};
use super::testimonies::Testimonies;
use crate::config::{Config, ResponderOverride};
use crate::discovery::source::Source;
use crate::haproxy::Address;
use crate::haproxy_config::{self, ConfigNotice};

/// What would be looked after.
pub struct Intent {
    /// The places of certificates, each once, those that the configuration itself names first.
    pub places: Vec<IntendedPlace>,
    /// The control sockets of the processes.
    pub sockets: Vec<Address>,
    /// What is worth knowing about HAProxy's configurations.
    pub notices: Vec<ConfigNotice>,
    /// How many of the places HAProxy's configurations name.
    pub named_by_haproxy: usize,
}

/// One place of certificates.
pub struct IntendedPlace {
    /// The place.
    pub source: Source,
    /// The responders to ask about its certificates; if none, those of the whole configuration.
    pub responder: Option<ResponderOverride>,
}

/// What the daemon would look after with this configuration, HAProxy's own being as it is now.
///
/// # Errors
/// A configuration of HAProxy's that cannot be read.
pub fn intent(config: &Config) -> Result<Intent, haproxy_config::Error> {
    let processes = haproxy_files::read(config, &Testimonies::default())?;
    let notices = processes.iter().flat_map(|it| it.notices.clone());
    let notices = notices.collect();
    let named_by_haproxy = processes.iter().map(|it| it.sources().len()).sum();
    let world = World {
        haproxy_configs: Arc::new(processes),
        loaded: BTreeMap::new(),
    };
    let mut numbers = Ids::default();
    let plan = Plan::new(config, &world, &mut numbers);
    let places = plan.sources.into_values();
    let sockets = numbers.sockets().values();
    Ok(Intent {
        places: places
            .map(|planned| IntendedPlace {
                source: planned.source,
                responder: planned.responder,
            })
            .collect(),
        sockets: sockets.map(|socket| socket.address.clone()).collect(),
        notices,
        named_by_haproxy,
    })
}
