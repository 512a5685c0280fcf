//! The request in the path of a GET (RFC 6960 A.1): base64 below the responder's own path.
//!
//! Pure. Clients and the proxies between change the text on its way: they escape some characters,
//! all, or the escapes once more, turn `+` to a space, use the alphabet for URLs, leave the padding
//! out, break lines, add a slash at the end. None of that can be mistaken for something else, for a
//! request says itself how long it is. What it asks is read in [`super::question`].

// What strangers have written is read here.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::x509::der;

/// Most folders that the responder's own path, such as `/status` or `/pki/ocsp`, may have.
const MAX_FOLDERS: usize = 8;
/// Most slashes that follow the base64.
const MAX_SLASHES_AT_END: usize = 2;
/// Most times that a path is escaped: by the client, and by a proxy that takes it for a file's
/// name.
const MAX_ESCAPES: usize = 2;

/// Clients leave the padding out or keep it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What the path of a GET asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PathContent {
    /// Nothing: a browser or a check of the connection.
    Nothing,
    /// This request, which is the DER of a SEQUENCE at least.
    Request(Vec<u8>),
    /// Something else.
    Garbage,
}

/// Takes the request out of a path. The responder may lie in folders: the request begins after the
/// first slash from which on there is one.
pub fn from_path(path: &str) -> PathContent {
    let Some(text) = unescaped(path) else {
        return PathContent::Garbage;
    };
    if text.iter().all(|byte| *byte == b'/') {
        return PathContent::Nothing;
    }
    beginnings(&text)
        .take(1 + MAX_FOLDERS)
        .flat_map(endings)
        .find_map(decode)
        .map_or(PathContent::Garbage, PathContent::Request)
}

/// The rest of the path from the beginning of each of its names on.
fn beginnings(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let is_first = |at: &usize| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        before.is_none_or(|byte| *byte == b'/') && text.get(*at) != Some(&b'/')
    };
    (0..text.len())
        .filter(is_first)
        .filter_map(|at| text.get(at..))
}

/// The text, and what is left when the slash at its end is dropped, and one more: base64 may end in
/// a slash, too.
fn endings(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(text), |text| text.strip_suffix(b"/")).take(1 + MAX_SLASHES_AT_END)
}

/// The bytes of base64 in any of its spellings; `None` unless they are one whole SEQUENCE.
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    /// What the identifier octet of a SEQUENCE becomes in base64.
    const SEQUENCE_IN_BASE64: &[u8] = b"M";
    if !text.starts_with(SEQUENCE_IN_BASE64) {
        return None;
    }
    let spelled = text.iter().filter_map(|byte| match byte {
        b'\r' | b'\n' => None,
        b' ' | b'-' => Some(b'+'),
        b'_' => Some(b'/'),
        other => Some(*other),
    });
    let request = BASE64.decode(spelled.collect::<Vec<u8>>()).ok()?;
    der::only(&request, der::SEQUENCE)
        .is_ok()
        .then_some(request)
}

/// The text without its percent signs (RFC 3986 §2.1); `None` where one stands for nothing.
fn unescaped(path: &str) -> Option<Vec<u8>> {
    let mut text = path.as_bytes().to_vec();
    for _ in 0..MAX_ESCAPES {
        if !text.contains(&b'%') {
            break;
        }
        text = unescaped_once(&text)?;
    }
    Some(text)
}

fn unescaped_once(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = text.iter();
    let mut unescaped = Vec::with_capacity(text.len());
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    while let Some(byte) = bytes.next() {
        unescaped.push(match byte {
            b'%' => {
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                u8::try_from(high << 4 | low).ok()?
            }
            plain => *plain,
        });
    }
    Some(unescaped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};
    use proptest::prelude::*;

    /// A SEQUENCE of this content.
    fn sequence(content: &[u8]) -> Vec<u8> {
        der::encode(der::SEQUENCE, &[content])
    }

    /// One whose base64 has `/` and `+` in it, two slashes in a row, and padding.
    fn awkward() -> (Vec<u8>, String) {
        let bytes = sequence(&[0xff, 0xff, 0xff, 0xff, 0xfb, 0xef, 0xbe, 0xff, 0x01]);
        let text = STANDARD.encode(&bytes);
        assert!(text.contains("//") && text.contains('+') && text.ends_with('='));
        (bytes, text)
    }

    fn escaped(text: &str) -> String {
        text.replace('%', "%25")
            .replace('+', "%2B")
            .replace('/', "%2f")
            .replace('=', "%3D")
    }

    #[test]
    fn a_request_is_found_in_every_spelling_and_below_every_folder() {
        let (bytes, plain) = awkward();
        let broken: Vec<&str> = plain
            .as_bytes()
            .chunks(4)
            .map(|four| std::str::from_utf8(four).unwrap())
            .collect();
        let spellings = [
            plain.clone(),
            escaped(&plain),
            escaped(&escaped(&plain)),
            plain.trim_end_matches('=').to_owned(),
            plain.replace('+', "%20"),
            URL_SAFE.encode(&bytes),
            broken.join("%0D%0A"),
            format!("{plain}/"),
            format!("{}//", escaped(&plain)),
        ];
        for spelling in spellings {
            for folder in [
                "/",
                "//",
                "/status/",
                "/status//",
                "/pki/v1/MMM/ocsp/",
                "",
                "%2F",
            ] {
                let path = format!("{folder}{spelling}");
                assert_eq!(
                    from_path(&path),
                    PathContent::Request(bytes.clone()),
                    "{path}"
                );
            }
        }
    }

    #[test]
    fn slashes_ask_nothing_and_other_paths_are_garbage() {
        for path in ["", "/", "//", "%2F"] {
            assert_eq!(from_path(path), PathContent::Nothing, "{path}");
        }
        let (_, plain) = awkward();
        let (short, deep) = (&plain[..plain.len() - 4], "/a".repeat(MAX_FOLDERS + 1));
        let paths = [
            "/favicon.ico",
            "/status",
            "/%",
            "/%2",
            "/%zz",
            "/M=M=",
            "/MAE",
            short,
        ];
        for path in paths
            .map(str::to_owned)
            .into_iter()
            .chain([format!("/{plain}AAAA"), format!("{deep}/{plain}")])
        {
            assert_eq!(from_path(&path), PathContent::Garbage, "{path}");
        }
    }

    proptest! {
        #[test]
        fn every_sequence_comes_back(content in proptest::collection::vec(any::<u8>(), 0..300)) {
            let bytes = sequence(&content);
            let plain = STANDARD.encode(&bytes);
            for text in [escaped(&plain), plain] {
                let expected = PathContent::Request(bytes.clone());
                prop_assert_eq!(from_path(&format!("/{text}")), expected.clone());
                prop_assert_eq!(from_path(&format!("/ocsp/{text}/")), expected);
            }
        }

        #[test]
        fn no_path_is_read_as_what_is_no_request(path in "(/|%2F|M|[ -~]){0,60}") {
            if let PathContent::Request(bytes) = from_path(&path) {
                prop_assert!(der::only(&bytes, der::SEQUENCE).is_ok());
            }
        }
    }
}
