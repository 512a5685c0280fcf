//! Requests: byte-exact out, strict in, short enough for a GET.

use super::WORLD;
use crate::ocsp::request::{MAX_REQUEST_BYTES, Request, RequestError};
use crate::ocsp::{encode_request, get_url};
use crate::pki::{self, NONCE, extension, integer, octets, sequence, tagged};

fn single_request(cert_id: &[u8]) -> Vec<u8> {
    sequence(&[cert_id])
}

/// A request around a TBSRequest's content.
fn request(parts: &[&[u8]]) -> Vec<u8> {
    sequence(&[&sequence(parts)])
}

#[test]
fn a_request_is_minimal_and_reads_back() {
    let cert_id = WORLD.cert_id();
    let bytes = encode_request(&cert_id, None);
    let expected = request(&[&sequence(&[&single_request(cert_id.der())])]);
    assert_eq!(bytes, expected);
    let read = Request::decode(&bytes).unwrap();
    assert_eq!(read.cert_ids.len(), 1);
    assert_eq!(read.cert_ids[0].raw, cert_id.der());
    assert_eq!(read.cert_ids[0].check(&WORLD.leaf, &WORLD.issuer), Ok(()));
    assert_eq!(read.nonce, None);
}

#[test]
fn a_nonce_is_an_octet_string_within_the_extension() {
    let bytes = encode_request(&WORLD.cert_id(), Some(&[7; 32]));
    let nonce = extension(NONCE, false, &octets(&[7; 32]));
    assert!(bytes.ends_with(&tagged(2, &sequence(&[&nonce]))));
    assert_eq!(Request::decode(&bytes).unwrap().nonce, Some(&[7; 32][..]));
}

#[test]
fn everything_rfc_6960_allows_is_read() {
    let cert_id = WORLD.cert_id();
    let single = sequence(&[
        cert_id.der(),
        &tagged(0, &sequence(&[&extension("1.2.3.4", false, &[])])),
    ]);
    let bytes = sequence(&[
        &sequence(&[
            &tagged(0, &integer(&[0])),
            &tagged(1, &tagged(4, WORLD.leaf.subject_name())),
            &sequence(&[&single, &single_request(cert_id.der())]),
            &tagged(2, &sequence(&[&extension("1.2.3.5", true, &[1])])),
        ]),
        &tagged(0, &sequence(&[])),
    ]);
    let read = Request::decode(&bytes).unwrap();
    assert_eq!(read.cert_ids.len(), 2);
    assert_eq!(read.extensions.len(), 1);
    assert!(read.extensions[0].critical);
}

#[test]
fn anything_else_is_refused_with_its_reason() {
    let cert_id = WORLD.cert_id();
    let list = sequence(&[&single_request(cert_id.der())]);
    let good = request(&[&list]);
    let malformed =
        |bytes: &[u8]| matches!(Request::decode(bytes), Err(RequestError::Malformed(_)));
    assert!(malformed(&[&good[..], &[0]].concat()));
    assert!(malformed(&request(&[&list, &integer(&[1])])));
    assert!(malformed(&request(&[&sequence(&[&sequence(&[
        cert_id.der(),
        &integer(&[1])
    ])])])));
    let raw_nonce = extension(NONCE, false, b"not an OCTET STRING");
    assert!(malformed(&request(&[
        &list,
        &tagged(2, &sequence(&[&raw_nonce]))
    ])));
    let most = single_request(cert_id.der()).repeat(64);
    assert!(Request::decode(&request(&[&sequence(&[&most])])).is_ok());
    let many = single_request(cert_id.der()).repeat(65);
    assert!(malformed(&request(&[&sequence(&[&many])])));
    for length in 0..good.len() {
        assert!(malformed(&good[..length]), "{length} bytes");
    }
    assert_eq!(
        Request::decode(&request(&[&sequence(&[])])),
        Err(RequestError::Empty)
    );
    assert_eq!(
        Request::decode(&request(&[&tagged(0, &integer(&[1])), &list])),
        Err(RequestError::Version(1))
    );
    assert_eq!(
        Request::decode(&vec![0x30; MAX_REQUEST_BYTES + 1]),
        Err(RequestError::TooLarge)
    );
}

#[test]
fn a_get_url_has_exactly_one_slash_and_no_bare_base64() {
    // 0xff 0xef 0xfe … gives + and /, one octet gives ==.
    let url = get_url("http://ocsp.example.org", &[0xfb, 0xff, 0xfe, 0xfb]).unwrap();
    assert_eq!(url, "http://ocsp.example.org/%2B%2F%2F%2B%2Bw%3D%3D");
    for responder in ["http://a/ocsp", "http://a/ocsp/", "http://a/ocsp//"] {
        assert_eq!(get_url(responder, &[0]).unwrap(), "http://a/ocsp/AA%3D%3D");
    }
}

#[test]
fn a_get_url_ends_at_255_bytes() {
    // Three octets give four characters.
    let with = |host: usize| get_url(&format!("http://{}", "a".repeat(host)), &[0; 150]);
    let longest = with(255 - 200 - 1 - 7).unwrap();
    assert_eq!(longest.len(), 255);
    assert_eq!(with(255 - 200 - 7), None);
}

#[test]
fn a_responder_url_with_a_query_takes_no_get() {
    assert_eq!(get_url("http://ocsp.example.org/?ca=1", &[0]), None);
}

#[test]
fn cert_ids_are_shown_in_hexadecimal() {
    let cert_id = WORLD.cert_id();
    let shown = format!("{cert_id:?}");
    assert!(shown.starts_with("CertId(30"), "{shown}");
    assert!(shown.ends_with("0303a2ef)"), "{shown}");
    let just_fits = crate::text::shown_hexadecimal(&[0xab; 64]);
    assert_eq!(just_fits, "ab".repeat(64));
    let long = crate::text::shown_hexadecimal(&[0xab; 65]);
    assert_eq!(long, format!("{}…", "ab".repeat(64)));
}

#[test]
fn a_hash_that_is_not_known_is_named_by_its_numbers() {
    let bytes = request(&[&sequence(&[&single_request(&pki::cert_id(
        &pki::algorithm("1.2.840.113549.2.5", pki::NULL),
        |_| vec![0; 16],
        &WORLD.leaf,
        &WORLD.issuer,
    ))])]);
    let read = Request::decode(&bytes).unwrap();
    assert_eq!(read.cert_ids[0].hash_name(), "1.2.840.113549.2.5");
}
