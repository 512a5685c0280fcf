//! The signatures that are accepted, as one table.
//!
//! A signature is checked with the row that names its algorithm *and* the kind of key it was made
//! with; what has no row is refused by construction: MD2, MD5, DSA, RSA below 1024 bits, other
//! curves. Rows marked legacy (SHA-1, RSA below 2048 bits) count only where the caller allows them.
//! Identifiers: RFC 4055 (RSA), RFC 5758 (ECDSA), RFC 8410 (Ed25519), RFC 5480 (curves).

use aws_lc_rs::signature::{self as primitive, UnparsedPublicKey, VerificationAlgorithm};

use super::der::{self, Reader};

/// Which rows of the table count.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acceptance {
    /// Only what the Baseline Requirements allow (§7.1.3.2.1).
    Modern,
    /// Also SHA-1 signatures and RSA keys from 1024 bits on.
    Legacy,
}

/// What a good signature was made with, the weaker the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Strength {
    /// An algorithm that is accepted everywhere.
    Modern,
    /// SHA-1, or RSA below 2048 bits.
    Legacy,
}

/// Why a signature was not accepted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// Algorithm, parameters or key are not in the table.
    #[error("{algorithm} with a key of kind {key} is not accepted")]
    Unsupported {
        /// The signature algorithm, by name or object identifier.
        algorithm: String,
        /// The key's kind, by name or object identifier.
        key: String,
    },
    /// RSASSA-PSS with a salt of another length than the digest's.
    #[error("{algorithm}, salt of {found} octets; {accepted} are accepted")]
    SaltLength {
        /// The row's name.
        algorithm: &'static str,
        /// Octets of the salt.
        found: u32,
        /// Octets of the digest.
        accepted: u32,
    },
    /// In the table, but only for those who allow legacy algorithms.
    #[error("{algorithm} is too weak")]
    Weak {
        /// The row's name.
        algorithm: &'static str,
    },
    /// The signature was made by another key, or over other bytes.
    #[error("the signature does not verify")]
    Invalid,
}

/// What kind of key a SubjectPublicKeyInfo holds, as far as the table tells them apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum KeyType {
    /// RSA with a modulus of 2048 bits or more.
    Rsa,
    /// RSA with a modulus of 1024 to 2047 bits.
    ShortRsa,
    /// RSA with a modulus of 2048 bits or more, for RSASSA-PSS only.
    RsaPss,
    P256,
    P384,
    P521,
    Ed25519,
}

