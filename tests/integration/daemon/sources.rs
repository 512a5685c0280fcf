//! Where certificates come from: several sources, sources that come and go with SIGHUP, and the
//! processes themselves.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::Daemon;
use super::authority::{OpensslAuthority, Signer};
use crate::support::haproxy::{Haproxy, Setup, installations, wait_for};

/// A configuration file that is written anew from time to time.
struct Configuration(TempDir);

impl Configuration {
    fn new(text: &str) -> Self {
        let configuration = Configuration(tempfile::tempdir().unwrap());
        configuration.change(text);
        configuration
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("staplerd.yaml")
    }

    fn change(&self, text: &str) {
        let always = "allow_addresses: [loopback]\nrefresh_interval: 1d\ncontrol_socket: null\n";
        fs::write(self.path(), format!("{always}{text}")).unwrap();
    }

    fn start(&self) -> Daemon {
        Daemon::start(&["-c", self.path().to_str().unwrap(), "-v"])
    }
}

fn reload(daemon: &Daemon) {
    let before = daemon.count_lines(&["configuration read again"]);
    daemon.signal("HUP");
    wait_for("the reload", || {
        daemon.count_lines(&["configuration read again"]) > before
    });
}

fn wait_until_stapled(haproxy: &Haproxy, authority: &OpensslAuthority, name: &str) {
    wait_for(&format!("a staple for {name}"), || {
        let staple = haproxy.staple(name);
        !staple.is_empty() && authority.accepts(name, &staple)
    });
}

/// How often a responder was asked about this file, with whatever answer.
fn requests(daemon: &Daemon, path: &Path) -> usize {
    let path = path.to_str().unwrap();
    ["renewed: ", "nothing newer", "no response"]
        .iter()
        .map(|words| daemon.count_lines(&[path, words]))
        .sum()
}

fn authority_for(test: &str, names: &[&str]) -> Option<OpensslAuthority> {
    let mut authority = OpensslAuthority::new(test)?;
    for name in names {
        authority.issue(name, "prime256v1");
    }
    authority.start_responder(Signer::Delegate);
    Some(authority)
}

