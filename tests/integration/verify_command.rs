//! `staplerd verify`: the first word of the last line, the exit code, and what it says of files it
//! cannot read.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::pki::{CertificateBuilder, NOW, World, revoked, unknown};

struct Files {
    directory: TempDir,
    world: World,
}

impl Files {
    fn new() -> Self {
        let (directory, world) = (TempDir::new().unwrap(), World::new());
        let files = Files { directory, world };
        let world = &files.world;
        files.write("cert", world.leaf.pem().as_bytes());
        files.write("issuer", world.issuer.pem().as_bytes());
        files.write("response", &world.direct().sign(&world.issuer_key));
        files
    }

    fn write(&self, name: &str, content: &[u8]) {
        fs::write(self.directory.path().join(name), content).unwrap();
    }

    fn verify(&self, more: &[&str]) -> Output {
        let path = |name| -> String {
            let path: &Path = self.directory.path();
            path.join(name).display().to_string()
        };
        Command::new(env!("CARGO_BIN_EXE_staplerd"))
            .arg("verify")
            .args(["--response", &path("response")])
            .args(["--cert", &path("cert")])
            .args(["--issuer", &path("issuer")])
            .args(["--at", &NOW.to_string()])
            .args(more)
            .output()
            .unwrap()
    }
}

fn last_line(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().last().unwrap_or_default().to_owned()
}

#[test]
fn a_good_response_is_good_and_exits_0() {
    let output = Files::new().verify(&[]);
    assert_eq!(last_line(&output), "good");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_cannot_be_stapled_is_said_behind_the_verdict() {
    let files = Files::new();
    let mut builder = files.world.direct();
    builder.singles[0].next_update = None;
    files.write("response", &builder.sign(&files.world.issuer_key));
    let output = files.verify(&[]);
    assert_eq!(
        last_line(&output),
        "good (not stapleable: no nextUpdate, which HAProxy asks for)"
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn anything_but_good_exits_1_with_its_word_first() {
    let files = Files::new();
    for (status, word) in [
        (revoked(NOW, Some(1)), "revoked"),
        (revoked(NOW, None), "revoked"),
        (unknown(), "unknown"),
    ] {
        let mut builder = files.world.direct();
        builder.singles[0].status = status;
        files.write("response", &builder.sign(&files.world.issuer_key));
        let output = files.verify(&[]);
        assert_eq!(last_line(&output).split_whitespace().next(), Some(word));
        assert_eq!(output.status.code(), Some(1));
    }
    files.write("response", b"<html>");
    let output = files.verify(&[]);
    assert!(last_line(&output).starts_with("reject:malformed the response"));
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_signer_and_the_notes_are_told() {
    let files = Files::new();
    let mut delegate = World::delegate_builder();
    delegate.extensions.pop();
    let delegate = delegate.sign(&files.world.delegate_key, &files.world.issuer_key);
    let response = files.world.delegated(&delegate);
    files.write("response", &response.sign(&files.world.delegate_key));
    let output = files.verify(&[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("signed by 'CN=Responder'\n"), "{text}");
    assert!(text.contains("\nnote: "), "{text}");
    assert!(text.contains("nocheck"), "{text}");
}

#[test]
fn certificates_may_be_der_and_the_issuer_anywhere_in_a_chain() {
    let files = Files::new();
    files.write("cert", files.world.leaf.der());
    files.write("issuer", files.world.issuer.der());
    assert_eq!(last_line(&files.verify(&[])), "good");
    let chain = [&files.world.root, &files.world.leaf, &files.world.issuer];
    let chain: String = chain.iter().map(|link| link.pem()).collect();
    files.write("issuer", chain.as_bytes());
    assert_eq!(last_line(&files.verify(&[])), "good");
}

#[test]
fn whoever_gives_an_issuer_vouches_for_it() {
    // The certificate's signature is by another key: name and response decide.
    let files = Files::new();
    let world = &files.world;
    let stranger = CertificateBuilder::new("Issuer", "leaf", world.leaf.serial())
        .sign(&world.leaf_key, &world.root_key);
    files.write("cert", stranger.pem().as_bytes());
    assert_eq!(last_line(&files.verify(&[])), "good");
    let chain = world.root.pem() + &world.issuer.pem();
    files.write("issuer", chain.as_bytes());
    assert_eq!(last_line(&files.verify(&[])), "good");
    files.write("issuer", world.root.pem().as_bytes());
    let line = last_line(&files.verify(&[]));
    assert!(line.starts_with("reject:issuer_mismatch the"), "{line}");
}

#[test]
fn the_time_decides() {
    let files = Files::new();
    let output = files.verify(&["--at", "2026-02-01T00:00:00+01:00"]);
    // clap refuses the same option twice: the helper gives one already.
    assert_eq!(output.status.code(), Some(2));
    let path = |name| files.directory.path().join(name);
    let output = Command::new(env!("CARGO_BIN_EXE_staplerd"))
        .arg("verify")
        .arg("--response")
        .arg(path("response"))
        .arg("--cert")
        .arg(path("cert"))
        .arg("--issuer")
        .arg(path("issuer"))
        .args(["--at", "2026-02-01T00:00:00+01:00", "--allow-sha1"])
        .output()
        .unwrap();
    let line = last_line(&output);
    assert!(
        line.starts_with("reject:expired the response expired"),
        "{line}"
    );
}

#[test]
fn files_that_cannot_be_read_are_named_and_nothing_is_judged() {
    let files = Files::new();
    for (name, content, complaint) in [
        ("cert", &b""[..], "no certificate"),
        ("cert", b"-----BEGIN CERTIFICATE-----\nMIIB", "cut off"),
        (
            "issuer",
            b"-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----\n",
            "private key",
        ),
    ] {
        let files = Files::new();
        files.write(name, content);
        let output = files.verify(&[]);
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(last_line(&output), "reject:unreadable nothing was judged");
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(name) && text.contains(complaint), "{text}");
    }
    files.write("response", &vec![0; 1024 * 1024 + 1]);
    let output = files.verify(&[]);
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("1048576")
    );
    fs::remove_file(files.directory.path().join("response")).unwrap();
    assert_eq!(files.verify(&[]).status.code(), Some(1));
    fs::create_dir(files.directory.path().join("response")).unwrap();
    let output = files.verify(&[]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("is a directory"), "{text}");
}