enum Parameters {
    /// RFC 4055 §5: must be NULL, and absent ones must be accepted too.
    NullOrAbsent,
    Absent,
    /// RSASSA-PSS-params (RFC 4055 §3.1): this hash, MGF1 with this hash, a salt of this many
    /// octets, as many as the hash has.
    Pss(&'static [u8], u32),
}

struct Row {
    name: &'static str,
    algorithm: &'static [u8],
    parameters: Parameters,
    key: KeyType,
    verification: &'static dyn VerificationAlgorithm,
    strength: Strength,
}

const SHA1_WITH_RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05";
const SHA256_WITH_RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b";
const SHA384_WITH_RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c";
const SHA512_WITH_RSA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d";
const RSASSA_PSS: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";
const ECDSA_WITH_SHA1: &[u8] = b"\x2a\x86\x48\xce\x3d\x04\x01";
const ECDSA_WITH_SHA256: &[u8] = b"\x2a\x86\x48\xce\x3d\x04\x03\x02";
const ECDSA_WITH_SHA384: &[u8] = b"\x2a\x86\x48\xce\x3d\x04\x03\x03";
const ECDSA_WITH_SHA512: &[u8] = b"\x2a\x86\x48\xce\x3d\x04\x03\x04";
const ED25519: &[u8] = b"\x2b\x65\x70";

const RSA_ENCRYPTION: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const EC_PUBLIC_KEY: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";
const NULL_PARAMETERS: &[u8] = b"\x05\x00";
const CURVE_P256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const CURVE_P384: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x22";
const CURVE_P521: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x23";

const MGF1: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08";
const SHA256: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const SHA384: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x02";
const SHA512: &[u8] = b"\x60\x86\x48\x01\x65\x03\x04\x02\x03";

/// Every accepted combination of signature algorithm and key.
#[rustfmt::skip]
static TABLE: &[Row] = &[
    Row { name: "sha256WithRSAEncryption", algorithm: SHA256_WITH_RSA, parameters: Parameters::NullOrAbsent, key: KeyType::Rsa, verification: &primitive::RSA_PKCS1_2048_8192_SHA256, strength: Strength::Modern },
    Row { name: "sha384WithRSAEncryption", algorithm: SHA384_WITH_RSA, parameters: Parameters::NullOrAbsent, key: KeyType::Rsa, verification: &primitive::RSA_PKCS1_2048_8192_SHA384, strength: Strength::Modern },
    Row { name: "sha512WithRSAEncryption", algorithm: SHA512_WITH_RSA, parameters: Parameters::NullOrAbsent, key: KeyType::Rsa, verification: &primitive::RSA_PKCS1_2048_8192_SHA512, strength: Strength::Modern },
    Row { name: "RSASSA-PSS with SHA-256", algorithm: RSASSA_PSS, parameters: Parameters::Pss(SHA256, 32), key: KeyType::Rsa, verification: &primitive::RSA_PSS_2048_8192_SHA256, strength: Strength::Modern },
    Row { name: "RSASSA-PSS with SHA-384", algorithm: RSASSA_PSS, parameters: Parameters::Pss(SHA384, 48), key: KeyType::Rsa, verification: &primitive::RSA_PSS_2048_8192_SHA384, strength: Strength::Modern },
    Row { name: "RSASSA-PSS with SHA-512", algorithm: RSASSA_PSS, parameters: Parameters::Pss(SHA512, 64), key: KeyType::Rsa, verification: &primitive::RSA_PSS_2048_8192_SHA512, strength: Strength::Modern },
    Row { name: "RSASSA-PSS with SHA-256", algorithm: RSASSA_PSS, parameters: Parameters::Pss(SHA256, 32), key: KeyType::RsaPss, verification: &primitive::RSA_PSS_2048_8192_SHA256, strength: Strength::Modern },
    Row { name: "RSASSA-PSS with SHA-384", algorithm: RSASSA_PSS, parameters: Parameters::Pss(SHA384, 48), key: KeyType::RsaPss, verification: &primitive::RSA_PSS_2048_8192_SHA384, strength: Strength::Modern },
    Row { name: "RSASSA-PSS with SHA-512", algorithm: RSASSA_PSS, parameters: Parameters::Pss(SHA512, 64), key: KeyType::RsaPss, verification: &primitive::RSA_PSS_2048_8192_SHA512, strength: Strength::Modern },
    Row { name: "ecdsa-with-SHA256", algorithm: ECDSA_WITH_SHA256, parameters: Parameters::Absent, key: KeyType::P256, verification: &primitive::ECDSA_P256_SHA256_ASN1, strength: Strength::Modern },
    Row { name: "ecdsa-with-SHA384", algorithm: ECDSA_WITH_SHA384, parameters: Parameters::Absent, key: KeyType::P256, verification: &primitive::ECDSA_P256_SHA384_ASN1, strength: Strength::Modern },
    Row { name: "ecdsa-with-SHA512", algorithm: ECDSA_WITH_SHA512, parameters: Parameters::Absent, key: KeyType::P256, verification: &primitive::ECDSA_P256_SHA512_ASN1, strength: Strength::Modern },
    Row { name: "ecdsa-with-SHA256", algorithm: ECDSA_WITH_SHA256, parameters: Parameters::Absent, key: KeyType::P384, verification: &primitive::ECDSA_P384_SHA256_ASN1, strength: Strength::Modern },
    Row { name: "ecdsa-with-SHA384", algorithm: ECDSA_WITH_SHA384, parameters: Parameters::Absent, key: KeyType::P384, verification: &primitive::ECDSA_P384_SHA384_ASN1, strength: Strength::Modern },
    Row { name: "ecdsa-with-SHA512", algorithm: ECDSA_WITH_SHA512, parameters: Parameters::Absent, key: KeyType::P384, verification: &primitive::ECDSA_P384_SHA512_ASN1, strength: Strength::Modern },
    Row { name: "ecdsa-with-SHA256", algorithm: ECDSA_WITH_SHA256, parameters: Parameters::Absent, key: KeyType::P521, verification: &primitive::ECDSA_P521_SHA256_ASN1, strength: Strength::Modern },
    Row { name: "ecdsa-with-SHA384", algorithm: ECDSA_WITH_SHA384, parameters: Parameters::Absent, key: KeyType::P521, verification: &primitive::ECDSA_P521_SHA384_ASN1, strength: Strength::Modern },
    Row { name: "ecdsa-with-SHA512", algorithm: ECDSA_WITH_SHA512, parameters: Parameters::Absent, key: KeyType::P521, verification: &primitive::ECDSA_P521_SHA512_ASN1, strength: Strength::Modern },
    Row { name: "Ed25519", algorithm: ED25519, parameters: Parameters::Absent, key: KeyType::Ed25519, verification: &primitive::ED25519, strength: Strength::Modern },
    Row { name: "sha1WithRSAEncryption", algorithm: SHA1_WITH_RSA, parameters: Parameters::NullOrAbsent, key: KeyType::Rsa, verification: &primitive::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, strength: Strength::Legacy },
    Row { name: "sha1WithRSAEncryption by an RSA key below 2048 bits", algorithm: SHA1_WITH_RSA, parameters: Parameters::NullOrAbsent, key: KeyType::ShortRsa, verification: &primitive::RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, strength: Strength::Legacy },
    Row { name: "sha256WithRSAEncryption by an RSA key below 2048 bits", algorithm: SHA256_WITH_RSA, parameters: Parameters::NullOrAbsent, key: KeyType::ShortRsa, verification: &primitive::RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, strength: Strength::Legacy },
    Row { name: "sha512WithRSAEncryption by an RSA key below 2048 bits", algorithm: SHA512_WITH_RSA, parameters: Parameters::NullOrAbsent, key: KeyType::ShortRsa, verification: &primitive::RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, strength: Strength::Legacy },
    Row { name: "ecdsa-with-SHA1", algorithm: ECDSA_WITH_SHA1, parameters: Parameters::Absent, key: KeyType::P256, verification: &primitive::ECDSA_P256_SHA1_ASN1, strength: Strength::Legacy },
];

/// An AlgorithmIdentifier as received: the object identifier's content, and the parameters' raw
/// element (empty where absent).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AlgorithmIdentifier<'a> {
    /// Content octets of the OBJECT IDENTIFIER.
    pub algorithm: &'a [u8],
    /// The whole parameters element, or nothing.
    pub parameters: &'a [u8],
}

