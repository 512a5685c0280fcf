//! A strict reader, and a small writer, of DER.
//!
//! Reads one element after the other out of received bytes and keeps every element's raw form, so
//! that what is hashed or verified is what came in. Refuses everything that BER allows and DER does
//! not: indefinite and non-minimal lengths, padded integers, odd booleans, times without seconds.
//! It never descends by itself; how deep a structure goes is written down by its caller, so neither
//! depth nor time depends on the input. Governed by X.690 §8 to §11.

use crate::time::Timestamp;

/// Identifier octet of BOOLEAN.
pub const BOOLEAN: u8 = 0x01;
/// Identifier octet of INTEGER.
pub const INTEGER: u8 = 0x02;
/// Identifier octet of BIT STRING.
pub const BIT_STRING: u8 = 0x03;
/// Identifier octet of OCTET STRING.
pub const OCTET_STRING: u8 = 0x04;
/// Identifier octet of NULL.
pub const NULL: u8 = 0x05;
/// Identifier octet of OBJECT IDENTIFIER.
pub const OBJECT_IDENTIFIER: u8 = 0x06;
/// Identifier octet of ENUMERATED.
pub const ENUMERATED: u8 = 0x0a;
/// Identifier octet of GeneralizedTime.
pub const GENERALIZED_TIME: u8 = 0x18;
/// Identifier octet of SEQUENCE and SEQUENCE OF.
pub const SEQUENCE: u8 = 0x30;

/// Identifier octet of a context-specific primitive element, as `[0] IMPLICIT NULL` has it.
pub const fn context_primitive(number: u8) -> u8 {
    0x80 | number
}

/// Identifier octet of a context-specific constructed element, as `[0] EXPLICIT …` has it.
pub const fn context_constructed(number: u8) -> u8 {
    0xa0 | number
}

/// The most octets of a certificate's serial number, not counting a zero that only says that it is
/// positive (RFC 5280 §4.1.2.2).
pub const MAX_SERIAL_OCTETS: usize = 20;

/// Why bytes are not the DER that was expected (X.690).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The input ends before the element does.
    #[error("the data ends too early")]
    Truncated,
    /// A tag number above 30, which nothing in X.509 or OCSP has.
    #[error("a multi-byte tag")]
    LongTag,
    /// Length octet 0x80: BER only (X.690 §10.1).
    #[error("an indefinite length (BER, not DER)")]
    IndefiniteLength,
    /// A length written in more octets than it needs (X.690 §10.1), or in more than four.
    #[error("a length that is not written in the shortest form (BER, not DER)")]
    LongLength,
    /// Another element stands where this one belongs.
    #[error("tag 0x{found:02x} where 0x{expected:02x} belongs")]
    UnexpectedTag {
        /// The identifier octet the structure asks for.
        expected: u8,
        /// The identifier octet that is there.
        found: u8,
    },
    /// Bytes follow after the structure's end.
    #[error("{0} bytes follow after the end")]
    TrailingBytes(usize),
    /// A serial number of more than [`MAX_SERIAL_OCTETS`].
    #[error("a serial number of {0} octets, RFC 5280 section 4.1.2.2 allows 20")]
    LongSerial(usize),
    /// An INTEGER or ENUMERATED that is empty or padded (X.690 §8.3.2).
    #[error("an integer that is empty or padded")]
    Integer,
    /// A BOOLEAN that is neither 00 nor FF (X.690 §11.1).
    #[error("a boolean that is neither 00 nor FF")]
    Boolean,
    /// A BIT STRING that is empty or does not end on an octet.
    #[error("a bit string that is not a whole number of octets")]
    BitString,
    /// An OBJECT IDENTIFIER that is empty, padded or cut off (X.690 §8.19).
    #[error("an ill-formed object identifier")]
    ObjectIdentifier,
    /// A NULL with content.
    #[error("a NULL that is not empty")]
    Null,
    /// A GeneralizedTime not in the form `YYYYMMDDHHMMSSZ` (X.690 §11.7), or no such second.
    #[error("a GeneralizedTime that is not YYYYMMDDHHMMSSZ")]
    GeneralizedTime,
    /// A GeneralizedTime with fractions of a second, which clients refuse (RFC 5280 §4.1.2.5.2).
    #[error("a time with fractional seconds, which RFC 5280 section 4.1.2.5.2 forbids")]
    FractionalSeconds,
    /// A value that the structure does not define, such as revocation reason 7.
    #[error("the undefined value {0}")]
    UndefinedValue(u8),
    /// An extension that is there twice (RFC 5280 §4.2).
    #[error("the same extension twice")]
    DuplicateExtension,
    /// A list with more elements than are read.
    #[error("more than {0} elements in a list")]
    TooMany(usize),
}

