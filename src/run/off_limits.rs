//! Addresses that no request for a response goes to: the TCP control sockets that are known, and
//! the responder that the same configuration sets up.

use crate::config::Config;
use crate::fetch::{ForeignListener, ListenerKind, OffLimits};
use crate::haproxy::Address;
use crate::haproxy::address::Endpoint;
use crate::haproxy_config::HaproxyConfig;

/// What this configuration and HAProxy's say.
pub(super) fn of(config: &Config, haproxy: &[HaproxyConfig]) -> OffLimits {
    let off_limits = OffLimits::default();
    off_limits.replace(listeners(config, haproxy));
    off_limits
}

/// The listeners that this configuration and HAProxy's name.
pub(super) fn listeners(config: &Config, haproxy: &[HaproxyConfig]) -> Vec<ForeignListener> {
    let opened = haproxy.iter().flat_map(|process| &process.sockets);
    let opened = opened.filter_map(|socket| socket.address.parse::<Address>().ok());
    let control = config.named_sockets.iter().cloned().chain(opened);
    let control = control.filter_map(|address| match address.endpoint() {
        Endpoint::Tcp(host, port) => Some(ForeignListener {
            address: host.parse().ok(),
            port: *port,
            kind: ListenerKind::ControlSocket,
        }),
        Endpoint::Unix(_) | Endpoint::Abstract(_) => None,
    });
    let responder = config.responder.as_ref().map(|responder| ForeignListener {
        address: Some(responder.listen.ip()),
        port: responder.listen.port(),
        kind: ListenerKind::OwnResponder,
    });
    control.chain(responder).collect()
}
