//! What a PEM file is read as.

use std::slice;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::WORLD;
use crate::pki::{octets, sequence};
use crate::x509::bundle::MAX_PEM_BYTES;
use crate::x509::der;
use crate::x509::{Bundle, Error};

fn block(label: &str, content: &[u8]) -> String {
    let text = STANDARD.encode(content);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

fn leaf() -> String {
    block("CERTIFICATE", WORLD.leaf.der())
}

fn issuer() -> String {
    block("CERTIFICATE", WORLD.issuer.der())
}

fn key() -> String {
    block("PRIVATE KEY", b"not even DER: it is never decoded")
}

fn refusal(pem: &str) -> Error {
    Bundle::from_pem(pem.as_bytes()).unwrap_err()
}

#[test]
fn the_leaf_is_the_first_certificate_wherever_the_key_stands() {
    for pem in [
        key() + &leaf() + &issuer(),
        leaf() + &key() + &issuer(),
        leaf() + &issuer() + &key(),
    ] {
        let bundle = Bundle::from_pem_buffer(Zeroizing::new(pem.into_bytes())).unwrap();
        assert_eq!(*bundle.leaf(), WORLD.leaf);
        assert_eq!(bundle.chain(), slice::from_ref(&WORLD.issuer));
        assert_eq!(bundle.certificates().len(), 2);
    }
}

#[test]
fn text_around_blocks_other_blocks_and_line_ends_do_not_matter() {
    let pem = format!(
        "subject=/CN=leaf\n{}\nsome text\n{}",
        block("DH PARAMETERS", &[1, 2, 3]),
        leaf().replace('\n', " \r\n")
    );
    assert_eq!(
        *Bundle::from_pem(pem.as_bytes()).unwrap().leaf(),
        WORLD.leaf
    );
    let unterminated = leaf().trim_end().to_owned();
    assert!(Bundle::from_pem(unterminated.as_bytes()).is_ok());
}

#[test]
fn openssls_other_labels_are_certificates_too() {
    let old = block("X509 CERTIFICATE", WORLD.leaf.der());
    assert_eq!(
        *Bundle::from_pem(old.as_bytes()).unwrap().leaf(),
        WORLD.leaf
    );
    let settings = sequence(&[&octets(b"trust settings")]);
    let trusted = block(
        "TRUSTED CERTIFICATE",
        &[WORLD.leaf.der(), &settings].concat(),
    );
    assert_eq!(
        *Bundle::from_pem(trusted.as_bytes()).unwrap().leaf(),
        WORLD.leaf
    );
    // Only there may something follow.
    let plain = block("CERTIFICATE", &[WORLD.leaf.der(), &settings].concat());
    assert!(matches!(
        refusal(&plain),
        Error::Der(der::Error::TrailingBytes(_))
    ));
}

#[test]
fn files_without_certificate_are_told_apart() {
    assert_eq!(refusal("").kind(), "no_certificate");
    assert_eq!(refusal("hello\n").kind(), "no_certificate");
    let request = block("CERTIFICATE REQUEST", &[1]);
    assert_eq!(refusal(&request).kind(), "no_certificate");
    assert_eq!(refusal(&key()).kind(), "only_private_key");
    let ec = block("EC PRIVATE KEY", &[1]);
    assert_eq!(refusal(&ec).kind(), "only_private_key");
}

#[test]
fn half_a_file_is_cut_off_whichever_block_is_hit() {
    let pem = leaf() + &key();
    let whole = leaf().len() - 1;
    // From within the first certificate's first line of text to just before its last dash.
    for length in 28..whole {
        assert_eq!(refusal(&pem[..length]).kind(), "cut_off", "{length} bytes");
    }
    for length in whole + 30..pem.len() - 1 {
        assert_eq!(refusal(&pem[..length]).kind(), "cut_off", "{length} bytes");
    }
    let begun_twice = leaf()[..100].to_owned() + "\n" + &leaf();
    assert_eq!(refusal(&begun_twice).kind(), "cut_off");
    let key_begun = key()[..40].to_owned() + "\n" + &leaf();
    assert_eq!(refusal(&key_begun).kind(), "cut_off");
}

#[test]
fn a_damaged_certificate_is_told_apart_from_damaged_text() {
    assert_eq!(refusal(&leaf().replace('M', "*")).kind(), "base64");
    let der = &WORLD.leaf.der()[..WORLD.leaf.der().len() - 1];
    assert_eq!(refusal(&block("CERTIFICATE", der)).kind(), "der");
    let pieces = sequence(&[&sequence(&[]), &sequence(&[&[6, 1, 42]]), &[3, 2, 0, 1]]);
    assert_eq!(
        refusal(&block("CERTIFICATE", &pieces)).kind(),
        "certificate"
    );
    // A damaged one anywhere in the file: HAProxy would not load it either.
    assert!(Bundle::from_pem((leaf() + &block("CERTIFICATE", der)).as_bytes()).is_err());
}

#[test]
fn a_file_above_the_bound_is_not_read() {
    assert_eq!(MAX_PEM_BYTES, 1_048_576);
    let mut pem = leaf();
    pem.push_str(&" ".repeat(MAX_PEM_BYTES - pem.len()));
    assert!(Bundle::from_pem(pem.as_bytes()).is_ok());
    pem.push(' ');
    assert_eq!(refusal(&pem).kind(), "too_large");
}