#[test]
fn a_reload_swaps_directories_and_sockets_in_and_touches_nothing_that_stays() {
    let Some(installation) = installations("a reload").pop() else {
        return;
    };
    let Some(authority) = authority_for("a reload", &["stays", "comes"]) else {
        return;
    };
    let start = |name: &str| {
        let file = (format!("{name}.pem"), authority.bundle(name));
        Haproxy::start(
            &installation,
            Setup::default(),
            &[(file.0.as_str(), file.1.as_bytes())],
        )
    };
    let (stays, comes) = (start("stays"), start("comes"));
    let entry = |haproxy: &Haproxy| {
        format!(
            "- path: {}\n  sockets: [{}]\n",
            haproxy.path("certs"),
            haproxy.path("admin.sock")
        )
    };
    let configuration = Configuration::new(&format!("directories:\n{}", entry(&stays)));
    let daemon = configuration.start();
    wait_until_stapled(&stays, &authority, "stays");
    let file = PathBuf::from(stays.certificate("stays.pem"));
    let staple = file.with_extension("pem.ocsp");
    wait_for("the staple on disk", || staple.exists());

    let both = format!("directories:\n{}{}", entry(&comes), entry(&stays));
    configuration.change(&both);
    reload(&daemon);
    wait_until_stapled(&comes, &authority, "comes");

    configuration.change(&format!("directories:\n{}", entry(&comes)));
    reload(&daemon);
    daemon.wait_for_line(&["stays.pem", "gone; its .ocsp"]);
    assert!(
        staple.exists(),
        "what is not looked after any more is left alone"
    );

    let connections = |haproxy: &Haproxy| {
        let socket = haproxy.path("admin.sock");
        daemon.count_lines(&["connected to HAProxy", &socket])
    };
    assert_eq!((connections(&stays), connections(&comes)), (1, 1));
    assert_eq!(requests(&daemon, &file), 1);
    assert_eq!(daemon.count_lines(&["comes.pem", "live: "]), 1);
    assert_eq!(
        requests(&daemon, Path::new(&comes.certificate("comes.pem"))),
        1
    );
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused_and_the_old_one_goes_on() {
    let Some(authority) = authority_for("a refused reload", &["first", "second"]) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    fs::write(path("first.pem"), authority.bundle("first")).unwrap();
    let good = format!("directories: ['{}']\n", directory.path().display());
    let configuration = Configuration::new(&good);
    let daemon = configuration.start();
    wait_for("the first staple", || path("first.pem.ocsp").exists());

    configuration.change(&format!("{good}refresh_intervall: 5s\nfile_mode: 0666\n"));
    daemon.signal("HUP");
    daemon.wait_for_line(&["ERROR", "staplerd.yaml:5", "refresh_intervall"]);
    daemon.wait_for_line(&["ERROR", "staplerd.yaml:6", "file_mode"]);
    daemon.wait_for_line(&["the configuration there was goes on"]);
    fs::write(path("second.pem"), authority.bundle("second")).unwrap();
    wait_for("the second staple", || path("second.pem.ocsp").exists());
    assert_eq!(requests(&daemon, &path("first.pem")), 1);

    configuration.change(&good);
    reload(&daemon);
    assert_eq!(requests(&daemon, &path("first.pem")), 1);
}

#[test]
fn with_nothing_but_a_socket_the_certificates_are_those_that_the_process_has_loaded() {
    for installation in installations("nothing but a socket") {
        let Some(authority) = authority_for("nothing but a socket", &["first", "second"]) else {
            return;
        };
        let pem = authority.bundle("first");
        let setup = Setup {
            master: true,
            ..Setup::default()
        };
        let haproxy = Haproxy::start(&installation, setup, &[("first.pem", pem.as_bytes())]);
        let empty = tempfile::tempdir().unwrap();
        // No configuration file of this machine's is to be found.
        let daemon = Daemon::start_with(
            &[
                "-s",
                &haproxy.path("admin.sock"),
                "--allow-addresses",
                "loopback",
            ],
            &[("HOME", empty.path().to_str().unwrap())],
        );
        wait_until_stapled(&haproxy, &authority, "first");
        let staple = haproxy.certificate("first.pem.ocsp");
        wait_for("the staple on disk", || Path::new(&staple).exists());
        haproxy.write("second.pem", authority.bundle("second").as_bytes());
        haproxy.reload();
        for name in ["first", "second"] {
            wait_until_stapled(&haproxy, &authority, name);
        }
        let first = PathBuf::from(haproxy.certificate("first.pem"));
        assert_eq!(
            daemon.count_lines(&[first.to_str().unwrap(), "renewed: "]),
            1
        );
        assert_eq!(daemon.count_lines(&["first.pem", "gone"]), 0);
    }
}

#[test]
fn a_file_in_two_sources_is_looked_after_once_until_it_is_in_none() {
    let Some(authority) = authority_for("two sources", &["site"]) else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let (outer, inner) = (directory.path().to_owned(), directory.path().join("inner"));
    fs::create_dir(&inner).unwrap();
    let file = inner.join("site.pem");
    fs::write(&file, authority.bundle("site")).unwrap();
    let outer = format!("- path: '{}'\n  recursive: true\n", outer.display());
    let inner = format!("- path: '{}'\n", inner.display());
    let configuration = Configuration::new(&format!("directories:\n{outer}{inner}"));
    let daemon = configuration.start();
    let staple = file.with_extension("pem.ocsp");
    wait_for("the staple", || staple.exists());
    for directories in [&inner, &outer] {
        configuration.change(&format!("directories:\n{directories}"));
        reload(&daemon);
        daemon.wait_for_line(&["ready"]);
    }
    // A scan after each reload has to be over before what it found can be counted.
    let other = tempfile::tempdir().unwrap();
    let nowhere = format!("directories: ['{}']\n", other.path().display());
    configuration.change(&nowhere);
    reload(&daemon);
    daemon.wait_for_line(&["site.pem", "gone; its .ocsp"]);
    assert_eq!(requests(&daemon, &file), 1);
    assert_eq!(daemon.count_lines(&["site.pem", "found, with"]), 1);
    assert_eq!(daemon.count_lines(&["site.pem", "gone"]), 1);
}

#[test]
fn a_named_certificate_is_pushed_to_its_process_and_its_staple_lies_where_it_was_named() {
    let Some(installation) = installations("a named certificate").pop() else {
        return;
    };
    let Some(authority) = authority_for("a named certificate", &["site"]) else {
        return;
    };
    let pem = authority.bundle("site");
    let haproxy = Haproxy::start(
        &installation,
        Setup::default(),
        &[("site.pem", pem.as_bytes())],
    );
    let folder = tempfile::tempdir().unwrap();
    let configuration = Configuration::new(&format!(
        "ocsp_folder: '{}'\ndomains:\n  site:\n    cert: '{}'\n    ocsp: site.ocsp-resp\n    \
         sockets: ['{}']\n",
        folder.path().display(),
        haproxy.certificate("site.pem"),
        haproxy.path("admin.sock")
    ));
    let _daemon = configuration.start();
    wait_until_stapled(&haproxy, &authority, "site");
    let staple = folder.path().join("site.ocsp-resp");
    wait_for("the staple", || {
        fs::read(&staple).is_ok_and(|bytes| authority.accepts("site", &bytes))
    });
    assert!(!Path::new(&haproxy.certificate("site.pem.ocsp")).exists());
}
