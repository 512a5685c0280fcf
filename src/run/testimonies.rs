//! What HAProxy's processes say of themselves, for reading their configurations.
//!
//! Kept when a connection ends: until another process says otherwise, its configuration is read as
//! the last one did.

use std::collections::HashMap;

use crate::config::Config;
use crate::haproxy::Address;
use crate::haproxy_config::{HaproxyConfig, Testimony};

/// What is known of the process behind each control socket.
#[derive(Clone, Default, Debug)]
pub(super) struct Testimonies(HashMap<Address, Testimony>);

impl Testimonies {
    /// Takes in something that a process says. Whether that was not known.
    pub(super) fn note(&mut self, socket: &Address, note: impl FnOnce(&mut Testimony)) -> bool {
        let testimony = self.0.entry(socket.clone()).or_default();
        let before = testimony.clone();
        note(testimony);
        *testimony != before
    }

    /// What the process says that is configured so, if it is known.
    pub(super) fn of(&self, process: &HaproxyConfig, config: &Config) -> Option<&Testimony> {
        let opened = process.sockets.iter();
        let opened = opened.filter_map(|socket| socket.address.parse().ok());
        let mut sockets = config.free_sockets().cloned().chain(opened);
        sockets.find_map(|socket: Address| self.0.get(&socket))
    }
}
