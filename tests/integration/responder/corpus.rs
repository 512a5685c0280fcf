//! Requests of other projects, answered as the corpus' table expects.
//!
//! The authority of those requests is not ours to sign for, so each is asked twice: as it is, which
//! is unauthorized but not malformed; and with the issuer hashes of an authority here, which gets
//! an answer for each certificate.

use std::fs;

use staplerd::ocsp::cert_id::ReceivedCertId;
use staplerd::ocsp::request::Request;
use staplerd::ocsp::response::decode;

use aws_lc_rs::digest;

use super::Serving;
use crate::corpus;
use crate::pki::World;

/// The request with the issuer hashes of `world`; they are as long as those that were there.
fn transplanted(bytes: &[u8], world: &World) -> Vec<u8> {
    let mut transplanted = bytes.to_vec();
    let mut replace = |old: &[u8], new: &[u8]| {
        let at = old.as_ptr() as usize - bytes.as_ptr() as usize;
        transplanted[at..at + old.len()].copy_from_slice(new);
    };
    for cert_id in Request::decode(bytes).unwrap().cert_ids {
        let hash = |content: &[u8]| digest::digest(algorithm(&cert_id), content);
        replace(
            cert_id.issuer_name_hash,
            hash(world.issuer.subject_name()).as_ref(),
        );
        replace(
            cert_id.issuer_key_hash,
            hash(world.issuer.public_key_bits()).as_ref(),
        );
    }
    transplanted
}

fn algorithm(cert_id: &ReceivedCertId<'_>) -> &'static digest::Algorithm {
    match cert_id.issuer_name_hash.len() {
        20 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
        28 => &digest::SHA224,
        32 => &digest::SHA256,
        48 => &digest::SHA384,
        64 => &digest::SHA512,
        other => panic!("no hash has {other} bytes"),
    }
}

#[test]
fn requests_of_other_projects_are_answered() {
    let Some(directory) = corpus::directory() else {
        return;
    };
    let world = World::new();
    let serving = Serving::good(&world);
    let table = fs::read_to_string(directory.join("requests.tsv")).unwrap();
    let mut answered = 0;
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let [id, file, expected, certificates, ..] = fields[..] else {
            panic!("{line}");
        };
        assert_eq!(
            expected, "ok",
            "{id}: the table expects what this test does not know"
        );
        let bytes = fs::read(directory.join(file)).unwrap();
        assert_eq!(serving.post(&bytes).verdict(&world), "unauthorized", "{id}");
        let reply = serving.post(&transplanted(&bytes, &world));
        let response = decode(&reply.body).unwrap_or_else(|error| panic!("{id}: {error}"));
        let count = response.single_responses.len().to_string();
        assert_eq!(count, certificates, "{id}");
        answered += 1;
    }
    assert_eq!(answered, 10);
}
