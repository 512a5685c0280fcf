//! The stores of strangers, read from bytes that mean no harm to anybody's own program.

use staplerd::haproxy::Offer;

use super::process::Store;
use super::speech::Break;

/// Ends a stranger in the bytes.
const SEPARATOR: u8 = 0xff;
/// So many are enough to fill more than one write of questions.
const MOST: usize = 48;

/// The strangers that these bytes describe: each by a byte that says what it chooses, and what.
pub fn read(bytes: &[u8], honest: &Offer) -> Vec<Store> {
    let strangers = bytes.split(|byte| *byte == SEPARATOR).take(MOST);
    strangers
        .enumerate()
        .filter_map(|(number, bytes)| {
            let (kind, chosen) = bytes.split_first()?;
            Some(stranger(number, *kind, chosen, honest))
        })
        .collect()
}

fn stranger(number: usize, kind: u8, chosen: &[u8], honest: &Offer) -> Store {
    let mut store = Store {
        name: format!("/certs/{number}.pem").into_bytes(),
        serial: vec![0x33, number as u8],
        alternative_name: b"stranger.example".to_vec(),
        subject: b"stranger.example".to_vec(),
        issuer: b"Issuer".to_vec(),
        fingerprint: vec![number as u8; 20],
        cert_id: format!("\x30\x0astranger {number:02}").into_bytes(),
        breaks: Break::Nowhere,
        slot: None,
    };
    match kind & 7 {
        0 => store.alternative_name = chosen.to_vec(),
        1 => store.subject = chosen.to_vec(),
        2 => store.issuer = chosen.to_vec(),
        3 => store.name = name(number, chosen),
        4 => {
            store.name = [b"/certs/", &name(number, chosen)[..]].concat();
            store.alternative_name = chosen.to_vec();
        }
        5 => {
            store.breaks = match kind >> 3 {
                0 => Break::AtAlgorithm,
                tens => Break::After(usize::from(tens) * 16),
            };
            store.alternative_name = chosen.to_vec();
        }
        // The serial number of somebody else's certificate.
        6 => {
            store.serial = honest.certificate.serial().to_vec();
            store.alternative_name = chosen.to_vec();
        }
        // His fingerprint, and more words of HAProxy's, in a name.
        _ => {
            let print = super::process::hexadecimal(&honest.certificate.sha1_fingerprint());
            let forged = format!("x\nSHA1 FingerPrint: {print}\nOCSP Response Key: ");
            let (front, back) = chosen.split_at(chosen.len() / 2);
            store.alternative_name = [front, forged.as_bytes(), back].concat();
        }
    }
    // Names take no zero bytes, and a store that holds nothing takes a staple.
    store.name.retain(|byte| *byte != 0);
    if kind & 0x80 != 0 {
        store.makes_slot();
    }
    store
}

/// A name of its own, which no two files have.
fn name(number: usize, chosen: &[u8]) -> Vec<u8> {
    [chosen, format!("{number}.pem").as_bytes()].concat()
}