/// One element: identifier octet, content, and both with the length between them as received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Element<'a> {
    /// The identifier octet.
    pub tag: u8,
    /// The content octets.
    pub content: &'a [u8],
    /// The whole element.
    pub raw: &'a [u8],
}

/// Reads elements one after the other.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of the elements that `bytes` consists of.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// Whether everything has been read.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next element, of any type.
    ///
    /// # Errors
    /// What X.690 has against it.
    pub fn any(&mut self) -> Result<Element<'a>, Error> {
        let start = self.rest;
        let (&tag, after_tag) = start.split_first().ok_or(Error::Truncated)?;
        if tag & 0x1f == 0x1f {
            return Err(Error::LongTag);
        }
        let (length, after_length) = read_length(after_tag)?;
        let (content, rest) = after_length
            .split_at_checked(length)
            .ok_or(Error::Truncated)?;
        let (raw, _) = start
            .split_at_checked(start.len().saturating_sub(rest.len()))
            .ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(Element { tag, content, raw })
    }

    /// The next element, which must have the identifier octet `tag`.
    ///
    /// # Errors
    /// What X.690 has against it, or the tag found instead.
    pub fn element(&mut self, tag: u8) -> Result<Element<'a>, Error> {
        match self.rest.first() {
            Some(&found) if found != tag => Err(Error::UnexpectedTag {
                expected: tag,
                found,
            }),
            _ => self.any(),
        }
    }

    /// The content of the next element, which must have the identifier octet `tag`.
    ///
    /// # Errors
    /// As [`Reader::element`].
    pub fn content(&mut self, tag: u8) -> Result<&'a [u8], Error> {
        self.element(tag).map(|element| element.content)
    }

    /// The content of the next element if it has the identifier octet `tag`; else nothing is read.
    ///
    /// # Errors
    /// What X.690 has against it.
    pub fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Error> {
        match self.rest.first() {
            Some(&found) if found == tag => self.content(tag).map(Some),
            _ => Ok(None),
        }
    }

    /// Ends the reading: nothing may be left.
    ///
    /// # Errors
    /// [`Error::TrailingBytes`].
    pub fn end(self) -> Result<(), Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Error::TrailingBytes(self.rest.len()))
        }
    }
}

