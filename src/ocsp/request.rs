//! OCSP requests: written byte-exact, read strictly.
//!
//! Writes the minimal request of RFC 9919 §3.1: one CertID, no version, no requestor name, no
//! signature, and no extension unless a nonce is asked for (RFC 9654). Reads what RFC 6960 §4.1.1
//! allows. Knows how a request becomes a GET URL (RFC 6960 A.1, RFC 9919 §5); it sends nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::cert_id::{CertId, ReceivedCertId};
use super::extension::{self, Extension, NONCE};
use crate::x509::der::{self, Reader};

/// Octets of a nonce (RFC 9654 §2.1: clients send 32).
pub const NONCE_BYTES: usize = 32;

/// Longest GET URL (RFC 9919 §5); longer requests go by POST.
const MAX_GET_URL_BYTES: usize = 255;

/// Largest request that is read, in bytes.
pub const MAX_REQUEST_BYTES: usize = 16 * 1024;

/// Most certificates that one request may ask about.
const MAX_REQUESTED: usize = 64;

/// The DER of a request for the status of one certificate.
pub fn encode_request(cert_id: &CertId, nonce: Option<&[u8; NONCE_BYTES]>) -> Vec<u8> {
    let request = der::encode(der::SEQUENCE, &[cert_id.der()]);
    let request_list = der::encode(der::SEQUENCE, &[&request]);
    let extensions = nonce.map_or_else(Vec::new, |nonce| {
        let extension = der::encode(
            der::SEQUENCE,
            &[
                &der::encode(der::OBJECT_IDENTIFIER, &[NONCE]),
                &der::encode(
                    der::OCTET_STRING,
                    &[&der::encode(der::OCTET_STRING, &[nonce])],
                ),
            ],
        );
        der::encode(
            der::context_constructed(2),
            &[&der::encode(der::SEQUENCE, &[&extension])],
        )
    });
    let tbs_request = der::encode(der::SEQUENCE, &[&request_list, &extensions]);
    der::encode(der::SEQUENCE, &[&tbs_request])
}

/// The URL that asks `responder_url` by GET: exactly one slash between, base64 percent-encoded.
/// `None` where it would be longer than 255 bytes, or the responder's URL has a query.
pub fn get_url(responder_url: &str, request: &[u8]) -> Option<String> {
    if responder_url.contains('?') {
        return None;
    }
    let encoded = STANDARD
        .encode(request)
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    let url = format!("{}/{encoded}", responder_url.trim_end_matches('/'));
    (url.len() <= MAX_GET_URL_BYTES).then_some(url)
}

/// A request as received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Request<'a> {
    /// The certificates asked about, in order; at least one.
    pub cert_ids: Vec<ReceivedCertId<'a>>,
    /// The nonce's octets, where there is one.
    pub nonce: Option<&'a [u8]>,
    /// All requestExtensions.
    pub extensions: Vec<Extension<'a>>,
    /// The singleRequestExtensions of all certificates asked about.
    pub single_extensions: Vec<Extension<'a>>,
}

/// Why bytes are no OCSP request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RequestError {
    /// More than 16 KiB, see [`MAX_REQUEST_BYTES`].
    #[error("the request is larger than 16 KiB")]
    TooLarge,
    /// Not the DER of an OCSPRequest (RFC 6960 §4.1.1).
    #[error("the request is malformed (RFC 6960 section 4.1.1): {0}")]
    Malformed(#[from] der::Error),
    /// A version other than v1.
    #[error("the request has version {0}, not v1 (RFC 6960 section 4.1.1)")]
    Version(u8),
    /// No certificate is asked about.
    #[error("the request asks about no certificate (RFC 6960 section 4.1.1)")]
    Empty,
}

impl<'a> Request<'a> {
    /// Reads a request. A signature is stepped over: responders may ignore it (RFC 6960 §4.1.2).
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, RequestError> {
        if bytes.len() > MAX_REQUEST_BYTES {
            return Err(RequestError::TooLarge);
        }
        let mut outer = Reader::new(der::only(bytes, der::SEQUENCE)?);
        let mut tbs_request = Reader::new(outer.content(der::SEQUENCE)?);
        outer.optional(der::context_constructed(0))?;
        outer.end()?;
        if let Some(version) = tbs_request.optional(der::context_constructed(0))? {
            let version = der::small_integer(der::only(version, der::INTEGER)?)?;
            if version != 0 {
                return Err(RequestError::Version(version));
            }
        }
        tbs_request.optional(der::context_constructed(1))?;
        let mut list = Reader::new(tbs_request.content(der::SEQUENCE)?);
        let extensions = extension::read(tbs_request.optional(der::context_constructed(2))?)?;
        tbs_request.end()?;

        let mut cert_ids = Vec::new();
        let mut single_extensions = Vec::new();
        while !list.is_empty() {
            if cert_ids.len() >= MAX_REQUESTED {
                return Err(der::Error::TooMany(MAX_REQUESTED).into());
            }
            let mut request = Reader::new(list.content(der::SEQUENCE)?);
            cert_ids.push(ReceivedCertId::read(&mut request)?);
            let tagged = request.optional(der::context_constructed(0))?;
            single_extensions.extend(extension::read(tagged)?);
            request.end()?;
        }
        if cert_ids.is_empty() {
            return Err(RequestError::Empty);
        }
        let nonce = extension::find(&extensions, NONCE)
            .map(|value| der::only(value, der::OCTET_STRING))
            .transpose()?;
        Ok(Request {
            cert_ids,
            nonce,
            extensions,
            single_extensions,
        })
    }
}
