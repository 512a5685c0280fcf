//! How many files the process may have open.
//!
//! systemd starts services with a soft limit of 1,024, for the sake of select(2), and a far higher
//! hard one that programs are meant to take (systemd.exec(5), `LimitNOFILE=`). A fleet of sockets,
//! directories and requests needs more than the soft one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one.
pub(super) fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // If the system refuses, the program goes on with the limit it has.
    let _ = setrlimit(Resource::Nofile, raised);
}
