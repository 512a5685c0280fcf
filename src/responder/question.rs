//! What a client asks: from the bytes of a request, or the path of a GET, to a question.
//!
//! Pure. Refuses what a responder must not answer (RFC 6960 §4.1.1, §4.4; RFC 9654 §2.1). A GET
//! carries base64 behind the responder's path (RFC 6960 A.1), percent-encoded or not: clients and
//! proxies do both, and leave `/` and `+` as they are or not.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

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

/// The path of the responder `ocspresponder`, beside the root.
const STATUS_PATH: &str = "/status";

/// Clients leave the padding out or keep it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

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

/// What the path of a GET asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathContent {
    /// Nothing: somebody looks who is there.
    Nothing,
    /// This request.
    Request(Vec<u8>),
    /// Something that is not base64.
    Garbage,
}

/// Takes the request out of a path, with `/status` before it or not.
pub fn from_path(path: &str) -> PathContent {
    let below = match path.strip_prefix(STATUS_PATH) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ => path,
    };
    // Slashes in front are joints of URLs; those within are base64.
    let text = below.trim_start_matches('/');
    if text.is_empty() {
        return PathContent::Nothing;
    }
    let decoded = percent_decoded(text).and_then(|text| BASE64.decode(text).ok());
    decoded.map_or(PathContent::Garbage, PathContent::Request)
}

/// RFC 3986 §2.1; `None` where a percent sign stands for nothing.
fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let value = digit(bytes.next())? * 16 + digit(bytes.next())?;
                u8::try_from(value).ok()?
            }
            plain => plain,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn a_path_is_read_in_every_spelling() {
        // Bytes whose base64 has both "/" and "+" in it, and padding.
        let bytes = [0xfb, 0xef, 0xff, 0xff, 0xfb, 0xe0, 0x01];
        let plain = pki_base64(&bytes);
        assert!(plain.contains('/') && plain.contains('+') && plain.ends_with('='));
        let encoded = plain
            .replace('+', "%2B")
            .replace('/', "%2f")
            .replace('=', "%3D");
        let unpadded = plain.trim_end_matches('=');
        for text in [&plain, &encoded, unpadded] {
            for prefix in ["/", "//", "/status/", "/status//"] {
                let path = format!("{prefix}{text}");
                assert_eq!(
                    from_path(&path),
                    PathContent::Request(bytes.to_vec()),
                    "{path}"
                );
            }
        }
    }

    fn pki_base64(bytes: &[u8]) -> String {
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    #[test]
    fn an_empty_path_asks_nothing_and_others_are_garbage() {
        for path in ["", "/", "//", "/status", "/status/"] {
            assert_eq!(from_path(path), PathContent::Nothing, "{path}");
        }
        for path in ["/favicon.ico", "/%", "/%2", "/%zz", "/M=M=", "/statusx!"] {
            assert_eq!(from_path(path), PathContent::Garbage, "{path}");
        }
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