impl<'a> AlgorithmIdentifier<'a> {
    /// Reads the content of an AlgorithmIdentifier SEQUENCE (RFC 5280 §4.1.1.2).
    ///
    /// # Errors
    /// What X.690 has against it.
    pub fn from_content(content: &'a [u8]) -> Result<Self, der::Error> {
        let mut reader = Reader::new(content);
        let algorithm = der::object_identifier(reader.content(der::OBJECT_IDENTIFIER)?)?;
        let parameters = if reader.is_empty() {
            &[]
        } else {
            reader.any()?.raw
        };
        reader.end()?;
        Ok(AlgorithmIdentifier {
            algorithm,
            parameters,
        })
    }

    /// Whether the parameters are NULL or absent.
    pub fn has_no_parameters(&self) -> bool {
        self.parameters.is_empty() || self.parameters == NULL_PARAMETERS
    }
}

/// Checks that `signature` over `message` was made with `algorithm` by the key in
/// `public_key_info`, a raw SubjectPublicKeyInfo.
///
/// # Errors
/// [`Error`], also where the key is not readable (then as [`Error::Unsupported`]).
pub fn verify(
    public_key_info: &[u8],
    algorithm: AlgorithmIdentifier<'_>,
    message: &[u8],
    signature: &[u8],
    acceptance: Acceptance,
) -> Result<Strength, Error> {
    let unsupported = |key: String| Error::Unsupported {
        algorithm: algorithm_name(algorithm.algorithm),
        key,
    };
    let (key_algorithm, key_bits) =
        read_public_key(public_key_info).map_err(|_| unsupported("unreadable".to_owned()))?;
    let key = key_kind(key_algorithm, key_bits, algorithm)
        .ok_or_else(|| unsupported(der::dotted(key_algorithm.algorithm)))?;
    let row = TABLE
        .iter()
        .find(|row| row.key == key && row.matches(algorithm))
        .ok_or_else(|| {
            salt_length(key, algorithm).unwrap_or_else(|| unsupported(format!("{key:?}")))
        })?;
    if row.strength == Strength::Legacy && acceptance == Acceptance::Modern {
        return Err(Error::Weak {
            algorithm: row.name,
        });
    }
    UnparsedPublicKey::new(row.verification, key_bits)
        .verify(message, signature)
        .map_err(|_| Error::Invalid)?;
    Ok(row.strength)
}

