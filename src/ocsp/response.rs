//! OCSP responses: the received bytes taken apart, nothing judged.
//!
//! Decodes strict DER over the received bytes (RFC 6960 §4.2.1) and keeps raw what is verified or
//! hashed: tbsResponseData, CertIDs, names. Version v1, id-pkix-ocsp-basic and GeneralizedTime
//! only. Whether any of it is true is decided in `verify`.

use serde::{Deserialize, Serialize};

use super::cert_id::ReceivedCertId;
use super::extension::{self, BASIC_RESPONSE, Extension};
use super::rejection::{Rejection, ResponderError};
use crate::time::Timestamp;
use crate::x509::der::{self, Reader};
use crate::x509::signature::AlgorithmIdentifier;

/// Largest response that is read, in bytes.
pub const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// Most certificates a response may carry; real ones carry one, or a short chain.
const MAX_CERTIFICATES: usize = 16;

/// A successful response of type id-pkix-ocsp-basic.
#[derive(Clone, Debug)]
pub struct BasicResponse<'a> {
    /// The bytes the signature is over.
    pub tbs_response_data: &'a [u8],
    /// Who says to have signed it.
    pub responder_id: ResponderId<'a>,
    /// When it was signed.
    pub produced_at: Timestamp,
    /// What it says, certificate by certificate.
    pub single_responses: Vec<SingleResponse<'a>>,
    /// responseExtensions.
    pub extensions: Vec<Extension<'a>>,
    /// What it is signed with.
    pub signature_algorithm: AlgorithmIdentifier<'a>,
    /// The signature's octets.
    pub signature: &'a [u8],
    /// The certificates sent along, raw and unread.
    pub certificates: Vec<&'a [u8]>,
}

/// Who signed (RFC 6960 §4.2.2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResponderId<'a> {
    /// The subject of the signer's certificate, a raw Name.
    ByName(&'a [u8]),
    /// SHA-1 of the signer's public key bits, 20 octets.
    ByKey(&'a [u8]),
}

/// The status of one certificate (RFC 6960 §4.2.1).
#[derive(Clone, Debug)]
pub struct SingleResponse<'a> {
    /// Which certificate.
    pub cert_id: ReceivedCertId<'a>,
    /// Its status.
    pub status: CertificateStatus,
    /// When the status was known to be correct.
    pub this_update: Timestamp,
    /// When newer information will be available at the latest.
    pub next_update: Option<Timestamp>,
    /// singleExtensions.
    pub extensions: Vec<Extension<'a>>,
}

/// What a response says about a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateStatus {
    /// Not revoked.
    Good,
    /// Revoked, or on hold.
    Revoked {
        /// Since when.
        at: Timestamp,
        /// Why, where the responder tells.
        reason: Option<RevocationReason>,
    },
    /// The responder does not know the certificate.
    Unknown,
}

impl CertificateStatus {
    /// Since when the certificate is revoked, if that cannot be taken back: every reason but
    /// certificateHold (RFC 5280 §5.3.1).
    pub fn revoked_for_ever(self) -> Option<Timestamp> {
        match self {
            CertificateStatus::Revoked { at, reason }
                if reason != Some(RevocationReason::CertificateHold) =>
            {
                Some(at)
            }
            _ => None,
        }
    }
}

/// CRLReason (RFC 5280 §5.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the names are RFC 5280's and say all there is")]
pub enum RevocationReason {
    Unspecified,
    KeyCompromise,
    CaCompromise,
    AffiliationChanged,
    Superseded,
    CessationOfOperation,
    CertificateHold,
    RemoveFromCrl,
    PrivilegeWithdrawn,
    AaCompromise,
}

impl RevocationReason {
    fn from_number(number: u8) -> Result<Self, der::Error> {
        Ok(match number {
            0 => RevocationReason::Unspecified,
            1 => RevocationReason::KeyCompromise,
            2 => RevocationReason::CaCompromise,
            3 => RevocationReason::AffiliationChanged,
            4 => RevocationReason::Superseded,
            5 => RevocationReason::CessationOfOperation,
            6 => RevocationReason::CertificateHold,
            8 => RevocationReason::RemoveFromCrl,
            9 => RevocationReason::PrivilegeWithdrawn,
            10 => RevocationReason::AaCompromise,
            undefined => return Err(der::Error::UndefinedValue(undefined)),
        })
    }

