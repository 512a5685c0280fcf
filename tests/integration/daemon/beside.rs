//! What lies beside certificates: put back whatever happens to it, and nothing of ours that keeps
//! HAProxy from starting.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use staplerd::memory::{CertificateRecord, Digest, Memory, Record, StapleFileRecord};
use staplerd::ocsp::{CertificateStatus, RevocationReason, Standing};
use staplerd::text::counted;
use staplerd::time::Timestamp;

use super::Daemon;
use super::authority::{OpensslAuthority, Signer};
use super::directories::{daemon_for, wait_until_written};
use crate::commands::{staplerd, stderr};
use crate::support::haproxy::{Haproxy, Setup, installations, wait_for};
use crate::support::pki::{Authority, Issued, Response, now};

/// An address where nobody is asked: loopback is not allowed unless configured.
const AWAY: Option<&str> = Some("http://127.0.0.1:9/");

/// What lies beside a certificate before the program starts.
struct Case {
    name: &'static str,
    issued: Issued,
    lies: Vec<u8>,
    /// An earlier run wrote something there, which may have been this.
    is_ours: Option<Vec<u8>>,
    /// The responder has said so before.
    is_revoked: bool,
    stays: bool,
}

/// Every state of the disk that HAProxy does not like, and those that stay as they are.
fn cases(authority: &Authority) -> Vec<Case> {
    let case = |name, url, response: Option<Response>| {
        let issued = authority.issue(&format!("{name}.example"), url);
        let lies = response.map(|it| authority.respond(&issued, it));
        Case {
            name,
            lies: lies.unwrap_or_default(),
            issued,
            is_ours: None,
            is_revoked: false,
            stays: false,
        }
    };
    let lasting = |this_update, next_update| {
        Some(Response {
            this_update,
            next_update,
            ..Response::default()
        })
    };
    let valid = || Some(Response::default());
    let other = authority.issue("predecessor.example", AWAY);
    let other = authority.respond(&other, Response::default());
    let mut valid_one = case("valid", AWAY, valid());
    valid_one.stays = true;
    let mut revoked = case("revoked", AWAY, valid());
    revoked.is_revoked = true;
    let mut foreign = case("foreign", AWAY, None);
    foreign.lies = other.clone();
    foreign.is_ours = Some(other.clone());
    let mut unasked = case("unasked", None, None);
    unasked.lies = other.clone();
    unasked.is_ours = Some(other.clone());
    let mut empty = case("empty", AWAY, None);
    empty.is_ours = Some(other.clone());
    let mut torn = case("torn", AWAY, None);
    torn.lies = other[..other.len() / 2].to_vec();
    torn.is_ours = Some(other);
    vec![
        case("expired", AWAY, lasting(-7200, -3600)),
        case("short", AWAY, lasting(-7200, 200)),
        case("shorter", AWAY, lasting(-7200, 20)),
        case("early", AWAY, lasting(3600, 7200)),
        valid_one,
        revoked,
        foreign,
        unasked,
        empty,
        torn,
    ]
}

/// The first version that does not start under `zero-warning` with this state of the disk.
fn refused_from(state: &str) -> Option<(u16, u16)> {
    match state {
        "expired" | "early" | "foreign" | "unasked" | "empty" | "torn" => Some((2, 2)),
        "short" | "shorter" => Some((3, 2)),
        _ => None,
    }
}