impl Row {
    fn matches(&self, found: AlgorithmIdentifier<'_>) -> bool {
        self.algorithm == found.algorithm
            && match self.parameters {
                Parameters::NullOrAbsent => found.has_no_parameters(),
                Parameters::Absent => found.parameters.is_empty(),
                Parameters::Pss(hash, salt) => {
                    read_pss_parameters(found.parameters) == Ok(Some((hash, salt)))
                }
            }
    }
}

/// What is wrong with RSASSA-PSS parameters that would fit a row but for the salt.
fn salt_length(key: KeyType, found: AlgorithmIdentifier<'_>) -> Option<Error> {
    let (hash, salt) = read_pss_parameters(found.parameters).ok()??;
    TABLE.iter().find_map(|row| match row.parameters {
        Parameters::Pss(accepted_hash, accepted)
            if row.key == key && row.algorithm == found.algorithm && accepted_hash == hash =>
        {
            Some(Error::SaltLength {
                algorithm: row.name,
                found: salt,
                accepted,
            })
        }
        _ => None,
    })
}

fn algorithm_name(algorithm: &[u8]) -> String {
    if algorithm == RSASSA_PSS {
        return "RSASSA-PSS with these parameters".to_owned();
    }
    TABLE
        .iter()
        .find(|row| row.algorithm == algorithm)
        .map_or_else(|| der::dotted(algorithm), |row| row.name.to_owned())
}

/// Splits a raw SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) into the key's algorithm and its bits.
///
/// # Errors
/// What X.690 has against it.
pub fn read_public_key(
    public_key_info: &[u8],
) -> Result<(AlgorithmIdentifier<'_>, &[u8]), der::Error> {
    let mut reader = Reader::new(der::only(public_key_info, der::SEQUENCE)?);
    let algorithm = AlgorithmIdentifier::from_content(reader.content(der::SEQUENCE)?)?;
    let bits = der::bit_string(reader.content(der::BIT_STRING)?)?;
    reader.end()?;
    Ok((algorithm, bits))
}

/// What kind of key it is, as far as a TLS client tells servers which it understands (RFC 8446
/// §4.2.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyFamily {
    /// RSA of any size, for PKCS#1 and PSS signatures alike.
    Rsa,
    /// A NIST curve.
    Ecdsa,
    /// Ed25519.
    Ed25519,
}