    /// The name RFC 5280 gives it.
    pub fn name(self) -> &'static str {
        match self {
            RevocationReason::Unspecified => "unspecified",
            RevocationReason::KeyCompromise => "keyCompromise",
            RevocationReason::CaCompromise => "cACompromise",
            RevocationReason::AffiliationChanged => "affiliationChanged",
            RevocationReason::Superseded => "superseded",
            RevocationReason::CessationOfOperation => "cessationOfOperation",
            RevocationReason::CertificateHold => "certificateHold",
            RevocationReason::RemoveFromCrl => "removeFromCRL",
            RevocationReason::PrivilegeWithdrawn => "privilegeWithdrawn",
            RevocationReason::AaCompromise => "aACompromise",
        }
    }
}

/// Takes a response apart.
///
/// # Errors
/// [`Rejection::TooLarge`], [`Rejection::Malformed`], [`Rejection::Responder`] where the responder
/// answered with an error, [`Rejection::ResponseType`], [`Rejection::Version`].
pub fn decode(bytes: &[u8]) -> Result<BasicResponse<'_>, Rejection> {
    if bytes.len() > MAX_RESPONSE_BYTES {
        return Err(Rejection::TooLarge {
            bytes: bytes.len(),
            maximum: MAX_RESPONSE_BYTES,
        });
    }
    let in_part = |part| move |error| Rejection::Malformed { part, error };
    let outer = in_part("OCSPResponse");
    let mut response = Reader::new(der::only(bytes, der::SEQUENCE).map_err(outer)?);
    let status = response
        .content(der::ENUMERATED)
        .and_then(der::small_integer)
        .map_err(outer)?;
    let response_bytes = response
        .optional(der::context_constructed(0))
        .map_err(outer)?;
    response.end().map_err(outer)?;
    let response_bytes = match (status, response_bytes) {
        (0, Some(response_bytes)) => response_bytes,
        // responseBytes is set if, and only if, the status is successful (§4.2.1).
        (0, None) => return Err(outer(der::Error::Truncated)),
        (_, Some(extra)) => return Err(outer(der::Error::TrailingBytes(extra.len()))),
        (error, None) => {
            return Err(ResponderError::from_number(error).map_or_else(
                || outer(der::Error::UndefinedValue(error)),
                Rejection::Responder,
            ));
        }
    };

    let outer = in_part("ResponseBytes");
    let mut response_bytes = Reader::new(der::only(response_bytes, der::SEQUENCE).map_err(outer)?);
    let response_type = response_bytes
        .content(der::OBJECT_IDENTIFIER)
        .and_then(der::object_identifier)
        .map_err(outer)?;
    let basic = response_bytes.content(der::OCTET_STRING).map_err(outer)?;
    response_bytes.end().map_err(outer)?;
    if response_type != BASIC_RESPONSE {
        return Err(Rejection::ResponseType {
            found: der::dotted(response_type),
        });
    }
    basic_response(basic)
}

fn basic_response(bytes: &[u8]) -> Result<BasicResponse<'_>, Rejection> {
    let outer = |error| Rejection::Malformed {
        part: "BasicOCSPResponse",
        error,
    };
    let mut basic = Reader::new(der::only(bytes, der::SEQUENCE).map_err(outer)?);
    let tbs_response_data = basic.element(der::SEQUENCE).map_err(outer)?;
    let signature_algorithm = basic
        .content(der::SEQUENCE)
        .and_then(AlgorithmIdentifier::from_content)
        .map_err(outer)?;
    let signature = basic
        .content(der::BIT_STRING)
        .and_then(der::bit_string)
        .map_err(outer)?;
    let certificates = basic
        .optional(der::context_constructed(0))
        .and_then(certificates)
        .map_err(outer)?;
    basic.end().map_err(outer)?;
    let data = response_data(tbs_response_data.content)?;
    Ok(BasicResponse {
        tbs_response_data: tbs_response_data.raw,
        responder_id: data.responder_id,
        produced_at: data.produced_at,
        single_responses: data.single_responses,
        extensions: data.extensions,
        signature_algorithm,
        signature,
        certificates,
    })
}

fn certificates(tagged: Option<&[u8]>) -> Result<Vec<&[u8]>, der::Error> {
    let mut certificates = Vec::new();
    let Some(tagged) = tagged else {
        return Ok(certificates);
    };
    let mut list = Reader::new(der::only(tagged, der::SEQUENCE)?);
    while !list.is_empty() {
        if certificates.len() >= MAX_CERTIFICATES {
            return Err(der::Error::TooMany(MAX_CERTIFICATES));
        }
        certificates.push(list.element(der::SEQUENCE)?.raw);
    }
    Ok(certificates)
}

