//! The lines of a crt-list file.
//!
//! Pure. Governed by the configuration manual §5.1 (`crt-list`): a certificate, options in
//! brackets, filters; words end at white space, and there are no quotes, escapes or variables.

use super::notice::Remark;
use super::words::{is_space, plain_words};

/// What a line says that matters here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateLine<'a> {
    /// Its number, from 1.
    pub number: usize,
    /// The certificate, as it is written.
    pub certificate: &'a str,
    /// The words within the brackets.
    pub options: Vec<&'a str>,
    /// Whether its only filter is `*`.
    pub only_filter_is_any: bool,
}

/// The lines with certificates, and what is wrong with others, by their numbers.
pub fn lines(text: &str) -> impl Iterator<Item = Result<CertificateLine<'_>, (usize, Remark)>> {
    text.lines().enumerate().filter_map(|(index, line)| {
        let line = line.trim_matches(is_space);
        if line.is_empty() || line.starts_with('#') {
            return None;
        }
        Some(read(line, index + 1).map_err(|remark| (index + 1, remark)))
    })
}

fn read(line: &str, number: usize) -> Result<CertificateLine<'_>, Remark> {
    let (head, options, rest) = match line.split_once('[') {
        Some((head, rest)) => {
            let (options, rest) = rest.split_once(']').ok_or(Remark::UnclosedBracket)?;
            (head, options, rest)
        }
        None => (line, "", ""),
    };
    let mut words = plain_words(head);
    let certificate = words.next().ok_or(Remark::NoCertificate)?;
    Ok(CertificateLine {
        number,
        certificate,
        options: plain_words(options).collect(),
        only_filter_is_any: words.chain(plain_words(rest)).eq(["*"]),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_manuals_example_is_understood() {
        let text = "# comment\n\
            default.pem.rsa *\n\
            default.pem.ecdsa *\n\
            \n\
            cert2.pem [alpn h2,http/1.1]\n\
            certW.pem *.domain.tld !secure.domain.tld\r\n\
            certS.pem [curves X25519:P-256 ciphers ECDHE-ECDSA-AES256-GCM-SHA384] secure.domain.tld\n\
            \tfoo.crt[key bar.pem  ocsp foo.ocsp ocsp-update on]foo.bar.com\n\
            e.pem [] a";
        let lines: Vec<_> = lines(text)
            .map(|line| line.unwrap())
            .map(|line| (line.number, line.certificate, line.options))
            .collect();
        let options = |text: &'static str| text.split(' ').collect::<Vec<_>>();
        assert_eq!(
            lines,
            [
                (2, "default.pem.rsa", vec![]),
                (3, "default.pem.ecdsa", vec![]),
                (5, "cert2.pem", options("alpn h2,http/1.1")),
                (6, "certW.pem", vec![]),
                (
                    7,
                    "certS.pem",
                    options("curves X25519:P-256 ciphers ECDHE-ECDSA-AES256-GCM-SHA384")
                ),
                (
                    8,
                    "foo.crt",
                    options("key bar.pem ocsp foo.ocsp ocsp-update on")
                ),
                (9, "e.pem", vec![]),
            ]
        );
    }

    #[test]
    fn a_bad_line_does_not_lose_the_others() {
        let found: Vec<_> = lines("a.pem [alpn h2\n[alpn h2] a\nb.pem").collect();
        assert_eq!(found[0], Err((1, Remark::UnclosedBracket)));
        assert_eq!(found[1], Err((2, Remark::NoCertificate)));
        assert_eq!(found[2].as_ref().unwrap().certificate, "b.pem");
    }

    proptest! {
        #[test]
        fn every_certificate_is_a_word_of_its_line(text in "[ab\\[\\]# \t\r\n\x0b\u{a0}!*é]{0,60}") {
            let written: Vec<&str> = text.lines().collect();
            for line in lines(&text).flatten() {
                prop_assert!(written[line.number - 1].contains(line.certificate));
                prop_assert!(!line.certificate.contains(is_space));
            }
        }
    }
}
