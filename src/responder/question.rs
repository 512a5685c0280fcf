//! What a client asks: from the bytes of a request to a question.
//!
//! Pure. Refuses what a responder must not answer (RFC 6960 §4.1.1, §4.4; RFC 9654 §2.1). How the
//! bytes come out of a GET is in [`super::path`].

use super::refusal::Refusal;
use crate::ocsp::cert_id::ReceivedCertId;
use crate::ocsp::extension::{BASIC_RESPONSE, Extension, NONCE};
use crate::ocsp::request::Request;
use crate::x509::der::{self, Reader};

/// id-pkix-ocsp-response: the response types the client accepts (RFC 6960 §4.4.3).
const ACCEPTABLE_RESPONSES: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x30\x01\x04";
/// id-pkix-ocsp-pref-sig-algs: a wish, which a signer with one key cannot follow (RFC 6960 §4.4.7).
const PREFERRED_SIGNATURE_ALGORITHMS: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x30\x01\x08";

/// The most octets a nonce may have (RFC 9654 §2.1).
const MAX_NONCE_BYTES: usize = 128;

/// What a request asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Question<'a> {
    /// The certificates asked about, at least one.
    pub cert_ids: Vec<ReceivedCertId<'a>>,
    /// The nonce.
    pub nonce: Option<&'a [u8]>,
}

impl<'a> Question<'a> {
    /// Reads a request.
    ///
    /// # Errors
    /// [`Refusal::Request`], [`Refusal::CriticalExtension`], [`Refusal::ResponseType`],
    /// [`Refusal::Nonce`].
    pub fn read(request: &'a [u8]) -> Result<Self, Refusal> {
        let request = Request::decode(request)?;
        let known = [NONCE, ACCEPTABLE_RESPONSES, PREFERRED_SIGNATURE_ALGORITHMS];
        for extension in &request.extensions {
            if extension.critical && !known.contains(&extension.identifier) {
                return Err(critical(extension));
            }
            if extension.identifier == ACCEPTABLE_RESPONSES && !accepts_basic(extension.value)? {
                return Err(Refusal::ResponseType);
            }
        }
        if let Some(extension) = request.single_extensions.iter().find(|one| one.critical) {
            return Err(critical(extension));
        }
        if let Some(nonce) = request.nonce
            && !(1..=MAX_NONCE_BYTES).contains(&nonce.len())
        {
            return Err(Refusal::Nonce { bytes: nonce.len() });
        }
        Ok(Question {
            cert_ids: request.cert_ids,
            nonce: request.nonce,
        })
    }
}

fn critical(extension: &Extension<'_>) -> Refusal {
    Refusal::CriticalExtension {
        identifier: der::dotted(extension.identifier),
    }
}

/// Whether id-pkix-ocsp-basic is among the acceptable response types.
fn accepts_basic(value: &[u8]) -> Result<bool, der::Error> {
    let mut types = Reader::new(der::only(value, der::SEQUENCE)?);
    let mut found = false;
    while !types.is_empty() {
        found |= types.content(der::OBJECT_IDENTIFIER)? == BASIC_RESPONSE;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ocsp::ResponderError;
    use crate::pki::{self, World, extension, octets, sequence, tagged};

    fn request(world: &World, single: &[u8], extensions: &[Vec<u8>]) -> Vec<u8> {
        let one = sequence(&[world.cert_id().der(), single]);
        let extensions = match extensions {
            [] => Vec::new(),
            some => tagged(2, &sequence(&[&some.concat()])),
        };
        sequence(&[&sequence(&[&sequence(&[&one]), &extensions])])
    }

    fn nonce(octet_count: usize) -> Vec<u8> {
        extension(pki::NONCE, false, &octets(&vec![7; octet_count]))
    }

    #[test]
    fn nonces_have_1_to_128_octets() {
        let world = World::new();
        for count in [1, 16, 32, 128] {
            let bytes = request(&world, &[], &[nonce(count)]);
            let question = Question::read(&bytes).unwrap();
            assert_eq!(question.nonce, Some(vec![7; count].as_slice()));
        }
        for bytes in [0, 129] {
            let refused = request(&world, &[], &[nonce(bytes)]);
            assert_eq!(Question::read(&refused), Err(Refusal::Nonce { bytes }));
        }
    }

    #[test]
    fn serial_numbers_have_at_most_20_octets() {
        let world = World::new();
        let asked = |serial: &[u8]| {
            let hash = sequence(&[&pki::oid("1.3.14.3.2.26")]);
            let cert_id = sequence(&[
                &hash,
                &octets(&[1; 20]),
                &octets(&[2; 20]),
                &pki::integer(serial),
            ]);
            let first = sequence(&[world.cert_id().der()]);
            sequence(&[&sequence(&[&sequence(&[&first, &sequence(&[&cert_id])])])])
        };
        let positive = [&[0, 0x80][..], &[7; 19]].concat();
        for serial in [vec![1], vec![0x7f; 20], positive] {
            assert!(Question::read(&asked(&serial)).is_ok(), "{serial:?}");
        }
        for bytes in [21, 22, 15_000] {
            let refused = asked(&vec![0x11; bytes]);
            let refusal = Question::read(&refused).unwrap_err();
            assert_eq!(refusal.responder_error(), ResponderError::MalformedRequest);
        }
    }

    #[test]
    fn critical_extensions_must_be_known() {
        let world = World::new();
        let unknown = extension("1.2.3.4", true, &octets(&[]));
        let refusal = Err(Refusal::CriticalExtension {
            identifier: "1.2.3.4".to_owned(),
        });
        let whole = request(&world, &[], std::slice::from_ref(&unknown));
        assert_eq!(Question::read(&whole), refusal);
        let single = request(&world, &tagged(0, &sequence(&[&unknown])), &[]);
        assert_eq!(Question::read(&single), refusal);
        let harmless = extension("1.2.3.4", false, &octets(&[]));
        assert!(Question::read(&request(&world, &[], &[harmless])).is_ok());
    }

    #[test]
    fn a_client_that_accepts_other_types_only_is_refused() {
        let world = World::new();
        let acceptable = |types: &[u8]| {
            let list = extension("1.3.6.1.5.5.7.48.1.4", true, &sequence(&[types]));
            request(&world, &[], &[list])
        };
        let basic = pki::oid("1.3.6.1.5.5.7.48.1.1");
        assert!(Question::read(&acceptable(&basic)).is_ok());
        let other = acceptable(&pki::oid("1.2.3"));
        assert_eq!(Question::read(&other), Err(Refusal::ResponseType));
    }
}
