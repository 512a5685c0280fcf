//! Serial numbers between octets and text.
//!
//! Pure. In a request, a certificate and an [`Inquiry`](super::Inquiry) a serial number is the
//! content octets of a DER INTEGER: big-endian two's complement in its shortest form (X.690 §8.3),
//! so that 128 is `[0x00, 0x80]`. Databases have integers or hexadecimal text.

use crate::text;

/// The content octets of the number that hexadecimal text states, never a negative one; `None`
/// where it states none. An integer of any width goes through its hexadecimal form:
/// ```
/// use staplerd::responder::serial;
///
/// let number: u64 = 0x03A2EF;
/// assert_eq!(serial::from_hexadecimal(&format!("{number:X}")).unwrap(), [0x03, 0xA2, 0xEF]);
/// assert_eq!(serial::from_hexadecimal("80").unwrap(), [0x00, 0x80]);
/// ```
pub fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let digits = text.trim_start_matches('0');
    let zeros = if digits.len().is_multiple_of(2) {
        "00"
    } else {
        "000"
    };
    let mut octets = text::from_hexadecimal(&format!("{zeros}{digits}"))?;
    // The shortest form of a positive number: a zero octet only where the next has its sign bit.
    if octets.get(1).is_some_and(|octet| *octet < 0x80) {
        octets.remove(0);
    }
    Some(octets)
}

/// The number that content octets state, as OpenSSL's `index.txt` writes it: hexadecimal digits in
/// upper case, two for each octet, after `-` where it is negative (which RFC 5280 §4.1.2.2 forbids
/// and some CAs did).
/// ```
/// use staplerd::responder::serial;
///
/// assert_eq!(serial::to_hexadecimal(&[0x00, 0x80]), "80");
/// assert_eq!(u64::from_str_radix(&serial::to_hexadecimal(&[3, 0xA2, 0xEF]), 16), Ok(0x03A2EF));
/// ```
pub fn to_hexadecimal(octets: &[u8]) -> String {
    let is_negative = octets.first().is_some_and(|first| *first >= 0x80);
    let mut magnitude = octets.to_vec();
    if is_negative {
        let mut carry = true;
        for octet in magnitude.iter_mut().rev() {
            (*octet, carry) = (!*octet).overflowing_add(carry.into());
        }
    }
    let zeros = magnitude.iter().take_while(|octet| **octet == 0).count();
    let start = zeros.min(magnitude.len().saturating_sub(1));
    let digits = magnitude.iter().skip(start);
    let digits: String = digits.map(|octet| format!("{octet:02X}")).collect();
    let sign = if is_negative { "-" } else { "" };
    format!("{sign}{digits}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn serial_numbers_have_the_shortest_form() {
        let cases: [(&str, Option<&[u8]>); 6] = [
            ("00", Some(&[0])),
            ("7F", Some(&[0x7f])),
            ("0080", Some(&[0, 0x80])),
            ("1ff", Some(&[1, 0xff])),
            ("", None),
            ("0g", None),
        ];
        for (text, expected) in cases {
            assert_eq!(from_hexadecimal(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_negative_number_is_not_taken_for_a_positive_one() {
        assert_eq!(to_hexadecimal(&[0x80]), "-80");
        assert_eq!(to_hexadecimal(&[0xff]), "-01");
        assert_eq!(to_hexadecimal(&[0xff, 0x7f]), "-81");
        assert_eq!(to_hexadecimal(&[0]), "00");
        assert_eq!(from_hexadecimal("-80"), None);
    }

    proptest! {
        #[test]
        fn every_integer_comes_back(number: u128) {
            let octets = from_hexadecimal(&format!("{number:X}")).unwrap();
            let text = to_hexadecimal(&octets);
            prop_assert_eq!(u128::from_str_radix(&text, 16), Ok(number));
            prop_assert_eq!(from_hexadecimal(&text), Some(octets));
        }
    }
}
