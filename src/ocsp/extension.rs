//! The extensions of requests and responses (RFC 6960 §4.4).
//!
//! Reads the list only; what an extension means is decided where it is used. An empty list is
//! accepted although RFC 5280 §4.2 forbids it: responders send it, and it says nothing.

use crate::x509::der::{self, Reader};

/// id-pkix-ocsp-basic, the only response type there is (RFC 6960 §4.2.1).
pub const BASIC_RESPONSE: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x30\x01\x01";
/// id-pkix-ocsp-nonce (RFC 9654 §2.1).
pub const NONCE: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x30\x01\x02";
/// id-pkix-ocsp-extended-revoke (RFC 6960 §4.4.8).
pub const EXTENDED_REVOKE: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x30\x01\x09";
/// The list of signed certificate timestamps (RFC 6962 §3.3).
pub const SIGNED_CERTIFICATE_TIMESTAMPS: &[u8] = b"\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x05";

/// Most extensions that one list may have; it bounds the search for duplicates.
const MAX_EXTENSIONS: usize = 32;

/// One extension.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extension<'a> {
    /// Content octets of its object identifier.
    pub identifier: &'a [u8],
    /// Whether a reader that does not understand it must refuse the whole.
    pub critical: bool,
    /// Content of extnValue.
    pub value: &'a [u8],
}

/// Reads the content of an EXPLICIT tag around `Extensions`; `None` where the tag is absent.
///
/// # Errors
/// What X.690 has against it, or an extension that is there twice.
pub fn read(tagged: Option<&[u8]>) -> Result<Vec<Extension<'_>>, der::Error> {
    let mut extensions: Vec<Extension<'_>> = Vec::new();
    let Some(tagged) = tagged else {
        return Ok(extensions);
    };
    let mut list = Reader::new(der::only(tagged, der::SEQUENCE)?);
    while !list.is_empty() {
        let mut fields = Reader::new(list.content(der::SEQUENCE)?);
        let identifier = der::object_identifier(fields.content(der::OBJECT_IDENTIFIER)?)?;
        let critical = fields
            .optional(der::BOOLEAN)?
            .map_or(Ok(false), der::boolean)?;
        let value = fields.content(der::OCTET_STRING)?;
        fields.end()?;
        if extensions.len() >= MAX_EXTENSIONS {
            return Err(der::Error::TooMany(MAX_EXTENSIONS));
        }
        if find(&extensions, identifier).is_some() {
            return Err(der::Error::DuplicateExtension);
        }
        extensions.push(Extension {
            identifier,
            critical,
            value,
        });
    }
    Ok(extensions)
}

/// The value of the extension `identifier`, where it is there.
pub fn find<'a>(extensions: &[Extension<'a>], identifier: &[u8]) -> Option<&'a [u8]> {
    extensions
        .iter()
        .find(|extension| extension.identifier == identifier)
        .map(|extension| extension.value)
}
