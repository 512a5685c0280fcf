//! Hooks as the daemon runs them: what they are told, when, and what becomes of them at the end.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Daemon;
use super::authority::{OpensslAuthority, Signer};
use crate::support::haproxy::{is_alive, wait_for, wait_for_a_newer_second};

/// A directory with one certificate and a configuration beside it.
struct Site {
    directory: TempDir,
}

impl Site {
    fn new(authority: &OpensslAuthority) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("certs")).unwrap();
        let site = Site { directory };
        fs::write(site.certificate(), authority.bundle("site")).unwrap();
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn certificate(&self) -> PathBuf {
        self.path("certs/site.pem")
    }

    /// Writes the configuration with these hooks, as lines of YAML in which `{dir}` is the
    /// directory.
    fn configure(&self, hooks: &str) -> PathBuf {
        let path = self.path("staplerd.yaml");
        let text = format!(
            "directories: ['{{dir}}/certs']\nallow_addresses: [loopback]\n\
             refresh_interval: 1d\ncontrol_socket: null\nhooks:\n{hooks}"
        );
        let directory = self.directory.path().to_str().unwrap();
        fs::write(&path, text.replace("{dir}", directory)).unwrap();
        path
    }

    fn start(&self, hooks: &str) -> Daemon {
        let path = self.configure(hooks);
        // What is for this program alone is not for its hooks; nobody listens there.
        let socket = self.path("notify");
        Daemon::start_with(
            &["-c", path.to_str().unwrap()],
            &[("NOTIFY_SOCKET", socket.to_str().unwrap())],
        )
    }

    /// Waits until a hook has written this file to its end, which is the word `end`.
    fn wait_for_file(&self, name: &str) -> String {
        let path = self.path(name);
        let mut text = String::new();
        wait_for(name, || {
            text = fs::read_to_string(&path).unwrap_or_default();
            text.ends_with("end\n")
        });
        text
    }
}

#[test]
fn hooks_learn_of_the_first_failure_and_of_the_staple_once_it_is_on_disk() {
    let Some(mut authority) = OpensslAuthority::new("hooks") else {
        return;
    };
    authority.issue("site", "prime256v1");
    let site = Site::new(&authority);
    let daemon = site.start(
        "  failing: [/bin/sh, -c, 'cat >> {dir}/failing; echo end >> {dir}/failing; echo told']\n  \
         renewed: [/bin/sh, -c, 'test -s \"$STAPLERD_STAPLE\" && env > {dir}/renewed; \
         echo end >> {dir}/renewed; exit 3']\n",
    );
    let failing = site.wait_for_file("failing");
    daemon.wait_for_line(&["hook says: told", "hook=\"failing\"", "site.pem"]);
    daemon.wait_for_line(&["hook ended with exit status: 0", "hook=\"failing\""]);
    daemon.signal("USR1");
    daemon.wait_for_line(&["failures=2"]);
    authority.start_responder(Signer::Delegate);
    daemon.signal("USR1");
    let renewed = site.wait_for_file("renewed");
    daemon.wait_for_line(&["WARN", "reason=\"hook_failed\"", "exit status: 3"]);

    assert_eq!(
        fs::read_to_string(site.path("failing")).unwrap(),
        failing,
        "the same reason again is not told again"
    );
    let facts: serde_json::Value =
        serde_json::from_str(failing.trim_end().trim_end_matches("end")).unwrap();
    let certificate = site.certificate();
    let certificate = certificate.to_str().unwrap();
    assert_eq!(facts["event"], "failing");
    assert_eq!(facts["certificate"], certificate);
    assert_eq!(facts["reason"], "connect_refused");
    let line = |name: &str, value: &str| {
        let expected = format!("STAPLERD_{name}={value}");
        assert!(
            renewed.lines().any(|line| line == expected),
            "{expected}: {renewed}"
        );
    };
    line("EVENT", "renewed");
    line("STATE", "fresh");
    line("CERTIFICATE", certificate);
    line("STAPLE", &format!("{certificate}.ocsp"));
    line("REASON", "");
    line("SUBJECT", "CN=site");
    assert!(!renewed.contains("NOTIFY_SOCKET"), "{renewed}");
}

#[test]
fn a_revocation_is_told_with_its_reason() {
    let Some(mut authority) = OpensslAuthority::new("revoked hook") else {
        return;
    };
    authority.issue_with_status("site", "prime256v1", 'R');
    authority.start_responder(Signer::Delegate);
    let site = Site::new(&authority);
    let _daemon = site.start(
        "  revoked: [/bin/sh, -c, \
         'echo \"$STAPLERD_STATE $STAPLERD_MESSAGE\" > {dir}/revoked; echo end >> {dir}/revoked']\n",
    );
    let told = site.wait_for_file("revoked");
    assert!(
        told.starts_with("revoked the CA has revoked this certificate at ")
            && told.contains("(keyCompromise)"),
        "{told}"
    );
}

#[test]
fn a_hook_that_cannot_be_started_is_one_line_and_a_reload_brings_the_right_one() {
    let Some(mut authority) = OpensslAuthority::new("wrong hook") else {
        return;
    };
    authority.issue_independent("site", "prime256v1");
    authority.start_independent_responder(Signer::Delegate);
    let site = Site::new(&authority);
    let daemon = site.start("  renewed: /nowhere/hook\n");
    // At once, and when it is wanted.
    let known = "hooks: /nowhere/hook: does not exist";
    daemon.wait_for_line(&["reason=\"hook_not_started\"", known]);
    daemon.wait_for_line(&[
        "reason=\"hook_not_started\"",
        "/nowhere/hook cannot be started: No such file",
    ]);
    assert!(Path::new(&format!("{}.ocsp", site.certificate().display())).exists());
    assert_eq!(daemon.count_lines(&["hook"]), 2);

    site.configure("  renewed: [/bin/sh, -c, 'echo end > {dir}/renewed']\n");
    daemon.signal("HUP");
    daemon.wait_for_line(&["configuration read again"]);
    wait_for_a_newer_second();
    daemon.signal("USR1");
    site.wait_for_file("renewed");
}

#[test]
fn the_end_of_the_program_is_not_held_up_by_a_hook_and_ends_it() {
    let Some(mut authority) = OpensslAuthority::new("hanging hook") else {
        return;
    };
    authority.issue("site", "prime256v1");
    let site = Site::new(&authority);
    let mut daemon = site.start(
        "  failing: [/bin/sh, -c, 'echo $$ > {dir}/pid; echo end >> {dir}/pid; sleep 1000']\n",
    );
    let pid = site.wait_for_file("pid");
    let pid = pid.lines().next().unwrap().parse().unwrap();
    assert!(is_alive(pid));
    daemon.signal("TERM");
    assert!(daemon.ended().success());
    wait_for("the hook's end", || !is_alive(pid));
    daemon.wait_for_line(&["reason=\"hook_stopped\""]);
}