struct ResponseData<'a> {
    responder_id: ResponderId<'a>,
    produced_at: Timestamp,
    single_responses: Vec<SingleResponse<'a>>,
    extensions: Vec<Extension<'a>>,
}

fn response_data(content: &[u8]) -> Result<ResponseData<'_>, Rejection> {
    let outer = |error| Rejection::Malformed {
        part: "ResponseData",
        error,
    };
    let mut data = Reader::new(content);
    if let Some(version) = data.optional(der::context_constructed(0)).map_err(outer)? {
        let version = der::only(version, der::INTEGER)
            .and_then(der::small_integer)
            .map_err(outer)?;
        if version != 0 {
            return Err(Rejection::Version {
                found: u16::from(version) + 1,
            });
        }
    }
    let responder_id = responder_id(&mut data).map_err(outer)?;
    let produced_at = data
        .content(der::GENERALIZED_TIME)
        .and_then(der::generalized_time)
        .map_err(outer)?;
    let mut list = Reader::new(data.content(der::SEQUENCE).map_err(outer)?);
    let extensions = data
        .optional(der::context_constructed(1))
        .and_then(extension::read)
        .map_err(outer)?;
    data.end().map_err(outer)?;
    let mut single_responses = Vec::new();
    while !list.is_empty() {
        let single = list
            .content(der::SEQUENCE)
            .and_then(single_response)
            .map_err(|error| Rejection::Malformed {
                part: "SingleResponse",
                error,
            })?;
        single_responses.push(single);
    }
    Ok(ResponseData {
        responder_id,
        produced_at,
        single_responses,
        extensions,
    })
}

fn responder_id<'a>(data: &mut Reader<'a>) -> Result<ResponderId<'a>, der::Error> {
    const SHA1_BYTES: usize = 20;
    if let Some(name) = data.optional(der::context_constructed(1))? {
        der::only(name, der::SEQUENCE)?;
        return Ok(ResponderId::ByName(name));
    }
    let key_hash = der::only(
        data.content(der::context_constructed(2))?,
        der::OCTET_STRING,
    )?;
    match key_hash.len() {
        SHA1_BYTES => Ok(ResponderId::ByKey(key_hash)),
        length => Err(match length.checked_sub(SHA1_BYTES) {
            None => der::Error::Truncated,
            Some(more) => der::Error::TrailingBytes(more),
        }),
    }
}

fn single_response(content: &[u8]) -> Result<SingleResponse<'_>, der::Error> {
    let mut single = Reader::new(content);
    let cert_id = ReceivedCertId::read(&mut single)?;
    let status = certificate_status(single.any()?)?;
    let this_update = der::generalized_time(single.content(der::GENERALIZED_TIME)?)?;
    let next_update = single
        .optional(der::context_constructed(0))?
        .map(|tagged| der::only(tagged, der::GENERALIZED_TIME).and_then(der::generalized_time))
        .transpose()?;
    let extensions = extension::read(single.optional(der::context_constructed(1))?)?;
    single.end()?;
    Ok(SingleResponse {
        cert_id,
        status,
        this_update,
        next_update,
        extensions,
    })
}

fn certificate_status(element: der::Element<'_>) -> Result<CertificateStatus, der::Error> {
    const GOOD: u8 = der::context_primitive(0);
    const REVOKED: u8 = der::context_constructed(1);
    const UNKNOWN: u8 = der::context_primitive(2);
    match element.tag {
        GOOD => der::null(element.content).map(|()| CertificateStatus::Good),
        UNKNOWN => der::null(element.content).map(|()| CertificateStatus::Unknown),
        REVOKED => {
            let mut info = Reader::new(element.content);
            let at = der::generalized_time(info.content(der::GENERALIZED_TIME)?)?;
            let reason = info
                .optional(der::context_constructed(0))?
                .map(|tagged| {
                    der::only(tagged, der::ENUMERATED)
                        .and_then(der::small_integer)
                        .and_then(RevocationReason::from_number)
                })
                .transpose()?;
            info.end()?;
            Ok(CertificateStatus::Revoked { at, reason })
        }
        found => Err(der::Error::UnexpectedTag {
            expected: GOOD,
            found,
        }),
    }
}
