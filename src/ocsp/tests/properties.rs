//! What holds for all inputs: nothing panics, and no change of a good response leaves it good.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::{WORLD, judge};
use crate::ocsp::request::{NONCE_BYTES, Request};
use crate::ocsp::{CertId, encode_request};
use crate::pki::{CertificateBuilder, NOW, by_key, revoked};
use crate::x509::{Bundle, Certificate};

/// Responses without junk: the certificates sent along are not signed, and junk is ignored.
static RESPONSES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let direct = WORLD.direct();
    let mut delegated = WORLD.delegated(&WORLD.delegate);
    delegated.responder_id = by_key(&WORLD.delegate);
    let mut several = WORLD.direct();
    let mut other = several.singles[0].clone();
    other.status = revoked(NOW, Some(1));
    other.cert_id = WORLD.cert_id().der().to_vec();
    other.cert_id.pop();
    other.cert_id.push(0x00);
    several.singles.push(other);
    vec![
        direct.sign(&WORLD.issuer_key),
        delegated.sign(&WORLD.delegate_key),
        several.sign(&WORLD.issuer_key),
    ]
});

/// One way to damage bytes; positions are taken modulo the length.
#[derive(Clone, Debug)]
enum Damage {
    Flip(usize, u8),
    Replace(usize, u8),
    Insert(usize, Vec<u8>),
    Remove(usize, usize),
    Repeat(usize, usize),
    Truncate(usize),
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len().max(1);
        match self {
            Damage::Flip(at, mask) => {
                if let Some(byte) = bytes.get_mut(at % length) {
                    *byte ^= mask;
                }
            }
            Damage::Replace(at, value) => {
                if let Some(byte) = bytes.get_mut(at % length) {
                    *byte = *value;
                }
            }
            Damage::Insert(at, more) => {
                let at = at % length;
                bytes.splice(at..at, more.iter().copied());
            }
            Damage::Remove(at, count) => {
                let at = at % length;
                bytes.drain(at..(at + count).min(bytes.len()));
            }
            Damage::Repeat(at, count) => {
                let at = at % length;
                let part = bytes[at..(at + count).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            Damage::Truncate(at) => bytes.truncate(at % length),
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => (any::<usize>(), 1_u8..).prop_map(|(at, mask)| Damage::Flip(at, mask)),
        2 => (any::<usize>(), any::<u8>()).prop_map(|(at, value)| Damage::Replace(at, value)),
        1 => (any::<usize>(), proptest::collection::vec(any::<u8>(), 1..8))
            .prop_map(|(at, more)| Damage::Insert(at, more)),
        1 => (any::<usize>(), 1_usize..40).prop_map(|(at, count)| Damage::Remove(at, count)),
        1 => (any::<usize>(), 1_usize..40).prop_map(|(at, count)| Damage::Repeat(at, count)),
        1 => any::<usize>().prop_map(Damage::Truncate),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_damaged_response_is_accepted(
        which in 0_usize..3,
        damages in proptest::collection::vec(damage(), 1..4),
    ) {
        let original = &RESPONSES[which];
        let mut damaged = original.clone();
        for damage in &damages {
            damage.apply(&mut damaged);
        }
        prop_assume!(damaged != *original);
        prop_assert!(judge(&damaged).is_err(), "accepted after {damages:?}");
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(judge(&bytes).is_err());
        prop_assert!(Certificate::from_der(&bytes).is_err());
        prop_assert!(Request::decode(&bytes).is_err());
        prop_assert!(Bundle::from_pem(&bytes).is_err());
    }

    #[test]
    fn damaged_certificates_and_requests_do_not_panic(
        damages in proptest::collection::vec(damage(), 1..6),
    ) {
        let mut certificate = WORLD.delegate.der().to_vec();
        let mut request = encode_request(&WORLD.cert_id(), Some(&[7; NONCE_BYTES]));
        for damage in &damages {
            damage.apply(&mut certificate);
            damage.apply(&mut request);
        }
        let _ = Certificate::from_der(&certificate);
        let _ = Request::decode(&request);
    }

    #[test]
    fn what_is_encoded_is_decoded_and_encodes_again_to_the_same(
        serial in proptest::collection::vec(any::<u8>(), 0..19),
        nonce in proptest::option::of(any::<[u8; NONCE_BYTES]>()),
    ) {
        let serial = [&[0x01], &serial[..]].concat();
        let certificate = CertificateBuilder::new("Issuer", "leaf", &serial)
            .sign(&WORLD.leaf_key, &WORLD.issuer_key);
        let cert_id = CertId::new(&certificate, &WORLD.issuer);
        let bytes = encode_request(&cert_id, nonce.as_ref());
        let read = Request::decode(&bytes).unwrap();
        prop_assert_eq!(read.cert_ids.len(), 1);
        prop_assert_eq!(read.cert_ids[0].raw, cert_id.der());
        prop_assert_eq!(read.cert_ids[0].serial, &serial[..]);
        let read_nonce = read.nonce.map(|nonce| nonce.try_into().unwrap());
        prop_assert_eq!(encode_request(&cert_id, read_nonce.as_ref()), bytes);
    }
}
