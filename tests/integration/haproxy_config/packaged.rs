//! The configurations that Debian's packages of HAProxy bring, and what cannot be read at all.

use std::fs;
use std::path::PathBuf;

use staplerd::haproxy::Level;
use staplerd::haproxy_config::{Error, Testimony, read};

use super::scene::Scene;
use crate::skip::skipped;
use crate::support::haproxy::{Installation, installations};

/// The configuration in the package of an unpacked version, else that of the machine.
fn packaged(installation: &Installation) -> Option<PathBuf> {
    let unpacked = installation.binary.ancestors().nth(3)?;
    [
        unpacked.join("etc/haproxy/haproxy.cfg"),
        "/etc/haproxy/haproxy.cfg".into(),
    ]
    .into_iter()
    .find(|path| path.is_file())
}

#[test]
fn debians_configuration_names_its_socket_and_no_certificate() {
    for installation in installations("Debian's configuration") {
        let Some(path) = packaged(&installation) else {
            skipped(format!(
                "the packaged configuration of {:?}",
                installation.version
            ));
            continue;
        };
        let config = read(&[path], "/".as_ref(), &|_| None, &Testimony::default()).unwrap();
        assert_eq!(config.stores, []);
        assert_eq!(config.notices, []);
        let sockets: Vec<_> = config
            .sockets
            .iter()
            .map(|socket| (socket.address.as_str(), socket.level))
            .collect();
        assert_eq!(sockets, [("/run/haproxy/admin.sock", Level::Admin)]);
    }
}

#[test]
fn debians_configuration_with_a_frontend_is_read_as_haproxy_reads_it() {
    let mut scene = Scene::new(&["certs/a.pem", "certs/b.pem"]);
    for installation in installations("Debian's configuration with a frontend") {
        let Some(path) = packaged(&installation) else {
            skipped(format!(
                "the packaged configuration of {:?}",
                installation.version
            ));
            continue;
        };
        // The paths of the machine become those of the test, and nobody changes user or root.
        let text = fs::read_to_string(&path).unwrap();
        let text: String = text
            .lines()
            .filter(|line| {
                let keyword = line.split_whitespace().next();
                !matches!(
                    keyword,
                    Some("chroot" | "user" | "group" | "daemon" | "log")
                )
            })
            .map(|line| {
                let errors = path.with_file_name("errors");
                line.replace("/run/haproxy", "{dir}")
                    .replace("/etc/ssl/private", "{dir}/certs")
                    .replace("/etc/haproxy/errors", errors.to_str().unwrap())
                    + "\n"
            })
            .collect();
        scene.write("debian.cfg", &text);
        scene.write(
            "sites.cfg",
            "frontend www\n\tbind {dir}/1.sock ssl crt a.pem crt {dir}/certs\n",
        );
        scene.arguments(&["debian.cfg", "sites.cfg"]);
        assert_eq!(scene.notices(), []);
        scene.agrees_with(&installation, &[]);
    }
}

#[test]
fn what_cannot_be_read_is_said_with_its_path() {
    let scene = Scene::new(&["a.pem"]);
    scene.write("empty/readme", "");
    let failure = |name: &str| {
        let path = scene.path(name);
        let error = read(
            std::slice::from_ref(&path),
            "/".as_ref(),
            &|_| None,
            &Testimony::default(),
        )
        .unwrap_err();
        assert!(
            error.to_string().starts_with(path.to_str().unwrap()),
            "{error}"
        );
        error
    };
    assert_eq!(failure("nothing.cfg").kind(), "unreadable");
    assert_eq!(
        failure("empty"),
        Error::NoConfiguration(scene.path("empty"))
    );
    let endless = read(
        &["/dev/zero".into()],
        "/".as_ref(),
        &|_| None,
        &Testimony::default(),
    )
    .unwrap_err();
    assert_eq!(endless.kind(), "unreadable");
    scene.configure(
        "",
        "frontend www\n\tbind {dir}/1.sock ssl crt-list {dir}/nothing\n",
    );
    assert_eq!(scene.notices(), [(9, "unreadable_list")]);
}

#[test]
fn bytes_that_are_no_text_lose_only_their_own_line() {
    let scene = Scene::new(&["a.pem"]);
    let mut bytes = b"# caf\xe9\nfrontend www\n\tbind :443 ssl crt ".to_vec();
    bytes.extend(scene.path("a.pem").to_str().unwrap().bytes());
    fs::write(scene.path("haproxy.cfg"), bytes).unwrap();
    assert_eq!(scene.notices(), [(1, "not_utf8")]);
    assert_eq!(scene.read().stores.len(), 1);
}