/// What an earlier run has remembered.
fn remember(directory: &Path, haproxy: &Haproxy, cases: &[Case]) {
    let memory = Memory::open(directory).unwrap();
    for case in cases {
        if let Some(bytes) = &case.is_ours {
            memory.remember(Record::StapleFile(StapleFileRecord {
                path: haproxy.certificate(&format!("{}.pem.ocsp", case.name)),
                content: Digest::of(bytes),
            }));
        }
        if case.is_revoked {
            let policy = staplerd::ocsp::Policy::default();
            let subject = staplerd::agent::IssuedCertificate::new(
                case.issued.certificate.clone(),
                case.issued.issuer.clone(),
                Vec::new(),
                policy,
            );
            let at = Timestamp::from_unix(now().unix() - 600);
            memory.remember(Record::Certificate(CertificateRecord {
                identity: Digest(subject.identity().0),
                not_after: case.issued.certificate.not_after(),
                standing: Standing {
                    status: CertificateStatus::Revoked {
                        at,
                        reason: Some(RevocationReason::KeyCompromise),
                    },
                    this_update: at,
                    expires: now().saturating_add(std::time::Duration::from_secs(86_400)),
                },
            }));
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().build().unwrap();
    assert!(runtime.block_on(memory.synced()));
}

/// Whether HAProxy takes the configuration, certificates and staples included.
fn is_accepted(haproxy: &Haproxy) -> bool {
    let mut command = Command::new(&haproxy.installation.binary);
    let checked = command.args(["-c", "-f", &haproxy.path("haproxy.cfg")]);
    checked.output().unwrap().status.success()
}

#[test]
fn whatever_lay_there_haproxy_starts_once_the_program_is_ready_although_the_responder_is_away() {
    for installation in installations("states of the disk at HAProxy's start") {
        let zero_warning = "zero-warning\n  tune.ssl.default-dh-param 2048";
        for (global, is_cleared_before) in
            [("", false), (zero_warning, false), (zero_warning, true)]
        {
            let authority = Authority::new();
            let cases = cases(&authority);
            let pems: Vec<(String, String)> = cases
                .iter()
                .map(|case| (format!("{}.pem", case.name), case.issued.pem()))
                .collect();
            let files: Vec<(&str, &[u8])> = pems
                .iter()
                .map(|(name, pem)| (name.as_str(), pem.as_bytes()))
                .collect();
            let setup = Setup {
                global: global.to_owned(),
                ..Setup::default()
            };
            let mut haproxy = Haproxy::start(&installation, setup, &files);
            haproxy.stop();
            for case in &cases {
                let name = format!("{}.pem.ocsp", case.name);
                haproxy.write(&name, &case.lies);
                let refused_from = refused_from(case.name);
                let is_refused = refused_from.is_some_and(|it| installation.version >= it);
                assert_eq!(
                    is_accepted(&haproxy),
                    global.is_empty() || !is_refused,
                    "{installation:?} {global} {}",
                    case.name
                );
                fs::remove_file(haproxy.certificate(&name)).unwrap();
            }
            for case in &cases {
                haproxy.write(&format!("{}.pem.ocsp", case.name), &case.lies);
            }
            let state = haproxy.path("state");
            fs::create_dir(&state).unwrap();
            remember(Path::new(&state), &haproxy, &cases);
            let certs = haproxy.path("certs");
            let configuration =
                format!("directories: [{certs}]\nstate_directory: {state}\ncontrol_socket: null\n");
            fs::write(haproxy.path("staplerd.yaml"), configuration).unwrap();
            // What runs before HAProxy does as the daemon does.
            let configuration = haproxy.path("staplerd.yaml");
            let _daemon = if is_cleared_before {
                let cleared = staplerd(&["clear", "-c", &configuration]);
                assert!(cleared.status.success(), "{}", stderr(&cleared));
                let removed = cases.iter().filter(|case| !case.stays).count();
                let said = format!("{} removed", counted(removed, "staple", "staples"));
                assert!(stderr(&cleared).contains(&said), "{}", stderr(&cleared));
                None
            } else {
                let daemon = Daemon::start_configured(Path::new(&configuration));
                daemon.wait_for_line(&["ready"]);
                Some(daemon)
            };
            for case in &cases {
                let path = haproxy.certificate(&format!("{}.pem.ocsp", case.name));
                let lies = fs::read(path).ok();
                assert_eq!(lies.is_some(), case.stays, "{installation:?} {}", case.name);
            }
            haproxy.start_again();
        }
    }
}

#[test]
fn beside_a_daemon_there_is_nothing_to_clear() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("certs")).unwrap();
    let [certs, socket] = ["certs", "control.sock"].map(|it| path(it).display().to_string());
    fs::write(
        path("staplerd.yaml"),
        format!("directories: [{certs}]\ncontrol_socket: {socket}\n"),
    )
    .unwrap();
    let configuration = path("staplerd.yaml");
    let daemon = Daemon::start_configured(&configuration);
    daemon.wait_for_line(&["ready"]);
    let cleared = staplerd(&["clear", "-c", configuration.to_str().unwrap()]);
    assert!(cleared.status.success() && stderr(&cleared).contains("staplerd runs"));
    drop(daemon);
    let cleared = staplerd(&["clear", "-c", configuration.to_str().unwrap()]);
    assert!(stderr(&cleared).contains("0 staples removed"));
    let wrong = staplerd(&["clear", "-d", "/nowhere/at/all", "--refresh-interval", "0"]);
    assert_eq!(wrong.status.code(), Some(78));
}