fn read_length(bytes: &[u8]) -> Result<(usize, &[u8]), Error> {
    let (&first, rest) = bytes.split_first().ok_or(Error::Truncated)?;
    if first < 0x80 {
        return Ok((usize::from(first), rest));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 {
        return Err(Error::IndefiniteLength);
    }
    if count > 4 {
        return Err(Error::LongLength);
    }
    let (octets, rest) = rest.split_at_checked(count).ok_or(Error::Truncated)?;
    let length = octets
        .iter()
        .fold(0_usize, |length, &octet| (length << 8) | usize::from(octet));
    if length < 0x80 || octets.first() == Some(&0) {
        return Err(Error::LongLength);
    }
    Ok((length, rest))
}

/// Reads `bytes` as exactly one element with the identifier octet `tag` and returns its content.
///
/// # Errors
/// What X.690 has against it, and [`Error::TrailingBytes`].
pub fn only(bytes: &[u8], tag: u8) -> Result<&[u8], Error> {
    let mut reader = Reader::new(bytes);
    let content = reader.content(tag)?;
    reader.end()?;
    Ok(content)
}

/// Checks the content of an INTEGER and returns it: at least one octet, no padding (X.690 §8.3).
///
/// # Errors
/// [`Error::Integer`].
pub fn integer(content: &[u8]) -> Result<&[u8], Error> {
    match content {
        [] | [0x00, 0x00..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => Err(Error::Integer),
        _ => Ok(content),
    }
}

/// Checks the content of a serial number and returns it: an INTEGER of at most
/// [`MAX_SERIAL_OCTETS`], so that it cannot carry a text of a stranger's choosing.
///
/// # Errors
/// [`Error::Integer`] and [`Error::LongSerial`].
pub fn serial_number(content: &[u8]) -> Result<&[u8], Error> {
    match integer(content).map(octets_of_serial)? {
        octets if octets > MAX_SERIAL_OCTETS => Err(Error::LongSerial(octets)),
        _ => Ok(content),
    }
}

/// How many octets the serial number with this content has.
pub(super) fn octets_of_serial(content: &[u8]) -> usize {
    content.strip_prefix(&[0]).unwrap_or(content).len()
}

/// The value of an INTEGER or ENUMERATED between 0 and 127.
///
/// # Errors
/// [`Error::Integer`] for an ill-formed one, a negative one or one above 127.
pub fn small_integer(content: &[u8]) -> Result<u8, Error> {
    match content {
        [value @ 0x00..=0x7f] => Ok(*value),
        _ => Err(Error::Integer),
    }
}

/// The value of a BOOLEAN (X.690 §11.1).
///
/// # Errors
/// [`Error::Boolean`].
pub fn boolean(content: &[u8]) -> Result<bool, Error> {
    match content {
        [0x00] => Ok(false),
        [0xff] => Ok(true),
        _ => Err(Error::Boolean),
    }
}

/// The octets of a BIT STRING without unused bits, as keys and signatures are.
///
/// # Errors
/// [`Error::BitString`].
pub fn bit_string(content: &[u8]) -> Result<&[u8], Error> {
    match content.split_first() {
        Some((0, octets)) => Ok(octets),
        _ => Err(Error::BitString),
    }
}

/// Checks the content of an OBJECT IDENTIFIER and returns it (X.690 §8.19).
///
/// # Errors
/// [`Error::ObjectIdentifier`].
pub fn object_identifier(content: &[u8]) -> Result<&[u8], Error> {
    let mut starts_number = true;
    for &octet in content {
        if starts_number && octet == 0x80 {
            return Err(Error::ObjectIdentifier);
        }
        starts_number = octet & 0x80 == 0;
    }
    if content.is_empty() || !starts_number {
        return Err(Error::ObjectIdentifier);
    }
    Ok(content)
}

/// An object identifier's content in dotted numbers, for people.
pub fn dotted(content: &[u8]) -> String {
    let mut numbers: Vec<u128> = Vec::new();
    let mut number = 0_u128;
    for &octet in content {
        number = number.saturating_mul(128) | u128::from(octet & 0x7f);
        if octet & 0x80 == 0 {
            if numbers.is_empty() {
                let root = (number / 40).min(2);
                numbers.push(root);
                number = number.saturating_sub(root.saturating_mul(40));
            }
            numbers.push(number);
            number = 0;
        }
    }
    let texts: Vec<String> = numbers.iter().map(u128::to_string).collect();
    texts.join(".")
}

/// The time a GeneralizedTime states: `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5.2).
///
/// # Errors
/// [`Error::FractionalSeconds`], and [`Error::GeneralizedTime`] for any other form and for seconds
/// the calendar lacks.
pub fn generalized_time(content: &[u8]) -> Result<Timestamp, Error> {
    let (date_and_time, rest) = content.split_at_checked(14).ok_or(Error::GeneralizedTime)?;
    match rest {
        [b'Z'] => {}
        [b'.', fraction @ .., b'Z']
            if !fraction.is_empty() && fraction.iter().all(u8::is_ascii_digit) =>
        {
            return Err(Error::FractionalSeconds);
        }
        _ => return Err(Error::GeneralizedTime),
    }
    let (year, fields) = date_and_time
        .split_at_checked(4)
        .ok_or(Error::GeneralizedTime)?;
    let mut pairs = fields.chunks_exact(2).map(decimal);
    let mut next = || -> Result<u8, Error> {
        let value = pairs.next().flatten().ok_or(Error::GeneralizedTime)?;
        u8::try_from(value).map_err(|_| Error::GeneralizedTime)
    };
    let (month, day, hour, minute, second) = (next()?, next()?, next()?, next()?, next()?);
    let year = decimal(year).ok_or(Error::GeneralizedTime)?;
    Timestamp::from_calendar(year, month, day, hour, minute, second).ok_or(Error::GeneralizedTime)
}

fn decimal(digits: &[u8]) -> Option<i32> {
    digits.iter().try_fold(0_i32, |value, &digit| {
        let digit = i32::try_from(char::from(digit).to_digit(10)?).ok()?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// Checks the content of a NULL.
///
/// # Errors
/// [`Error::Null`].
pub fn null(content: &[u8]) -> Result<(), Error> {
    if content.is_empty() {
        Ok(())
    } else {
        Err(Error::Null)
    }
}

/// Writes one element with the identifier octet `tag` around the concatenation of `parts`.
pub fn encode(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut element = Vec::with_capacity(length.saturating_add(6));
    element.push(tag);
    let octets = length.to_be_bytes();
    let significant: Vec<u8> = octets.into_iter().skip_while(|&octet| octet == 0).collect();
    match significant.as_slice() {
        [] => element.push(0),
        [short @ 0..=0x7f] => element.push(*short),
        long => {
            // A usize has at most eight octets.
            element.push(0x80 | u8::try_from(long.len()).unwrap_or(8));
            element.extend_from_slice(long);
        }
    }
    for part in parts {
        element.extend_from_slice(part);
    }
    element
}
