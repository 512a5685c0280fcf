//! HAProxy's own `ocsp-update` as client, which 3.0 and later have.
//!
//! Promises: it takes what `staplerd responder` says, by GET and by POST, below any folder, signed
//! by the CA or by a delegate, and TLS clients get it as staple.

use staplerd::ocsp::response::decode;
use staplerd::ocsp::{CertificateStatus, RevocationReason};

use crate::daemon::authority::{OpensslAuthority, Signer};
use crate::skip::skipped;
use crate::support::haproxy::{Haproxy, Installation, Setup, installations, wait_for};

const FIRST_WITH_UPDATES: (u16, u16) = (3, 0);

#[test]
fn haproxy_updates_its_staples_itself_from_this_responder() {
    let mut able = installations("HAProxy's own updates");
    able.retain(|installation| installation.version >= FIRST_WITH_UPDATES);
    if able.is_empty() {
        skipped("HAProxy's own updates: there is no HAProxy 3.0 or later on this machine");
    }
    for installation in able {
        for signer in [Signer::Delegate, Signer::Issuer] {
            let Some(authority) = OpensslAuthority::new("HAProxy's own updates") else {
                return;
            };
            staples_come_from(authority, signer, &installation);
        }
    }
}

fn staples_come_from(mut authority: OpensslAuthority, signer: Signer, installation: &Installation) {
    let url = authority.url();
    let certificates = [
        ("plain", 'V', url.clone()),
        ("slash", 'V', format!("{url}/")),
        ("folder", 'V', format!("{url}/pki/ocsp")),
        // A URL of more than 255 characters goes by POST.
        ("post", 'V', format!("{url}/{}", "long/".repeat(60))),
        ("revoked", 'R', url),
    ];
    let mut list = String::new();
    let mut files = Vec::new();
    for (name, status, url) in &certificates {
        authority.issue_naming(name, "prime256v1", *status, url);
        list += &format!("certs/{name}.pem [ocsp-update on] {name}\n");
        // HAProxy verifies a delegate's answer up to the root only.
        let chain = authority.bundle(name) + &authority.read("root.pem");
        files.push((format!("{name}.pem"), chain));
    }
    files.push(("all.list".to_owned(), list));
    authority.start_responder(signer);

    let files: Vec<(&str, &[u8])> = files
        .iter()
        .map(|(name, content)| (name.as_str(), content.as_bytes()))
        .collect();
    let setup = Setup {
        bind: Some("crt-list {dir}/certs/all.list".to_owned()),
        ..Setup::default()
    };
    let haproxy = Haproxy::start(installation, setup, &files);
    for (name, status, _) in certificates {
        let mut update = String::new();
        wait_for(&format!("an update of {name} by {installation:?}"), || {
            update = last_update(&haproxy, name);
            update != "Unknown"
        });
        assert_eq!(update, "Update successful", "{name}, {installation:?}");
        let staple = haproxy.staple(name);
        if status == 'V' {
            assert!(authority.accepts(name, &staple), "{name}");
        } else {
            let reason = Some(RevocationReason::KeyCompromise);
            let response = decode(&staple).unwrap();
            let stated = response.single_responses[0].status;
            assert!(
                matches!(stated, CertificateStatus::Revoked { reason: found, .. } if found == reason)
            );
        }
    }
}

/// What `show ssl ocsp-updates` says last about a certificate; `Unknown` before the first update.
fn last_update(haproxy: &Haproxy, name: &str) -> String {
    let table = haproxy.cli("show ssl ocsp-updates");
    let path = format!("certs/{name}.pem");
    let row = table.lines().find(|row| row.contains(&path));
    let (_, status) = row.unwrap().rsplit_once('|').unwrap();
    status.trim().to_owned()
}