#[test]
fn what_is_not_ours_is_left_and_said() {
    let authority = Authority::new();
    let directory = tempfile::tempdir().unwrap();
    let issued = authority.issue("site.example", AWAY);
    fs::write(directory.path().join("site.pem"), issued.pem()).unwrap();
    for foreign in [b"".as_slice(), b"a note\n"] {
        let staple = directory.path().join("site.pem.ocsp");
        fs::write(&staple, foreign).unwrap();
        let daemon = daemon_for(directory.path(), &[]);
        daemon.wait_for_line(&["foreign_staple", "site.pem.ocsp"]);
        daemon.wait_for_line(&["ready"]);
        assert_eq!(fs::read(&staple).unwrap(), foreign);
    }
    // What the operator put beside a certificate that names no responder is his business.
    let silent = authority.issue("silent.example", None);
    let staple = directory.path().join("silent.pem.ocsp");
    let response = authority.respond(&silent, Response::default());
    fs::write(&staple, &response).unwrap();
    fs::write(directory.path().join("silent.pem"), silent.pem()).unwrap();
    let daemon = daemon_for(directory.path(), &[]);
    daemon.wait_for_line(&["ready"]);
    assert_eq!(fs::read(&staple).unwrap(), response);
    assert_eq!(daemon.count_lines(&["foreign_staple", "silent"]), 0);
}

#[test]
fn another_mode_is_given_to_what_lies_there() {
    let Some(mut authority) = OpensslAuthority::new("another mode") else {
        return;
    };
    authority.issue("site", "prime256v1");
    authority.start_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::create_dir(path("certs")).unwrap();
    fs::write(path("certs/site.pem"), authority.bundle("site")).unwrap();
    let configure = |mode: &str| {
        let text = format!(
            "directories: [{}]\nallow_addresses: [loopback]\ncontrol_socket: null\n\
             file_mode: {mode}\nrefresh_interval: 1d\n",
            path("certs").display()
        );
        fs::write(path("staplerd.yaml"), text).unwrap();
    };
    let staple = path("certs/site.pem.ocsp");
    let has_mode = |mode: u32| {
        let metadata = fs::metadata(&staple);
        metadata.is_ok_and(|it| it.permissions().mode() & 0o7777 == mode)
    };
    configure("0600");
    let daemon = Daemon::start_configured(&path("staplerd.yaml"));
    wait_for("the staple with its mode", || has_mode(0o600));
    let before = fs::read(&staple).unwrap();
    configure("0644");
    daemon.signal("HUP");
    wait_for("the other mode", || has_mode(0o644));
    assert_eq!(fs::read(&staple).unwrap(), before);
}

#[test]
fn a_staple_is_put_back_whatever_was_done_to_it() {
    let Some(mut authority) = OpensslAuthority::new("staples that are put back") else {
        return;
    };
    authority.issue("site", "prime256v1");
    authority.start_responder(Signer::Delegate);
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for release in ["one", "two"] {
        fs::create_dir(path(release)).unwrap();
        fs::write(path(release).join("site.pem"), authority.bundle("site")).unwrap();
    }
    symlink("one", path("certs")).unwrap();
    let pem = path("certs/site.pem");
    let staple = path("certs/site.pem.ocsp");
    let daemon = daemon_for(&path("certs"), &[]);
    wait_until_written(&authority, &pem, "site");
    let whole = fs::read(&staple).unwrap();
    // At once, before a scan can have seen it; and again.
    for _ in 0..3 {
        fs::remove_file(&staple).unwrap();
        wait_until_written(&authority, &pem, "site");
    }
    for other in [b"".to_vec(), whole[..100].to_vec(), vec![b'x'; whole.len()]] {
        fs::write(&staple, other).unwrap();
        wait_until_written(&authority, &pem, "site");
    }
    // Put there whole by another one; with the certificate's file written anew at once.
    for is_certificate_touched in [false, true] {
        fs::write(path("other"), b"another's").unwrap();
        fs::rename(path("other"), &staple).unwrap();
        if is_certificate_touched {
            fs::write(&pem, authority.bundle("site")).unwrap();
        }
        daemon.signal("HUP");
        wait_until_written(&authority, &pem, "site");
    }
    fs::set_permissions(&staple, fs::Permissions::from_mode(0o600)).unwrap();
    daemon.signal("HUP");
    wait_for("the permissions to be given back", || {
        fs::metadata(&staple).unwrap().permissions().mode() & 0o777 == 0o644
    });
    // Another release with the same certificate, and with nothing beside it.
    symlink("two", path("certs_tmp")).unwrap();
    fs::rename(path("certs_tmp"), path("certs")).unwrap();
    wait_until_written(&authority, &path("two/site.pem"), "site");
}
