//! Octets as hexadecimal digits, two for each.

/// The most octets that people are shown.
const SHOWN: usize = 64;

/// Octets in lower-case digits, such as `03a2efcf`.
pub fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The same for people: the first 64 octets, and `…` where there are more.
pub fn shown_hexadecimal(octets: &[u8]) -> String {
    let mut text = hexadecimal(octets.get(..SHOWN).unwrap_or(octets));
    if octets.len() > SHOWN {
        text.push('…');
    }
    text
}

/// The octets that digits of either case stand for; `None` where they stand for none.
pub fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    let octet = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(high)? * 16 + digit(low)?).ok(),
        _ => None,
    };
    text.as_bytes().chunks(2).map(octet).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_are_no_digits_is_none() {
        for text in ["0", "0g", "+1", " 1", "é", "0é0"] {
            assert_eq!(from_hexadecimal(text), None, "{text}");
        }
        assert_eq!(from_hexadecimal("0aFf"), Some(vec![0x0a, 0xff]));
    }

    #[test]
    fn people_are_shown_so_much() {
        assert_eq!(shown_hexadecimal(&[0xab; SHOWN]), "ab".repeat(SHOWN));
        assert_eq!(
            shown_hexadecimal(&[0xab; SHOWN + 1]),
            "ab".repeat(SHOWN) + "…"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(octets: Vec<u8>) {
            prop_assert_eq!(from_hexadecimal(&hexadecimal(&octets)), Some(octets));
        }
    }
}