/// The family of the key in a raw SubjectPublicKeyInfo; `None` for others, those for PSS only among
/// them.
pub fn key_family(public_key_info: &[u8]) -> Option<KeyFamily> {
    let (key, _) = read_public_key(public_key_info).ok()?;
    match key.algorithm {
        RSA_ENCRYPTION => Some(KeyFamily::Rsa),
        EC_PUBLIC_KEY => Some(KeyFamily::Ecdsa),
        ED25519 => Some(KeyFamily::Ed25519),
        _ => None,
    }
}

fn key_kind(
    key: AlgorithmIdentifier<'_>,
    bits: &[u8],
    signature: AlgorithmIdentifier<'_>,
) -> Option<KeyType> {
    match (key.algorithm, key.parameters) {
        (RSA_ENCRYPTION, _) if key.has_no_parameters() => match modulus_bits(bits).ok()? {
            2048.. => Some(KeyType::Rsa),
            1024.. => Some(KeyType::ShortRsa),
            _ => None,
        },
        // RFC 4055 §3.3: a key's own parameters, where there are any, bind the signature.
        (RSASSA_PSS, parameters) if parameters.is_empty() || parameters == signature.parameters => {
            (modulus_bits(bits).ok()? >= 2048).then_some(KeyType::RsaPss)
        }
        (EC_PUBLIC_KEY, CURVE_P256) => Some(KeyType::P256),
        (EC_PUBLIC_KEY, CURVE_P384) => Some(KeyType::P384),
        (EC_PUBLIC_KEY, CURVE_P521) => Some(KeyType::P521),
        (ED25519, []) => Some(KeyType::Ed25519),
        _ => None,
    }
}

/// The hash and the salt's length of RSASSA-PSS-params, where MGF1 uses the same hash and the
/// trailer field has its default; `None` where not.
fn read_pss_parameters(parameters: &[u8]) -> Result<Option<(&[u8], u32)>, der::Error> {
    let mut fields = Reader::new(der::only(parameters, der::SEQUENCE)?);
    let mut field = |number| fields.content(der::context_constructed(number));
    let (hash, mask, salt) = (field(0)?, field(1)?, field(2)?);
    fields.end()?;
    let nested = |content| AlgorithmIdentifier::from_content(der::only(content, der::SEQUENCE)?);
    let (hash, mask) = (nested(hash)?, nested(mask)?);
    let mask_hash = nested(mask.parameters)?;
    let salt = salt_octets(der::only(salt, der::INTEGER)?)?;
    let fits = mask.algorithm == MGF1
        && mask_hash.algorithm == hash.algorithm
        && mask_hash.has_no_parameters()
        && hash.has_no_parameters();
    Ok(fits.then_some((hash.algorithm, salt)))
}

/// A salt's length: 0 to 65535.
fn salt_octets(content: &[u8]) -> Result<u32, der::Error> {
    match *der::integer(content)? {
        [value @ 0..=0x7f] => Ok(value.into()),
        [high @ 0..=0x7f, low] | [0, high, low] => Ok(u16::from_be_bytes([high, low]).into()),
        _ => Err(der::Error::Integer),
    }
}

/// The size of an RSAPublicKey's modulus (RFC 8017 A.1.1).
fn modulus_bits(key: &[u8]) -> Result<usize, der::Error> {
    let mut reader = Reader::new(der::only(key, der::SEQUENCE)?);
    let modulus = der::integer(reader.content(der::INTEGER)?)?;
    let zeros = modulus.iter().take_while(|&&octet| octet == 0).count();
    let [first, rest @ ..] = modulus.get(zeros..).unwrap_or_default() else {
        return Ok(0);
    };
    let bits = usize::try_from(first.checked_ilog2().unwrap_or_default()).unwrap_or_default();
    Ok(rest
        .len()
        .saturating_mul(8)
        .saturating_add(bits)
        .saturating_add(1))
}
