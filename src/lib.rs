//! staplerd keeps OCSP staples fresh in running HAProxy processes.
//!
//! # The way of a staple
//! ```text
//!  directories                           responder (HTTP)                  disk           HAProxy
//!        │                                     │                             ▲                ▲
//!   discovery ──certificate──▶ agent ──fetch──▶ fetch ──DER──▶ ocsp ──Staple──▶ agent ─┬▶ store
//!   (scan, watch)             (pure: decides)              (pure: the only             └▶ haproxy
//!        ▲                       ▲  │ next_wakeup           maker of a Staple)              │
//!        └─── "dirty" hints      └──┴────────── results come back as events ◀───────────────┘
//! ```
//!
//! # The rooms
//! Ten floors; a room knows only rooms on floors below its own, and not all of those:
//! `tests/integration/architecture.rs` has the list, reads the imports, and fails on an arrow
//! upwards, on a permission that nothing uses, and where these floors are others than the list's.
//! ```text
//! main
//! cli
//! run
//! hooks
//! config, haproxy_config, telemetry
//! haproxy
//! agent, fetch, memory, probe, responder, store
//! discovery, ocsp
//! control, schedule, x509
//! background, files, signals, systemd, text, time
//! ```
//! | room | what lives there |
//! |---|---|
//! | [`cli`] | arguments to subcommands, results to exit codes |
//! | [`run`] | the daemon: the only place that knows all tasks |
//! | [`config`] | options and file, checked: a `Config` that cannot hold nonsense |
//! | [`telemetry`], [`systemd`], [`signals`] | what the operator and systemd are told, and tell |
//! | [`control`] | the daemon's own control socket: `status` and `renew` |
//! | [`hooks`] | the operator's programs that are told of what happens |
//! | [`background`] | life in the background, which the starter is told of |
//! | [`agent`] | pure: events in, orders out; a year of it runs as a test |
//! | [`discovery`] | scans of directories, hints that one has changed |
//! | [`haproxy_config`] | HAProxy's configuration: which certificates, where their staples belong |
//! | [`fetch`] | HTTP to responders: address rules, limits, circuit breakers |
//! | [`store`] | staples on disk, durable and atomic |
//! | [`memory`] | what must outlive the process, in one file |
//! | [`haproxy`] | the control socket: framing, commands, one session for each |
//! | [`responder`] | an RFC 6960 responder, as a library and a command |
//! | [`probe`] | the staple that a TLS client gets from a server |
//! | [`schedule`] | pure: when to ask again |
//! | [`ocsp`] | pure: requests, responses, and the only maker of a `Staple` |
//! | [`x509`] | pure: certificates, issuers, signatures, DER |
//! | [`time`] | pure: points in time |
//! | [`files`] | the one way to open files where strangers may have put anything; known to all |
//! | [`text`] | pure: names, octets, counts and durations as people read them; known to all |
//!
//! A program that embeds the responder, or only reads and judges OCSP, leaves the rest out: the
//! feature `responder` is that room, `daemon` is all rooms that are neither it nor below it,
//! `default` is both.
//!
//! Pure rooms touch no file, socket, clock or log; where a decision depends on the time, `now` is
//! an argument.

#[cfg(feature = "daemon")]
pub mod agent;
#[cfg(feature = "daemon")]
pub mod background;
#[cfg(feature = "daemon")]
pub mod cli;
#[cfg(feature = "daemon")]
pub mod config;
#[cfg(feature = "daemon")]
pub mod control;
#[cfg(feature = "daemon")]
pub mod discovery;
#[cfg(feature = "daemon")]
pub mod fetch;
pub mod files;
#[cfg(feature = "daemon")]
pub mod haproxy;
#[cfg(feature = "daemon")]
pub mod haproxy_config;
#[cfg(feature = "daemon")]
pub mod hooks;
#[cfg(feature = "daemon")]
pub mod memory;
pub mod ocsp;
#[cfg(feature = "daemon")]
pub mod probe;
#[cfg(feature = "responder")]
pub mod responder;
#[cfg(feature = "daemon")]
pub mod run;
#[cfg(feature = "daemon")]
pub mod schedule;
#[cfg(feature = "daemon")]
pub mod signals;
#[cfg(feature = "daemon")]
pub mod store;
#[cfg(feature = "daemon")]
pub mod systemd;
#[cfg(feature = "daemon")]
pub mod telemetry;
pub mod text;
pub mod time;
pub mod x509;

// The tests' certificates and responses are made by one builder, whose home is beside the
// integration tests; it names this crate as they do.
#[cfg(test)]
extern crate self as staplerd;
#[cfg(test)]
#[path = "../tests/support/pki.rs"]
pub(crate) mod pki;
