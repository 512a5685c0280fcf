//! What an operator should know about a process, beside what becomes of single deliveries.
//!
//! Pure. Said once for every process, and in `status` for as long as it is so. The variant's name
//! in snake_case is the log's reason ([`ProcessNotice::kind`]); its `Display` says what to do about
//! it.

use std::time::Duration;

use super::address::Address;
use super::process::Process;
use super::versions::{Push, Replacing};

/// Something worth knowing about a process.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ProcessNotice {
    /// Replacing a staple in this process can tear it for a client.
    #[error(
        "HAProxy {release} {} a staple that is replaced while clients ask for it, so that now and then one gets bytes that are no response (fixed upstream in 3.2.22 and 3.4.3): update HAProxy{}",
        if *is_known { "tears" } else { "is not known to be repaired and may tear" },
        if *push == Push::Always { ", or decide by 'push: fixed' that none is replaced in it".to_owned() } else { format!("; as 'push: {}' says, none is replaced in it", push.word()) }
    )]
    TornStaples {
        /// The version, as HAProxy says it.
        release: String,
        /// It is known that this build is not repaired.
        is_known: bool,
        /// What is done about it.
        push: Push,
    },
    /// A certificate that is deployed over the socket loses its staple in this process.
    #[error(
        "HAProxy {release} keeps the CertID of the certificate that a store held first: one that is deployed over the socket can be without a staple until a reload, which HAProxy does not show (fixed upstream in 2.8.5 and 2.9.1), and where one certificate is used in several places 2.8.0 and 2.8.1 staple only in one: update HAProxy"
    )]
    KeepsCertIds {
        /// The version, as HAProxy says it.
        release: String,
    },
    /// Another control socket leads to the same process.
    #[error(
        "this is the second control socket of a process that is served over {first}; what is to be made live goes over that one"
    )]
    SecondSocket {
        /// The one that is used.
        first: Address,
    },
    /// HAProxy accepts no other connection beside this program's.
    #[error(
        "HAProxy answers no second connection while this program has one: raise 'stats maxconn' in haproxy.cfg (10 by default), or a reload cannot take over HAProxy's sockets"
    )]
    OneConnection,
    /// Several processes share the work, and only one of them answers here.
    #[error(
        "HAProxy runs with 'nbproc {0}': only the process that answers here gets staples over the socket, the others when they are started anew; use 'nbthread' instead"
    )]
    SeveralProcesses(u32),
    /// A commit was sent, and its end was not seen.
    #[error(
        "a 'commit ssl cert {store}' was sent to this process and its end was not seen: neither an abort nor a commit may follow, for either could end the process; reload HAProxy (do not give 'abort ssl cert')"
    )]
    CommitUnseen {
        /// The certificate store.
        store: String,
    },
    /// Another client's transaction has been open for long.
    #[error(
        "a 'set ssl cert {store}' transaction has been open for over {} minutes and keeps certificates without a place for a staple from getting one: 'abort ssl cert {store}' frees it (if its commit was cut off, reload HAProxy instead: an abort could end the process)",
        after.as_secs() / 60
    )]
    TransactionStuck {
        /// The certificate store.
        store: String,
        /// How long it has been so.
        after: Duration,
    },
}

impl ProcessNotice {
    /// The variant's name in snake_case: log reason.
    pub fn kind(&self) -> &'static str {
        match self {
            ProcessNotice::TornStaples { .. } => "torn_staples",
            ProcessNotice::KeepsCertIds { .. } => "keeps_cert_ids",
            ProcessNotice::SecondSocket { .. } => "second_socket",
            ProcessNotice::OneConnection => "one_connection",
            ProcessNotice::SeveralProcesses(_) => "several_processes",
            ProcessNotice::CommitUnseen { .. } => "commit_unseen",
            ProcessNotice::TransactionStuck { .. } => "transaction_stuck",
        }
    }

    /// Whether a person has to do something for the staples' sake.
    pub fn needs_attention(&self) -> bool {
        match self {
            ProcessNotice::SeveralProcesses(_)
            | ProcessNotice::CommitUnseen { .. }
            | ProcessNotice::TransactionStuck { .. } => true,
            ProcessNotice::TornStaples { .. }
            | ProcessNotice::KeepsCertIds { .. }
            | ProcessNotice::SecondSocket { .. }
            | ProcessNotice::OneConnection => false,
        }
    }

    /// What a process says about itself that is worth knowing.
    pub fn of(process: &Process, push: Push) -> Vec<ProcessNotice> {
        let mut notices = Vec::new();
        let replacing = process.release.replacing(process.threads);
        if replacing != Replacing::Safe {
            notices.push(ProcessNotice::TornStaples {
                release: process.release.text().to_owned(),
                is_known: replacing == Replacing::Torn,
                push,
            });
        }
        if process.release.keeps_cert_ids() {
            notices.push(ProcessNotice::KeepsCertIds {
                release: process.release.text().to_owned(),
            });
        }
        if let Some(processes) = process.processes.filter(|processes| *processes > 1) {
            notices.push(ProcessNotice::SeveralProcesses(processes));
        }
        notices
    }
}
